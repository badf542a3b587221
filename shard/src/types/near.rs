//! Elements that a lookup will compare, so that their memory can be brought near before.

use super::Object;
use super::intset::IntSet;
use super::packed::Packed;
use crate::engine::blob::Blob;

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

impl Object {
    /// What a lookup of `element` would look at first, if it may find it.
    #[inline]
    #[must_use]
    pub fn near(&self, element: &[u8]) -> Option<Near<'_>> {
        match self {
            Object::Hash(hash) => hash.near(element),
            Object::Set(set) => set.near(element),
            Object::ZSet(zset) => zset.near(element),
            Object::List(list) => list.near(),
            Object::String(_) | Object::Stream(_) => None,
        }
    }
}
