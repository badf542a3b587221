use std::collections::BTreeSet;

use proptest::prelude::*;
use rand::{Rng, SeedableRng, rngs::SmallRng};

use super::*;

fn recounted(set: &Set) -> usize {
    match set.shape() {
        Shape::Table(table) => {
            size_class(size_of::<Table>())
                + table.members.heap_bytes()
                + table.members.iter().map(|member| member.0.heap_bytes()).sum::<usize>()
        }
        _ => set.heap_bytes(),
    }
}

#[test]
fn encodings_are_told_as_redis_tells_them() {
    let limits = Limits::default();
    let mut set = Set::new();
    for number in 0..512 {
        assert!(set.insert(number.to_string().as_bytes(), &limits));
    }
    assert_eq!(set.encoding(), "intset");
    let mut text = set.clone();
    text.insert(b"01", &limits);
    assert_eq!((text.encoding(), text.len()), ("hashtable", 513));
    set.insert(b"512", &limits);
    assert_eq!((set.encoding(), set.len()), ("hashtable", 513));
    for number in 1..513 {
        set.remove(number.to_string().as_bytes());
    }
    assert_eq!((set.encoding(), set.len()), ("hashtable", 1));
    let mut small = Set::new();
    small.insert(b"1", &limits);
    small.insert(b"x", &limits);
    assert!(matches!(small.shape(), Shape::Packed(_)));
    assert_eq!(small.encoding(), "hashtable");
    let mut text = Set::new();
    text.insert(b"x", &limits);
    assert!(matches!(text.shape(), Shape::Packed(_)));
    assert_eq!((text.encoding(), size_of::<Set>()), ("hashtable", 8));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn editing_equals_editing_a_set(
        seed in any::<u64>(),
        range in prop::sample::select(vec![3i64, 100, 700, 20_000]),
        texts in any::<bool>(),
        edits in 0..3_000usize,
    ) {
        let mut rng = SmallRng::seed_from_u64(seed);
        let limits = Limits::default();
        let (mut set, mut model) = (Set::new(), BTreeSet::new());
        let mut kept: Option<(Set, BTreeSet<Vec<u8>>)> = None;
        for step in 0..edits {
            let number = rng.random_range(-range..range);
            let member = match number.rem_euclid(5) {
                0 if texts => format!("member:{number}"),
                1 if texts && range > 100 => format!("{number:070}"),
                _ => number.to_string(),
            }.into_bytes();
            if rng.random_range(0..3) > 0 {
                prop_assert_eq!(set.insert(&member, &limits), model.insert(member.clone()));
            } else {
                prop_assert_eq!(set.remove(&member), model.remove(&member));
            }
            prop_assert_eq!(set.contains(&member), model.contains(&member));
            prop_assert!(!set.contains(b"never") && set.len() == model.len());
            if step == edits / 2 {
                kept = Some((set.clone(), model.clone()));
            }
        }
        let contents = |set: &Set| set.iter().map(Item::to_vec).collect::<BTreeSet<_>>();
        prop_assert_eq!(&contents(&set), &model);
        prop_assert_eq!(set.heap_bytes(), recounted(&set));
        let (mut cursor, mut seen) = (0, BTreeSet::new());
        loop {
            cursor = set.scan(cursor, 10, |member| { seen.insert(member.to_vec()); });
            if cursor == 0 {
                break;
            }
        }
        prop_assert_eq!(&seen, &model);
        match set.random(&mut rng) {
            Some(member) => prop_assert!(model.contains(&member.to_vec()) && set.contains_item(member)),
            None => prop_assert!(model.is_empty()),
        }
        if let Some((set, model)) = kept {
            prop_assert_eq!(contents(&set), model);
        }
    }
}
