//! Bytes to values.

use std::sync::Arc;

use slotway_common::number::parse_f64;

use super::read::{Corrupt, Reader, Text};
use super::{intset, kind, listpack, stream, ziplist, zipmap};
use crate::engine::Record;
use crate::engine::record::MAX_EMBEDDED;
use crate::memory::{Limits, hash_bytes};
use crate::types::item::{IntText, Item};
use crate::types::list::End;
use crate::types::packed::{Packed, entry::Encoded};
use crate::types::{Hash, List, Object, Set, ZSet};

/// A value that was read. Strings still lie where they were read from.
pub enum Value<'a> {
    String(Text<'a>),
    /// A collection, which is not empty.
    Object(Object),
}

impl Value<'_> {
    /// The record of this value under a key.
    #[must_use]
    pub fn into_record(self, key: &[u8], expire_at: Option<i64>) -> Record {
        match self {
            Self::Object(object) => Record::object(key, object, expire_at),
            Self::String(Text::Unpacked(bytes)) if bytes.len() > MAX_EMBEDDED => {
                Record::object(key, Object::String(Arc::new(bytes)), expire_at)
            }
            Self::String(text) => Record::string(key, text.bytes(&mut IntText::new()), expire_at),
        }
    }

    /// This value as an object, to which parts can be added.
    #[must_use]
    pub fn into_object(self) -> Object {
        match self {
            Self::Object(object) => object,
            Self::String(Text::Unpacked(bytes)) => Object::String(Arc::new(bytes)),
            Self::String(text) => Object::String(Arc::new(text.bytes(&mut IntText::new()).to_vec())),
        }
    }
}

/// Packed forms are made of no more bytes than this; they grow a little when they are read.
const MOST_PACKED: usize = 1 << 29;

/// The value that `bytes` begin with, in the form that `limits` ask for, and how many bytes it takes.
///
/// # Errors
/// When they are damaged in any way that can be told, of an unknown type, or a collection without elements or with an
/// element twice.
#[inline]
pub fn decode<'a>(bytes: &'a [u8], limits: &Limits) -> Result<(Value<'a>, usize), Corrupt> {
    let mut reader = Reader::new(bytes);
    let value = match reader.byte()? {
        kind::STRING => Value::String(reader.string()?),
        other => Value::Object(collection(&mut reader, other, limits)?),
    };
    Ok((value, bytes.len() - reader.left()))
}

fn collection(reader: &mut Reader<'_>, kind: u8, limits: &Limits) -> Result<Object, Corrupt> {
    let object = match kind {
        kind::LIST | kind::LIST_ZIPLIST | kind::LIST_QUICKLIST | kind::LIST_QUICKLIST_2 => {
            Object::List(list(reader, kind, limits)?)
        }
        kind::SET => Object::Set(set(reader, limits)?),
        kind::SET_INTSET => Object::Set(Set::of_ints(&intset::read(reader.string()?.blob()?)?, limits)),
        kind::HASH => Object::Hash(hash(reader, limits)?),
        kind::HASH_ZIPMAP | kind::HASH_ZIPLIST | kind::HASH_LISTPACK => {
            let text = reader.string()?;
            let items = items_of(text.blob()?, kind)?;
            Object::Hash(small_hash(&items, text.blob()?.len(), kind, limits)?)
        }
        kind::ZSET | kind::ZSET_2 => Object::ZSet(zset(reader, kind, limits)?),
        kind::ZSET_ZIPLIST | kind::ZSET_LISTPACK => {
            let text = reader.string()?;
            let items = items_of(text.blob()?, kind)?;
            Object::ZSet(small_zset(&items, text.blob()?.len(), limits)?)
        }
        kind::STREAM | kind::STREAM_2 => Object::Stream(stream::decode(reader, kind)?),
        _ => return Err(Corrupt),
    };
    if object.is_empty() { Err(Corrupt) } else { Ok(object) }
}

fn list(reader: &mut Reader<'_>, kind: u8, limits: &Limits) -> Result<List, Corrupt> {
    let mut list = List::new();
    let mut room = IntText::new();
    let mut push = |text: &[u8]| list.push(End::Tail, text, limits);
    let pieces = if kind == kind::LIST_ZIPLIST { 1 } else { reader.len()? };
    for _ in 0..pieces {
        let plain = match kind {
            kind::LIST => true,
            kind::LIST_QUICKLIST_2 => match reader.len()? {
                kind::NODE_PLAIN => true,
                kind::NODE_PACKED => false,
                _ => return Err(Corrupt),
            },
            _ => false,
        };
        let text = reader.string()?;
        if plain {
            push(text.bytes(&mut room));
        } else if kind == kind::LIST_QUICKLIST_2 {
            listpack::walk(text.blob()?, |item| push(item.text(&mut room)))?;
        } else {
            ziplist::walk(text.blob()?, |item| push(item.text(&mut room)))?;
        }
    }
    Ok(list)
}

fn set(reader: &mut Reader<'_>, limits: &Limits) -> Result<Set, Corrupt> {
    let mut set = Set::new();
    let mut room = IntText::new();
    for _ in 0..reader.len()? {
        if !set.insert(reader.string()?.bytes(&mut room), limits) {
            return Err(Corrupt);
        }
    }
    Ok(set)
}

fn hash(reader: &mut Reader<'_>, limits: &Limits) -> Result<Hash, Corrupt> {
    let count = reader.len()?;
    let is_small = usize::try_from(count).is_ok_and(|count| count <= limits.hash_max_listpack_entries);
    let mut hash = if is_small { Hash::new() } else { Hash::unpacked() };
    let mut rooms = (IntText::new(), IntText::new());
    for _ in 0..count {
        let (field, value) = (reader.string()?, reader.string()?);
        if !hash.set(field.bytes(&mut rooms.0), value.bytes(&mut rooms.1), limits) {
            return Err(Corrupt);
        }
    }
    Ok(hash)
}

fn zset(reader: &mut Reader<'_>, kind: u8, limits: &Limits) -> Result<ZSet, Corrupt> {
    let count = reader.len()?;
    // Packed when all members are known to fit: the packed form loses the sign of a zero.
    let mut zset = ZSet::unpacked();
    let mut room = IntText::new();
    for _ in 0..count {
        let member = reader.string()?;
        let score = if kind == kind::ZSET_2 { f64::from_le_bytes(reader.array()?) } else { score(reader)? };
        if score.is_nan() || zset.set(member.bytes(&mut room), score, limits).is_some() {
            return Err(Corrupt);
        }
    }
    Ok(zset.repacked(limits))
}

/// A score as older versions wrote it: the length of its text, or one of three names.
fn score(reader: &mut Reader<'_>) -> Result<f64, Corrupt> {
    match reader.byte()? {
        255 => Ok(f64::NEG_INFINITY),
        254 => Ok(f64::INFINITY),
        253 => Err(Corrupt),
        len => parse_f64(reader.bytes(usize::from(len))?).ok_or(Corrupt),
    }
}

/// The elements of a packed form, each in the form that we would store it in.
fn items_of(blob: &[u8], kind: u8) -> Result<Vec<Item<'_>>, Corrupt> {
    let mut items = Vec::with_capacity((blob.len() / 4).min(256));
    let compact = |item| match item {
        Item::Bytes(bytes) => Item::compact(bytes),
        int => int,
    };
    match kind {
        kind::HASH_ZIPMAP => {
            zipmap::walk(blob, |field, value| items.extend([Item::compact(field), Item::compact(value)]))?
        }
        kind::HASH_ZIPLIST | kind::ZSET_ZIPLIST => ziplist::walk(blob, |item| items.push(compact(item)))?,
        _ => listpack::walk(blob, |item| items.push(compact(item)))?,
    };
    if items.len() % 2 == 0 { Ok(items) } else { Err(Corrupt) }
}

/// As in Redis, the lengths of elements matter in the one form in which there was no limit to them.
fn small_hash(items: &[Item<'_>], bytes: usize, kind: u8, limits: &Limits) -> Result<Hash, Corrupt> {
    let longest = limits.hash_max_listpack_value;
    let fits = items.len() / 2 <= limits.hash_max_listpack_entries
        && bytes <= MOST_PACKED
        && (kind != kind::HASH_ZIPMAP || items.iter().all(|item| item.text_len() <= longest));
    if fits {
        if !all_differ(items.iter().step_by(2).copied()) {
            return Err(Corrupt);
        }
        return Ok(Hash::of_packed(packed(items.iter().copied(), bytes)));
    }
    let mut hash = Hash::unpacked();
    let mut rooms = (IntText::new(), IntText::new());
    for (field, value) in pairs(items) {
        if !hash.set(field.text(&mut rooms.0), value.text(&mut rooms.1), limits) {
            return Err(Corrupt);
        }
    }
    Ok(hash)
}

fn small_zset(items: &[Item<'_>], bytes: usize, limits: &Limits) -> Result<ZSet, Corrupt> {
    let mut scored = Vec::with_capacity(items.len() / 2);
    for (member, score) in pairs(items) {
        let score = match score {
            Item::Int(score) => score as f64,
            Item::Bytes(text) => parse_f64(text).ok_or(Corrupt)?,
        };
        scored.push((member, score));
    }
    if scored.len() > limits.zset_max_listpack_entries || bytes > MOST_PACKED {
        let mut zset = ZSet::unpacked();
        for (member, score) in scored {
            if zset.set(member.text(&mut IntText::new()), score, limits).is_some() {
                return Err(Corrupt);
            }
        }
        return Ok(zset);
    }
    if !all_differ(scored.iter().map(|(member, _)| *member)) {
        return Err(Corrupt);
    }
    // Scores are no NaN. What Redis wrote is in order already.
    let order = |one: &(Item<'_>, f64), other: &(Item<'_>, f64)| {
        one.1
            .total_cmp(&other.1)
            .then_with(|| one.0.text(&mut IntText::new()).cmp(other.0.text(&mut IntText::new())))
    };
    for (_, score) in &mut scored {
        // -0 is 0 there.
        *score += 0.0;
    }
    scored.sort_by(order);
    Ok(ZSet::of_ascending(&scored))
}

fn pairs<'i, 'a>(items: &'i [Item<'a>]) -> impl Iterator<Item = (Item<'a>, Item<'a>)> + use<'i, 'a> {
    items.as_chunks().0.iter().map(|[one, two]| (*one, *two))
}

/// The sequence of these elements, which took about `bytes` before.
fn packed<'a>(items: impl ExactSizeIterator<Item = Item<'a>>, bytes: usize) -> Packed {
    let count = items.len();
    let mut entries = Vec::with_capacity(bytes);
    for item in items {
        Encoded::<false>::item(item).parts().into_iter().for_each(|part| entries.extend_from_slice(part));
    }
    Packed::of(&entries, count)
}

/// Whether no element is there twice. All must be in the form that we would store them in.
fn all_differ<'a>(names: impl ExactSizeIterator<Item = Item<'a>> + Clone) -> bool {
    let same = |one: Item<'_>, other: Item<'_>| match (one, other) {
        (Item::Int(one), Item::Int(other)) => one == other,
        (Item::Bytes(one), Item::Bytes(other)) => one == other,
        _ => false,
    };
    if names.len() <= 12 {
        return names
            .clone()
            .enumerate()
            .all(|(index, name)| names.clone().take(index).all(|earlier| !same(name, earlier)));
    }
    let hash = |name: Item<'_>| match name {
        Item::Int(number) => hash_bytes(&number.to_le_bytes()),
        Item::Bytes(bytes) => hash_bytes(bytes),
    };
    let mut hashed: Vec<_> = names.map(|name| (hash(name), name)).collect();
    hashed.sort_unstable_by_key(|(hash, _)| *hash);
    // Equal hashes stand together; there are hardly any of different elements.
    hashed.chunk_by(|one, other| one.0 == other.0).all(|run| {
        run.iter()
            .enumerate()
            .all(|(index, name)| run[..index].iter().all(|earlier| !same(name.1, earlier.1)))
    })
}
