//! A sorted array of integers: what a small set of integers is stored in.
//!
//! All integers take the same number of bytes: 1, 2, 3, 4, 6 or 8, the fewest that hold the one farthest from zero so
//! far, in two's complement and little-endian.

use crate::memory::Blob;

/// A sorted set of integers in one exact-fit allocation. The blob's short number is the width in bytes with [`INTS`].
#[derive(Clone, Default)]
#[repr(transparent)]
pub struct IntSet(Option<Blob>);

/// Set in the short number of a blob of integers, and of no other.
pub(super) const INTS: u16 = 1 << 15;

/// The blob of integers of this many bytes.
fn blob_of(width: u8, bytes: &[u8]) -> Blob {
    let mut blob = Blob::new((), &[bytes]);
    blob.set_short(INTS | u16::from(width));
    blob
}

fn width(blob: &Blob) -> u8 {
    (blob.short() & !INTS) as u8
}

/// Calls `$function::<W>` with the constant for a width.
macro_rules! by_width {
    ($width:expr, $function:ident($($argument:expr),*)) => {
        match $width {
            1 => $function::<1>($($argument),*),
            2 => $function::<2>($($argument),*),
            3 => $function::<3>($($argument),*),
            4 => $function::<4>($($argument),*),
            6 => $function::<6>($($argument),*),
            _ => $function::<8>($($argument),*),
        }
    };
}

/// The bytes that hold a number.
fn width_of(number: i64) -> u8 {
    let bits = 65 - (number ^ (number >> 63)).leading_zeros();
    match bits.div_ceil(8) {
        5 => 6,
        7 => 8,
        bytes => bytes as u8,
    }
}

#[inline]
fn load<const W: usize>(bytes: &[u8], index: usize) -> i64 {
    let mut raw = [0; 8];
    raw[8 - W..].copy_from_slice(&bytes[index * W..index * W + W]);
    i64::from_le_bytes(raw) >> (64 - 8 * W)
}

#[inline]
fn search<const W: usize>(bytes: &[u8], number: i64) -> Result<usize, usize> {
    let len = bytes.len() / W;
    // Numbers often come in ascending order.
    if len > 0 && load::<W>(bytes, len - 1) < number {
        return Err(len);
    }
    let (mut from, mut to) = (0, len);
    while from < to {
        let middle = from + (to - from) / 2;
        match load::<W>(bytes, middle).cmp(&number) {
            std::cmp::Ordering::Equal => return Ok(middle),
            std::cmp::Ordering::Less => from = middle + 1,
            std::cmp::Ordering::Greater => to = middle,
        }
    }
    Err(from)
}

impl IntSet {
    /// An empty set; allocates nothing.
    pub const fn new() -> Self {
        IntSet(None)
    }

    /// The set of these integers, which must be ascending.
    pub fn of_ascending(numbers: &[i64]) -> Self {
        let (Some(first), Some(last)) = (numbers.first(), numbers.last()) else { return Self::new() };
        let width = width_of(*first).max(width_of(*last));
        let bytes: Vec<u8> =
            numbers.iter().flat_map(|number| number.to_le_bytes().into_iter().take(width as usize)).collect();
        IntSet(Some(blob_of(width, &bytes)))
    }

    #[inline]
    fn parts(&self) -> (&[u8], u8) {
        self.0.as_ref().map_or((&[], 1), |blob| (blob.bytes(), width(blob)))
    }

    /// Number of integers.
    #[inline]
    pub fn len(&self) -> usize {
        let (bytes, width) = self.parts();
        bytes.len() / width as usize
    }

    /// Whether there is none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Bytes taken in the allocator.
    #[inline]
    pub fn heap_bytes(&self) -> usize {
        self.0.as_ref().map_or(0, Blob::heap_bytes)
    }

    /// The integer number `index` in ascending order.
    #[inline]
    pub fn get(&self, index: usize) -> Option<i64> {
        let (bytes, width) = self.parts();
        (index < bytes.len() / width as usize).then(|| by_width!(width, load(bytes, index)))
    }

    fn search(&self, number: i64) -> Result<usize, usize> {
        let (bytes, width) = self.parts();
        by_width!(width, search(bytes, number))
    }

    /// Whether `number` is in the set.
    pub fn contains(&self, number: i64) -> bool {
        self.search(number).is_ok()
    }

    /// Adds a number. Says whether it is new.
    pub fn insert(&mut self, number: i64) -> bool {
        let needed = width_of(number);
        let Some(blob) = &mut self.0 else {
            self.0 = Some(blob_of(needed, &number.to_le_bytes()[..needed as usize]));
            return true;
        };
        if needed > width(blob) {
            let wider: Vec<u8> = self
                .iter()
                .flat_map(|number| number.to_le_bytes().into_iter().take(needed as usize))
                .collect();
            self.0 = Some(blob_of(needed, &wider));
        }
        let Err(index) = self.search(number) else { return false };
        if let Some(blob) = &mut self.0 {
            let width = width(blob) as usize;
            blob.splice(index * width, 0, &[&number.to_le_bytes()[..width]]);
        }
        true
    }

    /// Removes a number. Says whether it was there.
    pub fn remove(&mut self, number: i64) -> bool {
        let Ok(index) = self.search(number) else { return false };
        if self.len() == 1 {
            self.0 = None;
        } else if let Some(blob) = &mut self.0 {
            let width = width(blob) as usize;
            blob.splice(index * width, width, &[]);
        }
        true
    }

    /// The integers in ascending order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = i64> + ExactSizeIterator {
        let (bytes, width) = self.parts();
        (0..bytes.len() / width as usize).map(move |index| by_width!(width, load(bytes, index)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::memory::size_class;

    #[test]
    fn widths_are_the_fewest_bytes() {
        for (number, width) in [
            (0, 1),
            (127, 1),
            (-128, 1),
            (128, 2),
            (-129, 2),
            (32_767, 2),
            (32_768, 3),
            (-32_769, 3),
            (8_388_607, 3),
            (8_388_608, 4),
            (i32::MAX as i64, 4),
            (i32::MAX as i64 + 1, 6),
            (i32::MIN as i64 - 1, 6),
            ((1 << 47) - 1, 6),
            (1 << 47, 8),
            (-(1 << 47), 6),
            (i64::MAX, 8),
            (i64::MIN, 8),
        ] {
            assert_eq!(width_of(number), width, "{number}");
            let mut set = IntSet::new();
            assert!(set.insert(number) && !set.insert(number));
            assert_eq!(set.get(0), Some(number));
            assert_eq!(set.heap_bytes(), size_class(8 + width as usize));
        }
    }

    proptest! {
        #[test]
        fn editing_equals_editing_a_sorted_set(
            edits in prop::collection::vec((any::<bool>(), any::<i8>(), prop::sample::select(vec![0u32, 0, 3, 9, 20, 40, 56])), 0..300),
        ) {
            let mut set = IntSet::new();
            let mut model = BTreeSet::new();
            for (add, number, shift) in edits {
                let number = (number as i64) << shift;
                if add {
                    prop_assert_eq!(set.insert(number), model.insert(number));
                } else {
                    prop_assert_eq!(set.remove(number), model.remove(&number));
                }
                prop_assert_eq!(set.contains(number), add);
                prop_assert_eq!(set.len(), model.len());
            }
            prop_assert!(set.iter().eq(model.iter().copied()));
            prop_assert!(set.iter().rev().eq(model.iter().rev().copied()));
        }
    }
}
