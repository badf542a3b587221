//! Elements that a lookup will compare, so that their memory can be brought near before.

use super::intset::IntSet;
use super::packed::Packed;
use crate::memory::Blob;

/// The element that a lookup will compare first, or all of a small collection.
#[derive(Clone, Copy)]
pub enum Near<'a> {
    Field(&'a Blob<u32>),
    Member(&'a Blob),
    Scored(&'a Blob<f64>),
    Packed(&'a Packed),
    Tailed(&'a Packed<true>),
    Ints(&'a IntSet),
}

impl Near<'_> {
    /// Looks at the element's memory. The result means nothing.
    #[inline]
    #[must_use]
    pub fn look(self) -> usize {
        match self {
            Near::Field(blob) => blob.len(),
            Near::Member(blob) => blob.len(),
            Near::Scored(blob) => blob.len(),
            Near::Packed(packed) => packed.len(),
            Near::Tailed(packed) => packed.len(),
            Near::Ints(ints) => ints.len(),
        }
    }
}
