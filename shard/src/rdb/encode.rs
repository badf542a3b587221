//! Values to bytes.

use super::write::Compression;
use super::{intset, kind, listpack, stream, write};
use crate::engine::Record;
use crate::types::item::Item;
use crate::types::{Hash, List, Object, Set, ZSet, zset};
use slotway_common::number::format_f64;
use write::LaterLen;

/// Bytes of entries a listpack of a list has, unless it is one entry.
const NODE_BYTES: usize = 8 << 10;
/// Elements from here on stand without a listpack.
const PLAIN_BYTES: usize = 1 << 30;
/// Collections beyond this are not written as one listpack, whose length has 32 bits.
const MOST_LISTPACK: usize = 1 << 29;

/// Appends the encoding of a record's value to `out`.
#[inline]
pub fn encode(record: &Record, compression: Compression, out: &mut Vec<u8>) {
    match record.value() {
        Some(object) => encode_object(object, compression, out),
        None => encode_string(record.bytes().unwrap_or_default(), compression, out),
    }
}

/// Appends the encoding of a string to `out`.
#[inline]
pub fn encode_string(bytes: &[u8], compression: Compression, out: &mut Vec<u8>) {
    out.push(kind::STRING);
    write::string(out, bytes, compression);
}

/// Appends the encoding of a value to `out`. The value must not be an empty collection, which nobody reads.
pub fn encode_object(object: &Object, compression: Compression, out: &mut Vec<u8>) {
    match object {
        Object::String(bytes) => encode_string(bytes, compression, out),
        Object::List(value) => {
            list(value, 0, usize::MAX, compression, out);
        }
        Object::Hash(value) => hash(value, compression, out),
        Object::Set(value) => set(value, compression, out),
        Object::ZSet(value) => zset(value, compression, out),
        Object::Stream(value) => stream::encode(value, compression, out),
    }
}

/// Appends elements of a list from a rank on, until they have `budget` bytes. Says how many.
pub(super) fn list(
    list: &List,
    from: usize,
    budget: usize,
    compression: Compression,
    out: &mut Vec<u8>,
) -> usize {
    out.push(kind::LIST_QUICKLIST_2);
    // Of two nodes in a row one is at least half full.
    let node_count = LaterLen::new(out, budget == usize::MAX && list.heap_bytes() < 16 * NODE_BYTES);
    let most = NODE_BYTES.min(budget);
    let mut items = list.iter_from(from, false).peekable();
    let (mut nodes, mut elements, mut bytes) = (0, 0, 0);
    while bytes < budget
        && let Some(first) = items.peek()
    {
        nodes += 1;
        if let Item::Bytes(plain) = first
            && plain.len() >= PLAIN_BYTES
        {
            write::len(out, kind::NODE_PLAIN as usize);
            write::string(out, plain, compression);
            bytes += plain.len();
            elements += 1;
            items.next();
            continue;
        }
        write::len(out, kind::NODE_PACKED as usize);
        write::built(out, compression, |out| {
            let mut pack = listpack::Writer::new(out);
            while let Some(item) =
                items.next_if(|item| pack.count() == 0 || pack.len(out) + item.text_len() < most)
            {
                pack.push(out, item);
            }
            elements += pack.count();
            bytes += pack.len(out);
            pack.finish(out);
        });
    }
    node_count.set(out, nodes);
    elements
}

fn hash(hash: &Hash, compression: Compression, out: &mut Vec<u8>) {
    if let Some(packed) = hash.packed()
        && packed.end() < MOST_LISTPACK
    {
        out.push(kind::HASH_LISTPACK);
        write::built(out, compression, |out| {
            let mut pack = listpack::Writer::new(out);
            packed.iter().for_each(|item| pack.push(out, item));
            pack.finish(out);
        });
        return;
    }
    out.push(kind::HASH);
    write::len(out, hash.len());
    hash.iter().for_each(|(field, value)| {
        write::item(out, field, compression);
        write::item(out, value, compression);
    });
}

fn set(set: &Set, compression: Compression, out: &mut Vec<u8>) {
    if let Some(ints) = set.ints() {
        out.push(kind::SET_INTSET);
        write::built(out, compression, |out| intset::write(out, ints));
        return;
    }
    out.push(kind::SET);
    write::len(out, set.len());
    set.iter().for_each(|member| write::item(out, member, compression));
}

fn zset(zset: &ZSet, compression: Compression, out: &mut Vec<u8>) {
    if zset.is_packed() && zset.heap_bytes() < MOST_LISTPACK {
        out.push(kind::ZSET_LISTPACK);
        write::built(out, compression, |out| {
            let mut pack = listpack::Writer::new(out);
            for (member, score) in zset.iter() {
                pack.push(out, member);
                match zset::integral(score) {
                    Some(score) => pack.push(out, Item::Int(score)),
                    None => pack.push(out, Item::Bytes(format_f64(score).as_bytes())),
                }
            }
            pack.finish(out);
        });
        return;
    }
    out.push(kind::ZSET_2);
    write::len(out, zset.len());
    zset.iter().for_each(|(member, score)| scored(out, member, score, compression));
}

/// Writes a member of a large sorted set.
pub(super) fn scored(out: &mut Vec<u8>, member: Item<'_>, score: f64, compression: Compression) {
    write::item(out, member, compression);
    out.extend_from_slice(&score.to_le_bytes());
}
