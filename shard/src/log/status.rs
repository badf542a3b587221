//! What INFO tells of the log.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use slotway_common::platform::clock;

use super::Log;
use super::shared::Shared;
use crate::changes::Changes;
use crate::engine::Engine;

/// What the data thread remembers of the log.
#[derive(Default)]
pub struct Status {
    pub(super) failure: Option<String>,
    /// A base is to be begun; it was not asked for by a client.
    pub(super) wanted: bool,
    pub(super) automatic: bool,
    /// Changes of the engine when the last base began and the one before it was complete.
    pub(super) base_began_with: u64,
    saved_with: u64,
    /// How many had ended when the one under way began, and when that was; and how often the log had been rotated.
    ended_before: u64,
    rotated_before: u64,
    began: Option<Instant>,
    last_took: Option<Duration>,
    pub(super) retry_at: Option<Instant>,
}

/// Between a base that came to nothing and the next one that is begun by itself.
const RETRY: Duration = Duration::from_secs(30);

impl Status {
    pub(super) fn begun(&mut self, shared: &Shared, changes: u64) {
        self.ended_before = ended(shared);
        self.rotated_before = shared.rotated.load(Ordering::Acquire);
        self.base_began_with = changes;
        self.began = Some(clock::monotonic());
    }

    pub(super) fn rotation(&self, shared: Option<&Arc<Shared>>) -> Option<bool> {
        let Some(shared) = shared.filter(|_| self.began.is_some()) else { return Some(false) };
        let is_over = ended(shared) > self.ended_before || shared.failure().is_some();
        let has_rotated = shared.rotated.load(Ordering::Acquire) > self.rotated_before;
        (is_over || has_rotated).then_some(has_rotated)
    }

    pub(super) fn is_installing(&self, shared: Option<&Arc<Shared>>) -> bool {
        self.began.is_some() && shared.is_some_and(|shared| ended(shared) == self.ended_before)
    }
}

fn ended(shared: &Shared) -> u64 {
    shared.installed.load(Ordering::Acquire) + shared.given_up.load(Ordering::Acquire)
}

impl Log {
    /// Takes note of a base that has ended meanwhile. True if one has.
    pub fn look_after_base(&mut self) -> bool {
        let Some(shared) = self.shared().cloned() else { return false };
        let Some(began) = self.status.began.filter(|_| ended(&shared) > self.status.ended_before) else {
            return false;
        };
        self.status.began = None;
        self.status.last_took = Some(began.elapsed());
        if self.is_last_save_good() {
            self.status.saved_with = self.status.base_began_with;
        } else {
            self.status.retry_at = Some(clock::monotonic() + RETRY);
        }
        true
    }

    /// How many bases have ended, well or not: one that is asked for now is the one after these and the one under way.
    #[must_use]
    pub fn bases_ended(&self) -> u64 {
        self.shared().map_or(0, |shared| ended(shared))
    }

    /// Whether a base may be begun by itself again.
    #[must_use]
    pub fn may_retry(&self) -> bool {
        self.status.retry_at.is_none_or(|at| clock::monotonic() >= at)
    }

    /// Why the last base came to nothing.
    #[must_use]
    pub fn last_save_error(&self) -> Option<String> {
        self.shared().and_then(|shared| shared.last_given_up())
    }

    #[must_use]
    pub fn is_last_save_good(&self) -> bool {
        self.last_save_error().is_none()
    }

    /// Changes since the last base began that is complete.
    #[must_use]
    pub fn changes_since_save(&self, engine: &Engine) -> u64 {
        engine.changes().saturating_sub(self.status.saved_with)
    }

    /// Seconds since 1970 at which the last base was begun that is complete; 0 without one.
    #[must_use]
    pub fn saved_at(&self) -> i64 {
        self.shared().map_or(0, |shared| shared.saved_at.load(Ordering::Relaxed))
    }

    /// Bytes of the base, and of the base and all increments.
    #[must_use]
    pub fn sizes(&self) -> (u64, u64) {
        let Some(shared) = self.shared() else { return (0, 0) };
        let base = shared.base_bytes.load(Ordering::Relaxed);
        (base, base + shared.increment_bytes.load(Ordering::Relaxed))
    }

    /// Bytes that wait to be written.
    #[must_use]
    pub fn waiting_bytes(&self, changes: &Changes) -> u64 {
        changes.waiting_bytes() as u64
            + self.shared().map_or(0, |shared| shared.queued.load(Ordering::Relaxed) as u64)
    }

    /// Bases that were made, syncs that were late, and whether one is under way.
    #[must_use]
    pub fn counts(&self) -> (u64, u64, bool) {
        self.shared().map_or((0, 0, false), |shared| {
            (
                shared.installed.load(Ordering::Relaxed),
                shared.delayed.load(Ordering::Relaxed),
                shared.syncing.load(Ordering::Relaxed),
            )
        })
    }

    /// The longest write and the longest sync that replies waited for, since the last call.
    #[must_use]
    pub fn take_slowest(&self) -> (Duration, Duration) {
        self.shared().map_or((Duration::ZERO, Duration::ZERO), |shared| {
            (shared.slowest_write.take(), shared.slowest_sync.take())
        })
    }

    /// Seconds that the last base took, and that the one under way has taken.
    #[must_use]
    pub fn save_seconds(&self) -> (i64, i64) {
        let seconds = |time: Duration| time.as_secs() as i64;
        let current = self.status.began.map(|began| began.elapsed());
        (self.status.last_took.map_or(-1, seconds), current.map_or(-1, seconds))
    }

    /// Keys that the base under way has, of so many.
    #[must_use]
    pub fn save_progress(&self, changes: &Changes) -> (u64, u64) {
        self.copying
            .as_ref()
            .map_or((0, 0), |copying| (changes.copy(copying.copy).map_or(0, |copy| copy.keys), copying.keys))
    }
}
