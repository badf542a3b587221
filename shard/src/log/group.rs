//! How long a sync waits for more that it could have on disk at once.
//!
//! Clients that have waited for a sync send their next commands right after it. A sync that begins with the first of
//! them makes all the others wait for two syncs, and has little to do itself. So the next one begins when as many
//! commands have come as there were under way, or when a share of the time of a sync is over.

use std::time::{Duration, Instant};

use slotway_common::platform::clock;

/// Fewer commands under way are not worth waiting for.
const FEW: u64 = 4;
/// The share of the time of a sync that is waited at most.
const SHARE: u32 = 4;
/// After so many waits in vain, in powers of two, the longest pause until it is tried again.
const MOST_MISSED: u32 = 6;

/// What the last sync was like.
#[derive(Default)]
pub(super) struct Group {
    /// Frames that it had synced, and those that had come by its end.
    under_way: u64,
    ended: Option<Instant>,
    took: Duration,
    /// Waits in vain, one after the other, and syncs until the next one.
    missed: u32,
    pause: u32,
}

impl Group {
    /// A sync has ended that had so many frames synced; `waiting` more have come meanwhile.
    pub(super) fn synced(&mut self, frames: u64, waiting: u64, took: Duration) {
        self.under_way = frames + waiting;
        self.took = took;
        self.ended = Some(clock::monotonic());
        self.pause = self.pause.saturating_sub(1);
    }

    /// For how long the next sync is to wait, now that so many frames have come.
    pub(super) fn more_to_come(&mut self, waiting: u64) -> Duration {
        let Some(ended) = self.ended else { return Duration::ZERO };
        if self.under_way < FEW || self.pause > 0 {
            return Duration::ZERO;
        }
        if waiting >= self.under_way - self.under_way / 10 {
            (self.ended, self.missed) = (None, 0);
            return Duration::ZERO;
        }
        let left = (self.took / SHARE).saturating_sub(clock::since(ended));
        if left.is_zero() {
            self.ended = None;
            self.pause = 1 << self.missed;
            self.missed = (self.missed + 1).min(MOST_MISSED);
        }
        left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(1000);

    #[test]
    fn the_next_sync_waits_until_those_who_were_served_have_come_again() {
        let mut group = Group::default();
        assert_eq!(group.more_to_come(1), Duration::ZERO);
        group.synced(30, 20, LONG);
        assert!(group.more_to_come(20) > Duration::ZERO);
        assert!(group.more_to_come(44) > Duration::ZERO);
        assert_eq!(group.more_to_come(45), Duration::ZERO);
        assert_eq!(group.more_to_come(1), Duration::ZERO, "decided already");
    }

    #[test]
    fn a_few_and_late_ones_are_not_waited_for() {
        let mut group = Group::default();
        group.synced(2, 1, LONG);
        assert_eq!(group.more_to_come(1), Duration::ZERO);
        group.synced(50, 0, Duration::ZERO);
        assert_eq!(group.more_to_come(1), Duration::ZERO);
    }

    #[test]
    fn waits_in_vain_become_rare() {
        let mut group = Group::default();
        let mut waits = 0;
        for _ in 0..1000 {
            group.synced(50, 0, LONG);
            if group.more_to_come(1) > Duration::ZERO {
                waits += 1;
                group.took = Duration::ZERO;
                assert_eq!(group.more_to_come(1), Duration::ZERO);
            }
        }
        assert!(waits < 25, "{waits}");
        group.pause = 0;
        group.synced(50, 0, LONG);
        assert_eq!(group.more_to_come(50), Duration::ZERO);
        group.synced(50, 0, LONG);
        assert!(group.more_to_come(1) > Duration::ZERO, "tried again");
    }
}
