//! The values a key can hold. Nothing here knows the wire protocol.
//!
//! Small collections are packed into one allocation; large ones are built of reference-counted pieces of at most about
//! 64 KiB, so that no operation on one element costs O(n), a clone costs one pointer a piece, and pieces can be encoded
//! and freed on other threads.

pub mod geo;
pub mod hash;
pub mod hyperloglog;
pub mod intset;
pub mod item;
pub mod list;
pub mod listpack;
pub mod near;
mod object;
pub mod packed;
pub mod set;
pub mod spine;
pub mod stream;
pub mod table;
mod word;
pub mod zset;

pub use hash::Hash;
pub use list::List;
pub use object::{Kind, Object};
pub use set::Set;
pub use stream::Stream;
pub use zset::ZSet;
