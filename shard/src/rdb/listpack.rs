//! Listpacks: what Redis keeps small hashes, small sorted sets and the nodes of lists in.
//!
//! The total length in bytes (u32), the number of entries (u16; 65535 if there are as many or more), the entries
//! ([`crate::types::listpack`]), and the byte 255; all little-endian.
//!
//! After the specification in <https://github.com/antirez/listpack>, and Redis 7.0 where it differs.

use super::read::{Corrupt, number};
use crate::types::item::Item;
use crate::types::listpack::{put, read_checked};

const HEADER: usize = 6;
const END: u8 = 0xFF;
const UNCOUNTED: u16 = u16::MAX;

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
    let (mut at, mut count) = (HEADER, 0);
    while *bytes.get(at).ok_or(Corrupt)? != END {
        let (item, next) = read_checked(bytes, at).ok_or(Corrupt)?;
        each(item);
        (at, count) = (next, count + 1);
    }
    if at + 1 != bytes.len() || told_count != usize::from(UNCOUNTED) && told_count != count {
        return Err(Corrupt);
    }
    Ok(count)
}
