//! Counters of the engine.

use std::time::{Duration, Instant};

use slotway_common::platform::clock;

/// What has happened since the start or the last CONFIG RESETSTAT.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stats {
    pub hits: u64,
    pub misses: u64,
    pub expired_keys: u64,
    pub evicted_keys: u64,
    /// Objects that the other thread had freed by then.
    pub lazy_freed_before: u64,
}

/// How long removing an expired key takes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ExpiryTimes {
    pub(super) is_kept: bool,
    pub(super) slowest: Duration,
}

impl ExpiryTimes {
    /// When a removal begins; none while times are not kept.
    #[inline]
    pub(super) fn begin(self) -> Option<Instant> {
        self.is_kept.then(clock::monotonic)
    }

    #[inline]
    pub(super) fn end(&mut self, began: Option<Instant>) {
        if let Some(began) = began {
            self.slowest = self.slowest.max(clock::since(began));
        }
    }
}
