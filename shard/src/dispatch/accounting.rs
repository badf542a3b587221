//! What a command that has run counts for: statistics, latencies, the slow log and MONITOR.
//!
//! What a client asks counts once, under the name that it sent. Requests that only processes of the cluster send each other
//! count for nothing but the metrics; the function that runs what such a request stands for accounts for it. Of a
//! proxy's clients this process does not know the addresses and names: what is slow, and what runs within a transaction or
//! script while somebody watches, is told to the proxy over the connection that it came over, before the reply.

use std::time::Duration;

use slotway_common::acl::is_secret;
use slotway_common::command::{self, Command, Flags, Route};
use slotway_common::error::Error;
use slotway_common::platform::clock;
use slotway_common::resp::request::Span;
use slotway_common::resp::{Args, Protocol, Reply};
use slotway_common::slow_log::shown_args;

use crate::engine::Engine;
use crate::node::Node;
use crate::session::Session;

/// The client of a command that a script calls, in the slow log.
const NOBODY: &str = "?:0";

/// A command has run. Whoever waits for data has begun to: how long it takes shows when it is served.
#[inline]
pub fn account(
    engine: &Engine,
    node: &mut Node,
    session: &mut Session,
    command: &'static Command,
    args: &Args<'_>,
    took: Duration,
    waits: bool,
) {
    node.observe(command, took);
    session.client.db.set(session.db);
    node.latency.observe_event(command, took, engine.now());
    if session.quiet || session.scripting || command.route == Route::Internal {
        // A slow part makes the whole slow.
        if session.quiet && !session.nested && node.slow_log.is_slow(took) {
            note_slow(node, session, command, args, took);
        }
        return;
    }
    node.stats.run.ran(command, took);
    if !waits {
        note_duration(node, session, command, args, took);
    }
    if (!node.monitors.is_empty() || session.shows) && !command.flags.contains(Flags::SKIP_MONITOR) {
        show(node, session, command, args);
    }
}

/// Notes for LATENCY HISTOGRAM and the slow log how long a command took.
#[inline]
fn note_duration(
    node: &mut Node,
    session: &Session,
    command: &'static Command,
    args: &Args<'_>,
    took: Duration,
) {
    node.latency.observe(command, took);
    if node.slow_log.is_slow(took) && !command.flags.contains(Flags::SKIP_SLOWLOG) {
        note_slow(node, session, command, args, took);
    }
}

/// An EXEC that did not come as one has run, or has ended with an error: a proxy's, or one that a slow script was part of.
pub fn account_exec(
    engine: &Engine,
    node: &mut Node,
    session: &mut Session,
    took: Duration,
    error: Option<&Error>,
) {
    static WORDS: (&[u8], &[Span]) = (b"EXEC", &[(0, 4)]);
    let Some(row) = command::find_by_full_name(b"exec") else { return };
    if let Some(error) = error {
        count(node, session, Some(row), error, true);
    }
    account(engine, node, session, row, &Args::new(WORDS.0, WORDS.1), took, false);
    if session.shows && !session.quiet && !session.scripting {
        show_end(node, session);
    }
}

/// A client that has waited was served, which took so long without the waiting.
#[cold]
pub fn account_served(
    engine: &Engine,
    node: &mut Node,
    session: &Session,
    command: &'static Command,
    args: &Args<'_>,
    took: Duration,
) {
    node.stats.run.took_longer(command, took);
    node.latency.event("command-unblocking", took, engine.now());
    note_duration(node, session, command, args, took);
}

#[cold]
fn note_slow(node: &mut Node, session: &Session, command: &Command, args: &Args<'_>, took: Duration) {
    let shown = shown_args(args, |index| is_secret(command, args, index));
    let at = clock::now_us();
    if session.internal.is_none() {
        let client = &session.client;
        match session.in_script {
            true => node.slow_log.add(at, took, shown, NOBODY, b""),
            false => node.slow_log.add(at, took, shown, &client.address, &client.name.borrow()),
        }
        return;
    }
    tell(node, session, 6, |push| {
        push.bulk(b"slow");
        push.bulk(session.told_of().as_bytes());
        push.int(at);
        push.int(took.as_micros() as i64);
        push.bulk(if session.in_script { b"lua" } else { b"" });
        push.array(shown.len());
        shown.iter().for_each(|arg| push.bulk(arg));
    });
}

/// Shows a command to those who watch.
#[cold]
pub fn show(node: &mut Node, session: &Session, command: &Command, args: &Args<'_>) {
    if session.quiet || command.flags.contains(Flags::ADMIN) {
        return;
    }
    let line = node.monitors.feed(clock::now_us(), session, command, args);
    // What is no part of anything the proxy has shown itself.
    if session.shows && session.nested {
        tell(node, session, 5, |push| {
            push.bulk(b"monitor");
            push.bulk(session.told_of().as_bytes());
            push.bulk(if session.in_script { b"lua" } else { b"" });
            push.bulk(line.before_address.as_bytes());
            push.bulk(&line.after_address);
        });
    }
}

/// All of a transaction has been shown: the proxy can show its EXEC.
#[cold]
fn show_end(node: &mut Node, session: &Session) {
    tell(node, session, 2, |push| {
        push.bulk(b"monitored");
        push.bulk(session.told_of().as_bytes());
    });
}

/// Tells a proxy something, before the reply to what has just run if that is still to come.
fn tell(node: &mut Node, session: &Session, elements: usize, write: impl FnOnce(&mut Reply<'_>)) {
    let mut bytes = Vec::new();
    let mut push = Reply::new(&mut bytes, Protocol::Resp3);
    push.push(elements);
    write(&mut push);
    if session.told_of.is_some() {
        session.client.push(&bytes);
    } else {
        node.told.extend_from_slice(&bytes);
    }
}

/// Whether a proxy acts on an error itself, so that no client is told.
#[cold]
pub(super) fn is_refusal(session: &Session, error: &Error) -> bool {
    let is_about_script = |line: &str| line.starts_with("NOSCRIPT") || line.starts_with("ELSEWHERE");
    let sends_again = matches!(error, Error::Line(line) if is_about_script(line));
    session.internal.is_some()
        && (matches!(error, Error::Moved { .. } | Error::Parked { .. } | Error::Later(_))
            || sends_again && !session.nested)
}

/// A command was refused before it ran.
#[cold]
pub fn refuse(
    node: &mut Node,
    session: &Session,
    command: Option<&Command>,
    error: &Error,
    out: &mut Vec<u8>,
) {
    count(node, session, command, error, false);
    Reply::new(out, session.protocol).error(error);
}

/// A command has ended with an error.
#[cold]
pub fn fail(node: &mut Node, session: &Session, command: &Command, error: &Error, out: &mut Vec<u8>) {
    count(node, session, Some(command), error, true);
    Reply::new(out, session.protocol).error(error);
}

/// Counts an error, and the command that was refused or has failed with it.
#[cold]
pub fn count(node: &mut Node, session: &Session, command: Option<&Command>, error: &Error, failed: bool) {
    let is_internal = command.is_some_and(|command| command.route == Route::Internal);
    if session.quiet || is_internal || is_refusal(session, error) {
        return;
    }
    let run = &mut node.stats.run;
    match command {
        Some(command) if failed => run.failed(command),
        Some(command) => run.rejected(command),
        None => {}
    }
    // The error of a command that a script has called was counted when that failed.
    if !matches!(error, Error::Counted(_)) {
        run.error(error);
    }
}

/// Counts an error that ends what a client waited for, and writes it as the reply.
pub fn write_error(node: &mut Node, error: &Error, reply: &mut Reply<'_>) {
    node.stats.run.error(error);
    reply.error(error);
}
