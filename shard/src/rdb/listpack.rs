//! Listpacks: what Redis keeps small hashes, small sorted sets and the nodes of lists in.
//!
//! The total length in bytes (u32), the number of entries (u16; 65535 if there are as many or more), the entries
//! ([`crate::types::listpack`]), and the byte 255; all little-endian.
//!
//! After the specification in <https://github.com/antirez/listpack>, and Redis 7.0 where it differs.

use super::read::{Corrupt, integer, number};
use crate::types::item::Item;
use crate::types::listpack::{put, tail_len};

const HEADER: usize = 6;
const END: u8 = 0xFF;
const UNCOUNTED: u16 = u16::MAX;

const BYTES_6: u8 = 0x80;
const INT_13: u8 = 0xC0;
const BYTES_12: u8 = 0xE0;
const BYTES_32: u8 = 0xF0;
const INT_16: u8 = 0xF1;
const INT_24: u8 = 0xF2;
const INT_32: u8 = 0xF3;
const INT_64: u8 = 0xF4;

/// A listpack in the making at the end of a buffer.
pub(super) struct Writer {
    start: usize,
    count: usize,
}

impl Writer {
    /// Begins one at the end of `out`.
    pub(super) fn new(out: &mut Vec<u8>) -> Self {
        let start = out.len();
        out.extend_from_slice(&[0; HEADER]);
        Self { start, count: 0 }
    }

    /// Bytes so far.
    pub(super) fn len(&self, out: &[u8]) -> usize {
        out.len() - self.start
    }

    /// Number of entries so far.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Adds an entry.
    #[inline]
    pub(super) fn push(&mut self, out: &mut Vec<u8>, item: Item<'_>) {
        put(out, item);
        self.count += 1;
    }

    /// Ends it.
    pub(super) fn finish(self, out: &mut Vec<u8>) {
        out.push(END);
        let len = (out.len() - self.start) as u32;
        let count = u16::try_from(self.count).unwrap_or(UNCOUNTED);
        if let Some(header) = out.get_mut(self.start..self.start + HEADER) {
            header[..4].copy_from_slice(&len.to_le_bytes());
            header[4..].copy_from_slice(&count.to_le_bytes());
        }
    }
}

/// Calls `each` for all entries and checks everything that can be checked. Gives their number.
pub(super) fn walk<'a>(bytes: &'a [u8], mut each: impl FnMut(Item<'a>)) -> Result<usize, Corrupt> {
    let told = number(bytes.get(..4).ok_or(Corrupt)?) as usize;
    let told_count = number(bytes.get(4..HEADER).ok_or(Corrupt)?) as usize;
    if told != bytes.len() {
        return Err(Corrupt);
    }
    let mut rest = &bytes[HEADER..];
    let mut count = 0;
    loop {
        let head = *rest.first().ok_or(Corrupt)?;
        if head == END {
            break;
        }
        let at = |index: usize| rest.get(index).map(|byte| u64::from(*byte)).ok_or(Corrupt);
        let (start, len, is_bytes) = match head {
            0..BYTES_6 => (1, 0, false),
            BYTES_6..INT_13 => (1, usize::from(head & 0x3F), true),
            INT_13..BYTES_12 => (2, 0, false),
            BYTES_12..BYTES_32 => (2, usize::from(head & 0xF) << 8 | at(1)? as usize, true),
            BYTES_32 => (5, number(rest.get(1..5).ok_or(Corrupt)?) as usize, true),
            INT_16 => (1, 2, false),
            INT_24 => (1, 3, false),
            INT_32 => (1, 4, false),
            INT_64 => (1, 8, false),
            _ => return Err(Corrupt),
        };
        let body = start + len;
        let payload = rest.get(start..body).ok_or(Corrupt)?;
        let item = match head {
            _ if is_bytes => Item::Bytes(payload),
            0..BYTES_6 => Item::Int(i64::from(head)),
            INT_13..BYTES_12 => Item::Int((((head as i64 & 0x1F) << 8 | at(1)? as i64) << 51) >> 51),
            _ => Item::Int(integer(payload)),
        };
        let end = body + tail_len(body);
        let tail = rest.get(body..end).ok_or(Corrupt)?;
        let told = tail
            .iter()
            .enumerate()
            .fold(0, |told, (place, byte)| told | u64::from(byte & 0x7F) << (7 * (tail.len() - 1 - place)));
        let marked = tail.iter().enumerate().all(|(place, byte)| (byte & 0x80 != 0) == (place > 0));
        if told != body as u64 || !marked {
            return Err(Corrupt);
        }
        each(item);
        count += 1;
        rest = &rest[end..];
    }
    if rest.len() != 1 || told_count != usize::from(UNCOUNTED) && told_count != count {
        return Err(Corrupt);
    }
    Ok(count)
}
