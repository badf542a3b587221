//! One piece of a [`SegmentTable`](super::SegmentTable): open addressing with linear probing, in hash order.
//!
//! An element's home is its hash scaled to the number of slots, so homes grow with the hash, and an element stands at
//! its home or in the unbroken run of taken slots that begins there (cyclically). Two things follow that a table with
//! scattered buckets cannot give: the elements of any range of hashes are found by walking one stretch of slots, which
//! is what cursors are made of; and the number of slots can be any, so a piece grows by a third or a half instead of
//! doubling and stands at two thirds full on average.
//!
//! Beside the slots stands one byte of each element's hash (its tag). Lookups compare eight tags at a time and
//! dereference only elements whose tag matches.

use crate::memory::size_class;

/// Tag of a slot that was never taken since the last rebuild: a search ends here.
const EMPTY: u8 = 0;
/// Tag of a slot whose element was removed: a search goes on.
const REMOVED: u8 = 1;
/// Set in the tag of every taken slot.
const TAKEN: u8 = 0x80;
/// Tags are read in words of this many; the first ones are repeated after the last, so that a word never wraps.
const WORD: usize = 8;
const LOWS: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// An element of a [`SegmentTable`](super::SegmentTable). `Clone` should be cheap (another reference): it is used only where a table has
/// been cloned and one of the two is then written.
pub trait Hashed: Clone {
    /// The hash the element was inserted with.
    fn hash(&self) -> u64;
}

#[derive(Clone)]
pub(super) struct Piece<T> {
    /// One a slot, then the first `WORD - 1` again.
    tags: Box<[u8]>,
    slots: Box<[Option<T>]>,
    len: u32,
    /// Slots whose tag is not `EMPTY`.
    used: u32,
}

/// Where a hash belongs in a piece: its place among the hashes of the piece as a fraction of 2^32, and its tag.
#[derive(Clone, Copy)]
pub(super) struct Spot {
    fraction: u32,
    tag: u8,
}

impl Spot {
    /// `depth`: how many leading bits all hashes of the piece have in common.
    #[inline]
    pub(super) fn new(hash: u64, depth: u8) -> Self {
        Spot { fraction: ((hash << depth) >> 32) as u32, tag: hash as u8 | TAKEN }
    }
}

/// How many slots may be used before the piece has to be rebuilt: 13 of 16, so that a search meets an empty one soon. A
/// single slot may be used: its tag is not repeated, and the places after it stay empty.
const fn most_used(slots: usize) -> usize {
    if slots == 1 { 1 } else { slots * 13 / 16 }
}

/// The next larger size: 1, 4, 6, 8, 12, 16, 24, … (powers of two and one and a half times those), all of which fill a
/// size class of the allocator. Where there are fewer keys than hash slots, most tables have one element.
const fn next_size(slots: usize) -> usize {
    if slots == 0 {
        1
    } else if slots < 4 {
        4
    } else if slots.is_power_of_two() {
        slots + slots / 2
    } else {
        slots / 3 * 4
    }
}

/// The least size that holds `len` elements.
fn size_for(len: usize) -> usize {
    let mut size = 1;
    while most_used(size) < len {
        size = next_size(size);
    }
    size
}

#[inline]
fn matches(word: u64, tag: u8) -> u64 {
    // The classic zero-byte test; a byte above a match can be a false positive, which the caller's comparison drops.
    let difference = word ^ (LOWS * tag as u64);
    difference.wrapping_sub(LOWS) & !difference & HIGHS
}

#[inline]
fn has_empty(word: u64) -> bool {
    word.wrapping_sub(LOWS) & !word & HIGHS != 0
}

impl<T> Piece<T> {
    pub(super) fn new() -> Self {
        Piece { tags: Box::default(), slots: Box::default(), len: 0, used: 0 }
    }

    fn with_slots(slots: usize) -> Self {
        Piece {
            tags: vec![EMPTY; slots + WORD - 1].into_boxed_slice(),
            slots: std::iter::repeat_with(|| None).take(slots).collect(),
            len: 0,
            used: 0,
        }
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len as usize
    }

    #[inline]
    pub(super) fn slots(&self) -> usize {
        self.slots.len()
    }

    #[inline]
    pub(super) fn heap_bytes(&self) -> usize {
        size_class(self.tags.len()) + size_class(self.slots.len() * size_of::<Option<T>>())
    }

    #[inline]
    fn home(&self, spot: Spot) -> usize {
        ((spot.fraction as u64 * self.slots.len() as u64) >> 32) as usize
    }

    #[inline]
    fn word(&self, at: usize) -> u64 {
        self.tags
            .get(at..)
            .and_then(|tags| tags.first_chunk::<WORD>())
            .map_or(0, |word| u64::from_le_bytes(*word))
    }

    /// The slot of the element at `spot` that `eq` accepts.
    #[inline]
    pub(super) fn find(&self, spot: Spot, mut eq: impl FnMut(&T) -> bool) -> Option<usize> {
        let slots = self.slots.len();
        if self.len == 0 {
            return None;
        }
        let mut at = self.home(spot);
        loop {
            let word = self.word(at);
            let mut hits = matches(word, spot.tag);
            while hits != 0 {
                let mut slot = at + hits.trailing_zeros() as usize / 8;
                while slot >= slots {
                    slot -= slots;
                }
                if self.slots[slot].as_ref().is_some_and(&mut eq) {
                    return Some(slot);
                }
                hits &= hits - 1;
            }
            if has_empty(word) {
                return None;
            }
            at += WORD;
            while at >= slots {
                at -= slots;
            }
        }
    }

    #[inline]
    pub(super) fn at(&self, slot: usize) -> Option<&T> {
        self.slots.get(slot).and_then(Option::as_ref)
    }

    #[inline]
    pub(super) fn at_mut(&mut self, slot: usize) -> Option<&mut T> {
        self.slots.get_mut(slot).and_then(Option::as_mut)
    }

    pub(super) fn iter(&self) -> std::iter::Flatten<std::slice::Iter<'_, Option<T>>> {
        self.slots.iter().flatten()
    }

    #[inline]
    fn set_tag(&mut self, slot: usize, tag: u8) {
        let mut place = slot;
        while let Some(byte) = self.tags.get_mut(place) {
            *byte = tag;
            if self.slots.len() == 1 {
                break;
            }
            place += self.slots.len();
        }
    }

    /// Whether one more element needs a rebuild first.
    #[inline]
    pub(super) fn is_full(&self) -> bool {
        self.used as usize >= most_used(self.slots.len())
    }

    /// Puts an element that is not there yet into a piece that is not full.
    #[inline]
    pub(super) fn insert(&mut self, spot: Spot, value: T) {
        let slots = self.slots.len();
        let mut at = self.home(spot);
        let slot = loop {
            let free = !self.word(at) & HIGHS;
            if free != 0 {
                let slot = at + free.trailing_zeros() as usize / 8;
                break slot % slots;
            }
            at = (at + WORD) % slots;
        };
        self.used += u32::from(self.tags[slot] == EMPTY);
        self.len += 1;
        self.set_tag(slot, spot.tag);
        self.slots[slot] = Some(value);
    }

    /// Takes the element out of a slot.
    pub(super) fn remove(&mut self, slot: usize) -> Option<T> {
        let slots = self.slots.len();
        let value = self.slots.get_mut(slot)?.take()?;
        self.len -= 1;
        if self.tags[(slot + 1) % slots] == EMPTY {
            // Nothing can have passed over this slot, nor over removed ones right before it.
            let mut last = slot;
            loop {
                self.set_tag(last, EMPTY);
                self.used -= 1;
                last = (last + slots - 1) % slots;
                if self.tags[last] != REMOVED {
                    break;
                }
            }
        } else {
            self.set_tag(slot, REMOVED);
        }
        Some(value)
    }

    /// Takes out the elements that `wanted` accepts.
    pub(super) fn extract(&mut self, wanted: &mut impl FnMut(&T) -> bool, sink: &mut impl FnMut(T)) {
        for slot in 0..self.slots.len() {
            if self.at(slot).is_some_and(&mut *wanted)
                && let Some(value) = self.remove(slot)
            {
                sink(value);
            }
        }
    }

    /// Calls `each` for the elements whose home is in `from..to`, and for some others that stand between them.
    pub(super) fn walk<'a>(&'a self, from: usize, to: usize, mut each: impl FnMut(&'a T)) {
        let slots = self.slots.len();
        for step in 0..slots {
            let slot = (from + step) % slots;
            if from + step >= to && self.tags[slot] == EMPTY {
                break;
            }
            if let Some(value) = &self.slots[slot] {
                each(value);
            }
        }
    }

    /// The home of a spot, for [`walk`](Self::walk).
    pub(super) fn home_of(&self, spot: Spot) -> usize {
        self.home(spot)
    }

    /// The least fraction (of 2^32) whose home is `home`.
    pub(super) fn fraction_of(&self, home: usize) -> u64 {
        ((home as u64) << 32).div_ceil(self.slots.len().max(1) as u64)
    }

    /// The element a search for `spot` would look at first, without comparing it.
    #[inline]
    pub(super) fn candidate(&self, spot: Spot) -> Option<&T> {
        if self.len == 0 {
            return None;
        }
        let at = self.home(spot);
        let hits = matches(self.word(at), spot.tag);
        if hits == 0 {
            return None;
        }
        self.at((at + hits.trailing_zeros() as usize / 8) % self.slots.len())
    }
}

impl<T: Hashed> Piece<T> {
    /// Makes room for one more: clears removed slots if they are many, else takes the next size.
    pub(super) fn grow(&mut self, depth: u8) {
        let slots = self.slots.len();
        if self.len() < most_used(slots) * 7 / 8 {
            self.rebuild(slots, depth);
        } else {
            self.rebuild(next_size(slots), depth);
        }
    }

    /// Gives memory back once the piece is nearly empty. Says whether it did.
    pub(super) fn shrink(&mut self, depth: u8) -> bool {
        let slots = self.slots.len();
        if self.len == 0 && slots > 0 {
            *self = Self::new();
            return true;
        }
        if slots <= 8 || self.len() >= slots / 6 {
            return false;
        }
        self.rebuild(next_size(size_for(self.len())), depth);
        true
    }

    fn rebuild(&mut self, slots: usize, depth: u8) {
        let old = std::mem::replace(self, Self::with_slots(slots));
        for value in old.slots.into_iter().flatten() {
            self.insert(Spot::new(value.hash(), depth), value);
        }
    }

    /// Takes all elements and gives back two pieces: of those whose hash has a 0 after `depth` bits, and a 1.
    pub(super) fn split(&mut self, depth: u8) -> (Self, Self) {
        let old = std::mem::replace(self, Self::new());
        let mut halves = (Vec::with_capacity(old.len()), Vec::with_capacity(old.len()));
        for value in old.slots.into_iter().flatten() {
            let hash = value.hash();
            let upper = (hash << depth) >> 63 == 1;
            if upper { &mut halves.1 } else { &mut halves.0 }.push((hash, value));
        }
        (Self::of(halves.0, depth + 1), Self::of(halves.1, depth + 1))
    }

    /// Takes the elements of both pieces into one, whose depth is `depth`.
    pub(super) fn merge(&mut self, other: &mut Self, depth: u8) -> Self {
        let (left, right) = (std::mem::replace(self, Self::new()), std::mem::replace(other, Self::new()));
        let both = left.slots.into_iter().chain(right.slots).flatten();
        Self::of(both.map(|value| (value.hash(), value)).collect(), depth)
    }

    fn of(values: Vec<(u64, T)>, depth: u8) -> Self {
        // Room for one more, as an insertion follows.
        let mut piece = Self::with_slots(size_for(values.len() + 1));
        for (hash, value) in values {
            piece.insert(Spot::new(hash, depth), value);
        }
        piece
    }
}
