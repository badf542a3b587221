//! Strings as arrays of bits.

use slotway_common::error::Error;

use super::bitfield::{self, bit_offset};
use crate::call::{Call, DataCommand, reads, writes};
use crate::engine::EventClass;

pub(super) const HANDLERS: &[DataCommand] = &[
    writes("setbit", setbit),
    reads("getbit", getbit),
    reads("bitcount", bitcount),
    reads("bitpos", bitpos),
    writes("bitop", bitop),
    writes("bitfield", bitfield::bitfield),
    reads("bitfield_ro", bitfield::bitfield_ro),
];

fn setbit(call: &mut Call<'_>) -> Result<(), Error> {
    let (key, db) = (call.key(1), call.db);
    let offset = bit_offset(call, call.args.at(2), None)?;
    let on = match call.args.at(3) {
        b"0" => false,
        b"1" => true,
        _ => return Err(Error::err("bit is not an integer or out of range")),
    };
    let (at, mask) = ((offset >> 3) as usize, 0x80 >> (offset & 7));
    let (was, changed) = call.engine.edit_string(db, &key, |bytes| {
        let grows = bytes.len() <= at;
        if grows {
            bytes.resize(at + 1, 0);
        }
        let byte = &mut bytes[at];
        let was = *byte & mask != 0;
        *byte = if on { *byte | mask } else { *byte & !mask };
        (was, grows || was != on)
    })?;
    if changed {
        call.notify(EventClass::STRING, "setbit", &key);
    }
    call.engine.dirty(u64::from(changed));
    call.reply.int(i64::from(was));
    Ok(())
}

fn getbit(call: &mut Call<'_>) -> Result<(), Error> {
    let key = call.key(1);
    let offset = bit_offset(call, call.args.at(2), None)?;
    let bytes = call.engine.read_string(call.db, &key)?.unwrap_or_default();
    let byte = bytes.get((offset >> 3) as usize).copied().unwrap_or(0);
    call.reply.int(i64::from(byte & (0x80 >> (offset & 7)) != 0));
    Ok(())
}

/// Whether argument `index` says that a range is one of bits; without it, it is one of bytes.
fn is_bit_range(call: &Call<'_>, index: usize) -> Result<bool, Error> {
    match call.args.get(index) {
        None => Ok(false),
        Some(word) if word.eq_ignore_ascii_case(b"BIT") => Ok(true),
        Some(word) if word.eq_ignore_ascii_case(b"BYTE") => Ok(false),
        Some(_) => Err(Error::Syntax),
    }
}

/// The first and the last bit of a range within a string of `length` bytes; `None` if it is empty.
fn bits_between(start: i64, end: i64, bits: bool, length: usize) -> Option<(usize, usize)> {
    let total = if bits { length as i64 * 8 } else { length as i64 };
    let from_end = |offset: i64| if offset < 0 { offset.saturating_add(total).max(0) } else { offset };
    let (start, end) = (from_end(start), from_end(end).min(total - 1));
    let unit = if bits { 1 } else { 8 };
    (start <= end).then(|| (start as usize * unit, (end as usize + 1) * unit - 1))
}

/// The bits `first..=last`, as a byte in which the others are clear, then whole bytes, then such a byte again. The
/// position of each part is that of its first byte.
fn edges(first: usize, last: usize) -> (usize, u8, usize, u8) {
    (first >> 3, 0xff >> (first & 7), last >> 3, 0xff << (7 - (last & 7)))
}

fn bitcount(call: &mut Call<'_>) -> Result<(), Error> {
    let (key, db) = (call.key(1), call.db);
    // As in Redis, nothing else is looked at for a key that does not exist.
    let Some(length) = call.engine.read_string(db, &key)?.map(<[u8]>::len) else {
        call.reply.int(0);
        return Ok(());
    };
    let range = match call.args.len() {
        2 => bits_between(0, -1, false, length),
        4 | 5 => {
            let (start, end) = (call.integer(2)?, call.integer(3)?);
            if start < 0 && end < 0 && start > end {
                None
            } else {
                bits_between(start, end, is_bit_range(call, 4)?, length)
            }
        }
        _ => return Err(Error::Syntax),
    };
    let bytes = call.engine.peek_string(db, &key)?.unwrap_or_default();
    let count = range.map_or(0, |(first, last)| {
        let (from, head, to, tail) = edges(first, last);
        let whole = bytes.get(from..=to).unwrap_or_default();
        let cut = |byte: Option<&u8>, mask: u8| byte.map_or(0, |byte| (byte & !mask).count_ones());
        population(whole) - u64::from(cut(whole.first(), head)) - u64::from(cut(whole.last(), tail))
    });
    call.reply.int(count as i64);
    Ok(())
}

/// The number of bits that are set.
fn population(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let words: u64 = words.iter().map(|word| u64::from(u64::from_ne_bytes(*word).count_ones())).sum();
    words + rest.iter().map(|byte| u64::from(byte.count_ones())).sum::<u64>()
}

fn bitpos(call: &mut Call<'_>) -> Result<(), Error> {
    let (key, db) = (call.key(1), call.db);
    let set = match call.integer(2)? {
        0 => false,
        1 => true,
        _ => return Err(Error::err("The bit argument must be 1 or 0.")),
    };
    // A key that does not exist is clear bits without end.
    let Some(length) = call.engine.read_string(db, &key)?.map(<[u8]>::len) else {
        call.reply.int(if set { -1 } else { 0 });
        return Ok(());
    };
    let has_end = call.args.len() > 4;
    let range = match call.args.len() {
        3 => bits_between(0, -1, false, length),
        4..=6 => {
            let start = call.integer(3)?;
            let bits = is_bit_range(call, 5)?;
            let end = if has_end { call.integer(4)? } else { -1 };
            bits_between(start, end, bits, length)
        }
        _ => return Err(Error::Syntax),
    };
    let bytes = call.engine.peek_string(db, &key)?.unwrap_or_default();
    let found = range.and_then(|(first, last)| {
        // Behind the last byte everything is clear, unless the range was said to end.
        let beyond = (!set && !has_end).then_some(last + 1);
        first_bit(bytes, first, last, set).or(beyond)
    });
    call.reply.int(found.map_or(-1, |position| position as i64));
    Ok(())
}

/// The first bit of `first..=last` that is set, or clear.
fn first_bit(bytes: &[u8], first: usize, last: usize, set: bool) -> Option<usize> {
    let (from, head, to, tail) = edges(first, last);
    let whole = bytes.get(from..=to)?;
    let skip = if set { 0 } else { 0xff };
    let wanted = |index: usize| {
        let mut byte = whole[index] ^ skip;
        if index == 0 {
            byte &= head;
        }
        if from + index == to {
            byte &= tail;
        }
        (byte != 0).then(|| (from + index) * 8 + byte.leading_zeros() as usize)
    };
    if let Some(position) = wanted(0) {
        return Some(position);
    }
    let next = 1 + whole.get(1..)?.iter().position(|byte| *byte != skip)?;
    // Only the last byte can hold nothing but bits behind the range.
    wanted(next)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Operation {
    And,
    Or,
    Xor,
    Not,
}

fn bitop(call: &mut Call<'_>) -> Result<(), Error> {
    let db = call.db;
    let operation = match call.args.at(1).to_ascii_uppercase().as_slice() {
        b"AND" => Operation::And,
        b"OR" => Operation::Or,
        b"XOR" => Operation::Xor,
        b"NOT" => Operation::Not,
        _ => return Err(Error::Syntax),
    };
    if operation == Operation::Not && call.args.len() != 4 {
        return Err(Error::err("BITOP NOT must be called with a single source key."));
    }
    let keys: Vec<_> = (3..call.args.len()).map(|index| call.key(index)).collect();
    for key in &keys {
        call.engine.read_string(db, key)?;
    }
    let mut sources = Vec::with_capacity(keys.len());
    for key in &keys {
        sources.push(call.engine.peek_string(db, key)?.unwrap_or_default());
    }
    let result = combine(operation, &sources);
    let target = call.key(2);
    if result.is_empty() {
        let removed = call.engine.remove(db, &target);
        if removed {
            call.notify(EventClass::GENERIC, "del", &target);
        }
        call.engine.dirty(u64::from(removed));
    } else {
        call.engine.set_raw_string(db, &target, &result);
        call.notify(EventClass::STRING, "set", &target);
        call.engine.dirty(1);
    }
    call.reply.len(result.len());
    Ok(())
}

/// The strings combined, shorter ones continued with clear bits.
fn combine(operation: Operation, sources: &[&[u8]]) -> Vec<u8> {
    let longest = sources.iter().map(|source| source.len()).max().unwrap_or(0);
    let mut result = sources.first().map(|first| first.to_vec()).unwrap_or_default();
    result.resize(longest, 0);
    if operation == Operation::Not {
        result.iter_mut().for_each(|byte| *byte = !*byte);
    }
    for source in sources.iter().skip(1) {
        let pairs = result.iter_mut().zip(source.iter());
        match operation {
            Operation::And => {
                pairs.for_each(|(byte, other)| *byte &= other);
                result.iter_mut().skip(source.len()).for_each(|byte| *byte = 0);
            }
            Operation::Or => pairs.for_each(|(byte, other)| *byte |= other),
            Operation::Xor => pairs.for_each(|(byte, other)| *byte ^= other),
            Operation::Not => {}
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_first_bit_of_a_range_is_found(
            bytes in prop::collection::vec(prop_oneof![Just(0u8), Just(0xff), any::<u8>()], 1..20),
            ends in any::<(u8, u8)>(),
            set: bool,
        ) {
            let bits = bytes.len() * 8;
            let (first, last) = (usize::from(ends.0) % bits, usize::from(ends.1) % bits);
            prop_assume!(first <= last);
            let is_set = |bit: usize| bytes[bit / 8] & (0x80 >> (bit % 8)) != 0;
            let expected = (first..=last).find(|bit| is_set(*bit) == set);
            prop_assert_eq!(first_bit(&bytes, first, last, set), expected);
        }
    }
}
