//! How far a move is, how fast it goes and how long it will take.

use std::time::{Duration, Instant};

use slotway_common::cluster_state::{Migration, MoveProgress};

use crate::units::{bytes, clock, plural};

/// Speeds are averages over about this time, so that they can be read.
const SMOOTHING: Duration = Duration::from_secs(3);

/// One move as it is shown, over time.
pub(crate) struct Pace {
    last: Option<Sample>,
    /// Whether there were two samples, which speeds need.
    is_known: bool,
    keys_per_second: f64,
    bytes_per_second: f64,
    /// Of the whole move, which is 1.
    done_per_second: f64,
}

struct Sample {
    at: Instant,
    keys: u64,
    bytes: u64,
    done: f64,
}

impl Pace {
    pub(crate) fn new() -> Self {
        Self {
            last: None,
            is_known: false,
            keys_per_second: 0.0,
            bytes_per_second: 0.0,
            done_per_second: 0.0,
        }
    }

    /// Takes in new figures. Between 0 and 1: how much of the move is done.
    pub(crate) fn take(&mut self, migration: &Migration, figures: &MoveProgress, at: Instant) -> f64 {
        let done = fraction(migration, figures);
        if let Some(last) = &self.last {
            let seconds = at.saturating_duration_since(last.at).as_secs_f64();
            if seconds <= 0.0 {
                return done;
            }
            self.is_known = true;
            let weight = 1.0 - (-seconds / SMOOTHING.as_secs_f64()).exp();
            let smooth = |old: &mut f64, new: f64| {
                *old = if *old == 0.0 { new } else { *old + weight * (new - *old) };
            };
            // A move that has begun again counts from zero.
            smooth(&mut self.keys_per_second, figures.keys.saturating_sub(last.keys) as f64 / seconds);
            smooth(&mut self.bytes_per_second, figures.bytes.saturating_sub(last.bytes) as f64 / seconds);
            smooth(&mut self.done_per_second, (done - last.done).max(0.0) / seconds);
        }
        self.last = Some(Sample { at, keys: figures.keys, bytes: figures.bytes, done });
        done
    }

    /// One line: slots, speeds, time left, lag and pauses, as far as they are known.
    pub(crate) fn text(&self, migration: &Migration, figures: &MoveProgress) -> String {
        let slots = migration.slots.count();
        let mut parts = vec![format!("{} of {}", migration.moved.count(), plural(slots, "slot"))];
        if figures.keys_total > 0 {
            parts.push(format!("{} of {} keys", figures.keys, figures.keys_total));
        }
        if self.is_known && (figures.keys > 0 || figures.keys_total > 0) {
            parts.push(format!("{} keys/s", self.keys_per_second.round() as u64));
            parts.push(format!("{}/s", bytes(self.bytes_per_second as u64)));
        }
        let done = self.last.as_ref().map_or(0.0, |sample| sample.done);
        if self.done_per_second > 0.0 {
            parts.push(format!("{} left", clock(((1.0 - done) / self.done_per_second).ceil() as u64)));
        }
        if figures.lag_bytes > 0 {
            parts.push(format!("lag {}", bytes(figures.lag_bytes)));
        }
        if figures.parked_ms_max > 0.0 {
            parts.push(format!("longest pause {:.1} ms", figures.parked_ms_max));
        }
        parts.join(", ")
    }
}

/// How much of a move is done: by bytes if the source tells them, else by slots.
fn fraction(migration: &Migration, figures: &MoveProgress) -> f64 {
    let part = |done: u64, total: u64| if total == 0 { 0.0 } else { (done as f64 / total as f64).min(1.0) };
    if figures.bytes_total > 0 {
        part(figures.bytes, figures.bytes_total)
    } else {
        part(migration.moved.count() as u64, migration.slots.count() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use slotway_common::cluster_state::Phase;
    use slotway_common::topology::SlotRanges;

    fn migration(moved: &str) -> Migration {
        Migration {
            id: "4-0".to_owned(),
            source: "a".to_owned(),
            target: "b".to_owned(),
            slots: "0-99".parse().unwrap(),
            moved: moved.parse::<SlotRanges>().unwrap(),
            source_epoch: 1,
            target_epoch: 1,
            phase: Phase::Running,
        }
    }

    fn sent(keys: u64, bytes: u64) -> MoveProgress {
        MoveProgress { keys, bytes, keys_total: 1000, bytes_total: 100_000, ..MoveProgress::default() }
    }

    #[test]
    fn speed_and_time_left_follow_from_two_samples() {
        let (mut pace, start) = (Pace::new(), Instant::now());
        assert_eq!(pace.take(&migration(""), &sent(0, 0), start), 0.0);
        assert_eq!(pace.text(&migration(""), &sent(0, 0)), "0 of 100 slots, 0 of 1000 keys");
        let half = pace.take(&migration("0-9"), &sent(500, 50_000), start + Duration::from_secs(2));
        assert_eq!(half, 0.5);
        let lagging = MoveProgress { lag_bytes: 100, parked_ms_max: 1.25, ..sent(500, 50_000) };
        assert_eq!(
            pace.text(&migration("0-9"), &lagging),
            "10 of 100 slots, 500 of 1000 keys, 250 keys/s, 24.4 KiB/s, 0:02 left, lag 100 B, longest pause 1.2 ms"
        );
    }

    #[test]
    fn slots_are_the_measure_where_the_source_says_nothing() {
        let (mut pace, start) = (Pace::new(), Instant::now());
        let nothing = MoveProgress::default();
        pace.take(&migration(""), &nothing, start);
        assert_eq!(pace.take(&migration("0-24"), &nothing, start + Duration::from_secs(1)), 0.25);
        assert_eq!(pace.text(&migration("0-24"), &nothing), "25 of 100 slots, 0:03 left");
    }

    #[test]
    fn figures_that_go_back_are_no_negative_speed() {
        let (mut pace, start) = (Pace::new(), Instant::now());
        pace.take(&migration(""), &sent(900, 90_000), start);
        pace.take(&migration(""), &sent(10, 1_000), start + Duration::from_secs(1));
        assert_eq!(
            pace.text(&migration(""), &sent(10, 1_000)),
            "0 of 100 slots, 10 of 1000 keys, 0 keys/s, 0 B/s"
        );
    }
}
