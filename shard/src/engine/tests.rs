use std::sync::Arc;

use slotway_common::slot::SLOTS;

use super::*;
use crate::types::Object;

fn engine() -> Engine {
    let mut engine = Engine::new(LazyFree::default());
    engine.set_now(1_000_000);
    engine
}

fn key(bytes: &str) -> Key<'_> {
    Key::new(bytes.as_bytes())
}

#[test]
fn an_expired_key_is_gone_for_every_reader_and_counted_once() {
    let mut engine = engine();
    engine.set_string(0, &key("a"), b"1", Some(1_000_010));
    assert_eq!(engine.totals(0).expires(), 1);
    engine.set_now(1_000_010);
    assert!(engine.peek_record(0, &key("a")).is_none());
    assert_eq!(engine.read_string(0, &key("a")).unwrap(), None);
    assert_eq!((engine.totals(0).keys(), engine.totals(0).expires(), engine.stats.expired_keys), (0, 0, 1));
}

#[test]
fn the_sweep_removes_what_nobody_asks_for() {
    let mut engine = engine();
    for index in 0..1000 {
        let name = format!("k{index}");
        engine.set_string(index % 3, &key(&name), b"v", (index % 2 == 0).then_some(1_000_001 + index as i64));
    }
    engine.set_now(2_000_000);
    let report = engine.sweep_expired(std::time::Duration::from_secs(10));
    assert_eq!((report.removed, report.unfinished), (500, false));
    assert_eq!((0..3).map(|db| engine.totals(db).keys()).sum::<u64>(), 500);
    assert_eq!((0..3).map(|db| engine.totals(db).expires()).sum::<u64>(), 0);
}

#[test]
fn bytes_of_all_slots_are_the_sum_over_their_records() {
    let mut engine = engine();
    for index in 0..500 {
        let name = format!("k{}", index % 50);
        match index % 5 {
            0 => engine.set_string(0, &key(&name), &vec![1; index], None),
            1 => engine.edit_string(0, &key(&name), |bytes| bytes.extend_from_slice(&[2; 100])).unwrap(),
            2 => drop(engine.remove(0, &key(&name))),
            3 => drop(engine.set_expire_at(0, &key(&name), Some(9_000_000))),
            _ => engine.set(0, &key(&name), Object::String(Arc::new(vec![3; 700]))),
        }
    }
    for slot in 0..SLOTS {
        let space = engine.slot(slot);
        let sum: usize =
            space.databases().flat_map(|(_, database)| database.iter()).map(Record::heap_bytes).sum();
        assert_eq!(space.bytes(), sum as u64);
    }
}

#[test]
fn swap_and_flush_carry_counts_with_the_keys() {
    let mut engine = engine();
    engine.set_string(0, &key("a"), b"1", Some(9_000_000));
    engine.set_string(1, &key("b"), b"2", None);
    engine.set_string(1, &key("c"), b"3", None);
    engine.swap(0, 1, |_| true);
    assert_eq!((engine.totals(0).keys(), engine.totals(1).keys(), engine.totals(1).expires()), (2, 1, 1));
    assert!(engine.exists(1, &key("a")) && engine.exists(0, &key("b")));
    assert_eq!(engine.flush(Some(0), |_| true), 2);
    assert_eq!(engine.flush(None, |_| true), 1);
    assert_eq!(engine.random_key(0, |_| true), None);
}

#[test]
fn a_scan_sees_every_key_that_stays_while_others_come_and_go() {
    let mut engine = engine();
    let name = |index: usize| format!("{{tag}}{index}");
    for index in 0..2000 {
        engine.set_string(0, &key(&name(index)), b"", None);
    }
    let mut seen = std::collections::HashSet::new();
    let mut cursor = Some(Cursor::default());
    let mut extra = 2000;
    while let Some(from) = cursor {
        cursor = engine.scan(
            0,
            from,
            7,
            |_| true,
            |record| {
                seen.insert(record.key().to_vec());
            },
        );
        for _ in 0..20 {
            engine.set_string(0, &key(&name(extra)), b"", None);
            extra += 1;
        }
    }
    assert!((0..2000).all(|index| seen.contains(name(index).as_bytes())));
}

#[test]
fn lru_evicts_an_idle_key_before_a_used_one() {
    let mut engine = engine();
    engine.clock.policy = Policy::AllKeysLru;
    for index in 0..100 {
        engine.set_string(0, &key(&format!("k{index}")), b"", None);
    }
    engine.set_now(2_000_000);
    for index in 0..50 {
        engine.touch(0, &key(&format!("k{index}")));
    }
    for _ in 0..30 {
        assert!(engine.evict_one(10));
    }
    let used = (0..50).filter(|index| engine.exists(0, &key(&format!("k{index}")))).count();
    assert!(used >= 45, "{used} of 50 used keys are left");
    assert_eq!(engine.totals(0).keys(), 70);
}

#[test]
fn volatile_policies_spare_keys_without_expiry() {
    for policy in [Policy::VolatileLru, Policy::VolatileLfu, Policy::VolatileRandom, Policy::VolatileTtl] {
        let mut engine = engine();
        engine.clock.policy = policy;
        for index in 0..100 {
            engine.set_string(
                index % 2,
                &key(&format!("k{index}")),
                b"",
                (index % 10 == 0).then_some(9_000_000),
            );
        }
        for _ in 0..10 {
            assert!(engine.evict_one(5), "{policy:?}");
        }
        assert!(!engine.evict_one(5), "{policy:?}");
        assert_eq!(engine.totals(0).keys() + engine.totals(1).keys(), 90);
    }
}

#[test]
fn what_a_command_says_of_itself_is_not_taken_for_the_next_one() {
    // SORT … STORE with nothing to store, at a key that is not there, changed nothing, and the write after it was logged as
    // the deletion of that key.
    let mut engine = engine();
    engine.note_changes(true);
    let key = Key::new(b"k");
    engine.repeat_as(key.slot, || vec![b"DEL".to_vec(), b"other".to_vec()]);
    engine.expect_several_slots();
    assert!(engine.has_notes() && !engine.take_plain_write());
    let notes = engine.take_notes();
    assert!(!notes.written && notes.notes.is_empty());
    engine.set_string(0, &key, b"v", None);
    assert!(engine.has_notes() && engine.take_plain_write());
    assert!(!engine.has_notes());
}
