//! How much memory the process uses, by the allocator's own figures.
//!
//! The exact total costs a pass over the allocator's arenas, so it is taken a few times a second;
//! between, the data thread's own allocations and frees are added, which the allocator counts for
//! each thread. What is handed to the lazy-free thread counts as freed at once: until that thread has
//! caught up, evicting would else take far more than needed, and writes after FLUSHALL would be refused.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tikv_jemalloc_ctl::thread::{self, ThreadLocal};
use tikv_jemalloc_ctl::{Access, AsName, Mib, arenas, epoch, stats};

use super::garbage::GarbageBytes;

/// Figures of the allocator, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct AllocatorFigures {
    pub allocated: u64,
    pub active: u64,
    pub resident: u64,
    pub retained: u64,
}

/// The memory in use, and the limit.
#[derive(Default)]
pub struct Memory {
    last: AllocatorFigures,
    /// The thread's net allocation when `last` was taken.
    thread_then: i64,
    garbage: Arc<GarbageBytes>,
    /// What the lazy-free thread had freed when `last` was taken.
    freed_then: u64,
    counters: Option<(ThreadLocal<u64>, ThreadLocal<u64>)>,
    peak: u64,
    /// Bytes this shard may use (its share of `maxmemory`); 0: no limit.
    pub limit: u64,
}

impl Memory {
    /// Nothing is known yet. `garbage` counts what the lazy-free thread does.
    pub(crate) fn new(garbage: Arc<GarbageBytes>) -> Self {
        Self { garbage, ..Self::default() }
    }

    /// Takes the allocator's figures anew. Must be called on the thread that owns the engine.
    pub fn refresh(&mut self) {
        if self.counters.is_none() {
            self.counters = thread::allocatedp::read().ok().zip(thread::deallocatedp::read().ok());
        }
        // Read first: what is freed meanwhile is then counted as free twice rather than not at all, until the next pass.
        self.freed_then = self.garbage.freed.load(Ordering::Relaxed);
        // Fails only where another allocator is linked, as in unit tests: the figures stay 0 then.
        let _ = epoch::advance();
        let read = |figure: tikv_jemalloc_ctl::Result<usize>| figure.map_or(0, |bytes| bytes as u64);
        self.last = AllocatorFigures {
            allocated: read(stats::allocated::read()),
            active: read(stats::active::read()),
            resident: read(stats::resident::read()),
            retained: read(stats::retained::read()),
        };
        self.thread_then = self.thread_net();
        self.peak = self.peak.max(self.last.allocated);
    }

    #[must_use]
    pub fn figures(&self) -> AllocatorFigures {
        self.last
    }

    /// Makes the allocator give pages that it does not use back to the system. Does nothing where another allocator
    /// is linked.
    pub fn purge(&mut self) {
        let found: tikv_jemalloc_ctl::Result<Mib<[usize; 3]>> = b"arena.0.dirty_decay_ms\0".name().mib();
        let Ok(mut name) = found else { return };
        for arena in 0..arenas::narenas::read().unwrap_or(0) {
            name[1] = arena as usize;
            // Pages decay within that time: at none, all do at once.
            let decay: tikv_jemalloc_ctl::Result<isize> = name.read();
            if let Ok(decay) = decay {
                let _ = name.write(0_isize).and_then(|()| name.write(decay));
            }
        }
        self.refresh();
    }

    /// Bytes in use now, without what waits to be freed.
    #[must_use]
    #[inline]
    pub fn used(&self) -> u64 {
        let garbage = self.garbage.sent.load(Ordering::Relaxed).saturating_sub(self.freed_then);
        self.last
            .allocated
            .saturating_add_signed(self.thread_net() - self.thread_then)
            .saturating_sub(garbage)
    }

    /// The most ever in use.
    #[must_use]
    pub fn peak(&self) -> u64 {
        self.peak.max(self.used())
    }

    pub fn reset_peak(&mut self) {
        self.peak = self.used();
    }

    /// True when the limit is exceeded.
    #[must_use]
    #[inline]
    pub fn is_over(&self) -> bool {
        self.limit > 0 && self.used() > self.limit
    }

    fn thread_net(&self) -> i64 {
        self.counters.map_or(0, |(allocated, freed)| allocated.get() as i64 - freed.get() as i64)
    }
}
