//! The proxy of one worker without its sockets and timers.
//!
//! Bytes of clients and shards go in, bytes for clients and shards come out, and whatever needs the outside world is
//! an [`Action`]. A thin driver moves the bytes; tests drive the same code without a socket. Everything here belongs
//! to one thread.
//!
//! Within a turn of the event loop bytes only collect in buffers. At its end the driver calls [`Core::settle`] and
//! then writes what [`Core::next_upstream`] and [`Core::next_session`] name, so that many clients share one write.

// What the core holds and speaks of: none of these files knows `Core`.
mod action;
mod awaited;
mod borrowers;
mod detention;
mod errors;
mod known_room;
mod membership;
mod on_behalf;
mod request;
mod route;
mod scratch;
mod ticket;
mod told;
mod view;

// What it does: each file is a part of `impl Core`.
mod accounting;
mod across;
mod acting;
mod answer;
mod ask;
mod budget;
mod forward;
mod identify;
mod job;
mod later;
mod lifecycle;
mod link;
mod push;
mod receive;
mod refusal;
mod room;
mod script;
mod split;
mod subscriptions;
mod tracking;
mod transaction;
mod waiting;
mod watch;

#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;

use rand::Rng;
use slotway_common::acl::{AclLog, Users};
use slotway_common::command::Command;
use slotway_common::latency::Latency;
use slotway_common::platform::random;
use slotway_common::resp::Parser;
use slotway_common::statistics::Statistics;

pub(crate) use action::Work;
pub use action::{Action, Job, UnknownScripts};
pub(crate) use awaited::{Answer, Asked};
pub(crate) use errors::crossslot;
pub use membership::Membership;
pub(crate) use on_behalf::OnBehalf;
pub(crate) use request::{Flow, Request, Unsent};
pub use ticket::{AskError, Target};
pub use view::{ShardView, View};
pub(crate) use waiting::Waiting;

pub use crate::budgets::Budgets;
pub use crate::ids::{SessionId, UpstreamId};

use crate::counters::Counters;
use crate::foresight::Foresight;
use crate::locked::Locked;
use crate::policy::Policy;
use crate::pubsub::Topics;
use crate::session::Session;
use crate::slab::{Id, Slab};
use crate::slow_log::MergedSlowLog;
use crate::tracking::Mark;
use crate::upstream::Upstream;

use awaited::{Laters, Waits};
use detention::Detention;
use known_room::Room;
use route::Route;
use scratch::Scratch;
use ticket::Ticket;
use told::{Change, Told};

/// How long clients are held back, and which of their commands (CLIENT PAUSE).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pause {
    /// End, in microseconds of the worker's clock.
    pub until: u64,
    /// Only commands that may change data, or tell others of something.
    pub writes_only: bool,
}

/// Begins a command that the proxy answers itself, or that asks several shards. What becomes of each is known above the core.
type Begin = fn(&mut Core, SessionId, &'static Command, &Request<'_>) -> Flow;

/// The proxy of one worker.
pub struct Core {
    /// For the commands that are not sent on as they came.
    begin: Begin,
    /// Microseconds since the process started; the driver sets it before each call.
    pub now: u64,
    pub view: View,
    pub policy: Arc<Policy>,
    /// Who may do what.
    pub users: Arc<Users>,
    /// Whether that is what the cluster says.
    users_known: bool,
    /// What this process has denied.
    pub acl_log: Arc<Locked<AclLog>>,
    pub counters: Arc<Counters>,
    /// What was run here for clients.
    pub run: Statistics,
    /// How long that took.
    pub latency: Latency,
    /// Reads of clients' sockets that brought something, and writes.
    pub transfers: [u64; 2],
    /// Commands that were refused before they ran, however often.
    refused: u64,
    /// What was slow of all clients of the process.
    pub slow_log: Arc<Locked<MergedSlowLog>>,
    pub sessions: Slab<Session>,
    pub(crate) upstreams: Slab<Upstream>,
    budgets: Budgets,
    routes: Vec<Route>,
    tickets: Slab<Ticket>,
    detentions: Slab<Detention>,
    /// The detention of each slot that has one.
    detained: HashMap<u16, Id>,
    /// What clients listen to.
    topics: Topics,
    changes: Slab<Change>,
    /// For each shard the connection over which it was told everything, if it knows it.
    told_all: Vec<UpstreamId>,
    /// What shards did not want to know, to be tried again.
    untold: Vec<Told>,
    pause: Option<Pause>,
    room: Room,
    /// Something is to be looked at before each command: MONITOR, CLIENT PAUSE, no topology yet.
    attention: bool,
    /// Some client of this process is in MONITOR mode.
    monitored: bool,
    /// A topology and settings are here.
    serving: bool,
    /// What this process proves to others of the cluster, if it can.
    pub membership: Option<Arc<Membership>>,
    /// For requests that lie whole in what was read.
    parser: Parser,
    split: Scratch,
    dirty_upstreams: Vec<UpstreamId>,
    dirty_sessions: Vec<SessionId>,
    /// Clients to which something is written together with the next reply, or at the next tick.
    gathering: Vec<SessionId>,
    ready: Vec<SessionId>,
    actions: Vec<Action>,
    /// For replies that are made here.
    reply_buffer: Vec<u8>,
    /// Bytes held for clients.
    total: usize,
    /// The number of the last watch.
    last_token: u64,
    /// Clients that are tracked, by the numbers that shards know them by.
    tracked: HashMap<u64, SessionId>,
    /// What the request that is being sent is marked with.
    pub(crate) mark: Option<Mark>,
    /// Requests whose replies come later.
    later: Laters,
    /// Scripts that use keys of other shards.
    borrowers: HashSet<u64>,
    /// What they will need.
    foresight: Foresight,
    /// Clients that wait for data, by the numbers that shards know them by.
    waits: Waits,
}

/// More bytes than these do not wait for a reply that they could be written together with.
const GATHERED: usize = 16 * 1024;

impl Core {
    /// A core that knows no shard yet, and what begins the commands that it does not send on as they came.
    pub(crate) fn with_commands(budgets: Budgets, begin: Begin) -> Self {
        Self {
            begin,
            now: 0,
            view: View::default(),
            policy: Arc::default(),
            users: Arc::default(),
            users_known: false,
            acl_log: Arc::default(),
            counters: Arc::default(),
            run: Statistics::default(),
            latency: Latency::default(),
            transfers: [0; 2],
            refused: 0,
            slow_log: Arc::default(),
            sessions: Slab::default(),
            upstreams: Slab::default(),
            budgets,
            routes: Vec::new(),
            tickets: Slab::default(),
            detentions: Slab::default(),
            detained: HashMap::new(),
            topics: Topics::default(),
            changes: Slab::default(),
            told_all: Vec::new(),
            untold: Vec::new(),
            pause: None,
            room: Room::default(),
            attention: true,
            monitored: false,
            serving: false,
            membership: None,
            parser: Parser::new(),
            split: Scratch::default(),
            dirty_upstreams: Vec::new(),
            dirty_sessions: Vec::new(),
            gathering: Vec::new(),
            ready: Vec::new(),
            actions: Vec::new(),
            reply_buffer: Vec::new(),
            total: 0,
            // From anywhere, so that the workers of all proxies give different ones.
            waits: Waits::new(),
            later: Laters::new(),
            borrowers: HashSet::new(),
            foresight: Foresight::default(),
            tracked: HashMap::new(),
            mark: None,
            last_token: random::generator().random::<u64>() >> 1,
        }
    }

    /// Lets clients that were waiting go on. To be called at the end of a turn, before anything is written.
    pub fn settle(&mut self) {
        while let Some(id) = self.ready.pop() {
            if let Some(session) = self.sessions.get_mut(id) {
                session.ready = false;
                self.resume(id);
            }
        }
    }

    /// Whether there is anything to do at the end of this turn.
    pub fn has_work(&self) -> bool {
        !self.dirty_upstreams.is_empty()
            || !self.dirty_sessions.is_empty()
            || !self.ready.is_empty()
            || !self.actions.is_empty()
    }

    /// Whether [`Core::take_actions`] has something.
    #[inline]
    pub fn has_actions(&self) -> bool {
        !self.actions.is_empty()
    }

    /// Publishes figures that are not counted as they happen.
    pub fn publish(&mut self) {
        let (connections, bytes) = self.upstream_usage();
        self.counters.clients.set_count(self.sessions.len());
        self.counters.client_buffer_bytes.set_count(self.total);
        self.counters.upstream_buffer_bytes.set_count(bytes);
        self.counters.upstream_connections.set_count(connections);
        let in_flight = self.upstreams.iter().map(|(_, upstream)| upstream.in_flight()).sum();
        self.counters.requests_in_flight.set_count(in_flight);
        let waiting = self.sessions.iter().filter(|(_, session)| session.waits()).count();
        self.counters.blocked_clients.set_count(waiting);
        self.counters.slots_detained.set_count(self.detained.len());
        self.counters.subscribed_names.set_count(self.topics.len());
    }

    /// What the driver has to do.
    pub fn take_actions(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.actions)
    }

    /// An upstream with bytes to write.
    pub fn next_upstream(&mut self) -> Option<(UpstreamId, &mut Upstream)> {
        while let Some(id) = self.dirty_upstreams.pop() {
            if let Some(upstream) = self.upstreams.get_mut(id) {
                upstream.dirty = false;
                if upstream.state == crate::upstream::State::Ready
                    && !upstream.full
                    && !upstream.unsent().is_empty()
                {
                    return self.upstreams.get_mut(id).map(|upstream| (id, upstream));
                }
            }
        }
        None
    }

    /// A client with bytes to write, or one whose last bytes are written and that is to be closed.
    pub fn next_session(&mut self) -> Option<(SessionId, &mut Session)> {
        while let Some(id) = self.dirty_sessions.pop() {
            if let Some(session) = self.sessions.get_mut(id) {
                session.dirty = false;
                if session.gathers.is_some_and(|seq| session.places.is_waiting_for(seq))
                    && session.unsent().len() < GATHERED
                {
                    if !std::mem::replace(&mut session.is_gathering, true) {
                        self.gathering.push(id);
                    }
                    continue;
                }
                if !session.full && !session.unsent().is_empty() {
                    return self.sessions.get_mut(id).map(|session| (id, session));
                }
                self.close_if_done(id);
            }
        }
        None
    }

    /// Takes note that `count` bytes of an upstream were written; `full`: the socket takes no more for now.
    pub fn upstream_wrote(&mut self, id: UpstreamId, count: usize, full: bool) {
        let now = self.now;
        if let Some(upstream) = self.upstreams.get_mut(id) {
            upstream.full = full;
            if count > 0 {
                upstream.wrote(count, now);
                self.counters.upstream_output_bytes.add(count as u64);
            }
            if !full && !upstream.unsent().is_empty() {
                self.touch_upstream(id);
            }
        }
    }

    /// Takes note that `count` bytes of a client's replies were written; `full`: the socket takes no more for now.
    pub fn session_wrote(&mut self, id: SessionId, count: usize, full: bool) {
        let low = self.budgets.client_pause / 2;
        let Some(session) = self.sessions.get_mut(id) else { return };
        session.full = full;
        session.wrote(count);
        let left = !session.unsent().is_empty();
        let goes_on = session.stall == crate::session::Stall::Output && session.output_bytes() <= low;
        self.counters.client_output_bytes.add(count as u64);
        self.transfers[1] += 1;
        if goes_on {
            self.call_back(id);
        }
        self.account(id);
        if !full && left {
            self.touch_session(id);
        } else if !full {
            self.close_if_done(id);
        }
    }

    /// Has written what has waited for a reply that it could be written together with.
    fn stop_gathering(&mut self) {
        for id in std::mem::take(&mut self.gathering) {
            if let Some(session) = self.sessions.get_mut(id) {
                (session.gathers, session.is_gathering) = (None, false);
                self.touch_session(id);
            }
        }
    }

    /// Adds an upstream to those that are written at the end of the turn.
    #[inline]
    fn touch_upstream(&mut self, id: UpstreamId) {
        if let Some(upstream) = self.upstreams.get_mut(id)
            && !upstream.dirty
        {
            upstream.dirty = true;
            self.dirty_upstreams.push(id);
        }
    }

    /// Adds a client to those that are written at the end of the turn.
    #[inline]
    fn touch_session(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.get_mut(id)
            && !session.dirty
        {
            session.dirty = true;
            self.dirty_sessions.push(id);
        }
    }

    /// Has a client that waits go on at the end of the turn.
    fn call_back(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.get_mut(id)
            && !session.ready
        {
            session.ready = true;
            self.ready.push(id);
        }
    }

    /// An empty buffer for a reply; give it back with [`Core::give_back_reply_buffer`].
    pub(crate) fn take_reply_buffer(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.reply_buffer)
    }

    pub(crate) fn give_back_reply_buffer(&mut self, mut buffer: Vec<u8>) {
        if buffer.capacity() <= 64 * 1024 {
            buffer.clear();
            self.reply_buffer = buffer;
        }
    }

    /// Name of a shard, for messages.
    fn shard_name(&self, shard: usize) -> Rc<str> {
        self.view.shards.get(shard).map_or_else(|| Rc::from("?"), |shard| Rc::clone(&shard.name))
    }
}
