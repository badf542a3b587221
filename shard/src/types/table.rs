//! A hash table that grows, shrinks and is copied piece by piece.
//!
//! Extendible hashing: a directory over pieces of at most a few thousand elements, each piece holding the elements
//! whose hashes share their leading bits. Growing splits one piece, so no insertion costs more than rebuilding one
//! piece; a table that fits one piece holds it inline, without a directory. Cloning copies pointers to the pieces, and
//! a writer copies the piece it touches while it is shared.
//!
//! Pieces, and elements in them, stand in the order of their hashes, so a scan's cursor is a prefix of a hash: it
//! stays right while pieces grow, split and merge, and in another process that hashes with the same seed.
//!
//! The table does not hash and does not compare: callers bring the hash and an equality, elements tell their own hash
//! through [`Hashed`].

mod piece;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use rand::Rng;

use crate::memory::size_class;
pub use piece::Hashed;
use piece::{Piece, Spot};

/// A piece with more slots than this is split.
const MOST_SLOTS: usize = 4096;
/// Two neighbouring pieces are merged once they hold no more than this together.
const MERGE_BELOW: usize = 1024;
/// The directory is not made deeper than this, nor more than `MOST_ENTRIES_A_PIECE` times as long as there are pieces:
/// past that only equal hashes could need it, which no split tells apart.
const MOST_DEPTH: u8 = 24;
const MOST_ENTRIES_A_PIECE: usize = 64;
/// A cursor is this many leading bits of a hash: 49, so that with the 14 bits of a slot it stays below 2^63.
pub const CURSOR_BITS: u32 = 49;

/// Where an element stands; valid until the table is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    segment: u32,
    slot: u32,
}

/// A hash table of `T`; see the module's documentation.
#[derive(Clone)]
pub struct SegmentTable<T>(Form<T>);

#[derive(Clone)]
enum Form<T> {
    One(Piece<T>),
    Many(Box<Directory<T>>),
}

#[derive(Clone)]
struct Segment<T> {
    piece: Piece<T>,
    /// How many leading bits all hashes here share, and these bits.
    depth: u8,
    prefix: u32,
}

#[derive(Clone)]
struct Directory<T> {
    /// The number of leading bits that `entries` is indexed by.
    bits: u8,
    /// For each value of the leading bits the number of its segment.
    entries: Vec<u32>,
    segments: Vec<Arc<Segment<T>>>,
    len: usize,
    /// Allocator bytes of all segments.
    heap: usize,
    /// No segment has ever held more elements than this.
    fullest: usize,
}

impl<T> Default for SegmentTable<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> SegmentTable<T> {
    /// An empty table; allocates nothing.
    pub fn new() -> Self {
        SegmentTable(Form::One(Piece::new()))
    }

    /// Number of elements.
    #[inline]
    pub fn len(&self) -> usize {
        match &self.0 {
            Form::One(piece) => piece.len(),
            Form::Many(directory) => directory.len,
        }
    }

    /// Whether there is no element.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of pieces, about what cloning the table costs.
    pub fn pieces(&self) -> usize {
        match &self.0 {
            Form::One(_) => 1,
            Form::Many(directory) => directory.segments.len(),
        }
    }

    /// Bytes the table takes in the allocator, without what its elements point to. O(1).
    #[inline]
    pub fn heap_bytes(&self) -> usize {
        match &self.0 {
            Form::One(piece) => piece.heap_bytes(),
            Form::Many(directory) => {
                size_class(size_of::<Directory<T>>())
                    + size_class(directory.entries.capacity() * size_of::<u32>())
                    + size_class(directory.segments.capacity() * size_of::<Arc<Segment<T>>>())
                    + directory.heap
            }
        }
    }

    /// The piece that a hash belongs to, with its number and depth.
    #[inline]
    fn piece(&self, hash: u64) -> (&Piece<T>, usize, u8) {
        match &self.0 {
            Form::One(piece) => (piece, 0, 0),
            Form::Many(directory) => {
                let number = directory.locate(hash);
                let segment = &directory.segments[number];
                (&segment.piece, number, segment.depth)
            }
        }
    }

    /// The place of the element with this hash that `eq` accepts.
    #[inline]
    pub fn find(&self, hash: u64, eq: impl FnMut(&T) -> bool) -> Option<Place> {
        let (piece, number, depth) = self.piece(hash);
        let slot = piece.find(Spot::new(hash, depth), eq)?;
        Some(Place { segment: number as u32, slot: slot as u32 })
    }

    /// The element at a place.
    #[inline]
    pub fn at(&self, place: Place) -> Option<&T> {
        match &self.0 {
            Form::One(piece) => piece.at(place.slot as usize),
            Form::Many(directory) => {
                directory.segments.get(place.segment as usize)?.piece.at(place.slot as usize)
            }
        }
    }

    /// The element with this hash that `eq` accepts.
    #[inline]
    pub fn get(&self, hash: u64, eq: impl FnMut(&T) -> bool) -> Option<&T> {
        let (piece, _, depth) = self.piece(hash);
        piece.find(Spot::new(hash, depth), eq).and_then(|slot| piece.at(slot))
    }

    /// The first element that [`get`](Self::get) would compare, if any: looking at it early brings its memory near.
    #[inline]
    pub fn candidate(&self, hash: u64) -> Option<&T> {
        let (piece, _, depth) = self.piece(hash);
        piece.candidate(Spot::new(hash, depth))
    }

    /// All elements, in no order that means anything.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        let (one, many) = match &self.0 {
            Form::One(piece) => (Some(piece), &[][..]),
            Form::Many(directory) => (None, &directory.segments[..]),
        };
        one.into_iter().chain(many.iter().map(|segment| &segment.piece)).flat_map(Piece::iter)
    }

    /// A uniformly random element.
    pub fn random(&self, rng: &mut impl Rng) -> Option<&T> {
        if self.is_empty() {
            return None;
        }
        let piece = match &self.0 {
            Form::One(piece) => piece,
            // A segment is taken as often as it has elements: drawn evenly, kept with that probability.
            Form::Many(directory) => loop {
                let drawn = &directory.segments[rng.random_range(0..directory.segments.len())].piece;
                if rng.random_range(0..directory.fullest) < drawn.len() {
                    break drawn;
                }
            },
        };
        // At least one slot in six is taken, or there are few.
        loop {
            if let Some(value) = piece.at(rng.random_range(0..piece.slots())) {
                return Some(value);
            }
        }
    }
}

impl<T: Hashed> SegmentTable<T> {
    /// The element at a place, for writing. Its hash must stay the same.
    #[inline]
    pub fn at_mut(&mut self, place: Place) -> Option<&mut T> {
        match &mut self.0 {
            Form::One(piece) => piece.at_mut(place.slot as usize),
            Form::Many(directory) => {
                let segment = directory.segments.get_mut(place.segment as usize)?;
                Arc::make_mut(segment).piece.at_mut(place.slot as usize)
            }
        }
    }

    /// Takes out all elements that `wanted` accepts and hands them to `sink`. O(n).
    pub fn extract(&mut self, mut wanted: impl FnMut(&T) -> bool, mut sink: impl FnMut(T)) {
        match &mut self.0 {
            Form::One(piece) => {
                piece.extract(&mut wanted, &mut sink);
                piece.shrink(0);
            }
            Form::Many(directory) => {
                for segment in &mut directory.segments {
                    if segment.piece.iter().any(&mut wanted) {
                        let segment = Arc::make_mut(segment);
                        let (heap, len) = (segment.piece.heap_bytes(), segment.piece.len());
                        segment.piece.extract(&mut wanted, &mut sink);
                        segment.piece.shrink(segment.depth);
                        directory.heap = directory.heap + segment.piece.heap_bytes() - heap;
                        directory.len = directory.len + segment.piece.len() - len;
                    }
                }
                if directory.len == 0 {
                    *self = Self::new();
                }
            }
        }
    }

    /// The element with this hash that `eq` accepts, for writing. Its hash must stay the same.
    #[inline]
    pub fn get_mut(&mut self, hash: u64, eq: impl FnMut(&T) -> bool) -> Option<&mut T> {
        match &mut self.0 {
            Form::One(piece) => piece.find(Spot::new(hash, 0), eq).and_then(|slot| piece.at_mut(slot)),
            Form::Many(directory) => {
                let number = directory.locate(hash);
                let segment = &mut directory.segments[number];
                let slot = segment.piece.find(Spot::new(hash, segment.depth), eq)?;
                Arc::make_mut(segment).piece.at_mut(slot)
            }
        }
    }

    /// Adds an element, which must not be there yet.
    #[inline]
    pub fn insert(&mut self, hash: u64, value: T) {
        match &mut self.0 {
            Form::One(piece) => {
                if piece.is_full() {
                    piece.grow(0);
                    if piece.slots() > MOST_SLOTS {
                        let piece = std::mem::replace(piece, Piece::new());
                        let mut directory = Box::new(Directory::of(piece));
                        directory.split(0);
                        directory.insert(hash, value);
                        self.0 = Form::Many(directory);
                        return;
                    }
                }
                piece.insert(Spot::new(hash, 0), value);
            }
            Form::Many(directory) => directory.insert(hash, value),
        }
    }

    /// Takes out the element with this hash that `eq` accepts.
    pub fn remove(&mut self, hash: u64, eq: impl FnMut(&T) -> bool) -> Option<T> {
        match &mut self.0 {
            Form::One(piece) => {
                let slot = piece.find(Spot::new(hash, 0), eq)?;
                let value = piece.remove(slot);
                piece.shrink(0);
                value
            }
            Form::Many(directory) => {
                let value = directory.remove(hash, eq);
                if let [_] = directory.segments[..]
                    && let Some(last) = directory.segments.pop()
                {
                    // A single segment has no bits in common: it is a whole table again.
                    self.0 = Form::One(
                        Arc::try_unwrap(last).map_or_else(|shared| shared.piece.clone(), |own| own.piece),
                    );
                }
                value
            }
        }
    }

    /// Calls `each` for about `count` elements from `cursor` on (0 at first) and returns the cursor to go on with, 0 at
    /// the end. Elements that are there from the beginning to the end of a scan are visited; ones with the same leading
    /// [`CURSOR_BITS`] of their hash are visited together. Any number is a valid cursor.
    pub fn scan<'a>(&'a self, cursor: u64, count: usize, mut each: impl FnMut(&'a T)) -> u64 {
        const BELOW: u32 = 64 - CURSOR_BITS;
        const END: u64 = 1 << CURSOR_BITS;
        let (mut cursor, mut seen, mut homes) = (cursor, 0, 0);
        while cursor < END {
            let hash = cursor << BELOW;
            let (piece, _, depth) = self.piece(hash);
            let from = if piece.len() == 0 { 0 } else { piece.home_of(Spot::new(hash, depth)) };
            let to = (from + count.saturating_sub(seen).max(8)).min(piece.slots());
            // `depth` is at most MOST_DEPTH, so the first hash of the piece and the width of its range are exact.
            let first = if depth == 0 { 0 } else { hash >> (64 - depth) << (64 - depth) };
            let end = if to == piece.slots() {
                (first >> BELOW) + (END >> depth)
            } else {
                (first + (piece.fraction_of(to) << (32 - depth))) >> BELOW
            };
            piece.walk(from, to, |value| {
                let prefix = value.hash() >> BELOW;
                if prefix >= cursor && prefix < end {
                    seen += 1;
                    each(value);
                }
            });
            homes += to - from;
            cursor = end.max(cursor + 1);
            // Sparse stretches end a call too, as long as Redis would walk over empty buckets.
            if cursor < END && (seen >= count || homes >= count.saturating_mul(10)) {
                return cursor;
            }
        }
        0
    }
}

impl<T> Directory<T> {
    #[inline]
    fn locate(&self, hash: u64) -> usize {
        if self.bits == 0 {
            return 0;
        }
        self.entries[(hash >> (64 - self.bits)) as usize] as usize
    }

    fn segment_bytes(piece: &Piece<T>) -> usize {
        // Two counts stand before what an Arc holds.
        size_class(2 * size_of::<usize>() + size_of::<Segment<T>>()) + piece.heap_bytes()
    }
}

impl<T: Hashed> Directory<T> {
    fn of(piece: Piece<T>) -> Self {
        Directory {
            bits: 0,
            entries: vec![0],
            len: piece.len(),
            heap: Self::segment_bytes(&piece),
            fullest: piece.len(),
            segments: vec![Arc::new(Segment { piece, depth: 0, prefix: 0 })],
        }
    }

    fn insert(&mut self, hash: u64, value: T) {
        let mut number = self.locate(hash);
        while self.segments[number].piece.is_full() {
            let segment = Arc::make_mut(&mut self.segments[number]);
            let before = segment.piece.heap_bytes();
            segment.piece.grow(segment.depth);
            self.heap = self.heap + segment.piece.heap_bytes() - before;
            if segment.piece.slots() > MOST_SLOTS && self.split(number) {
                number = self.locate(hash);
            }
        }
        let segment = Arc::make_mut(&mut self.segments[number]);
        segment.piece.insert(Spot::new(hash, segment.depth), value);
        self.fullest = self.fullest.max(segment.piece.len());
        self.len += 1;
    }

    /// Splits a segment in two, unless the directory would get too deep.
    fn split(&mut self, number: usize) -> bool {
        let depth = self.segments[number].depth;
        if depth == self.bits {
            if self.bits == MOST_DEPTH || self.entries.len() > self.segments.len() * MOST_ENTRIES_A_PIECE {
                return false;
            }
            self.entries = self.entries.iter().flat_map(|entry| [*entry, *entry]).collect();
            self.bits += 1;
        }
        let segment = Arc::make_mut(&mut self.segments[number]);
        self.heap -= Self::segment_bytes(&segment.piece);
        let (lower, upper) = segment.piece.split(depth);
        self.heap += Self::segment_bytes(&lower) + Self::segment_bytes(&upper);
        segment.piece = lower;
        segment.depth += 1;
        segment.prefix <<= 1;
        let prefix = segment.prefix | 1;
        let new = self.segments.len();
        self.segments.push(Arc::new(Segment { piece: upper, depth: depth + 1, prefix }));
        self.point(new);
        true
    }

    /// Makes the entries of a segment's range point to it.
    fn point(&mut self, number: usize) {
        let Segment { depth, prefix, .. } = *self.segments[number];
        let width = 1usize << (self.bits - depth);
        let first = prefix as usize * width;
        self.entries[first..first + width].fill(number as u32);
    }

    fn remove(&mut self, hash: u64, eq: impl FnMut(&T) -> bool) -> Option<T> {
        let number = self.locate(hash);
        let depth = self.segments[number].depth;
        let slot = self.segments[number].piece.find(Spot::new(hash, depth), eq)?;
        let piece = &mut Arc::make_mut(&mut self.segments[number]).piece;
        let value = piece.remove(slot);
        let before = piece.heap_bytes();
        piece.shrink(depth);
        self.heap = self.heap + piece.heap_bytes() - before;
        self.len -= 1;
        self.merge(hash);
        value
    }

    /// Merges the segment of `hash` with its neighbour while both together are small.
    fn merge(&mut self, hash: u64) {
        loop {
            let number = self.locate(hash);
            let (len, depth) = (self.segments[number].piece.len(), self.segments[number].depth);
            if depth == 0 || len > MERGE_BELOW {
                return;
            }
            let other = self.locate(hash ^ (1 << (64 - depth)));
            if self.segments[other].depth != depth || self.segments[other].piece.len() + len > MERGE_BELOW {
                return;
            }
            let mut neighbour = self.segments.swap_remove(other);
            // The last segment has taken the removed one's number.
            let number = if number == self.segments.len() { other } else { number };
            if other < self.segments.len() {
                self.point(other);
            }
            let neighbour = &mut Arc::make_mut(&mut neighbour).piece;
            let segment = Arc::make_mut(&mut self.segments[number]);
            self.heap -= Self::segment_bytes(neighbour) + Self::segment_bytes(&segment.piece);
            segment.piece = segment.piece.merge(neighbour, depth - 1);
            self.heap += Self::segment_bytes(&segment.piece);
            segment.depth -= 1;
            segment.prefix >>= 1;
            self.point(number);
            self.halve();
        }
    }

    /// Makes the directory shorter if no segment needs its last bit, looked at only when it is much too long.
    fn halve(&mut self) {
        if self.entries.len() >= 8 * self.segments.len() || self.segments.len() == 1 {
            let deepest = self.segments.iter().map(|segment| segment.depth).max().unwrap_or(0);
            let step = 1usize << (self.bits - deepest);
            self.entries = self.entries.iter().step_by(step).copied().collect();
            self.bits = deepest;
        }
    }
}
