//! The values a key can hold. Nothing here knows the wire protocol.
//!
//! Small collections are packed into one allocation; large ones are built of reference-counted pieces of at most about
//! 64 KiB, so that no operation on one element costs O(n), a clone costs one pointer a piece, and pieces can be encoded
//! and freed on other threads.

pub mod hash;
pub mod intset;
pub mod item;
pub mod list;
pub mod packed;
pub mod set;
pub mod spine;
pub mod table;

/// Any value but a short string, which lies in its key's record.
#[derive(Clone)]
pub enum Object {
    /// A string of more than [`crate::engine::record::MAX_EMBEDDED`] bytes, or one that grows.
    String(Box<Vec<u8>>),
}

/// One type of value, so that the engine's lookups are written once for all of them.
pub trait Kind: Sized {
    /// The value of this type in `object`, if it is of this type.
    fn of(object: &Object) -> Option<&Self>;
    fn of_mut(object: &mut Object) -> Option<&mut Self>;
    fn into_object(self) -> Object;
    /// A new, empty value.
    fn empty() -> Self;
    /// Number of elements; a key whose value becomes empty is removed.
    fn len(&self) -> usize;
    /// Bytes of the allocator below this value, in constant time.
    fn heap_bytes(&self) -> usize;

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
        }
    }

    /// The encoding's name as OBJECT ENCODING tells it.
    #[must_use]
    pub fn encoding(&self) -> &'static str {
        match self {
            Self::String(_) => "raw",
        }
    }

    /// Bytes of the allocator below this value, in constant time.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        match self {
            Self::String(bytes) => {
                crate::engine::size_class(size_of::<Vec<u8>>()) + crate::engine::size_class(bytes.capacity())
            }
        }
    }

    /// About how many allocations dropping this value touches.
    #[must_use]
    pub fn free_effort(&self) -> usize {
        match self {
            Self::String(_) => 1,
        }
    }

    /// True for a collection without elements, which is as good as no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match self {
            Self::String(_) => false,
        }
    }
}
