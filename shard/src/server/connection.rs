//! One client connection: reads requests, runs them, writes replies.
//!
//! The task is one hand-written poll, so that a request costs a read, a write and no further wake-up.
//! Memory is bounded: while replies wait to be written nothing is read, a read takes what one
//! buffer holds, and a request or a reply beyond its budget closes the connection.

mod wait;
mod write;

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use slotway_common::platform::clock;
use slotway_common::platform::net::Stream;
use slotway_common::resp::{Limits, Parser};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::Sleep;

use super::ahead::End;
use super::held::Held;
use super::state::Server;
use crate::across;
use crate::client::{Client, Waits};
use crate::dispatch::{self, Prepared};
use crate::node::Shard;
use crate::session::Session;

/// Replies that may gather before they are written, in bytes.
const WRITE_AT: usize = 256 * 1024;

/// Buffers up to this size are kept for the next request.
const KEEP: usize = 16 * 1024;

/// Rounds of read, run and write before other connections get their turn.
const ROUNDS: usize = 4;

/// From this size on, what is missing of an argument is read straight into its place.
const LARGE: usize = 64 * 1024;

/// A client and its socket.
pub(super) struct Connection {
    pub(super) server: Rc<Server>,
    pub(super) stream: Stream,
    pub(super) session: Session,
    parser: Parser,
    /// What was read and not run yet; empty between requests.
    pub(super) input: Vec<u8>,
    output: Vec<u8>,
    /// Bytes of `output` that are written already.
    written: usize,
    /// What of `output` has to wait for the log.
    held: Held,
    /// It has just waited for a slot for too long: its next request is refused.
    gave_up: Cell<bool>,
    /// Runs while CLIENT PAUSE holds the next command back.
    pause_ends: Option<Pin<Box<Sleep>>>,
}

/// Why requests are no longer run.
#[derive(PartialEq, Eq)]
enum Stop {
    /// All whole requests have run.
    Starved,
    /// Replies must be written first.
    Full,
    /// The next one has to wait: `Client::waits` says for what.
    Waits,
    /// The connection is to be closed, or is no client's any more.
    Closing,
}

impl Connection {
    pub(super) fn new(server: Rc<Server>, stream: Stream, client: Rc<Client>) -> Self {
        Self {
            stream,
            session: Session { may_wait: true, ..Session::new(client) },
            parser: Parser::new(),
            input: Vec::new(),
            output: Vec::new(),
            written: 0,
            held: Held::default(),
            gave_up: Cell::new(false),
            pause_ends: None,
            server,
        }
    }

    /// Reads, runs and writes; ready when the connection ends, or is no client's any more.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.remember_waker(context);
        for _ in 0..ROUNDS {
            if self.session.client.killed.get() {
                return Poll::Ready(());
            }
            self.take_pushed();
            if !self.session.client.waits.get().is_nothing() && self.still_waits() {
                return self.poll_waiting(context);
            }
            match self.poll_write(context) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
            if !self.held.is_empty() && self.is_full_of_held() {
                return Poll::Pending;
            }
            if self.session.closing
                || self.session.import.is_some()
                || self.server.shard.borrow().node.stopping
            {
                return Poll::Ready(());
            }
            if !self.input.is_empty() && self.parser.needed() <= self.input.len() {
                self.session.client.waits.set(Waits::Nothing);
                let input = std::mem::take(&mut self.input);
                let (used, stop) = self.run(&input);
                self.put_back(input, used);
                match stop {
                    Stop::Starved => {}
                    Stop::Full | Stop::Closing => continue,
                    Stop::Waits if self.is_held_back(context) => return self.poll_waiting(context),
                    Stop::Waits => continue,
                }
                if self.output.len() > self.written && self.held.is_empty() {
                    continue;
                }
            }
            match self.poll_read(context) {
                Poll::Ready(Ok(true)) => {}
                Poll::Ready(Ok(false) | Err(_)) => return Poll::Ready(()),
                Poll::Pending => return self.poll_idle(context),
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Nothing to read: what is left is to write, and to give memory back.
    fn poll_idle(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match self.poll_write(context) {
            Poll::Ready(Err(_)) => return Poll::Ready(()),
            Poll::Ready(Ok(())) if self.session.closing && self.held.is_empty() => return Poll::Ready(()),
            _ => {}
        }
        if self.input.is_empty() {
            self.input = Vec::new();
            self.parser.shrink();
        }
        Poll::Pending
    }

    fn remember_waker(&self, context: &Context<'_>) {
        let mut waker = self.session.client.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            *waker = Some(context.waker().clone());
        }
    }

    fn take_pushed(&mut self) {
        let mut pushed = self.session.client.pushed.borrow_mut();
        if !pushed.is_empty() {
            let from = self.output.len();
            self.output.extend_from_slice(&pushed);
            *pushed = Vec::new();
            drop(pushed);
            let server = self.server.clone();
            let shard = server.shard.borrow();
            // It may tell of anything that was done.
            self.hold(from, shard.node.changes.visible(), shard.node.log.released());
        }
    }

    /// Whether so much is held that nothing more is run. While the connection is to close, everything must go first.
    #[cold]
    fn is_full_of_held(&self) -> bool {
        let shard = self.server.shard.borrow();
        self.session.closing
            || self.session.import.is_some()
            || shard.node.stopping
            || self.output.len() - self.written > WRITE_AT
            || shard.node.log.is_behind()
    }

    /// Reads once and runs what is whole; `false` at the end of the stream.
    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let needed = self.parser.needed();
        if needed > self.input.len() + LARGE {
            // Room for the rest of a large argument, in steps, so that a length alone takes no memory.
            let room = (needed - self.input.len()).min(self.input.len().max(LARGE));
            self.input.reserve(room);
            let read = tokio_util::io::poll_read_buf(Pin::new(&mut self.stream), context, &mut self.input);
            return read.map_ok(|count| self.note_read(count));
        }
        let server = self.server.clone();
        let mut scratch = server.scratch.borrow_mut();
        let mut buffer = ReadBuf::new(&mut scratch);
        match Pin::new(&mut self.stream).poll_read(context, &mut buffer) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Pending => return Poll::Pending,
        }
        let read = buffer.filled();
        if !self.note_read(read.len()) {
            return Poll::Ready(Ok(false));
        }
        if self.input.is_empty() {
            let (used, _) = self.run(read);
            self.input.extend_from_slice(&read[used..]);
        } else {
            self.input.extend_from_slice(read);
        }
        self.session.client.input_bytes.set(self.input.len());
        Poll::Ready(Ok(true))
    }

    /// Accounts for what was read; false when the stream has ended or the request is too large.
    fn note_read(&mut self, count: usize) -> bool {
        let node = &mut self.server.shard.borrow_mut().node;
        node.stats.input_bytes += count as u64;
        node.stats.reads += 1;
        let client = &self.session.client;
        client.total_input.set(client.total_input.get() + count as u64);
        if self.input.len() > node.hot.query_limit {
            node.stats.closed_for_input += 1;
            tracing::warn!("client {} closed: its request is over client-query-buffer-limit", client.address);
            return false;
        }
        count > 0
    }

    fn put_back(&mut self, mut input: Vec<u8>, used: usize) {
        if used == input.len() && input.capacity() > KEEP {
            self.input = Vec::new();
        } else {
            input.drain(..used);
            self.input = input;
        }
        self.session.client.input_bytes.set(self.input.len());
    }

    /// Runs whole requests from the start of `input`; gives how many bytes they took.
    fn run(&mut self, input: &[u8]) -> (usize, Stop) {
        let server = self.server.clone();
        let shard = &mut *server.shard.borrow_mut();
        let ended = self.run_on(shard, input);
        if shard.node.tracking.has_broadcasts() {
            shard.node.tell_broadcasts();
        }
        ended
    }

    /// Holds the reply that begins there until the change that it tells of is as safe as replies need it.
    #[inline]
    fn hold(&mut self, from: usize, tells_of: u64, released: u64) {
        if tells_of > released && self.output.len() > from && !crate::log::replies_at_once() {
            self.held.add(from, tells_of);
        }
    }

    fn run_on(&mut self, shard: &mut Shard, input: &[u8]) -> (usize, Stop) {
        let server = self.server.clone();
        let ahead = &mut *server.ahead.borrow_mut();
        let now = clock::now_ms();
        shard.engine.set_now(now);
        self.session.client.last_used_at.set(now);
        self.gave_up.set(self.session.client.gave_up.take());
        if self.session.slowed && self.is_slowed(shard) {
            return (0, Stop::Waits);
        }
        let mut time = clock::monotonic();
        let released = shard.node.log.released();
        self.session.released = released;
        let mut used = 0;
        loop {
            let mut limits = Limits {
                max_bulk: shard.engine.limits.max_string,
                authenticated: self.session.is_free()
                    || !self.session.client.login.borrow().is_required(&shard.node.users),
            };
            let end =
                ahead.read(&mut self.parser, &input[used..], &mut limits, self.session.internal.is_some());
            if ahead.len() > 1 {
                shard.engine.prefetch(self.session.db, ahead.lookups(&input[used..]));
            }
            let batch = &input[used..];
            for (frame, args) in ahead.frames(batch) {
                if self.must_wait(shard, &frame.prepared, &args) {
                    return self.stop(used, Stop::Waits);
                }
                let from = self.output.len();
                self.session.tells_of = 0;
                time = dispatch::execute(
                    shard,
                    &mut self.session,
                    &frame.prepared,
                    args,
                    &mut self.output,
                    time,
                );
                self.hold(from, self.session.tells_of, released);
                used += frame.length;
                if self.session.scripting {
                    shard.node.scripts.suspended.lend(&mut self.session, &mut self.output);
                }
                if !self.session.client.waits.get().is_nothing() {
                    return self.stop(used, Stop::Waits);
                }
                if self.session.closing {
                    return self.stop(input.len(), Stop::Closing);
                }
                if self.output.len() > WRITE_AT {
                    return self.full(shard, used, input.len());
                }
            }
            match end {
                End::More => {}
                End::Incomplete(skipped) => return (used + skipped, Stop::Starved),
                End::Inline(length) => {
                    let args = self.parser.args(&input[used..]);
                    if !args.is_empty() {
                        let prepared = Prepared::new(&args, self.session.internal.is_some());
                        if self.must_wait(shard, &prepared, &args) {
                            return self.stop(used, Stop::Waits);
                        }
                        let from = self.output.len();
                        self.session.tells_of = 0;
                        time = dispatch::execute(
                            shard,
                            &mut self.session,
                            &prepared,
                            args,
                            &mut self.output,
                            time,
                        );
                        self.hold(from, self.session.tells_of, released);
                    }
                    used += length;
                    if self.session.scripting {
                        shard.node.scripts.suspended.lend(&mut self.session, &mut self.output);
                    }
                    if !self.session.client.waits.get().is_nothing() {
                        return self.stop(used, Stop::Waits);
                    }
                    if self.session.closing {
                        return self.stop(input.len(), Stop::Closing);
                    }
                }
                End::Malformed(error) => {
                    if !self.session.reply_mode.is_muted() {
                        self.output.extend_from_slice(&error.reply());
                    }
                    self.session.closing = true;
                    return self.stop(input.len(), Stop::Closing);
                }
            }
        }
    }

    /// Stops before everything that was read ahead has run: it is read again later.
    fn stop(&mut self, used: usize, why: Stop) -> (usize, Stop) {
        self.parser = Parser::new();
        (used, why)
    }

    /// Replies must be written before more commands run, or are more than the client may have.
    fn full(&mut self, shard: &mut Shard, used: usize, all: usize) -> (usize, Stop) {
        let limit = shard.node.hot.output(&self.session.client).hard;
        // A proxy answers for its own clients.
        if limit == 0 || self.output.len() <= limit || self.session.internal.is_some() {
            return self.stop(used, Stop::Full);
        }
        shard.node.stats.closed_for_output += 1;
        self.session.client.killed.set(true);
        let address = &self.session.client.address;
        tracing::warn!("client {address} closed: its replies are over client-output-buffer-limit");
        self.stop(all, Stop::Closing)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // Not borrowed here: tasks are dropped by the runtime, never by a command.
        if let Ok(mut shard) = self.server.shard.try_borrow_mut() {
            shard.node.clients.remove(self.session.client.id);
            shard.node.monitors.remove(self.session.client.id);
            shard.node.pubsub.forget(&self.session.client);
            shard.node.told_room.retain(|client| client.id != self.session.client.id);
            let Shard { engine, node } = &mut *shard;
            self.session.end_watches(engine);
            if let Some(mut ended) = node.scripts.suspended.take_ended(self.session.client.id) {
                ended.session.end_watches(engine);
            }
            node.tracking.forget(engine, &self.session.client);
            node.blocked.forget(engine, self.session.client.id);
            node.locks.forget(self.session.client.id, clock::monotonic());
            across::lose_connection(engine, node, self.session.client.id);
        }
    }
}
