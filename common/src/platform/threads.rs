//! Threads.

use std::io;
use std::thread::{Builder, JoinHandle};

/// Starts a named thread (at most 15 bytes of the name are shown by the system).
///
/// # Errors
/// When the system cannot start one more thread.
pub fn spawn<T: Send + 'static>(
    name: &str,
    run: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    Builder::new().name(name.to_owned()).spawn(run)
}

/// Number of cores this process may use, at least 1.
#[must_use]
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}
