//! Streams to bytes and back.
//!
//! The body of types 19 (Redis 7.0) and, without what is in brackets, 15 (Redis 5.0 and 6.2):
//!
//! | what | as |
//! |---|---|
//! | number of blocks; of each its first id and its entries | a string of 16 bytes, a listpack |
//! | number of entries, last id [first id, highest deleted id, entries ever added] | numbers; an id is two |
//! | number of groups | a number |
//! | of each its name, last id [entries read] | a string, numbers |
//! | its pending entries: their number; of each the id, the time of delivery and the number of deliveries | 16 bytes, 8 bytes, a number |
//! | its consumers: their number; of each the name, when it was seen, the number of its entries and their ids | a string, 8 bytes, a number, 16 bytes each |
//!
//! A part of a large one is a whole value: some of the blocks without groups, or no blocks and some of the pending
//! entries of one group, with the consumers that have them.

use std::collections::BTreeMap;

use super::cursor::PartCursor;
use super::read::{Corrupt, Reader};
use super::write::{self, Compression, LaterLen};
use super::{kind, listpack};
use crate::types::Stream;
use crate::types::item::IntText;
use crate::types::spine::Leaf;
use crate::types::stream::{Block, Facts, Group, Id, Pending};

/// The number that stands for a number of entries read that nobody knows.
const UNKNOWN: u64 = u64::MAX;
/// What a pending entry takes, twice its id and some numbers.
const PENDING_BYTES: usize = 48;

fn put_id(out: &mut Vec<u8>, id: Id) {
    write::len(out, id.ms as usize);
    write::len(out, id.seq as usize);
}

fn id(reader: &mut Reader<'_>) -> Result<Id, Corrupt> {
    Ok(Id { ms: reader.len()?, seq: reader.len()? })
}

fn raw_id(reader: &mut Reader<'_>) -> Result<Id, Corrupt> {
    Ok(Id::from_bytes(reader.array()?))
}

/// Appends a whole stream.
pub(super) fn encode(stream: &Stream, compression: Compression, out: &mut Vec<u8>) {
    out.push(kind::STREAM_2);
    let place = LaterLen::new(out, false);
    let mut blocks = 0;
    for block in stream.blocks() {
        put_block(out, block, compression);
        blocks += 1;
    }
    place.set(out, blocks);
    write::len(out, stream.len());
    put_facts(out, stream);
    write::len(out, stream.groups().len());
    for (name, group) in stream.groups() {
        put_group(out, name, group, 0, usize::MAX, compression);
    }
}

fn put_block(out: &mut Vec<u8>, block: &Block, compression: Compression) {
    write::string(out, &block.first().to_bytes(), compression);
    write::built(out, compression, |out| {
        let mut pack = listpack::Writer::new(out);
        block.elements().for_each(|element| pack.push(out, element));
        pack.finish(out);
    });
}

fn put_facts(out: &mut Vec<u8>, stream: &Stream) {
    let Facts { last, max_deleted, added } = stream.facts();
    put_id(out, last);
    put_id(out, stream.first_id().unwrap_or_default());
    put_id(out, max_deleted);
    write::len(out, added as usize);
}

/// Writes a group with so many of its pending entries from a rank on. All its consumers stand with the first ones.
fn put_group(
    out: &mut Vec<u8>,
    name: &[u8],
    group: &Group,
    from: usize,
    most: usize,
    compression: Compression,
) -> usize {
    write::string(out, name, compression);
    put_id(out, group.last);
    write::len(out, group.read.unwrap_or(UNKNOWN) as usize);
    let count = group.pending().len().saturating_sub(from).min(most);
    write::len(out, count);
    let mut owned: BTreeMap<u32, Vec<Id>> = BTreeMap::new();
    for pending in group.pending().from_rank(from).take(count) {
        out.extend_from_slice(&pending.id.to_bytes());
        out.extend_from_slice(&pending.delivered_at.to_le_bytes());
        write::len(out, pending.deliveries as usize);
        owned.entry(pending.consumer).or_default().push(pending.id);
    }
    let told = group.consumers().filter(|(_, consumer)| from == 0 || owned.contains_key(&consumer.number));
    let told: Vec<_> = told.collect();
    write::len(out, told.len());
    for (name, consumer) in told {
        write::string(out, name, compression);
        out.extend_from_slice(&consumer.seen_at.to_le_bytes());
        let ids = owned.get(&consumer.number).map(Vec::as_slice).unwrap_or_default();
        write::len(out, ids.len());
        ids.iter().for_each(|id| out.extend_from_slice(&id.to_bytes()));
    }
    count
}

/// Everything that parts count: entries, groups, and what is pending in them.
pub(super) fn pieces(stream: &Stream) -> usize {
    stream.places() + stream.groups().map(|(_, group)| 1 + group.pending().len()).sum::<usize>()
}

/// Appends blocks of about `budget` bytes, or when all have been written pending entries of a group.
pub(super) fn part(
    stream: &Stream,
    from: PartCursor,
    budget: usize,
    compression: Compression,
    out: &mut Vec<u8>,
) -> PartCursor {
    out.push(kind::STREAM_2);
    let place = LaterLen::new(out, false);
    let start = out.len();
    let (mut blocks, mut entries, mut places) = (0, 0, 0);
    // As long as there are blocks left, the cursor is the rank of the next entry.
    let mut rank = from.at as usize;
    while from.skip == 0
        && out.len() - start < budget
        && let Some(block) = stream.block_at(rank)
    {
        put_block(out, block, compression);
        blocks += 1;
        entries += block.counts().0;
        places += block.len();
        rank += block.len();
    }
    place.set(out, blocks);
    write::len(out, entries);
    put_facts(out, stream);
    if blocks > 0 {
        write::len(out, 0);
        return PartCursor { at: rank as u64, skip: 0, done: from.done + places as u64 };
    }
    // Then it is the rank of the next pending entry, and the number of the group plus one.
    let (number, at) = if from.skip == 0 { (1, 0) } else { (from.skip, from.at as usize) };
    let Some((name, group)) = stream.groups().nth(number as usize - 1) else {
        write::len(out, 0);
        return from;
    };
    write::len(out, 1);
    let written = put_group(out, name, group, at, (budget / PENDING_BYTES).max(1), compression);
    let done = from.done + written as u64 + u64::from(at == 0);
    if at + written < group.pending().len() {
        PartCursor { at: (at + written) as u64, skip: number, done }
    } else {
        PartCursor { at: 0, skip: number + 1, done }
    }
}

/// Reads a stream.
pub(super) fn decode(reader: &mut Reader<'_>, kind: u8) -> Result<Stream, Corrupt> {
    let mut stream = Stream::new();
    for _ in 0..reader.len()? {
        let first = reader.string()?;
        let first = first.bytes(&mut IntText::new()).try_into().map(Id::from_bytes).map_err(|_| Corrupt)?;
        let text = reader.string()?;
        let mut elements = Vec::new();
        listpack::walk(text.blob()?, |element| elements.push(element))?;
        let block = Block::of_elements(first, &elements).ok_or(Corrupt)?;
        if block.len() == 0 || !stream.push_block(block) {
            return Err(Corrupt);
        }
    }
    if reader.len()? != stream.len() as u64 {
        return Err(Corrupt);
    }
    let last = id(reader)?;
    let mut facts = Facts { last, max_deleted: Id::MIN, added: stream.len() as u64 };
    if kind == kind::STREAM_2 {
        let _first = id(reader)?;
        (facts.max_deleted, facts.added) = (id(reader)?, reader.len()?);
    }
    stream.set_facts(facts);
    for _ in 0..reader.len()? {
        let name = reader.string()?;
        let group = group(reader, kind, &stream)?;
        if !stream.add_group(name.bytes(&mut IntText::new()), group) {
            return Err(Corrupt);
        }
    }
    Ok(stream)
}

fn group(reader: &mut Reader<'_>, kind: u8, stream: &Stream) -> Result<Group, Corrupt> {
    let last = id(reader)?;
    let read = match kind {
        kind::STREAM_2 => Some(reader.len()?).filter(|read| *read != UNKNOWN),
        _ => stream.added_up_to(last),
    };
    let mut group = Group::new(last, read);
    let mut waiting = BTreeMap::new();
    for _ in 0..reader.len()? {
        let (id, delivered_at) = (raw_id(reader)?, i64::from_le_bytes(reader.array()?));
        if waiting.insert(id, (delivered_at, reader.len()?)).is_some() {
            return Err(Corrupt);
        }
    }
    for _ in 0..reader.len()? {
        let name = reader.string()?;
        let seen_at = i64::from_le_bytes(reader.array()?);
        let (consumer, is_new) = group.meet(name.bytes(&mut IntText::new()), seen_at);
        if !is_new {
            return Err(Corrupt);
        }
        for _ in 0..reader.len()? {
            let id = raw_id(reader)?;
            let (delivered_at, deliveries) = waiting.remove(&id).ok_or(Corrupt)?;
            group.deliver(Pending { id, consumer, deliveries, delivered_at });
        }
    }
    if waiting.is_empty() { Ok(group) } else { Err(Corrupt) }
}

/// Adds what a part has; false if it does not fit.
pub(super) fn append(into: &mut Stream, part: &Stream) -> bool {
    let mut fits = part.blocks().all(|block| into.push_block(block.clone()));
    into.set_facts(part.facts());
    for (name, group) in part.groups() {
        if into.add_group(name, group.clone()) {
            continue;
        }
        into.edit_group(name, |known| {
            for pending in group.pending().iter() {
                let owner = group.name(pending.consumer);
                let seen_at = group.consumer(owner).map_or(0, |consumer| consumer.seen_at);
                let (consumer, _) = known.meet(owner, seen_at);
                fits &= known.pending().get(pending.id).is_none();
                known.deliver(Pending { consumer, ..*pending });
            }
        });
    }
    fits
}
