//! Access to a value that is being changed.

use std::ops::{Deref, DerefMut};

use slotway_common::slot::Slot;

use super::key::DbIndex;
use crate::types::Kind;

/// A key that a command emptied and that must go before anyone looks again.
pub(super) struct Emptied {
    pub(super) db: DbIndex,
    pub(super) slot: Slot,
    pub(super) hash: u64,
}

/// A value of type `T` that may be changed. When it is dropped, the change of its size is accounted
/// and, if the value became empty, its key is removed.
pub struct Edit<'a, T: Kind> {
    value: &'a mut T,
    before: usize,
    bytes: &'a mut i64,
    emptied: &'a mut Vec<Emptied>,
    key: Option<Emptied>,
}

impl<'a, T: Kind> Edit<'a, T> {
    pub(super) fn new(
        value: &'a mut T,
        bytes: &'a mut i64,
        emptied: &'a mut Vec<Emptied>,
        key: Emptied,
    ) -> Self {
        let before = value.heap_bytes();
        Self { value, before, bytes, emptied, key: Some(key) }
    }
}

impl<T: Kind> Deref for Edit<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value
    }
}

impl<T: Kind> DerefMut for Edit<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.value
    }
}

impl<T: Kind> Drop for Edit<'_, T> {
    fn drop(&mut self) {
        *self.bytes += self.value.heap_bytes() as i64 - self.before as i64;
        if self.value.is_empty()
            && let Some(key) = self.key.take()
        {
            self.emptied.push(key);
        }
    }
}
