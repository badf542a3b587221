//! Clients come and go.

use std::net::SocketAddr;
use std::sync::Arc;

use super::{Action, Core, Pause, SessionId};
use slotway_common::acl::Login;
use slotway_common::resp::Protocol;

use crate::policy::Policy;
use crate::session::{Closing, Session, Stall};

impl Core {
    /// Takes in a client. `client` is the number that CLIENT ID will tell.
    pub fn open_session(&mut self, client: u64, peer: SocketAddr, local: SocketAddr) -> SessionId {
        let login = Login::new(&self.users);
        let route = self.route(slotway_common::resp::Protocol::Resp2, 0);
        let mut session = Session::new(client, peer, local, login, self.now);
        session.route = route;
        self.counters.connections_accepted.inc();
        self.sessions.insert(session)
    }

    /// Forgets a client whose connection is closed. Replies to it that are on their way will be dropped.
    pub fn close_session(&mut self, id: SessionId) {
        self.end_watch(id);
        self.forget_subscriptions(id);
        self.stop_tracking(id);
        if let Some(session) = self.sessions.remove(id) {
            self.cancel_waits(&session.waits);
            self.total -= session.accounted;
            self.counters.connections_closed.inc();
        }
    }

    /// Closes a client's connection at once.
    pub(crate) fn close_now(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.get_mut(id)
            && session.closing != Closing::Now
        {
            session.closing = Closing::Now;
            self.actions.push(Action::Close(id));
        }
    }

    /// Reads no more requests of a client and closes it when its replies are written.
    pub(crate) fn close_after_replies(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.get_mut(id)
            && session.closing == Closing::No
        {
            session.closing = Closing::AfterReplies;
            session.partial = None;
            self.touch_session(id);
        }
    }

    /// The client sends nothing more: what it has sent is still answered.
    pub fn input_ended(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.get_mut(id) {
            session.ended = true;
            // Nobody is there to be handed what it waits for, and what a pause has held back does not run any more.
            if session.waits.is_empty() && session.stall != Stall::Pause {
                self.close_if_done(id);
            } else {
                self.close_now(id);
            }
        }
    }

    /// Closes a client once the requests that are on their way are answered; those behind them are not begun.
    pub fn close_when_answered(&mut self, id: SessionId) {
        self.close_after_replies(id);
    }

    /// Reads no more requests of a client whose current command is being answered (QUIT).
    pub(crate) fn end_after_this(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.get_mut(id) {
            session.closing = Closing::AfterReplies;
        }
    }

    /// Has a client use another protocol or database from its next command on.
    pub(crate) fn use_route(&mut self, id: SessionId, protocol: Protocol, database: u32) {
        let route = self.route(protocol, database);
        if let Some(session) = self.sessions.get_mut(id) {
            session.protocol = protocol;
            session.database = database;
            session.route = route;
        }
        self.follow_route(id);
    }

    /// Has a client use another database from its next command on.
    pub(crate) fn use_database(&mut self, id: SessionId, database: u32) {
        if let Some(protocol) = self.sessions.get(id).map(|session| session.protocol) {
            self.use_route(id, protocol, database);
        }
    }

    /// A client is not in MONITOR mode any more.
    pub(crate) fn monitor_left(&mut self, id: SessionId) {
        self.actions.push(Action::MonitorLeft(id));
    }

    pub(super) fn close_if_done(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.get_mut(id)
            && (session.closing == Closing::AfterReplies || (session.ended && session.stall == Stall::None))
            && session.places.is_empty()
            && session.unsent().is_empty()
        {
            self.close_now(id);
        }
    }

    /// Takes over settings that concern clients.
    pub fn apply_policy(&mut self, policy: Arc<Policy>) {
        self.policy = policy;
        self.doubt_room();
        self.latency.set_tracking(self.policy.latency_tracking);
        self.slow_log.lock().set_max_len(self.policy.slow_log);
        self.update_serving();
    }

    /// Takes over a topology if it is newer than what this worker knows.
    pub fn apply_topology(&mut self, topology: &slotway_common::topology::Topology) {
        let is_newer = topology.version > self.view.version || self.view.shards.is_empty();
        if !is_newer && !topology.is_of_another_cluster(&self.view.cluster) {
            return;
        }
        let changed = self.view.apply(topology);
        self.detain_strays(None);
        self.move_links(&changed);
        self.follow_moves();
        self.review_subscriptions();
        self.review_tracking();
        self.update_serving();
        self.release_delayed();
    }

    pub(super) fn update_serving(&mut self) {
        let serving = !self.view.shards.is_empty() && self.policy.known && self.users_known;
        if serving != self.serving {
            self.serving = serving;
            self.update_attention();
            self.call_back_all(Stall::Pause);
        }
    }

    /// Whether a topology and settings are here.
    pub fn is_serving(&self) -> bool {
        self.serving
    }

    pub(super) fn update_attention(&mut self) {
        self.attention = self.monitored || self.pause.is_some() || !self.serving;
    }

    /// Tells whether some client of this process is in MONITOR mode.
    pub fn set_monitored(&mut self, monitored: bool) {
        let changed = std::mem::replace(&mut self.monitored, monitored) != monitored;
        self.update_attention();
        if changed {
            self.tell_whether_monitored();
        }
    }

    /// Holds clients back until a time. A pause under way is only ever made longer, and stricter.
    pub fn pause(&mut self, pause: Pause) {
        self.pause = Some(match self.pause {
            Some(current) if current.until > self.now => Pause {
                until: current.until.max(pause.until),
                writes_only: current.writes_only && pause.writes_only,
            },
            _ => pause,
        });
        self.update_attention();
    }

    /// Ends a pause.
    pub fn unpause(&mut self) {
        self.pause = None;
        self.update_attention();
        self.call_back_all(Stall::Pause);
    }

    /// The pause under way.
    pub fn paused(&self) -> Option<Pause> {
        self.pause.filter(|pause| pause.until > self.now)
    }

    /// Ends a pause whose time is over, and closes connections that have not been used for long. To be called about
    /// ten times a second.
    pub fn tick(&mut self) {
        if self.pause.is_some() && self.paused().is_none() {
            self.unpause();
        }
        self.stop_gathering();
        self.review_subscriptions();
        self.review_tracking();
        self.close_idle_links();
        self.close_overdue_sessions();
    }

    /// Closes clients that have been silent for longer than `timeout`, and those that have not read their replies for as
    /// long as `client-output-buffer-limit` allows.
    fn close_overdue_sessions(&mut self) {
        let idle = self.policy.idle_seconds;
        let policy = Arc::clone(&self.policy);
        if idle == 0 && policy.output.soft == 0 && policy.pubsub_output.soft == 0 {
            return;
        }
        let now = self.now;
        let since = |then: u64| now.saturating_sub(then) / 1_000_000;
        let mut overdue = Vec::new();
        for (id, session) in self.sessions.iter_mut() {
            let bounds = session.output_bounds(&policy);
            let listens = session.monitor || session.subscriptions.is_some();
            if idle > 0
                && !listens
                && session.stall != Stall::Pause
                && session.places.is_empty()
                && since(session.last_active) > idle
            {
                overdue.push(id);
            }
            if bounds.soft > 0 && session.output_bytes() as u64 > bounds.soft {
                let began = *session.details.over_soft_limit.get_or_insert(now);
                if since(began) >= bounds.soft_seconds {
                    overdue.push(id);
                }
            } else {
                session.details.over_soft_limit = None;
            }
        }
        for id in overdue {
            self.close_now(id);
        }
    }

    fn call_back_all(&mut self, stall: Stall) {
        for id in self.sessions.ids() {
            if self.sessions.get(id).is_some_and(|session| session.stall == stall) {
                self.call_back(id);
            }
        }
    }
}
