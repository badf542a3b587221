//! Keys, and where they lie.

use slotway_common::slot::{Slot, slot_of};

use crate::memory::hash_bytes;

/// Number of a database, `0..DATABASES`.
pub type DbIndex = usize;

/// Numbered databases of a shard.
pub const DATABASES: usize = 16;

/// A key with its hash slot and its hash.
#[derive(Clone, Copy, Debug)]
pub struct Key<'a> {
    pub bytes: &'a [u8],
    pub slot: Slot,
    pub hash: u64,
}

impl<'a> Key<'a> {
    #[must_use]
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, slot: slot_of(bytes), hash: hash_bytes(bytes) }
    }
}
