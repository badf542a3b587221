use super::*;

const SPARSE_MOST: usize = 3000;

#[test]
fn a_sparse_and_a_dense_one_count_the_same() {
    let (mut sparse, mut dense) = (new(), new());
    make_dense(&mut dense).unwrap();
    for number in 0..3000u32 {
        let element = number.to_string();
        assert_eq!(
            add(&mut sparse, element.as_bytes(), SPARSE_MOST),
            add(&mut dense, element.as_bytes(), SPARSE_MOST)
        );
        if number % 100 == 0 {
            assert_eq!(count(&sparse), count(&dense));
        }
    }
    assert_eq!(registers(&sparse), registers(&dense));
}

#[test]
fn the_estimate_is_within_a_few_percent() {
    let mut bytes = new();
    for number in 0..100_000u32 {
        add(&mut bytes, &number.to_le_bytes(), SPARSE_MOST).unwrap();
    }
    assert!(!is_sparse(&bytes));
    let estimate = count(&bytes).unwrap() as f64;
    assert!((estimate / 100_000.0 - 1.0).abs() < 0.03, "{estimate}");
}

#[test]
fn a_count_is_kept_until_something_is_added() {
    let mut bytes = new();
    assert_eq!(cached(&bytes), Some(0));
    assert_eq!(add(&mut bytes, b"a", SPARSE_MOST), Ok(true));
    assert_eq!(cached(&bytes), None);
    cache(&mut bytes, 1);
    assert_eq!(add(&mut bytes, b"a", SPARSE_MOST), Ok(false));
    assert_eq!(cached(&bytes), Some(1));
}

#[test]
fn run_lengths_that_do_not_add_up_are_an_error() {
    for codes in [&b""[..], &[0x7f], &[0x7f, 0xff, 0x00], &[0x00, 0x01], &[0x7f, 0xfe]] {
        let mut bytes = [&new()[..HEADER], codes].concat();
        assert_eq!(count(&bytes), Err(Corrupted), "{codes:?}");
        assert_eq!(make_dense(&mut bytes), Err(Corrupted), "{codes:?}");
        if codes.len() < 3 {
            assert_eq!(raise(&mut bytes, REGISTERS - 1, 3, SPARSE_MOST), Err(Corrupted), "{codes:?}");
        }
    }
}
