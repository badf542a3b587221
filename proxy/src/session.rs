//! What the proxy knows of one client.

use std::net::SocketAddr;

use slotway_common::acl::Login;
use slotway_common::handshake;
use slotway_common::pubsub::Subscriptions;
use slotway_common::reply_mode::ReplyMode;
use slotway_common::resp::{Parser, Protocol};

use crate::ids::Seq;
use crate::owned::OwnedArgs;
use crate::places::Places;
use crate::policy::{OutputBounds, Policy};
use crate::tracking::Tracked;
use crate::transaction::{Transaction, Watch};

/// A request of which not all bytes are here, or that cannot go on yet.
#[derive(Debug, Default)]
pub struct Partial {
    pub input: Vec<u8>,
    pub parser: Parser,
}

/// What the next request of a client waits for. Whatever ends the wait calls the client back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stall {
    #[default]
    None,
    /// For all its replies.
    Replies,
    /// For fewer open places.
    Places,
    /// For the client to read.
    Output,
    /// For the command that is running.
    Busy,
    /// For room in an upstream's buffer.
    Room,
    /// For a slot that has been refused to open or to move.
    Slot,
    /// For the end of CLIENT PAUSE.
    Pause,
}

/// How far a client is from being gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd)]
pub enum Closing {
    #[default]
    No,
    /// No request is read any more; the client goes when its replies have been written.
    AfterReplies,
    /// Its connection is being closed.
    Now,
}

/// What CLIENT LIST tells and requests hardly touch.
#[derive(Debug, Default)]
pub struct Details {
    pub name: Vec<u8>,
    pub no_evict: bool,
    /// The EXEC that is being run, which MONITOR shows once what it runs has been shown.
    pub(crate) exec: Option<OwnedArgs>,
    /// What the last command runs is shown as it runs: the next one waits for its reply.
    pub(crate) shows_later: bool,
    /// Since when more replies wait than the soft limit allows, in microseconds of the worker's clock.
    pub(crate) over_soft_limit: Option<u64>,
    /// What connected said that it is a process of the cluster, and has yet to prove it.
    pub handshake: Option<Box<handshake::Server>>,
    /// What CLIENT SETINFO told.
    pub library_name: Vec<u8>,
    pub library_version: Vec<u8>,
}

/// One client of this worker.
#[derive(Debug)]
pub struct Session {
    /// The number that CLIENT ID tells, unique in this process.
    pub client: u64,
    pub peer: SocketAddr,
    pub local: SocketAddr,
    /// Of its socket.
    pub descriptor: i32,
    pub protocol: Protocol,
    pub database: u32,
    /// Position of the upstreams for this protocol and database in the worker's list.
    pub(crate) route: u16,
    /// Whom it acts as.
    pub(crate) login: Login,
    pub(crate) reply_mode: ReplyMode,
    pub(crate) monitor: bool,
    pub(crate) closing: Closing,
    /// It will send nothing more.
    pub(crate) ended: bool,
    /// A command of this client runs that others of its commands have to wait for.
    pub(crate) busy: bool,
    /// What its next request waits for.
    pub(crate) stall: Stall,
    /// Its socket is not read until it can go on.
    pub(crate) unread: bool,
    /// Its socket takes no more for now; who writes it then will go on.
    pub(crate) full: bool,
    /// In the list of sessions to be written.
    pub(crate) dirty: bool,
    /// In the list of sessions that may go on.
    pub(crate) ready: bool,
    pub(crate) places: Places,
    /// What is queued since MULTI.
    pub(crate) transaction: Option<Box<Transaction>>,
    pub(crate) watch: Option<Box<Watch>>,
    /// The numbers under which it waits for data.
    pub(crate) waits: Vec<u64>,
    /// A shard has said that it waits.
    pub(crate) blocked: bool,
    /// There while a command runs that may wait, several times if need be; then how CLIENT UNBLOCK has ended its wait, if it has.
    pub(crate) waiting: Option<Option<Box<[u8]>>>,
    /// The channels and patterns that it listens to, or is about to; none where there are none.
    pub(crate) subscriptions: Option<Box<Subscriptions>>,
    /// What is to be written waits for the reply of this place, for a short time.
    pub(crate) gathers: Option<Seq>,
    /// It is in the list of those of which something waits so.
    pub(crate) is_gathering: bool,
    /// It is tracked, or was.
    pub(crate) tracked: Option<Box<Tracked>>,
    /// Its requests may have to be marked.
    pub(crate) marks: bool,
    /// The upstreams that the replies in flight come from.
    pub(crate) in_flight_route: u16,
    pub(crate) partial: Option<Box<Partial>>,
    /// Replies in turn; the first `sent` bytes are written.
    pub(crate) out: Vec<u8>,
    pub(crate) sent: usize,
    /// What the worker's total counts for this client.
    pub(crate) accounted: usize,
    /// Row of the last command.
    pub(crate) last_command: u16,
    /// Times of the worker's clock, in microseconds.
    pub(crate) connected: u64,
    pub(crate) last_active: u64,
    pub(crate) details: Box<Details>,
}

/// Largest output buffer that is kept while there is nothing to write, in bytes.
const KEEP: usize = 2048;
/// Written bytes are dropped from the front once they are as many as this and as the rest.
const COMPACT: usize = 64 * 1024;

impl Session {
    pub fn new(client: u64, peer: SocketAddr, local: SocketAddr, login: Login, now: u64) -> Self {
        Self {
            client,
            peer,
            local,
            descriptor: -1,
            protocol: Protocol::Resp2,
            database: 0,
            route: 0,
            login,
            reply_mode: ReplyMode::ON,
            monitor: false,
            closing: Closing::No,
            ended: false,
            busy: false,
            stall: Stall::None,
            unread: false,
            full: false,
            dirty: false,
            ready: false,
            places: Places::default(),
            transaction: None,
            watch: None,
            waits: Vec::new(),
            blocked: false,
            waiting: None,
            subscriptions: None,
            gathers: None,
            is_gathering: false,
            tracked: None,
            marks: false,
            in_flight_route: 0,
            partial: None,
            out: Vec::new(),
            sent: 0,
            accounted: 0,
            last_command: u16::MAX,
            connected: now,
            last_active: now,
            details: Box::default(),
        }
    }

    /// Bytes that wait to be written or to be in turn.
    #[inline]
    pub fn output_bytes(&self) -> usize {
        self.out.len() - self.sent + self.places.held_bytes()
    }

    /// Bytes of the buffer of what is written next.
    pub fn output_capacity(&self) -> usize {
        self.out.capacity()
    }

    /// Bytes of requests that were read and have not gone on.
    #[inline]
    pub fn input_bytes(&self) -> usize {
        self.partial.as_ref().map_or(0, |partial| partial.input.len())
    }

    /// Bytes of what waits for EXEC.
    #[inline]
    pub fn queued_bytes(&self) -> usize {
        self.transaction.as_ref().map_or(0, |transaction| transaction.bytes())
            + self.watch.as_ref().map_or(0, |watch| watch.bytes())
    }

    /// Bytes of the names that it listens to.
    #[inline]
    pub fn subscribed_bytes(&self) -> usize {
        self.subscriptions.as_ref().map_or(0, |subscriptions| subscriptions.bytes())
    }

    /// All bytes held for this client.
    #[inline]
    pub fn bytes(&self) -> usize {
        self.output_bytes() + self.input_bytes() + self.queued_bytes() + self.subscribed_bytes()
    }

    /// The bounds on the replies and messages that it has not read.
    #[inline]
    pub(crate) fn output_bounds(&self, policy: &Policy) -> OutputBounds {
        if self.subscriptions.is_some() { policy.pubsub_output } else { policy.output }
    }

    /// In RESP2 a client that has subscriptions may do little else.
    #[inline]
    pub(crate) fn only_listens(&self) -> bool {
        self.subscriptions.is_some() && self.protocol == Protocol::Resp2
    }

    /// Bytes to be written now.
    #[inline]
    pub fn unsent(&self) -> &[u8] {
        self.out.get(self.sent..).unwrap_or_default()
    }

    /// Takes note that `count` more bytes were written.
    #[inline]
    pub fn wrote(&mut self, count: usize) {
        self.sent += count;
        if self.sent >= self.out.len() {
            self.sent = 0;
            if self.out.capacity() > KEEP {
                self.out = Vec::new();
            } else {
                self.out.clear();
            }
        } else if self.sent >= COMPACT && self.sent * 2 >= self.out.len() {
            self.out.drain(..self.sent);
            self.sent = 0;
        }
    }

    /// Appends a reply behind those that are still to come.
    #[inline]
    pub(crate) fn reply(&mut self, bytes: &[u8]) {
        let muted = self.mute_next();
        if self.places.is_empty() {
            if !muted {
                self.out.extend_from_slice(bytes);
            }
        } else {
            let seq = self.places.open(muted);
            self.places.deliver(seq, bytes, true, &mut self.out);
        }
    }

    /// Whether the reply of the command that now runs is to be dropped.
    #[inline]
    pub(crate) fn mute_next(&mut self) -> bool {
        let muted = self.reply_mode.is_muted();
        self.reply_mode.end_command();
        muted
    }

    /// It waits for data, or for the end of a pause.
    pub(crate) fn waits(&self) -> bool {
        self.blocked || self.stall == Stall::Pause
    }
}
