//! A sequence of byte strings in one exact-fit allocation: what small hashes, sorted sets and sets are stored in.
//!
//! Everything costs O(bytes), which for the few hundred bytes it is used for is cheaper than any structure with
//! pointers. Entries are described in [`entry`]; places in a sequence are byte offsets of entry edges, from 0 to
//! [`Packed::end`].

pub mod entry;

use crate::memory::Blob;
use crate::types::item::Item;
use entry::Encoded;

/// A packed sequence. One pointer wide, no allocation while empty; cloning shares the bytes. With `TAILS` it can be
/// walked backwards, for one byte more an entry.
#[derive(Clone, Default)]
#[repr(transparent)]
pub struct Packed<const TAILS: bool = false>(Option<Blob>);

/// The number of entries is the blob's short number, up to this one, which stands for more.
const UNCOUNTED: u16 = 0x7FFF;

impl Packed<true> {
    /// The place of the entry before the one at `at` (which may be the end, but not 0).
    #[inline]
    pub fn previous(&self, at: usize) -> usize {
        entry::previous(self.bytes(), at)
    }
}

impl<const TAILS: bool> Packed<TAILS> {
    /// An empty sequence.
    pub const fn new() -> Self {
        Packed(None)
    }

    /// The sequence of `count` entries whose bytes these are.
    pub fn of(entries: &[u8], count: usize) -> Self {
        let mut packed = Packed((count > 0).then(|| Blob::new((), &[entries])));
        packed.set_len(count);
        packed
    }

    /// Number of entries.
    #[inline]
    pub fn len(&self) -> usize {
        match self.0.as_ref().map_or(0, Blob::short) {
            UNCOUNTED => self.iter().count(),
            counted => counted as usize,
        }
    }

    fn set_len(&mut self, count: usize) {
        if let Some(blob) = &mut self.0 {
            blob.set_short(u16::try_from(count).unwrap_or(UNCOUNTED).min(UNCOUNTED));
        }
    }

    /// Whether there is no entry.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// All entries' bytes.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], |blob| blob.bytes())
    }

    /// The place after the last entry, which is also the length in bytes.
    #[inline]
    pub fn end(&self) -> usize {
        self.bytes().len()
    }

    /// Bytes taken in the allocator.
    #[inline]
    pub fn heap_bytes(&self) -> usize {
        self.0.as_ref().map_or(0, |blob| blob.heap_bytes())
    }

    /// The element at a place, and the next place.
    #[inline]
    pub fn read(&self, at: usize) -> (Item<'_>, usize) {
        entry::read::<TAILS>(self.bytes(), at)
    }

    /// The place of entry number `index`; [`end`](Self::end) for the number of entries.
    pub fn nth(&self, index: usize) -> usize {
        entry::nth::<TAILS>(self.bytes(), self.len(), index)
    }

    /// The place of the first entry equal to `needle` among the first of every `stride` entries, and how many strides
    /// stand before it. The number of entries must be a multiple of `stride`.
    #[inline]
    pub fn find(&self, needle: &[u8], stride: usize) -> Option<(usize, usize)> {
        entry::find::<TAILS>(self.bytes(), 0, needle, stride)
    }

    /// The elements from the first to the last.
    pub fn iter(&self) -> Iter<'_, TAILS> {
        Iter { bytes: self.bytes(), front: 0, back: self.end() }
    }

    /// Inserts entries before the one at `at`.
    pub fn insert<const N: usize>(&mut self, at: usize, entries: [Encoded<'_, TAILS>; N]) {
        self.splice(at, 0, 0, entries);
    }

    /// Appends entries.
    pub fn push<const N: usize>(&mut self, entries: [Encoded<'_, TAILS>; N]) {
        self.splice(self.end(), 0, 0, entries);
    }

    /// Replaces the entry at `at`.
    pub fn replace(&mut self, at: usize, with: Encoded<'_, TAILS>) {
        let end = entry::next::<TAILS>(self.bytes(), at);
        self.splice(at, end - at, 1, [with]);
    }

    /// Removes `count` entries from the one at `at` on.
    pub fn remove(&mut self, at: usize, count: usize) {
        let end = (0..count).fold(at, |at, _| entry::next::<TAILS>(self.bytes(), at));
        if count == self.len() {
            self.0 = None;
        } else {
            self.splice::<0>(at, end - at, count, []);
        }
    }

    /// Removes the `count` entries that stand between the places `at` and `end`.
    pub fn remove_between(&mut self, at: usize, end: usize, count: usize) {
        if count == self.len() {
            self.0 = None;
        } else {
            self.splice::<0>(at, end - at, count, []);
        }
    }

    fn splice<const N: usize>(
        &mut self,
        at: usize,
        removed: usize,
        fewer: usize,
        entries: [Encoded<'_, TAILS>; N],
    ) {
        let count = self.len() - fewer + N;
        let blob = self.0.get_or_insert_with(|| Blob::new((), &[]));
        // At most three entries are written at once, three parts each.
        let mut parts: [&[u8]; 9] = [&[]; 9];
        for (place, encoded) in entries.iter().enumerate() {
            parts[place * 3..place * 3 + 3].copy_from_slice(&encoded.parts());
        }
        blob.splice(at, removed, &parts[..N * 3]);
        self.set_len(count);
    }
}

impl<const TAILS: bool> std::fmt::Debug for Packed<TAILS> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Walks a packed sequence, from either end if it has tails.
#[derive(Clone)]
pub struct Iter<'a, const TAILS: bool> {
    bytes: &'a [u8],
    front: usize,
    back: usize,
}

impl<'a, const TAILS: bool> Iter<'a, TAILS> {
    /// Walks the entries of `bytes` between two edges of entries.
    pub fn between(bytes: &'a [u8], front: usize, back: usize) -> Self {
        Iter { bytes, front, back }
    }
}

impl<'a, const TAILS: bool> Iterator for Iter<'a, TAILS> {
    type Item = Item<'a>;

    #[inline]
    fn next(&mut self) -> Option<Item<'a>> {
        if self.front >= self.back {
            return None;
        }
        let (item, next) = entry::read::<TAILS>(self.bytes, self.front);
        self.front = next;
        Some(item)
    }
}

impl DoubleEndedIterator for Iter<'_, true> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        if self.front >= self.back {
            return None;
        }
        self.back = entry::previous(self.bytes, self.back);
        Some(entry::read::<true>(self.bytes, self.back).0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn elements<const TAILS: bool>(packed: &Packed<TAILS>) -> Vec<Vec<u8>> {
        packed.iter().map(Item::to_vec).collect()
    }

    fn element() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            4 => prop::collection::vec(any::<u8>(), 0..10),
            4 => any::<i64>().prop_flat_map(|n| (0..64u32).prop_map(move |s| (n >> s).to_string().into_bytes())),
            1 => (100..140usize).prop_map(|n| vec![b'x'; n]),
            1 => (4200..4300usize).prop_map(|n| vec![b'y'; n]),
            1 => (16_370..16_390usize).prop_map(|n| vec![b'z'; n]),
        ]
    }

    #[test]
    fn every_length_and_integer_survives_and_walks_both_ways() {
        let mut texts: Vec<Vec<u8>> = Vec::new();
        for shift in 0..64 {
            for delta in -2i64..=2 {
                texts.push((1i64 << shift).wrapping_add(delta).to_string().into_bytes());
                texts.push((1i64 << shift).wrapping_neg().wrapping_add(delta).to_string().into_bytes());
            }
        }
        for len in
            [0, 1, 63, 64, 126, 127, 128, 129, 4222, 4223, 4224, 16382, 16383, 2097148, 2097149, 2097153]
        {
            texts.push(vec![b'a'; len]);
        }
        let mut packed = Packed::<true>::new();
        let mut forward = Packed::<false>::new();
        for text in &texts {
            packed.push([Encoded::element(text)]);
            forward.push([Encoded::element(text)]);
        }
        assert_eq!(elements(&packed), texts);
        assert_eq!(elements(&forward), texts);
        let mut backwards: Vec<_> = packed.iter().rev().map(Item::to_vec).collect();
        backwards.reverse();
        assert_eq!(backwards, texts);
    }

    #[test]
    fn more_entries_than_the_short_number_holds_are_counted() {
        let entry = Encoded::<false>::element(b"1").parts().concat();
        for count in [32_766, 32_767, 32_768, 70_000] {
            let mut packed = Packed::<false>::of(&entry.repeat(count), count);
            assert_eq!(packed.len(), count);
            packed.push([Encoded::element(b"x")]);
            assert_eq!(packed.len(), count + 1);
            packed.remove(0, 2);
            assert_eq!(packed.len(), count - 1);
        }
    }

    #[test]
    fn small_integers_take_one_byte_and_short_texts_one_more_than_their_length() {
        for (text, len) in [("63", 1), ("4095", 2), ("element", 8)] {
            assert_eq!(Encoded::<false>::element(text.as_bytes()).len(), len);
            assert_eq!(Encoded::<true>::element(text.as_bytes()).len(), len + 1);
        }
    }

    type Edit = (u8, prop::sample::Index, Vec<u8>, Vec<u8>);

    fn check_edits<const TAILS: bool>(edits: Vec<Edit>) -> Result<Packed<TAILS>, TestCaseError> {
        let mut packed = Packed::<TAILS>::new();
        let mut model: Vec<Vec<u8>> = Vec::new();
        for (kind, index, one, two) in edits {
            let index = index.index(model.len() + 1);
            let at = packed.nth(index);
            match kind {
                0 => {
                    packed.insert(at, [Encoded::element(&one), Encoded::element(&two)]);
                    model.splice(index..index, [one.clone(), two]);
                }
                1 if index < model.len() => {
                    packed.replace(at, Encoded::element(&one));
                    model[index] = one.clone();
                }
                2 if index < model.len() => {
                    let count = (model.len() - index).min(2);
                    packed.remove(at, count);
                    model.drain(index..index + count);
                }
                _ => {
                    packed.push([Encoded::raw(&one)]);
                    model.push(one.clone());
                }
            }
            prop_assert_eq!(packed.len(), model.len());
            prop_assert_eq!(&elements(&packed), &model);
            for stride in (1..3).filter(|stride| model.len().is_multiple_of(*stride)) {
                let found =
                    packed.find(&one, stride).map(|(at, passed)| (packed.read(at).0.to_vec(), passed));
                let expected = model.iter().step_by(stride).position(|element| *element == one);
                prop_assert_eq!(found, expected.map(|passed| (one.clone(), passed)));
            }
        }
        Ok(packed)
    }

    proptest! {
        #[test]
        fn editing_equals_editing_a_vector(
            edits in prop::collection::vec((0..4u8, any::<prop::sample::Index>(), element(), element()), 1..60),
        ) {
            check_edits::<false>(edits.clone())?;
            let packed = check_edits::<true>(edits)?;
            let mut backwards: Vec<_> = packed.iter().rev().map(Item::to_vec).collect();
            backwards.reverse();
            prop_assert_eq!(backwards, elements(&packed));
        }
    }
}
