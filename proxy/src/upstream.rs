//! What is on its way over one connection to a shard.
//!
//! Requests of all clients of a worker are appended to one buffer and written together. They stay in it until they
//! are answered: a request that the shard refuses (its slot has moved or is parked) is then still there to be sent
//! again, and no request is copied a second time for that. Replies come back in the order of the requests, so a queue
//! of small entries is all that is needed to know whose they are.

use std::collections::VecDeque;

use slotway_common::resp::Protocol;
use slotway_common::resp::frame::Scanner;

use crate::ids::{Seq, SessionId};
use crate::slab::Id;

/// Who waits for a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A place of a client.
    Client { session: SessionId, seq: Seq },
    /// One part of a split request.
    Part { session: SessionId, seq: Seq, part: u16 },
    /// The proxy itself.
    Ticket(Id),
}

/// The slots that a request touches.
pub const MANY_SLOTS: u16 = u16::MAX;
/// The command of a request that the proxy makes for itself and that no slot can be refused for.
pub const NO_COMMAND: u16 = u16::MAX;
/// The command of a part of a transaction over several shards. It is refused as a whole, and its reply may come later.
pub const PART_OF_TRANSACTION: u16 = u16::MAX - 1;

/// One request on its way.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    pub owner: Owner,
    /// Bytes of the request in the buffer.
    pub length: u32,
    /// The slot of all its keys, or [`MANY_SLOTS`].
    pub slot: u16,
    /// The command's row.
    pub command: u16,
    /// It may change data.
    pub writes: bool,
    /// How often a shard has refused it.
    pub refusals: u8,
    /// The shard did not know its script, which was looked for elsewhere.
    pub searched: bool,
    /// When it was read from the client, in microseconds of the worker's clock.
    pub received: u64,
}

impl Entry {
    /// Whether a shard may refuse it for a slot, and then everything behind it.
    pub(crate) fn is_refusable(&self) -> bool {
        !matches!(self.command, NO_COMMAND | PART_OF_TRANSACTION)
    }
}

/// Whether requests can be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// A connection is being opened and the shard is not known to be down: requests wait for it.
    Opening,
    Ready,
    /// The last attempt failed: requests fail at once until a later attempt succeeds.
    Down,
}

/// What a connection is used for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Purpose {
    /// Clients' requests.
    #[default]
    Requests,
    /// Subscriptions, and the PUBLISH of clients that have some.
    Subscriptions,
}

/// What one flush wrote: the requests up to number `upto` were on their way at `at`.
#[derive(Clone, Copy, Debug)]
struct Flush {
    upto: u64,
    at: u64,
}

/// A connection to a shard, in one protocol and one database.
#[derive(Debug)]
pub struct Upstream {
    /// Position of the shard in the worker's list.
    pub shard: usize,
    pub protocol: Protocol,
    pub database: u32,
    pub purpose: Purpose,
    pub state: State,
    /// Requests that are not answered, oldest first, behind `answered` bytes that are.
    requests: Vec<u8>,
    answered: usize,
    sent: usize,
    entries: VecDeque<Entry>,
    pub(crate) scanner: Scanner,
    /// The reply in progress, where it is needed whole.
    pub(crate) held: Vec<u8>,
    /// Part of the reply in progress was passed on.
    pub(crate) begun: bool,
    flushes: VecDeque<Flush>,
    pushed: u64,
    taken: u64,
    /// In the list of upstreams to be written.
    pub(crate) dirty: bool,
    /// The socket takes no more for now; who writes it then will go on.
    pub(crate) full: bool,
    /// Sessions that wait for room in the buffer.
    pub(crate) waiting: Vec<SessionId>,
    /// Last time a request was added, in microseconds of the worker's clock.
    pub(crate) used: u64,
}

/// Largest buffer that is kept while nothing is on its way, in bytes.
const KEEP: usize = 256 * 1024;
/// Answered bytes are dropped from the front once they are as many as this and as the rest.
const COMPACT: usize = 64 * 1024;

impl Upstream {
    pub fn new(shard: usize, protocol: Protocol, database: u32, state: State) -> Self {
        Self {
            shard,
            protocol,
            database,
            purpose: Purpose::Requests,
            state,
            requests: Vec::new(),
            answered: 0,
            sent: 0,
            entries: VecDeque::new(),
            scanner: Scanner::new(),
            held: Vec::new(),
            begun: false,
            flushes: VecDeque::new(),
            pushed: 0,
            taken: 0,
            dirty: false,
            full: false,
            waiting: Vec::new(),
            used: 0,
        }
    }

    /// Requests without a complete answer.
    #[inline]
    pub fn in_flight(&self) -> usize {
        self.entries.len()
    }

    /// Bytes held for this connection.
    #[inline]
    pub fn bytes(&self) -> usize {
        self.requests.len() - self.answered + self.held.len()
    }

    /// Adds a request of which all bytes are given.
    #[inline]
    pub fn push(&mut self, frame: &[u8], mut entry: Entry) {
        entry.length = frame.len() as u32;
        self.requests.extend_from_slice(frame);
        self.entries.push_back(entry);
        self.pushed += 1;
        self.used = entry.received;
    }

    /// Adds a request before all others, of which nothing must have been written yet.
    pub fn push_first(&mut self, frame: &[u8], mut entry: Entry) {
        debug_assert_eq!(self.sent, self.answered, "requests were written");
        entry.length = frame.len() as u32;
        self.requests.splice(self.answered..self.answered, frame.iter().copied());
        self.entries.push_front(entry);
        self.pushed += 1;
        self.used = entry.received;
    }

    /// The buffer, for a request that is written into it piece by piece. Follow with [`Upstream::commit`].
    #[inline]
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.requests
    }

    /// Ends a request that was written into [`Upstream::buffer`] from offset `from` of it on.
    #[inline]
    pub fn commit(&mut self, from: usize, mut entry: Entry) {
        entry.length = (self.requests.len() - from) as u32;
        self.entries.push_back(entry);
        self.pushed += 1;
        self.used = entry.received;
    }

    /// Bytes that are still to be written.
    #[inline]
    pub fn unsent(&self) -> &[u8] {
        self.requests.get(self.sent..).unwrap_or_default()
    }

    /// Takes note that `count` more bytes were written.
    #[inline]
    pub fn wrote(&mut self, count: usize, now: u64) {
        self.sent += count;
        match self.flushes.back_mut() {
            Some(last) if last.upto == self.pushed => {}
            _ => self.flushes.push_back(Flush { upto: self.pushed, at: now }),
        }
    }

    /// The request whose reply comes next.
    #[inline]
    pub fn front(&self) -> Option<&Entry> {
        self.entries.front()
    }

    /// All requests without a complete answer, oldest first, with their bytes.
    pub fn unanswered(&self) -> impl Iterator<Item = (&Entry, &[u8])> {
        let mut from = self.answered;
        self.entries.iter().map(move |entry| {
            let frame = self.requests.get(from..from + entry.length as usize).unwrap_or_default();
            from += entry.length as usize;
            (entry, frame)
        })
    }

    /// The bytes of the request whose reply comes next.
    pub fn front_frame(&self) -> &[u8] {
        let length = self.entries.front().map_or(0, |entry| entry.length as usize);
        self.requests.get(self.answered..self.answered + length).unwrap_or_default()
    }

    /// Removes the request whose reply is complete; also gives the time at which it was written.
    #[inline]
    pub fn take(&mut self) -> Option<(Entry, u64)> {
        let entry = self.entries.pop_front()?;
        self.taken += 1;
        let mut sent_at = entry.received;
        while let Some(flush) = self.flushes.front() {
            if flush.upto >= self.taken {
                sent_at = flush.at;
                break;
            }
            self.flushes.pop_front();
        }
        self.answered += entry.length as usize;
        if self.answered == self.requests.len() {
            self.requests.clear();
            self.answered = 0;
            self.sent = 0;
            if self.requests.capacity() > KEEP {
                self.requests = Vec::new();
            }
        } else if self.answered >= COMPACT && self.answered * 2 >= self.requests.len() {
            self.requests.drain(..self.answered);
            self.sent -= self.answered;
            self.answered = 0;
        }
        Some((entry, sent_at))
    }

    /// Ends the use of the current socket. Returns the requests that were written to it, in order, with their bytes:
    /// whether they ran is not known. Those of which the shard cannot have seen the end stay queued.
    pub fn reset(&mut self) -> Vec<Entry> {
        let mut lost = Vec::new();
        let mut at = self.answered;
        while let Some(entry) = self.entries.front() {
            at += entry.length as usize;
            if at > self.sent {
                break;
            }
            lost.extend(self.entries.pop_front());
        }
        let kept: usize = self.entries.iter().map(|entry| entry.length as usize).sum();
        let from = self.requests.len() - kept;
        self.requests.drain(..from);
        self.answered = 0;
        self.sent = 0;
        self.taken = 0;
        self.pushed = self.entries.len() as u64;
        self.flushes.clear();
        self.scanner = Scanner::new();
        self.held = Vec::new();
        self.begun = false;
        self.full = false;
        lost
    }

    /// Removes every request that is queued.
    pub fn drain(&mut self) -> Vec<Entry> {
        let entries = self.entries.drain(..).collect();
        self.requests = Vec::new();
        self.answered = 0;
        self.sent = 0;
        self.flushes.clear();
        self.taken = self.pushed;
        entries
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upstream() -> Upstream {
        Upstream::new(0, Protocol::Resp2, 0, State::Ready)
    }

    fn entry(seq: Seq) -> Entry {
        Entry {
            owner: Owner::Client { session: Id::NONE, seq },
            length: 0,
            slot: 0,
            command: 0,
            writes: false,
            refusals: 0,
            searched: false,
            received: 5,
        }
    }

    fn seq(entry: &Entry) -> Seq {
        match entry.owner {
            Owner::Client { seq, .. } => seq,
            _ => 99,
        }
    }

    #[test]
    fn a_request_stays_until_it_is_answered() {
        let mut upstream = upstream();
        upstream.push(b"one", entry(1));
        upstream.push(b"three", entry(2));
        assert_eq!(upstream.unsent(), b"onethree");
        upstream.wrote(8, 10);
        assert_eq!((upstream.unsent(), upstream.front_frame()), (&b""[..], &b"one"[..]));
        assert_eq!(upstream.take().map(|(entry, at)| (seq(&entry), at)), Some((1, 10)));
        assert_eq!((upstream.front_frame(), upstream.bytes()), (&b"three"[..], 5));
        upstream.take();
        assert!(upstream.take().is_none());
        assert_eq!(upstream.bytes(), 0);
    }

    #[test]
    fn each_request_knows_when_it_was_written() {
        let mut upstream = upstream();
        for (number, at) in [(1, 10), (2, 20)] {
            upstream.push(b"x", entry(number));
            upstream.wrote(1, at);
        }
        assert_eq!(upstream.take().map(|(_, at)| at), Some(10));
        upstream.push(b"x", entry(3));
        upstream.wrote(1, 30);
        assert_eq!(upstream.take().map(|(_, at)| at), Some(20));
        assert_eq!(upstream.take().map(|(_, at)| at), Some(30));
        assert!(upstream.flushes.len() <= 1);
    }

    #[test]
    fn a_busy_buffer_is_compacted() {
        let mut upstream = upstream();
        let frame = vec![b'x'; 1000];
        for number in 0..10_000 {
            upstream.push(&frame, entry(number));
            upstream.wrote(1000, 0);
            if number >= 10 {
                upstream.take();
            }
        }
        assert!(upstream.requests.len() < 2 * COMPACT + 20_000);
        assert_eq!(upstream.front_frame().len(), 1000);
    }

    #[test]
    fn a_broken_connection_loses_what_was_written_and_keeps_the_rest() {
        let mut upstream = upstream();
        for (number, frame) in [(1, "aa"), (2, "bbb"), (3, "cccc"), (4, "dd")] {
            upstream.push(frame.as_bytes(), entry(number));
        }
        upstream.wrote(2, 0);
        upstream.take();
        upstream.wrote(5, 0);
        let lost = upstream.reset();
        assert_eq!(lost.iter().map(seq).collect::<Vec<_>>(), [2]);
        assert_eq!(upstream.unsent(), b"ccccdd", "a request that was written in part starts again");
        upstream.wrote(6, 0);
        assert_eq!(upstream.take().map(|(entry, _)| seq(&entry)), Some(3));
        assert_eq!(upstream.drain().len(), 1);
        assert_eq!(upstream.bytes(), 0);
    }
}
