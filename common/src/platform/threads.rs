//! Threads.

use std::io;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

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

/// As [`spawn`], for work that may take its time: where cores are short, other threads come first.
///
/// # Errors
/// When the system cannot start one more thread.
pub fn spawn_in_background<T: Send + 'static>(
    name: &str,
    run: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    spawn(name, move || {
        // For the calling thread alone, on Linux. Without it the work is done all the same.
        let _ = rustix::process::setpriority_process(None, NICE);
        run()
    })
}

/// About a tenth of the share of a core that an ordinary thread gets.
const NICE: i32 = 10;

/// A thread that runs one future, and what that spawns.
#[derive(Debug)]
pub enum Running {
    Thread(JoinHandle<()>),
    /// In a simulation: a task.
    #[cfg(feature = "simulation")]
    Task(tokio::task::JoinHandle<()>),
}

impl Running {
    /// Waits until the future has ended. A panic of it has been told on standard error.
    pub fn join(self) {
        match self {
            Self::Thread(thread) => drop(thread.join()),
            #[cfg(feature = "simulation")]
            Self::Task(task) => task.abort(),
        }
    }
}

/// Starts a named thread with a runtime of its own that runs the future which `make` makes there.
///
/// Simulated, it is a task of the host: must then be called inside a `LocalSet`.
///
/// # Errors
/// When the system cannot start one more thread or runtime.
pub fn run<F: Future<Output = ()> + 'static>(
    name: &str,
    make: impl FnOnce() -> F + Send + 'static,
) -> io::Result<Running> {
    #[cfg(feature = "simulation")]
    if super::simulation::is_active() {
        return Ok(Running::Task(tokio::task::spawn_local(make())));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    spawn(name, move || runtime.block_on(make())).map(Running::Thread)
}

/// Lets other tasks go on after a slice of work. In a simulation that work may have taken some time.
pub async fn yield_now() {
    #[cfg(feature = "simulation")]
    if super::simulation::is_active() {
        return super::simulation::time::pass().await;
    }
    tokio::task::yield_now().await;
}

/// The time that the calling thread has had a core for. In a simulation threads are tasks, and take none.
#[must_use]
pub fn cpu_time() -> Duration {
    #[cfg(feature = "simulation")]
    if super::simulation::is_active() {
        return Duration::ZERO;
    }
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap_or(0), time.tv_nsec.try_into().unwrap_or(0))
}

/// Number of cores this process may use, at least 1.
#[must_use]
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}
