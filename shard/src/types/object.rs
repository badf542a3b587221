//! A value of any type, and what all types have in common.

use std::sync::Arc;

use super::hash::Hash;
use super::list::List;
use super::near::Near;
use super::set::Set;
use super::stream::Stream;
use super::zset::ZSet;
use crate::memory::size_class;

/// Any value but a short string, which lies in its key's record.
#[derive(Clone)]
pub enum Object {
    /// Shared with a copy that is being sent until either is written. A string that is too long for its key's
    /// record, or one that grows.
    String(Arc<Vec<u8>>),
    List(List),
    Hash(Hash),
    Set(Set),
    ZSet(ZSet),
    Stream(Stream),
}

// A key's record holds this in place: a pointer and its type, as the collections keep their form in the pointer.
const _: () = assert!(size_of::<Object>() == 16);

/// One type of value, so that the engine's lookups are written once for all of them.
pub trait Kind: Sized {
    /// The value of this type in `object`, if it is of this type.
    fn of(object: &Object) -> Option<&Self>;
    fn of_mut(object: &mut Object) -> Option<&mut Self>;
    fn into_object(self) -> Object;
    /// A new, empty value.
    fn empty() -> Self;
    /// Number of elements.
    fn len(&self) -> usize;
    /// Bytes of the allocator below this value, in constant time.
    fn heap_bytes(&self) -> usize;

    /// Whether the key is to be removed, as the value has become empty.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Object {
    /// The type's name as TYPE tells it.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::String(_) => "string",
            Self::List(_) => "list",
            Self::Hash(_) => "hash",
            Self::Set(_) => "set",
            Self::ZSet(_) => "zset",
            Self::Stream(_) => "stream",
        }
    }

    /// The encoding's name as OBJECT ENCODING tells it.
    #[must_use]
    pub fn encoding(&self) -> &'static str {
        match self {
            Self::String(_) => "raw",
            Self::List(list) => list.encoding(),
            Self::Hash(hash) => hash.encoding(),
            Self::Set(set) => set.encoding(),
            Self::ZSet(zset) => zset.encoding(),
            Self::Stream(_) => "stream",
        }
    }

    /// Bytes of the allocator below this value, in constant time.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        match self {
            Self::String(bytes) => {
                size_class(2 * size_of::<usize>() + size_of::<Vec<u8>>()) + size_class(bytes.capacity())
            }
            Self::List(list) => list.heap_bytes(),
            Self::Hash(hash) => hash.heap_bytes(),
            Self::Set(set) => set.heap_bytes(),
            Self::ZSet(zset) => zset.heap_bytes(),
            Self::Stream(stream) => stream.heap_bytes(),
        }
    }

    /// About how many allocations dropping this value touches.
    #[must_use]
    pub fn free_effort(&self) -> usize {
        match self {
            Self::String(_) => 1,
            Self::List(list) => list.free_effort(),
            Self::Hash(hash) => hash.free_effort(),
            Self::Set(set) => set.free_effort(),
            Self::ZSet(zset) => zset.free_effort(),
            Self::Stream(stream) => stream.free_effort(),
        }
    }

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

    /// True for a collection without elements, which is as good as no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match self {
            // A stream without entries is still one: it knows its last id and its groups.
            Self::String(_) | Self::Stream(_) => false,
            Self::List(list) => list.is_empty(),
            Self::Hash(hash) => hash.is_empty(),
            Self::Set(set) => set.is_empty(),
            Self::ZSet(zset) => zset.is_empty(),
        }
    }
}

/// The collections are kinds by the methods of the same names that they have.
macro_rules! kind {
    ($type:ident $(, $stays:ident)?) => {
        impl Kind for $type {
            #[inline]
            fn of(object: &Object) -> Option<&Self> {
                match object {
                    Object::$type(value) => Some(value),
                    _ => None,
                }
            }

            #[inline]
            fn of_mut(object: &mut Object) -> Option<&mut Self> {
                match object {
                    Object::$type(value) => Some(value),
                    _ => None,
                }
            }

            fn into_object(self) -> Object {
                Object::$type(self)
            }

            fn empty() -> Self {
                Self::new()
            }

            #[inline]
            fn len(&self) -> usize {
                Self::len(self)
            }

            #[inline]
            fn heap_bytes(&self) -> usize {
                Self::heap_bytes(self)
            }

            $(
                fn is_empty(&self) -> bool {
                    stringify!($stays).is_empty()
                }
            )?
        }
    };
}

kind!(List);
kind!(Hash);
kind!(Set);
kind!(ZSet);
// One without entries stays.
kind!(Stream, stays);
