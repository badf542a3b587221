use proptest::prelude::*;

use super::*;

fn limits(bytes: usize, entries: usize) -> Limits {
    Limits { stream_node_max_bytes: bytes, stream_node_max_entries: entries, ..Limits::default() }
}

fn ids(entries: impl Iterator<Item = Id>) -> Vec<u64> {
    entries.map(|id| id.ms).collect()
}

fn all(stream: &Stream) -> Vec<u64> {
    ids(stream.range(Id::MIN, Id::MAX).map(|entry| entry.id))
}

fn filled(count: u64, limits: &Limits) -> Stream {
    let mut stream = Stream::new();
    for number in 1..=count {
        stream.add(Id::new(number, 0), &[b"field", number.to_string().as_bytes()], limits).unwrap();
    }
    stream
}

#[test]
fn fields_that_differ_from_the_first_entry_s_are_kept() {
    let mut stream = Stream::new();
    let entries: [&[&[u8]]; 4] =
        [&[b"a", b"1", b"b", b"2"], &[b"a", b"x", b"b", b"-7"], &[b"b", b"1", b"a", b"2"], &[b"a", b""]];
    for (number, pairs) in entries.iter().enumerate() {
        stream.add(Id::new(5, number as u64 + 1), pairs, &limits(4096, 100)).unwrap();
    }
    assert_eq!(stream.node_counts().0, 1);
    for (entry, pairs) in stream.range(Id::MIN, Id::MAX).zip(entries) {
        let found: Vec<Vec<u8>> =
            entry.fields().flat_map(|(field, value)| [field.to_vec(), value.to_vec()]).collect();
        assert_eq!(found, pairs.iter().map(|item| item.to_vec()).collect::<Vec<_>>());
    }
}

#[test]
fn an_id_must_be_above_all_that_there_were() {
    let limits = limits(0, 0);
    let mut stream = filled(3, &limits);
    assert!(stream.delete(Id::new(3, 0)));
    assert_eq!(stream.add(Id::new(3, 0), &[b"f", b"v"], &limits), Err(Refused::NotAbove));
    assert_eq!(stream.add(Id::new(3, 1), &[b"f", b"v"], &limits), Ok(()));
    assert_eq!(stream.next_id(2), Some(Id::new(3, 2)));
    assert_eq!(stream.next_id(9), Some(Id::new(9, 0)));
    assert_eq!(stream.facts(), Facts { last: Id::new(3, 1), max_deleted: Id::new(3, 0), added: 4 });
}

#[test]
fn trimming_approximately_takes_whole_blocks() {
    let limits = limits(0, 10);
    let mut stream = filled(100, &limits);
    assert_eq!(stream.clone().trim(Excess::Longer(35), true, 0), 60);
    assert_eq!(stream.clone().trim(Excess::Longer(35), true, 25), 20);
    assert_eq!(stream.clone().trim(Excess::Below(Id::new(36, 0)), true, 0), 30);
    assert_eq!(stream.trim(Excess::Below(Id::new(36, 0)), false, 0), 35);
    assert_eq!(stream.trim(Excess::Longer(7), false, 0), 58);
    assert_eq!(all(&stream), (94..=100).collect::<Vec<_>>());
}

#[test]
fn a_clone_keeps_what_is_changed_afterwards() {
    let limits = limits(0, 10);
    let mut stream = filled(50, &limits);
    stream.add_group(b"g", Group::new(Id::MIN, Some(0)));
    let before = stream.clone();
    stream.delete(Id::new(7, 0));
    stream.add(Id::new(60, 0), &[b"f", b"v"], &limits).unwrap();
    stream.edit_group(b"g", |group| {
        let (consumer, _) = group.meet(b"c", 1);
        group.deliver(Pending { id: Id::new(1, 0), consumer, deliveries: 1, delivered_at: 1 });
    });
    assert_eq!(all(&before), (1..=50).collect::<Vec<_>>());
    assert!(before.group(b"g").unwrap().pending().is_empty());
    assert_eq!(stream.len(), 50);
}

#[test]
fn what_a_consumer_has_goes_with_it() {
    let mut group = Group::new(Id::MIN, None);
    let (first, _) = group.meet(b"first", 1);
    let (second, _) = group.meet(b"second", 1);
    for number in 0..1000 {
        let consumer = if number % 3 == 0 { first } else { second };
        group.deliver(Pending { id: Id::new(number, 0), consumer, deliveries: 1, delivered_at: 1 });
    }
    group.deliver(Pending { id: Id::new(3, 0), consumer: second, deliveries: 2, delivered_at: 2 });
    assert!(group.acknowledge(Id::new(0, 0)) && !group.acknowledge(Id::new(0, 0)));
    assert_eq!(group.forget(b"first"), Some(332));
    assert_eq!(group.forget(b"second"), Some(667));
    assert!(group.pending().is_empty());
    assert_eq!(group.heap_bytes(), Group::default().heap_bytes());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Against a plain list of ids: additions, deletions, trimming and ranges.
    #[test]
    fn a_stream_is_a_list_of_entries(
        steps in prop::collection::vec((0u8..10, 0u64..80, 0u64..80), 1..200),
        entries in 1usize..8,
        bytes in prop_oneof![Just(0usize), 60usize..200],
    ) {
        let limits = limits(bytes, entries);
        let (mut stream, mut model, mut last) = (Stream::new(), Vec::<u64>::new(), 0);
        for (what, a, b) in steps {
            match what {
                0..5 => {
                    last += 1 + a % 3;
                    stream.add(Id::new(last, 0), &[b"f", b.to_string().as_bytes()], &limits).unwrap();
                    model.push(last);
                }
                5 | 6 => {
                    prop_assert_eq!(stream.delete(Id::new(a, 0)), model.contains(&a));
                    model.retain(|id| *id != a);
                }
                7 => {
                    let gone = model.len().saturating_sub(a as usize);
                    prop_assert_eq!(stream.trim(Excess::Longer(a as usize), false, 0), gone);
                    model.drain(..gone);
                }
                8 => {
                    let gone = model.iter().filter(|id| **id < a).count();
                    prop_assert_eq!(stream.trim(Excess::Below(Id::new(a, 0)), false, 0), gone);
                    model.drain(..gone);
                }
                _ => {
                    let within: Vec<u64> = model.iter().copied().filter(|id| (a..=b).contains(id)).collect();
                    let (from, to) = (Id::new(a, 0), Id::new(b, 0));
                    prop_assert_eq!(ids(stream.range(from, to).map(|entry| entry.id)), within.clone());
                    let back: Vec<u64> = within.into_iter().rev().collect();
                    prop_assert_eq!(ids(stream.range_back(to, from).map(|entry| entry.id)), back);
                }
            }
            prop_assert_eq!(stream.len(), model.len());
        }
        prop_assert_eq!(all(&stream), model);
    }
}
