#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::engine::{Limits, Record};
use crate::types::list::End;
use crate::types::stream::{Group, Id, Pending};
use crate::types::{Hash, List, Object, Set, Stream, ZSet};

/// What a value holds, whatever it is kept in.
#[derive(Debug, PartialEq)]
enum Contents {
    String(Vec<u8>),
    List(Vec<Vec<u8>>),
    Hash(BTreeMap<Vec<u8>, Vec<u8>>),
    Set(BTreeSet<Vec<u8>>),
    /// In their order.
    ZSet(Vec<(Vec<u8>, f64)>),
    /// As it is encoded, which is the same for equal streams.
    Stream(Vec<u8>),
}

fn contents(object: &Object) -> Contents {
    match object {
        Object::String(bytes) => Contents::String(bytes.to_vec()),
        Object::List(list) => Contents::List(list.iter().map(|item| item.to_vec()).collect()),
        Object::Hash(hash) => {
            let pairs: Vec<_> = hash.iter().map(|(field, value)| (field.to_vec(), value.to_vec())).collect();
            assert_eq!(pairs.len(), hash.len());
            Contents::Hash(pairs.into_iter().collect())
        }
        Object::Set(set) => {
            assert_eq!(set.iter().count(), set.len());
            Contents::Set(set.iter().map(|item| item.to_vec()).collect())
        }
        Object::ZSet(zset) => {
            Contents::ZSet(zset.iter().map(|(member, score)| (member.to_vec(), score)).collect())
        }
        Object::Stream(_) => {
            let mut out = Vec::new();
            encode_object(object, Compression::None, &mut out);
            Contents::Stream(out)
        }
    }
}

fn encoded(object: &Object) -> Vec<u8> {
    let mut out = Vec::new();
    encode_object(object, Compression::Lzf, &mut out);
    out
}

fn decoded(bytes: &[u8], limits: &Limits) -> Object {
    let (value, used) = decode(bytes, limits).unwrap();
    assert_eq!(used, bytes.len());
    value.into_object()
}

/// Everything that changes how a collection is kept, made of few elements already.
fn limits() -> impl Strategy<Value = Limits> {
    (prop::sample::select(vec![0usize, 3, 128]), prop::sample::select(vec![-5i64, -2, -1, 0, 3])).prop_map(
        |(few, list)| Limits {
            hash_max_listpack_entries: few,
            zset_max_listpack_entries: few,
            set_max_intset_entries: few * 2,
            list_max_listpack_size: list,
            ..Limits::default()
        },
    )
}

fn integer() -> impl Strategy<Value = Vec<u8>> {
    (any::<i64>(), 0..64u32).prop_map(|(number, shift)| (number >> shift).to_string().into_bytes())
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => prop::collection::vec(any::<u8>(), 0..24),
        6 => integer(),
        2 => prop::collection::vec(any::<u8>(), 60..70),
        1 => (prop::collection::vec(any::<u8>(), 1..9), 1..700usize).prop_map(|(text, times)| text.repeat(times)),
        1 => prop::collection::vec(any::<u8>(), 4090..4100),
        1 => (16_380..16_400usize).prop_map(|len| (0..len).map(|index| (index * index % 251) as u8).collect()),
    ]
}

fn score() -> impl Strategy<Value = f64> {
    prop_oneof![
        (-1000..1000i32).prop_map(f64::from),
        any::<f64>().prop_filter("scores are numbers", |score| !score.is_nan()),
        prop::sample::select(vec![f64::INFINITY, f64::NEG_INFINITY, 0.1, 1e300, 4e18, 9e18, 5e-324]),
    ]
}

fn object_of(kind: usize, ints: bool, elements: &[(Vec<u8>, Vec<u8>, f64)], limits: &Limits) -> Object {
    let number =
        |text: &[u8]| text.iter().fold(0i32, |sum, byte| sum.wrapping_mul(7) ^ i32::from(*byte)).to_string();
    match kind {
        0 => Object::String(Arc::new(elements.concat_texts())),
        1 => {
            let mut list = List::new();
            for (index, (text, ..)) in elements.iter().enumerate() {
                list.push(if index % 3 == 0 { End::Head } else { End::Tail }, text, limits);
            }
            Object::List(list)
        }
        2 => {
            let mut hash = Hash::new();
            elements.iter().for_each(|(field, value, _)| {
                hash.set(field, value, limits);
            });
            Object::Hash(hash)
        }
        3 => {
            let mut set = Set::new();
            for (member, ..) in elements {
                set.insert(
                    if ints { number(member).into_bytes() } else { member.clone() }.as_slice(),
                    limits,
                );
            }
            Object::Set(set)
        }
        4 => Object::Stream(stream_of(ints, elements, limits)),
        _ => {
            let mut zset = ZSet::new();
            elements.iter().for_each(|(member, _, score)| {
                zset.set(member, *score, limits);
            });
            Object::ZSet(zset)
        }
    }
}

/// Entries of one or two fields, some of them deleted, and groups to which they were delivered.
fn stream_of(same_fields: bool, elements: &[(Vec<u8>, Vec<u8>, f64)], limits: &Limits) -> Stream {
    let mut stream = Stream::new();
    let limits = Limits { stream_node_max_entries: 7, ..*limits };
    let mut group = Group::new(Id::new(3, 0), Some(3));
    let consumers = [&b"one"[..], b"two", b"idle"].map(|name| group.meet(name, 77).0);
    for (index, (field, value, _)) in elements.iter().enumerate() {
        let id = Id::new(index as u64 * 3 + 1, index as u64 % 5);
        let pairs: [&[u8]; 4] = [if same_fields { b"field" } else { field }, value, b"second", field];
        stream.add(id, &pairs[..if index % 4 == 1 { 2 } else { 4 }], &limits).unwrap();
        if index % 3 > 0 {
            let pending = Pending {
                id,
                consumer: consumers[index % 2],
                deliveries: index as u64,
                delivered_at: 1 << 40,
            };
            group.deliver(pending);
        }
        if index % 5 == 2 {
            stream.delete(id);
        }
    }
    stream.add_group(b"group", group);
    stream.add_group(b"new", Group::new(Id::MIN, None));
    stream
}

trait Texts {
    fn concat_texts(&self) -> Vec<u8>;
}

impl Texts for [(Vec<u8>, Vec<u8>, f64)] {
    fn concat_texts(&self) -> Vec<u8> {
        self.iter().flat_map(|(text, ..)| text.clone()).collect()
    }
}

/// A value, and the limits it was made with.
struct Sample {
    object: Object,
    limits: Limits,
}

impl std::fmt::Debug for Sample {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}, {:?}", contents(&self.object), self.limits)
    }
}

/// A value of any type with up to so many elements.
fn object(most: usize) -> impl Strategy<Value = Sample> {
    (0..6usize, any::<bool>(), prop::collection::vec((text(), text(), score()), 1..=most), limits()).prop_map(
        |(kind, ints, elements, limits)| Sample { object: object_of(kind, ints, &elements, &limits), limits },
    )
}

fn in_parts(object: &Object, budget: usize, limits: &Limits) -> (Object, usize) {
    let (mut whole, mut at, mut parts) = (None::<Object>, PartCursor::default(), 0);
    loop {
        let mut part = Vec::new();
        let next = encode_part(object, at, budget, Compression::None, &mut part);
        parts += 1;
        let (value, used) = decode(&part, limits).unwrap();
        assert_eq!(used, part.len());
        match &mut whole {
            None => whole = Some(value.into_object()),
            Some(whole) => append_part(whole, value, limits).unwrap(),
        }
        match next {
            Some(next) => at = next,
            None => break,
        }
    }
    (whole.unwrap(), parts)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_value_survives(Sample { object, limits } in object(300)) {
        let mut bytes = encoded(&object);
        let back = decoded(&bytes, &limits);
        prop_assert_eq!(contents(&back), contents(&object));
        // What follows does not matter.
        let len = bytes.len();
        bytes.extend_from_slice(b"more");
        prop_assert_eq!(decode(&bytes, &limits).unwrap().1, len);
    }

    #[test]
    fn values_are_kept_as_the_limits_of_the_reader_say(Sample { object, limits: made } in object(40), read in limits()) {
        let back = decoded(&encoded(&object), &read);
        prop_assert_eq!(contents(&back), contents(&object));
        match (&object, &back) {
            (Object::Set(from), Object::Set(set)) if from.ints().is_some() => {
                prop_assert_eq!(set.ints().is_some(), set.len() <= read.set_max_intset_entries);
            }
            (Object::Hash(from), Object::Hash(hash)) if from.packed().is_some() => {
                prop_assert_eq!(hash.packed().is_some(), hash.len() <= read.hash_max_listpack_entries);
            }
            (Object::ZSet(from), Object::ZSet(zset)) if from.is_packed() => {
                prop_assert_eq!(zset.is_packed(), zset.len() <= read.zset_max_listpack_entries);
            }
            _ => {}
        }
        // And as before with the same limits.
        let same = decoded(&encoded(&object), &made);
        prop_assert_eq!(same.encoding(), object.encoding());
    }

    #[test]
    fn all_parts_in_their_order_make_the_value(
        Sample { object, limits } in object(300),
        budget in prop_oneof![1..200usize, 200..40_000usize, Just(usize::MAX)],
    ) {
        let (whole, parts) = in_parts(&object, budget, &limits);
        prop_assert_eq!(contents(&whole), contents(&object));
        if object.heap_bytes() <= budget {
            prop_assert_eq!(parts, 1);
            prop_assert_eq!(whole.encoding(), object.encoding());
        }
    }

    #[test]
    fn every_truncation_is_refused(Sample { object, limits } in object(12)) {
        let bytes = encoded(&object);
        for len in (0..bytes.len()).rev().take(3000) {
            prop_assert!(decode(&bytes[..len], &limits).is_err(), "{} of {}", len, bytes.len());
        }
    }

    #[test]
    fn every_changed_byte_is_refused_or_makes_a_sound_value(Sample { object, limits } in object(12), mask in 1..=255u8) {
        let mut bytes = encoded(&object);
        for at in 0..bytes.len().min(1500) {
            bytes[at] ^= mask;
            if let Ok((value, used)) = decode(&bytes, &limits) {
                prop_assert!(used <= bytes.len());
                let object = value.into_object();
                prop_assert_eq!(contents(&decoded(&encoded(&object), &limits)), contents(&object));
            }
            bytes[at] ^= mask;
        }
    }

    #[test]
    fn any_bytes_are_refused_or_make_a_sound_value(kind in 0..20u8, mut bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        bytes.insert(0, kind);
        if let Ok((value, _)) = decode(&bytes, &Limits::default()) {
            let object = value.into_object();
            prop_assert_eq!(contents(&decoded(&encoded(&object), &Limits::default())), contents(&object));
        }
    }

    #[test]
    fn strings_of_records_survive(text in text(), expire_at in prop::option::of(any::<i64>())) {
        let record = Record::string(b"key", &text, expire_at);
        let mut bytes = Vec::new();
        encode(&record, Compression::Lzf, &mut bytes);
        prop_assert!(bytes.len() <= text.len() + 6);
        let (value, _) = decode(&bytes, &Limits::default()).unwrap();
        let back = value.into_record(b"key", expire_at);
        prop_assert_eq!(back.bytes(), record.bytes());
        prop_assert_eq!((back.key(), back.expire_at()), (record.key(), expire_at));
    }
}

#[test]
fn strings_are_written_as_redis_writes_them() {
    for (text, expected) in [
        (&b""[..], &b"\0\0"[..]),
        (b"7", b"\0\xC0\x07"),
        (b"-129", b"\0\xC1\x7F\xFF"),
        (b"70000", b"\0\xC2\x70\x11\x01\0"),
        (b"2147483648", b"\0\x0A2147483648"),
        (b"007", b"\0\x03007"),
    ] {
        let mut bytes = Vec::new();
        encode_string(text, Compression::Lzf, &mut bytes);
        assert_eq!(bytes, expected, "{}", text.escape_ascii());
    }
    let mut bytes = Vec::new();
    encode_string(&[b'a'; 1000], Compression::Lzf, &mut bytes);
    assert!(bytes.len() < 32 && bytes.starts_with(&[0, 0xC3]));
}

#[test]
fn a_payload_with_another_checksum_or_a_newer_version_is_not_opened() {
    let mut payload = b"\0\xC0\x01".to_vec();
    seal(&mut payload);
    // As redis-server 7.0 dumps the string 1.
    assert_eq!(payload, b"\0\xC0\x01\x0A\0&x\xE7\xB6\xD1\x01\x11\xFC", "{}", payload.escape_ascii());
    assert_eq!(open(&payload), Some(&b"\0\xC0\x01"[..]));
    for at in 0..payload.len() {
        payload[at] ^= 1;
        assert_eq!(open(&payload), None);
        payload[at] ^= 1;
    }
    for len in 0..payload.len() {
        assert_eq!(open(&payload[..len]), None);
    }
}

#[test]
fn lengths_that_the_bytes_cannot_have_are_refused_without_allocating() {
    let huge = [0x81, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF];
    for kind in 0..20u8 {
        let bytes = [&[kind][..], &huge, &huge, &huge].concat();
        assert!(decode(&bytes, &Limits::default()).is_err(), "{kind}");
        let compressed = [&[kind, 0xC3, 1], &huge[..], &[0]].concat();
        assert!(decode(&compressed, &Limits::default()).is_err(), "{kind}");
    }
}

#[test]
fn empty_collections_and_elements_that_are_there_twice_are_refused() {
    for bytes in [
        &b"\x01\0"[..],
        b"\x02\0",
        b"\x03\0",
        b"\x04\0",
        b"\x05\0",
        b"\x0E\0",
        b"\x12\0",
        b"\x10\x07\x07\0\0\0\0\0\xFF",
        b"\x11\x07\x07\0\0\0\0\0\xFF",
        b"\x0B\x08\x02\0\0\0\0\0\0\0",
        b"\x12\x01\x02\x07\x07\0\0\0\0\0\xFF",
        b"\x02\x02\x01a\x01a",
        b"\x04\x02\x01a\x01b\x01a\x01c",
        b"\x03\x02\x01a\x011\x01a\x012",
        b"\x0B\x0C\x02\0\0\0\x02\0\0\0\x05\0\x05\0",
        // A field without a value, and a field twice.
        b"\x10\x0A\x0A\0\0\0\x01\0\x81a\x02\xFF",
        b"\x10\x0F\x0F\0\0\0\x04\0\x01\x01\x02\x01\x01\x01\x03\x01\xFF",
        // A score that is no number.
        b"\x05\x01\x01a\0\0\0\0\0\0\xF8\x7F",
        b"\x03\x01\x01a\xFD",
    ] {
        assert!(decode(bytes, &Limits::default()).is_err(), "{}", bytes.escape_ascii());
    }
}

#[test]
fn parts_of_a_large_collection_are_about_the_budget() {
    let limits = Limits::default();
    let elements: Vec<_> = (0..20_000)
        .map(|number| {
            (format!("element {number}").into_bytes(), vec![number as u8; 20], f64::from(number % 100))
        })
        .collect();
    for kind in 0..6 {
        let object = object_of(kind, false, &elements, &limits);
        let (mut at, mut parts) = (PartCursor::default(), 0);
        loop {
            let mut part = Vec::new();
            let next = encode_part(&object, at, 16 << 10, Compression::Lzf, &mut part);
            parts += 1;
            assert!(part.len() < 26 << 10, "{} bytes", part.len());
            match next {
                Some(next) => at = next,
                None => break,
            }
        }
        assert!((10..160).contains(&parts), "{parts} parts of a {}", object.type_name());
        assert_eq!(contents(&in_parts(&object, 16 << 10, &limits).0), contents(&object));
    }
}

#[test]
fn a_part_of_another_type_or_with_an_element_that_was_there_is_refused() {
    let limits = Limits::default();
    let elements = [(b"a".to_vec(), b"b".to_vec(), 1.0)];
    for (kind, other) in (0..6).flat_map(|kind| (0..6).map(move |other| (kind, other))) {
        let mut into = object_of(kind, false, &elements, &limits);
        let bytes = encoded(&object_of(other, false, &elements, &limits));
        let added = append_part(&mut into, decode(&bytes, &limits).unwrap().0, &limits);
        assert_eq!(added.is_ok(), kind == other && kind < 2, "{other} to {kind}");
    }
}

#[test]
fn a_zero_keeps_its_sign_in_a_sorted_set_that_is_not_packed() {
    // Once lost where the member that forbids packing comes after it.
    let elements = [(vec![b'x'; 65], Vec::new(), 1.0), (b"a".to_vec(), Vec::new(), -0.0)];
    let limits = Limits::default();
    let Object::ZSet(back) = decoded(&encoded(&object_of(5, false, &elements, &limits)), &limits) else {
        panic!("another type");
    };
    assert!(back.score(b"a").is_some_and(f64::is_sign_negative));
}
