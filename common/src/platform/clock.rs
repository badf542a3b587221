//! Time.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970.
#[must_use]
pub fn now_ms() -> i64 {
    i64::try_from(since_epoch().as_millis()).unwrap_or(i64::MAX)
}

/// Microseconds since 1970.
#[must_use]
pub fn now_us() -> i64 {
    i64::try_from(since_epoch().as_micros()).unwrap_or(i64::MAX)
}

/// A monotonic point in time.
#[must_use]
pub fn monotonic() -> Instant {
    #[cfg(feature = "simulation")]
    if super::simulation::is_active() {
        return super::simulation::time::monotonic();
    }
    Instant::now()
}

/// How long ago that point in time was. What works in slices asks here whether its slice has ended.
#[must_use]
pub fn since(point: Instant) -> Duration {
    #[cfg(feature = "simulation")]
    if super::simulation::is_active() {
        return super::simulation::time::since(point);
    }
    point.elapsed()
}

fn since_epoch() -> Duration {
    #[cfg(feature = "simulation")]
    if super::simulation::is_active() {
        return super::simulation::time::since_epoch();
    }
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
