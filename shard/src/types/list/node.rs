//! One node of a long list: a run of packed entries with room at either end.

use crate::memory::size_class;
use crate::types::item::Item;
use crate::types::packed::Iter;
use crate::types::packed::entry::{self, Encoded};
use crate::types::spine::Leaf;

/// Packed entries (see [`entry`]) inside a buffer that may have spare bytes before and after them, so that pushing and
/// popping at either end of the list moves nothing.
#[derive(Clone)]
pub(super) struct Node {
    buffer: Box<[u8]>,
    start: u32,
    end: u32,
    count: u32,
}

/// How large a node may be (`list-max-listpack-size`).
#[derive(Clone, Copy, Debug)]
pub(super) struct NodeLimit {
    entries: usize,
    bytes: usize,
}

impl NodeLimit {
    /// Positive: elements a node, but no more than 8 KiB; -1 to -5: 4, 8, 16, 32 or 64 KiB.
    pub(super) fn of(list_max_listpack_size: i64) -> Self {
        match list_max_listpack_size {
            1.. => NodeLimit { entries: list_max_listpack_size as usize, bytes: 8 << 10 },
            // As Redis: 0 is a node for each element.
            0 => NodeLimit { entries: 1, bytes: 8 << 10 },
            negative => NodeLimit { entries: usize::MAX, bytes: (2 << 10) << negative.unsigned_abs().min(5) },
        }
    }

    /// Bytes of entries a node may have, unless it is one entry.
    pub(super) fn bytes(self) -> usize {
        self.bytes
    }

    /// Whether a run of `count` entries in `bytes` may have one more of `added` bytes.
    #[inline]
    pub(super) fn allows(self, count: usize, bytes: usize, added: usize) -> bool {
        bytes + added <= self.bytes && count < self.entries
    }
}

impl Node {
    /// A node with one entry at the end that pushing comes from (`front` or back), and room on its other side for so many
    /// bytes, as far as the limit allows more.
    pub(super) fn new(entry: &Encoded<'_, true>, front: bool, room: usize, limit: NodeLimit) -> Self {
        let size = entry.len();
        let room = if limit.allows(1, size, size) {
            size_class(room.max(size)).min(limit.bytes).max(size)
        } else {
            size
        };
        let start = if front { room - size } else { 0 };
        let mut buffer = vec![0; room].into_boxed_slice();
        entry.write(&mut buffer[start..start + size]);
        Node { buffer, start: start as u32, end: (start + size) as u32, count: 1 }
    }

    /// A node of entries, without spare bytes.
    pub(super) fn of(entries: &[u8], count: usize) -> Self {
        Node { buffer: entries.into(), start: 0, end: entries.len() as u32, count: count as u32 }
    }

    #[inline]
    pub(super) fn entries(&self) -> &[u8] {
        &self.buffer[self.start as usize..self.end as usize]
    }

    pub(super) fn iter(&self) -> Iter<'_, true> {
        Iter::between(self.entries(), 0, self.entries().len())
    }

    /// The offset of entry number `index` in [`entries`](Self::entries); their length for the number of entries.
    pub(super) fn nth(&self, index: usize) -> usize {
        entry::nth::<true>(self.entries(), self.count as usize, index)
    }

    pub(super) fn get(&self, index: usize) -> Option<Item<'_>> {
        (index < self.count as usize).then(|| entry::read::<true>(self.entries(), self.nth(index)).0)
    }

    #[inline]
    pub(super) fn allows(&self, limit: NodeLimit, added: usize) -> bool {
        limit.allows(self.count as usize, self.entries().len(), added)
    }

    /// Whether the spare bytes are worth giving back.
    pub(super) fn is_loose(&self) -> bool {
        self.buffer.len() - self.entries().len() > self.buffer.len() / 8 + 32
    }

    /// Gives the spare bytes back.
    pub(super) fn tighten(&mut self) {
        *self = Self::of(self.entries(), self.count as usize);
    }

    #[inline]
    pub(super) fn push_front(&mut self, entry: &Encoded<'_, true>, limit: NodeLimit) {
        let size = entry.len();
        if (self.start as usize) < size {
            self.grow(size, 0, limit);
        }
        let end = self.start as usize;
        self.start -= size as u32;
        entry.write(&mut self.buffer[self.start as usize..end]);
        self.count += 1;
    }

    #[inline]
    pub(super) fn push_back(&mut self, entry: &Encoded<'_, true>, limit: NodeLimit) {
        let size = entry.len();
        if self.buffer.len() - (self.end as usize) < size {
            self.grow(0, size, limit);
        }
        let start = self.end as usize;
        self.end += size as u32;
        entry.write(&mut self.buffer[start..self.end as usize]);
        self.count += 1;
    }

    /// Makes room at one end, by a quarter of what is there: pushing moves each byte a few times in all, and a list that
    /// stops growing wastes little.
    #[cold]
    fn grow(&mut self, before: usize, after: usize, limit: NodeLimit) {
        let entries = self.entries();
        let least = entries.len() + before + after;
        let room = size_class((least + least / 4).min(limit.bytes).max(least));
        let start = if before > 0 { room - entries.len() } else { 0 };
        let mut buffer = vec![0; room].into_boxed_slice();
        buffer[start..start + entries.len()].copy_from_slice(entries);
        (self.start, self.end) = (start as u32, (start + entries.len()) as u32);
        self.buffer = buffer;
    }

    /// Replaces the `removed` entries from number `index` on by one, or by none.
    pub(super) fn splice(&mut self, index: usize, removed: usize, with: Option<&Encoded<'_, true>>) {
        let entries = self.entries();
        let at = self.nth(index);
        let to = (0..removed).fold(at, |at, _| entry::next::<true>(entries, at));
        let added = with.map_or(0, |entry| entry.len());
        let (start, count) =
            (self.start as usize, self.count as usize - removed + usize::from(with.is_some()));
        if added == to - at
            && let Some(with) = with
        {
            with.write(&mut self.buffer[start + at..start + to]);
        } else if at == 0 && added == 0 {
            self.start += to as u32;
        } else if to == entries.len() && added == 0 {
            self.end = self.start + at as u32;
        } else {
            let mut joined = vec![0; entries.len() - (to - at) + added];
            joined[..at].copy_from_slice(&entries[..at]);
            if let Some(with) = with {
                with.write(&mut joined[at..at + added]);
            }
            joined[at + added..].copy_from_slice(&entries[to..]);
            (self.start, self.end) = (0, joined.len() as u32);
            self.buffer = joined.into_boxed_slice();
        }
        self.count = count as u32;
    }

    /// Cuts the node before entry number `index` and gives back the rest.
    pub(super) fn split_off(&mut self, index: usize) -> Self {
        let at = self.nth(index);
        let rest = Self::of(&self.entries()[at..], self.count as usize - index);
        *self = Self::of(&self.entries()[..at], index);
        rest
    }

    /// Appends another node's entries.
    pub(super) fn append(&mut self, other: &Self) {
        *self = Self {
            buffer: [self.entries(), other.entries()].concat().into_boxed_slice(),
            start: 0,
            end: (self.entries().len() + other.entries().len()) as u32,
            count: self.count + other.count,
        };
    }

    /// Removes the entries equal to `value`, at most `most`, from the front or from the back. Says how many.
    pub(super) fn remove_equal(&mut self, value: &[u8], most: usize, from_back: bool) -> usize {
        let mut found = Vec::new();
        let mut at = 0;
        // Places are found from the front; those nearest to the back are kept if it counts from there.
        while let Some((place, _)) = entry::find::<true>(self.entries(), at, value, 1) {
            if found.len() == most && !from_back {
                break;
            }
            found.push(place);
            at = entry::next::<true>(self.entries(), place);
        }
        if from_back {
            found.drain(..found.len().saturating_sub(most));
        }
        if found.is_empty() {
            return 0;
        }
        let mut kept = Vec::with_capacity(self.entries().len());
        let mut from = 0;
        for place in &found {
            kept.extend_from_slice(&self.entries()[from..*place]);
            from = entry::next::<true>(self.entries(), *place);
        }
        kept.extend_from_slice(&self.entries()[from..]);
        *self = Self::of(&kept, self.count as usize - found.len());
        found.len()
    }
}

impl Leaf for Node {
    type Key = ();

    #[inline]
    fn len(&self) -> usize {
        self.count as usize
    }

    fn key(&self) {}

    #[inline]
    fn heap_bytes(&self) -> usize {
        size_class(self.buffer.len())
    }
}
