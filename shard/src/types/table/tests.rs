use std::collections::{BTreeMap, HashSet};
use std::num::NonZeroU64;

use proptest::prelude::*;
use rand::{Rng, SeedableRng, rngs::SmallRng};

use super::*;

/// An element that is its own hash, scrambled unless a test wants collisions.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Number(NonZeroU64);

impl Number {
    fn new(number: u64) -> Self {
        Number(NonZeroU64::MIN.saturating_add(number))
    }

    fn get(&self) -> u64 {
        self.0.get() - 1
    }
}

fn scramble(number: u64) -> u64 {
    xxhash_rust::xxh3::xxh3_64(&number.to_le_bytes())
}

impl Hashed for Number {
    fn hash(&self) -> u64 {
        scramble(self.get())
    }
}

fn put(table: &mut SegmentTable<Number>, number: u64) -> bool {
    let hash = scramble(number);
    if table.get(hash, |other| other.get() == number).is_some() {
        return false;
    }
    table.insert(hash, Number::new(number));
    true
}

fn take(table: &mut SegmentTable<Number>, number: u64) -> bool {
    table.remove(scramble(number), |other| other.get() == number).is_some()
}

fn heap_recounted(table: &SegmentTable<Number>) -> usize {
    match &table.0 {
        Form::One(piece) => piece.heap_bytes(),
        Form::Many(directory) => {
            size_class(size_of::<Directory<Number>>())
                + size_class(directory.entries.capacity() * 4)
                + size_class(directory.segments.capacity() * 8)
                + directory.segments.iter().map(|s| Directory::segment_bytes(&s.piece)).sum::<usize>()
        }
    }
}

fn check(table: &SegmentTable<Number>, model: &HashSet<u64>) {
    assert_eq!(table.len(), model.len());
    assert_eq!(table.iter().map(|n| n.get()).collect::<HashSet<_>>(), *model);
    assert_eq!(table.heap_bytes(), heap_recounted(table));
    for number in model {
        assert!(table.get(scramble(*number), |other| other.get() == *number).is_some());
    }
    if let Form::Many(directory) = &table.0 {
        for (number, segment) in directory.segments.iter().enumerate() {
            let width = 1usize << (directory.bits - segment.depth);
            let first = segment.prefix as usize * width;
            assert!(directory.entries[first..first + width].iter().all(|entry| *entry as usize == number));
        }
    }
}

#[test]
fn an_empty_table_is_small_and_allocates_nothing() {
    assert!(size_of::<SegmentTable<Number>>() <= 40);
    assert_eq!(SegmentTable::<Number>::new().heap_bytes(), 0);
}

#[test]
fn growing_and_emptying_equals_a_set_at_every_size() {
    let mut table = SegmentTable::new();
    let mut model = HashSet::new();
    for number in 0..60_000u64 {
        assert!(put(&mut table, number));
        assert!(number % 7 != 0 || !put(&mut table, number / 2));
        model.insert(number);
        if number.is_power_of_two() {
            check(&table, &model);
        }
    }
    assert!(table.pieces() > 16);
    check(&table, &model);
    for number in 0..60_000u64 {
        assert!(take(&mut table, number));
        assert!(!take(&mut table, number));
        model.remove(&number);
        if number % 9_973 == 0 {
            check(&table, &model);
        }
    }
    assert_eq!((table.len(), table.heap_bytes(), table.pieces()), (0, 0, 1));
}

#[test]
fn slots_are_mostly_taken() {
    let mut table = SegmentTable::new();
    let (mut bytes, mut rounds) = (0.0, 0.0);
    for number in 0..200_000u64 {
        put(&mut table, number);
        if number > 20_000 && number % 1_000 == 0 {
            bytes += table.heap_bytes() as f64 / table.len() as f64;
            rounds += 1.0;
        }
    }
    assert!(bytes / rounds < 15.5, "{} bytes an element", bytes / rounds);
}

#[test]
fn a_clone_keeps_what_it_was_cloned_with() {
    let mut table = SegmentTable::new();
    let mut model = HashSet::new();
    for number in 0..20_000 {
        put(&mut table, number);
        model.insert(number);
    }
    let (frozen, frozen_model) = (table.clone(), model.clone());
    for number in 0..30_000 {
        if number % 3 == 0 {
            take(&mut table, number);
            model.remove(&number);
        } else {
            put(&mut table, number);
            model.insert(number);
        }
    }
    let thread = std::thread::spawn(move || check(&frozen, &frozen_model));
    check(&table, &model);
    thread.join().unwrap();
}

#[test]
fn extracting_takes_out_exactly_what_is_wanted() {
    for len in [10u64, 1_000, 40_000] {
        let mut table = SegmentTable::new();
        for number in 0..len {
            put(&mut table, number);
        }
        let mut out = HashSet::new();
        table.extract(|n| n.get() % 3 == 0, |n| assert!(out.insert(n.get())));
        assert!(out.iter().all(|n| n % 3 == 0));
        check(&table, &(0..len).filter(|n| n % 3 != 0).collect());
        table.extract(|_| true, |_| ());
        assert_eq!((table.len(), table.heap_bytes()), (0, 0));
    }
}

#[test]
fn equal_hashes_neither_lose_elements_nor_blow_up_the_directory() {
    #[derive(Clone)]
    struct Same(u32);
    impl Hashed for Same {
        fn hash(&self) -> u64 {
            0x1234_5678_9abc_def0
        }
    }
    let mut table = SegmentTable::new();
    for number in 0..6_000u32 {
        table.insert(0x1234_5678_9abc_def0, Same(number));
    }
    assert_eq!(table.len(), 6_000);
    assert!(table.get(0x1234_5678_9abc_def0, |same| same.0 == 5_999).is_some());
    assert!(table.heap_bytes() < 1_000_000);
    let mut seen = 0;
    let mut cursor = 0;
    loop {
        cursor = table.scan(cursor, 10, |_| seen += 1);
        if cursor == 0 {
            break;
        }
    }
    assert_eq!(seen, 6_000);
}

#[test]
fn every_element_is_drawn_equally_often() {
    let mut table = SegmentTable::new();
    let mut rng = SmallRng::seed_from_u64(1);
    for number in 0..9_000 {
        put(&mut table, number);
    }
    for number in 0..5_000 {
        take(&mut table, number);
    }
    assert!(table.pieces() > 1);
    let mut drawn: BTreeMap<u64, u32> = BTreeMap::new();
    for _ in 0..400_000 {
        *drawn.entry(table.random(&mut rng).unwrap().get()).or_default() += 1;
    }
    assert_eq!(drawn.len(), 4_000);
    // 100 expected each: chi square over 3,999 degrees of freedom, six standard deviations.
    let chi: f64 = drawn.values().map(|n| (f64::from(*n) - 100.0).powi(2) / 100.0).sum();
    assert!((chi - 3_999.0).abs() < 6.0 * (2.0f64 * 3_999.0).sqrt(), "chi square {chi}");
}

#[test]
fn a_scan_of_a_table_at_rest_visits_everything_once() {
    for len in [0u64, 1, 3, 10, 1_000, 3_328, 3_329, 50_000] {
        let mut table = SegmentTable::new();
        for number in 0..len {
            put(&mut table, number);
        }
        for count in [1, 10, 1_000, usize::MAX] {
            let (mut cursor, mut seen, mut calls) = (0, Vec::new(), 0);
            loop {
                cursor = table.scan(cursor, count, |n| seen.push(n.get()));
                calls += 1;
                assert!(cursor < 1 << CURSOR_BITS);
                if cursor == 0 {
                    break;
                }
            }
            seen.sort_unstable();
            assert_eq!(seen, (0..len).collect::<Vec<_>>());
            assert!(count > 10 || calls <= 1 + len as usize * 2, "{calls} calls for {len}");
        }
    }
}

#[test]
fn any_number_is_a_cursor() {
    let mut table = SegmentTable::new();
    for number in 0..10_000 {
        put(&mut table, number);
    }
    let mut rng = SmallRng::seed_from_u64(2);
    for _ in 0..1_000 {
        let shift = rng.random_range(0..64);
        table.scan(rng.random::<u64>() >> shift, 5, |_| ());
    }
    assert_eq!(table.scan(u64::MAX, 5, |_| ()), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Sizes swing between a few and thousands, so that pieces grow, split, merge and shrink under the cursor.
    #[test]
    fn a_scan_visits_all_that_stays_and_nothing_that_never_was(
        seed in any::<u64>(), start in 0..12_000u64, count in 1..400usize,
    ) {
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut table = SegmentTable::new();
        let mut present: HashSet<u64> = HashSet::new();
        for number in 0..start {
            put(&mut table, number);
            present.insert(number);
        }
        let mut stays = present.clone();
        let mut ever = present.clone();
        let mut seen = HashSet::new();
        let (mut cursor, mut growing) = (0, rng.random::<bool>());
        loop {
            cursor = table.scan(cursor, count, |n| { seen.insert(n.get()); });
            if cursor == 0 {
                break;
            }
            if rng.random_range(0..8) == 0 {
                growing = !growing;
            }
            for _ in 0..rng.random_range(0..1_500) {
                let number = rng.random_range(0..20_000u64);
                if growing {
                    put(&mut table, number);
                    present.insert(number);
                    ever.insert(number);
                } else {
                    take(&mut table, number);
                    present.remove(&number);
                    stays.remove(&number);
                }
            }
        }
        check(&table, &present);
        prop_assert!(stays.is_subset(&seen));
        prop_assert!(seen.is_subset(&ever));
    }

    #[test]
    fn random_edits_equal_those_of_a_set(seed in any::<u64>(), range in 1..6_000u64) {
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut table = SegmentTable::new();
        let mut model = HashSet::new();
        for _ in 0..rng.random_range(0..20_000) {
            let number = rng.random_range(0..range);
            if rng.random_range(0..100) < 55 {
                prop_assert_eq!(put(&mut table, number), model.insert(number));
            } else {
                prop_assert_eq!(take(&mut table, number), model.remove(&number));
            }
        }
        check(&table, &model);
    }
}
