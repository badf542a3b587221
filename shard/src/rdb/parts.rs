//! Large values in parts.
//!
//! Each part is the encoding of a value of the same type that has some of the elements; all parts in their order have
//! all of them, each once. Making one costs what it holds, however large the value is.

use std::sync::Arc;

use super::cursor::PartCursor;
use super::decode::Value;
use super::encode::{encode_object, encode_string, list, scored};
use super::read::Corrupt;
use super::write::Compression;
use super::write::LaterLen;
use super::{kind, stream, write};
use crate::memory::Limits;
use crate::types::item::{IntText, Item};
use crate::types::list::End;
use crate::types::{Hash, Object, Set, ZSet};

/// Elements that are asked of a table at once.
const STEP: usize = 8;

/// Appends one part of `object` to `out`: from `from` on, with elements of about `budget` bytes before compression, and
/// at least one element. A value that takes no more memory than that is encoded whole, in its compact form if it has
/// one. Gives where the next part begins; None after the last one.
pub fn encode_part(
    object: &Object,
    from: PartCursor,
    budget: usize,
    compression: Compression,
    out: &mut Vec<u8>,
) -> Option<PartCursor> {
    if from == PartCursor::default() && object.heap_bytes() <= budget {
        encode_object(object, compression, out);
        return None;
    }
    let budget = budget.max(1);
    let rank = from.at as usize;
    let in_order =
        |count: usize| PartCursor { at: from.at + count as u64, skip: 0, done: from.done + count as u64 };
    let (next, len) = match object {
        Object::String(bytes) => {
            let rest = bytes.get(rank..).unwrap_or_default();
            let part = rest.get(..budget).unwrap_or(rest);
            encode_string(part, compression, out);
            (in_order(part.len()), bytes.len())
        }
        Object::List(value) => (in_order(list(value, rank, budget, compression, out)), value.len()),
        Object::ZSet(value) => (in_order(zset(value, rank, budget, compression, out)), value.len()),
        Object::Hash(value) => (hash(value, from, budget, compression, out), value.len()),
        Object::Set(value) => (set(value, from, budget, compression, out), value.len()),
        Object::Stream(value) => (stream::part(value, from, budget, compression, out), stream::pieces(value)),
    };
    (next.done < len as u64).then_some(next)
}

fn zset(zset: &ZSet, from: usize, budget: usize, compression: Compression, out: &mut Vec<u8>) -> usize {
    out.push(kind::ZSET_2);
    let place = LaterLen::new(out, false);
    let (mut count, mut bytes) = (0, 0);
    for (member, score) in zset.iter_from(from, false) {
        scored(out, member, score, compression);
        count += 1;
        bytes += member.text_len() + size_of::<f64>();
        if bytes >= budget {
            break;
        }
    }
    place.set(out, count);
    count
}

fn hash(
    hash: &Hash,
    from: PartCursor,
    budget: usize,
    compression: Compression,
    out: &mut Vec<u8>,
) -> PartCursor {
    out.push(kind::HASH);
    unordered(from, budget, compression, out, |cursor, each| {
        hash.scan(cursor, STEP, |field, value| each(field, Some(value)))
    })
}

fn set(
    set: &Set,
    from: PartCursor,
    budget: usize,
    compression: Compression,
    out: &mut Vec<u8>,
) -> PartCursor {
    out.push(kind::SET);
    unordered(from, budget, compression, out, |cursor, each| {
        set.scan(cursor, STEP, |member| each(member, None))
    })
}

/// Writes elements of a table, which `scan` visits in steps that are the same in every call.
fn unordered<'v>(
    from: PartCursor,
    budget: usize,
    compression: Compression,
    out: &mut Vec<u8>,
    scan: impl Fn(u64, &mut dyn FnMut(Item<'v>, Option<Item<'v>>)) -> u64,
) -> PartCursor {
    let place = LaterLen::new(out, false);
    let PartCursor { mut at, mut skip, .. } = from;
    let (mut count, mut bytes) = (0, 0);
    loop {
        let (mut visited, mut written) = (0, 0);
        let next = scan(at, &mut |name, value| {
            visited += 1;
            if visited <= skip || bytes >= budget {
                return;
            }
            write::item(out, name, compression);
            bytes += name.text_len() + 1;
            if let Some(value) = value {
                write::item(out, value, compression);
                bytes += value.text_len();
            }
            written += 1;
        });
        count += written;
        let left_over = visited > skip + written;
        if left_over {
            skip += written;
        } else {
            (at, skip) = (next, 0);
        }
        if left_over || next == 0 || bytes >= budget {
            break;
        }
    }
    place.set(out, count as usize);
    PartCursor { at, skip, done: from.done + count }
}

/// Adds the elements of `part` to what the parts before it gave.
///
/// # Errors
/// When it is of another type, or has an element that was there already.
pub fn append_part(into: &mut Object, part: Value<'_>, limits: &Limits) -> Result<(), Corrupt> {
    let mut rooms = (IntText::new(), IntText::new());
    let sound = match (into, part) {
        (Object::String(bytes), Value::String(text)) => {
            let bytes = Arc::make_mut(bytes);
            let more = text.bytes(&mut rooms.0);
            if bytes.capacity() - bytes.len() < more.len() {
                // Not the double, which for what is sent in parts is much.
                bytes.reserve_exact(more.len().max(bytes.len() / 8));
            }
            bytes.extend_from_slice(more);
            true
        }
        (Object::List(list), Value::Object(Object::List(part))) => {
            part.iter().for_each(|item| list.push(End::Tail, item.text(&mut rooms.0), limits));
            true
        }
        (Object::Hash(hash), Value::Object(Object::Hash(part))) => part
            .iter()
            .all(|(field, value)| hash.set(field.text(&mut rooms.0), value.text(&mut rooms.1), limits)),
        (Object::Set(set), Value::Object(Object::Set(part))) => {
            part.iter().all(|member| set.insert_item(member, limits))
        }
        (Object::ZSet(zset), Value::Object(Object::ZSet(part))) => {
            part.iter().all(|(member, score)| zset.set(member.text(&mut rooms.0), score, limits).is_none())
        }
        (Object::Stream(stream), Value::Object(Object::Stream(part))) => stream::append(stream, &part),
        _ => false,
    };
    if sound { Ok(()) } else { Err(Corrupt) }
}
