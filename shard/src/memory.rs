//! What the types are built of: byte strings, their sizes in the allocator, and what the allocator tells.
//!
//! Nothing here knows which values there are, nor who stores them.

mod allocator;
mod blob;
mod garbage;
mod hash;
mod limits;
mod size;
mod thin;

pub use allocator::Memory;
pub use blob::Blob;
pub use garbage::{GarbageBytes, HandedOver};
pub use hash::{hash_bytes, set_hash_seed};
pub use limits::Limits;
pub use size::size_class;
pub use thin::{Form, Thin, Word, view, view_mut};
