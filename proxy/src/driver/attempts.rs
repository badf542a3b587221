//! How often connections to shards are tried.

use std::time::{Duration, Instant};

use slotway_common::platform::clock;

/// Attempts of a worker in a row, and how many more there are each second after that.
const ATTEMPTS: (f64, f64) = (32.0, 20.0);

/// A token bucket for attempts to connect, so that many connections to a shard that is down do not make a storm.
pub(super) struct Attempts {
    left: f64,
    at: Instant,
}

impl Default for Attempts {
    fn default() -> Self {
        Self { left: ATTEMPTS.0, at: clock::monotonic() }
    }
}

impl Attempts {
    /// Takes a token; if there is none, how long it takes until there will be.
    pub(super) fn take(&mut self, now: Instant) -> Result<(), Duration> {
        let since = now.saturating_duration_since(self.at).as_secs_f64();
        self.left = (self.left + since * ATTEMPTS.1).min(ATTEMPTS.0);
        self.at = now;
        if self.left >= 1.0 {
            self.left -= 1.0;
            Ok(())
        } else {
            Err(Duration::from_secs_f64((1.0 - self.left) / ATTEMPTS.1))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_in_a_row_are_bounded() {
        let mut attempts = Attempts::default();
        let start = attempts.at;
        assert_eq!((0..100).filter(|_| attempts.take(start).is_ok()).count(), ATTEMPTS.0 as usize);
        let wait = attempts.take(start).unwrap_err();
        assert!(attempts.take(start + wait).is_ok());
        assert!(attempts.take(start + wait).is_err());
    }
}
