//! The simulation's clock.

use std::time::{Duration, Instant};

use super::random;

/// When simulations begin, in seconds since 1970: some day in 2024.
const EPOCH: Duration = Duration::from_secs(1_720_000_000);

pub(in crate::platform) fn monotonic() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Computing takes no simulated time, so that a slice of work would never end: now and then it has taken some.
pub(in crate::platform) fn since(point: Instant) -> Duration {
    let spent = if random::below(4) == 0 { random::below(2000) } else { 0 };
    monotonic().saturating_duration_since(point) + Duration::from_micros(spent)
}

pub(in crate::platform) async fn pass() {
    match random::below(3) {
        0 => tokio::task::yield_now().await,
        milliseconds => tokio::time::sleep(Duration::from_millis(milliseconds)).await,
    }
}

pub(in crate::platform) fn since_epoch() -> Duration {
    EPOCH + turmoil::sim_elapsed().unwrap_or_default()
}
