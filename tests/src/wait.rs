//! Waits for conditions instead of sleeping.

use std::time::{Duration, Instant};

/// Only what is broken takes longer, on the slowest machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Polls until there is a value.
///
/// # Panics
/// With `what`, when there is none for [`PATIENCE`].
pub fn wait_for<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(start.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Polls until it is true.
///
/// # Panics
/// With `what`, when it is not for [`PATIENCE`].
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    wait_for(what, || condition().then_some(()));
}
