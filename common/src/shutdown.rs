//! When a process is to stop.

use std::fmt;
use std::io::{self, Read};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use crate::platform::threads;

/// Why a process stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    Terminate,
    Interrupt,
    /// Standard input was closed: whoever started the process has ended.
    StandardInput,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reason::Terminate => "SIGTERM",
            Reason::Interrupt => "SIGINT",
            Reason::StandardInput => "standard input closed",
        })
    }
}

/// What asks a process to stop: SIGTERM, SIGINT and, if wanted, the end of standard input.
pub struct Requests {
    terminate: Option<Signal>,
    interrupt: Option<Signal>,
    input_closed: Option<oneshot::Receiver<()>>,
}

impl Requests {
    /// Begins to listen; must run inside a tokio runtime. Signals no longer kill the process from here on.
    ///
    /// With `exit_with_stdin` (the flag `--exit-with-stdin`) a child stops when its parent does, however that ends:
    /// the parent holds the other end of a pipe, and the system closes it.
    ///
    /// # Errors
    /// When no handler or no thread can be had.
    pub fn listen(exit_with_stdin: bool) -> io::Result<Requests> {
        let input_closed = if exit_with_stdin { Some(watch_stdin()?) } else { None };
        Ok(Requests {
            terminate: Some(signal(SignalKind::terminate())?),
            interrupt: Some(signal(SignalKind::interrupt())?),
            input_closed,
        })
    }

    /// None will ever come: for processes that a test runs as parts of its own.
    #[must_use]
    pub fn never() -> Requests {
        Requests { terminate: None, interrupt: None, input_closed: None }
    }

    /// Waits for the next request. Can be called again, so that a second one can hurry the first.
    pub async fn next(&mut self) -> Reason {
        let closed = async {
            match &mut self.input_closed {
                Some(closed) => drop(closed.await),
                None => std::future::pending().await,
            }
        };
        let reason = tokio::select! {
            () = received(&mut self.terminate) => Reason::Terminate,
            () = received(&mut self.interrupt) => Reason::Interrupt,
            () = closed => Reason::StandardInput,
        };
        if reason == Reason::StandardInput {
            self.input_closed = None;
        }
        reason
    }
}

async fn received(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

/// A thread that reads standard input to its end.
///
/// Not tokio's stdin: its read would block a thread of the runtime's pool, and with it the runtime's end.
fn watch_stdin() -> io::Result<oneshot::Receiver<()>> {
    let (sender, closed) = oneshot::channel();
    threads::spawn("stdin", move || {
        let mut ignored = [0; 256];
        let mut input = io::stdin().lock();
        loop {
            match input.read(&mut ignored) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        drop(sender);
    })?;
    Ok(closed)
}
