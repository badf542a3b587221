use std::collections::BTreeMap;

use proptest::prelude::*;
use rand::{Rng, SeedableRng, rngs::SmallRng};

use super::*;

fn contents(hash: &Hash) -> BTreeMap<Vec<u8>, Vec<u8>> {
    hash.iter().map(|(field, value)| (field.to_vec(), value.to_vec())).collect()
}

fn scanned(hash: &Hash, count: usize) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let (mut cursor, mut seen) = (0, BTreeMap::new());
    loop {
        cursor = hash.scan(cursor, count, |field, value| {
            seen.insert(field.to_vec(), value.to_vec());
        });
        if cursor == 0 {
            return seen;
        }
    }
}

/// Allocator bytes counted from the elements up.
fn recounted(hash: &Hash) -> usize {
    match hash.0.get() {
        Form::Small(packed) => packed.heap_bytes(),
        Form::Large(table) => {
            size_class(size_of::<Table>())
                + table.fields.heap_bytes()
                + table.fields.iter().map(|field| field.0.heap_bytes()).sum::<usize>()
        }
    }
}

#[test]
fn it_is_unpacked_when_redis_does_and_never_packed_again() {
    let limits = Limits::default();
    let mut hash = Hash::new();
    for number in 0..128 {
        assert!(hash.set(format!("{number}").as_bytes(), b"v", &limits));
    }
    assert!(!hash.set(b"5", &[b'x'; 64], &limits));
    assert_eq!(hash.encoding(), "listpack");
    let mut long = hash.clone();
    long.set(b"5", &[b'x'; 65], &limits);
    assert_eq!((long.encoding(), long.len()), ("hashtable", 128));
    assert!(hash.set(b"one more", b"", &limits));
    assert_eq!((hash.encoding(), hash.len()), ("hashtable", 129));
    for number in 0..128 {
        assert!(hash.remove(format!("{number}").as_bytes()));
    }
    assert_eq!((hash.encoding(), hash.len()), ("hashtable", 1));
    assert_eq!(size_of::<Hash>(), 8);
}

#[test]
fn a_packed_hash_keeps_the_order_of_insertion() {
    let mut hash = Hash::new();
    for field in ["b", "a", "7", "c"] {
        hash.set(field.as_bytes(), b"1", &Limits::default());
    }
    hash.set(b"a", b"changed", &Limits::default());
    let fields: Vec<_> = hash.iter().map(|(field, _)| field.to_vec()).collect();
    assert_eq!(fields, [&b"b"[..], b"a", b"7", b"c"]);
}

#[test]
fn a_large_hash_costs_few_bytes_beside_its_contents() {
    let mut hash = Hash::new();
    for number in 0..100_000 {
        hash.set(format!("element:{number:012}").as_bytes(), &[b'x'; 32], &Limits::default());
    }
    let each = hash.heap_bytes() as f64 / 100_000.0;
    assert!(each < 64.0 + 17.0, "{each} bytes a field");
    assert_eq!(hash.heap_bytes(), recounted(&hash));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn editing_equals_editing_a_map(
        seed in any::<u64>(),
        fields in prop::sample::select(vec![3u32, 20, 200, 20_000]),
        edits in 0..3_000usize,
    ) {
        let mut rng = SmallRng::seed_from_u64(seed);
        let limits = Limits::default();
        let (mut hash, mut model) = (Hash::new(), BTreeMap::new());
        let mut kept: Option<(Hash, BTreeMap<Vec<u8>, Vec<u8>>)> = None;
        for step in 0..edits {
            let number = rng.random_range(0..fields);
            let field = if number % 3 == 0 { format!("{number}") } else { format!("field:{number}") }.into_bytes();
            if rng.random_range(0..3) > 0 {
                let value = match rng.random_range(0..5) {
                    0 => vec![b'v'; rng.random_range(0..if fields > 20 { 70 } else { 60 })],
                    _ => rng.random_range(-5_000..5_000).to_string().into_bytes(),
                };
                prop_assert_eq!(hash.set(&field, &value, &limits), model.insert(field.clone(), value).is_none());
            } else {
                prop_assert_eq!(hash.remove(&field), model.remove(&field).is_some());
            }
            prop_assert_eq!(hash.get(&field).map(Item::to_vec), model.get(&field).cloned());
            prop_assert_eq!(hash.len(), model.len());
            if step == edits / 2 {
                kept = Some((hash.clone(), model.clone()));
            }
        }
        prop_assert_eq!(&contents(&hash), &model);
        prop_assert_eq!(hash.heap_bytes(), recounted(&hash));
        prop_assert_eq!(&scanned(&hash, 7), &model);
        match hash.random(&mut rng) {
            Some((field, value)) => prop_assert_eq!(model.get(&field.to_vec()), Some(&value.to_vec())),
            None => prop_assert!(model.is_empty()),
        }
        if let Some((hash, model)) = kept {
            prop_assert_eq!(contents(&hash), model);
        }
    }
}
