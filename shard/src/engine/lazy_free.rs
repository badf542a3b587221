//! Frees large values on a thread of its own, so that the data thread does not wait for it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};

use slotway_common::platform::threads;

use super::slots::Database;
use crate::memory::GarbageBytes;
use crate::types::Object;

/// Values whose [`Object::free_effort`] is above this are freed on the other thread.
pub(super) const THRESHOLD: usize = 64;

/// What is to be freed, and how many objects and bytes it counts for.
struct Garbage {
    objects: u64,
    bytes: u64,
    _contents: Box<dyn Send>,
}

/// A handle to the thread that frees. Without a thread everything is freed at once.
#[derive(Clone, Default)]
pub struct LazyFree {
    sender: Option<Sender<Garbage>>,
    pending: Arc<AtomicU64>,
    freed: Arc<AtomicU64>,
    bytes: Arc<GarbageBytes>,
}

impl LazyFree {
    /// Starts the thread; it ends when the last handle is gone.
    ///
    /// # Errors
    /// When the system cannot start one more thread.
    pub fn start() -> io::Result<Self> {
        let (sender, receiver) = channel::<Garbage>();
        let free = Self { sender: Some(sender), ..Self::default() };
        let (pending, freed, bytes) = (free.pending.clone(), free.freed.clone(), free.bytes.clone());
        threads::spawn("lazy-free", move || {
            for garbage in receiver {
                let objects = garbage.objects;
                let size = garbage.bytes;
                drop(garbage);
                bytes.freed.fetch_add(size, Ordering::Relaxed);
                pending.fetch_sub(objects, Ordering::Relaxed);
                freed.fetch_add(objects, Ordering::Relaxed);
            }
        })?;
        Ok(free)
    }

    pub(super) fn value(&self, value: Object) {
        self.send(1, value.heap_bytes() as u64, value);
    }

    pub(super) fn database(&self, database: Database) {
        self.send(database.len() as u64, database.bytes(), database);
    }

    /// What is handed over and freed; whoever hands bytes to a thread of its own counts them here, too.
    #[must_use]
    pub fn bytes(&self) -> Arc<GarbageBytes> {
        self.bytes.clone()
    }

    fn send(&self, objects: u64, bytes: u64, contents: impl Send + 'static) {
        let Some(sender) = &self.sender else { return };
        self.pending.fetch_add(objects, Ordering::Relaxed);
        self.bytes.sent.fetch_add(bytes, Ordering::Relaxed);
        // The thread lives as long as this sender, so this does not fail; if it does, the garbage is dropped here.
        let _ = sender.send(Garbage { objects, bytes, _contents: Box::new(contents) });
    }

    /// Objects that wait to be freed (INFO's `lazyfree_pending_objects`).
    #[must_use]
    pub fn pending(&self) -> u64 {
        self.pending.load(Ordering::Relaxed)
    }

    /// Objects freed so far (INFO's `lazyfreed_objects`).
    #[must_use]
    pub fn freed(&self) -> u64 {
        self.freed.load(Ordering::Relaxed)
    }
}
