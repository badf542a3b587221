//! Bytes that other threads are about to free.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes that other threads have been handed and will free: all that they ever were, and all that they have freed.
#[derive(Debug, Default)]
pub struct GarbageBytes {
    pub sent: AtomicU64,
    pub freed: AtomicU64,
}

/// Bytes that another thread has been handed. From then until it has freed them they count as free: nothing need be
/// evicted for them.
pub struct HandedOver {
    bytes: Vec<u8>,
    garbage: Arc<GarbageBytes>,
}

impl HandedOver {
    /// Counts bytes that are about to be handed over.
    #[must_use]
    pub fn new(bytes: Vec<u8>, garbage: Arc<GarbageBytes>) -> Self {
        garbage.sent.fetch_add(bytes.capacity() as u64, Ordering::Relaxed);
        Self { bytes, garbage }
    }
}

impl Deref for HandedOver {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for HandedOver {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        let capacity = bytes.capacity() as u64;
        drop(bytes);
        self.garbage.freed.fetch_add(capacity, Ordering::Relaxed);
    }
}
