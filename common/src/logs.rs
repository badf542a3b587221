//! Log lines of a process, on standard error.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Environment variable that chooses what is logged, in the syntax of tracing's filters, for example `debug` or
/// `info,slotway_proxy=trace`.
pub const FILTER: &str = "SLOTWAY_LOG";

/// What is logged if nothing else is chosen. The Raft library tells in many lines what we tell in one.
const DEFAULT: &str = "info,openraft=error";

/// Starts logging, at level `info` unless [`FILTER`] says otherwise. Called once, at the start of `main`.
pub fn start() {
    let filter = EnvFilter::try_from_env(FILTER).unwrap_or_else(|_| EnvFilter::new(DEFAULT));
    let started = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        // When whoever read the log is gone, lines are lost; without this the loss would be reported with eprintln,
        // which panics on a closed standard error.
        .log_internal_errors(false)
        .try_init();
    if started.is_err() {
        tracing::debug!("logging was started before");
    }
}
