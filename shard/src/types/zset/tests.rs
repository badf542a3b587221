use std::collections::BTreeMap;

use proptest::prelude::*;
use rand::{Rng, SeedableRng, rngs::SmallRng};

use super::*;

type Model = BTreeMap<Vec<u8>, f64>;

fn ordered(model: &Model) -> Vec<(Vec<u8>, f64)> {
    let mut all: Vec<_> = model.iter().map(|(member, score)| (member.clone(), *score)).collect();
    all.sort_by(|a, b| a.1.partial_cmp(&b.1).unwrap().then_with(|| a.0.cmp(&b.0)));
    all
}

fn contents(zset: &ZSet) -> Vec<(Vec<u8>, f64)> {
    zset.iter().map(|(member, score)| (member.to_vec(), score)).collect()
}

fn recounted(zset: &ZSet) -> usize {
    match zset.0.get() {
        Form::Small(packed) => packed.heap_bytes(),
        Form::Large(sorted) => {
            size_class(size_of::<Sorted>())
                + sorted.members.heap_bytes()
                + sorted.order.heap_bytes()
                + sorted.members.iter().map(|member| member.0.heap_bytes()).sum::<usize>()
        }
    }
}

fn check(zset: &ZSet, model: &Model) {
    let expected = ordered(model);
    assert_eq!(contents(zset), expected);
    assert_eq!(zset.len(), expected.len());
    assert_eq!(zset.heap_bytes(), recounted(zset));
    let backwards: Vec<_> = zset
        .iter_from(zset.len().saturating_sub(1), true)
        .map(|(member, score)| (member.to_vec(), score))
        .collect();
    assert!(backwards.into_iter().eq(expected.iter().rev().cloned()));
    for (rank, (member, score)) in expected.iter().enumerate() {
        assert_eq!(zset.rank(member), Some((rank, *score)));
        assert_eq!(zset.score(member), Some(*score));
    }
    for bound in [-1e9, -3.0, 0.0, 0.5, 7.0, f64::INFINITY] {
        let below = expected.iter().filter(|(_, score)| *score < bound).count();
        let through = expected.iter().filter(|(_, score)| *score <= bound).count();
        assert_eq!(zset.rank_by_score(|score| score < bound), below);
        assert_eq!(zset.rank_by_score(|score| score <= bound), through);
    }
}

#[test]
fn it_is_unpacked_when_redis_does_and_never_packed_again() {
    let limits = Limits::default();
    let mut zset = ZSet::new();
    for number in 0..128 {
        assert_eq!(zset.set(format!("{number}").as_bytes(), 1.5, &limits), None);
    }
    assert_eq!(zset.encoding(), "listpack");
    assert_eq!(zset.set(b"7", 2.0, &limits), Some(1.5));
    let mut long = zset.clone();
    long.remove(b"8");
    long.set(&[b'x'; 65], 0.0, &limits);
    assert_eq!((long.encoding(), long.len()), ("skiplist", 128));
    zset.set(b"one more", 1.0, &limits);
    assert_eq!((zset.encoding(), zset.len()), ("skiplist", 129));
    zset.remove_range(1, 128);
    assert_eq!((zset.encoding(), contents(&zset)), ("skiplist", vec![(b"one more".to_vec(), 1.0)]));
}

#[test]
fn scores_of_every_kind_survive_packing() {
    let scores = [
        f64::NEG_INFINITY,
        -1e300,
        -9_007_199_254_740_993.0,
        -5.5,
        -1.0,
        0.0,
        1e-300,
        0.1,
        3.0,
        1e15,
        1e16,
        f64::INFINITY,
    ];
    let mut zset = ZSet::new();
    for (number, score) in scores.iter().enumerate().rev() {
        zset.set(format!("m{number:02}").as_bytes(), *score, &Limits::default());
    }
    assert!(zset.iter().map(|(_, score)| score).eq(scores));
    let mut unpacked = ZSet::unpacked();
    for (member, score) in zset.iter() {
        unpacked.set(&member.to_vec(), score, &Limits::default());
    }
    assert_eq!(unpacked.encoding(), "skiplist");
    let repacked = unpacked.clone().repacked(&Limits::default());
    assert_eq!((repacked.encoding(), contents(&repacked)), ("listpack", contents(&zset)));
    for number in 0..128 {
        unpacked.set(format!("{number}").as_bytes(), 1.0, &Limits::default());
    }
    assert_eq!(unpacked.repacked(&Limits::default()).encoding(), "skiplist");
}

#[test]
fn a_set_of_ten_thousand_costs_few_bytes_beside_its_members() {
    for shuffle in [false, true] {
        let mut zset = ZSet::new();
        for number in 0..10_000u64 {
            let score = if shuffle { number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40 } else { number };
            zset.set(format!("member:{number:09}").as_bytes(), score as f64, &Limits::default());
        }
        let each = zset.heap_bytes() as f64 / 10_000.0;
        assert!(each < 32.0 + 40.0, "{each} bytes a member, shuffled {shuffle}");
        assert_eq!(zset.heap_bytes(), recounted(&zset));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn editing_equals_editing_a_sorted_model(
        seed in any::<u64>(),
        range in prop::sample::select(vec![5i64, 150, 3_000]),
        scores in prop::sample::select(vec![1i64, 10, 100_000]),
        edits in 0..4_000usize,
    ) {
        let mut rng = SmallRng::seed_from_u64(seed);
        let limits = Limits::default();
        let (mut zset, mut model) = (ZSet::new(), Model::new());
        let mut kept: Option<(ZSet, Model)> = None;
        for step in 0..edits {
            let number = rng.random_range(0..range);
            let member = if number % 4 == 0 { format!("{number}") } else { format!("member:{number}") }.into_bytes();
            match rng.random_range(0..20) {
                0..12 => {
                    let mut score = rng.random_range(-scores..scores) as f64;
                    if rng.random_range(0..4) == 0 {
                        score /= 3.0;
                    }
                    let old = model.insert(member.clone(), score);
                    prop_assert_eq!(zset.set(&member, score, &limits), old);
                }
                12..19 => prop_assert_eq!(zset.remove(&member), model.remove(&member)),
                _ if rng.random_range(0..10) == 0 => {
                    let rank = rng.random_range(0..=model.len());
                    let count = rng.random_range(0..=(model.len() - rank).min(600));
                    for (member, _) in ordered(&model).drain(rank..rank + count) {
                        model.remove(&member);
                    }
                    zset.remove_range(rank, count);
                }
                _ => {}
            }
            prop_assert_eq!(zset.score(&member), model.get(&member).copied());
            prop_assert_eq!(zset.len(), model.len());
            if step == edits / 2 {
                kept = Some((zset.clone(), model.clone()));
            }
        }
        check(&zset, &model);
        let rank = rng.random_range(0..=model.len());
        let from_rank: Vec<_> = zset.iter_from(rank, false).map(|(member, score)| (member.to_vec(), score)).collect();
        prop_assert_eq!(&from_rank[..], &ordered(&model)[rank..]);
        let (mut cursor, mut seen) = (0, Model::new());
        loop {
            cursor = zset.scan(cursor, 10, |member, score| { seen.insert(member.to_vec(), score); });
            if cursor == 0 {
                break;
            }
        }
        prop_assert_eq!(&seen, &model);
        match zset.random(&mut rng) {
            Some((member, score)) => prop_assert_eq!(model.get(&member.to_vec()), Some(&score)),
            None => prop_assert!(model.is_empty()),
        }
        if let Some((zset, model)) = kept {
            check(&zset, &model);
        }
    }

    #[test]
    fn members_of_equal_score_are_ranked_by_their_bytes(
        members in prop::collection::btree_set(prop::collection::vec(any::<u8>(), 0..4), 0..600),
        bound in prop::collection::vec(any::<u8>(), 0..4),
    ) {
        let mut zset = ZSet::new();
        for member in &members {
            zset.set(member, 0.0, &Limits::default());
        }
        prop_assert!(zset.iter().map(|(member, _)| member.to_vec()).eq(members.iter().cloned()));
        let below = members.iter().filter(|member| **member < bound).count();
        prop_assert_eq!(zset.rank_by_member(|member| member < &bound[..]), below);
    }
}
