//! Connections to shards: one for each shard, protocol and database that a client of this worker uses.

use std::rc::Rc;

use slotway_common::error::Error;
use slotway_common::resp::Protocol;

use super::errors::error_line;
use super::route::Route;
use super::{Action, AskError, Core, SessionId, UpstreamId};
use crate::counters::Source;
use crate::slab::Id;
use crate::upstream::{Entry, Owner, Purpose, State, Upstream};

/// Connections that are not used for so long are closed, in microseconds. Those of RESP2 and database 0 stay.
const IDLE_US: u64 = 60_000_000;

impl Core {
    /// Position of the connections for a protocol and a database.
    pub(crate) fn route(&mut self, protocol: Protocol, database: u32) -> u16 {
        self.route_for(protocol, database, Purpose::Requests)
    }

    /// The same for connections that serve another purpose.
    pub(super) fn route_for(&mut self, protocol: Protocol, database: u32, purpose: Purpose) -> u16 {
        let known = self.routes.iter().position(|route| {
            route.protocol == protocol && route.database == database && route.purpose == purpose
        });
        let position = known.unwrap_or_else(|| {
            self.routes.push(Route { protocol, database, purpose, links: Vec::new() });
            self.routes.len() - 1
        });
        position as u16
    }

    /// The connection of a client's route to a shard, made if there is none.
    #[cold]
    pub(super) fn link(&mut self, session: SessionId, shard: usize) -> UpstreamId {
        let route = self.sessions.get(session).map_or(0, |session| session.route);
        self.link_of_route(route, shard)
    }

    pub(super) fn link_of_route(&mut self, route: u16, shard: usize) -> UpstreamId {
        let Some(links) = self.routes.get_mut(usize::from(route)) else { return Id::NONE };
        if let Some(link) = links.links.get(shard)
            && self.upstreams.get(*link).is_some()
        {
            return *link;
        }
        let down = self.view.shards.get(shard).is_none_or(|shard| shard.down.is_some());
        let state = if down { State::Down } else { State::Opening };
        let mut upstream = Upstream::new(shard, links.protocol, links.database, state);
        upstream.purpose = links.purpose;
        let upstream = self.upstreams.insert(upstream);
        if links.links.len() <= shard {
            links.links.resize(shard + 1, Id::NONE);
        }
        links.links[shard] = upstream;
        self.actions.push(Action::Connect(upstream));
        upstream
    }

    /// Opens the connections that nearly every client needs, so that the first request finds them.
    pub fn warm_up(&mut self) {
        let route = self.route(Protocol::Resp2, 0);
        for shard in 0..self.view.shards.len() {
            if !self.view.shards[shard].gone {
                self.link_of_route(route, shard);
            }
        }
    }

    /// Where an upstream connects to: the node's id, its address, and the connection's protocol and database. `None`
    /// once the connection is not needed any more.
    pub fn upstream_target(&self, id: UpstreamId) -> Option<(String, Rc<str>, Protocol, u32)> {
        let upstream = self.upstreams.get(id)?;
        let shard = self.view.shards.get(upstream.shard)?;
        Some((shard.node.clone(), Rc::clone(&shard.address), upstream.protocol, upstream.database))
    }

    /// The connection is open: what has been waiting goes out at the end of the turn.
    pub fn upstream_opened(&mut self, id: UpstreamId) {
        let Some(upstream) = self.upstreams.get_mut(id) else { return };
        upstream.state = State::Ready;
        upstream.full = false;
        upstream.used = self.now;
        let shard = upstream.shard;
        self.counters.upstream_connects.inc();
        if let Some(shard) = self.view.shards.get_mut(shard) {
            shard.down = None;
        }
        self.doubt_room();
        if self.monitored {
            self.tell_that_monitored(id);
        }
        self.subscriptions_opened(id);
        self.review_tracking();
        self.touch_upstream(id);
    }

    /// The connection could not be opened: what waits fails, and so does what comes until it can be.
    pub fn upstream_failed(&mut self, id: UpstreamId, reason: &str) {
        self.counters.upstream_connect_failures.inc();
        self.subscriptions_lost(id);
        self.tracking_lost(id);
        let Some(upstream) = self.upstreams.get_mut(id) else { return };
        upstream.state = State::Down;
        let shard = upstream.shard;
        if let Some(shard) = self.view.shards.get_mut(shard) {
            shard.down = Some(Rc::from(reason));
        }
        self.fail_queued(id);
    }

    /// The connection broke. Requests that were written get an error that says so, the others wait for the next
    /// attempt, which the driver makes at once.
    pub fn upstream_lost(&mut self, id: UpstreamId, reason: &str) {
        self.counters.upstream_connections_lost.inc();
        self.subscriptions_lost(id);
        let Some(upstream) = self.upstreams.get_mut(id) else { return };
        upstream.state = State::Opening;
        let begun = upstream.begun;
        let shard = upstream.shard;
        let lost = upstream.reset();
        self.lose_waits(id);
        self.tracking_lost(id);
        let name = self.shard_name(shard);
        let may_have_run = error_line(&Error::err(format!(
            "the connection to shard '{name}' broke before its reply ({reason}): the command may have been executed"
        )));
        let read = error_line(&Error::ClusterDown(
            format!("the connection to shard '{name}' broke before its reply ({reason})").into(),
        ));
        for (index, entry) in lost.iter().enumerate() {
            let line = if entry.writes { &may_have_run } else { &read };
            self.fail_entry(entry, line, entry.writes, begun && index == 0, AskError::Lost);
        }
        for entry in self.lose_later(id) {
            let line = if entry.writes { &may_have_run } else { &read };
            self.fail_entry(&entry, line, entry.writes, false, AskError::Lost);
        }
        self.room_again(id);
    }

    fn fail_queued(&mut self, id: UpstreamId) {
        let Some(upstream) = self.upstreams.get_mut(id) else { return };
        let shard = upstream.shard;
        let entries = upstream.drain();
        let line = error_line(&self.down_error(shard));
        for entry in &entries {
            self.fail_entry(entry, &line, false, false, AskError::Down);
        }
        self.room_again(id);
    }

    /// Answers for a request that will get no reply from its shard. `unknown`: it may have been executed. `begun`: part
    /// of its reply was passed on.
    pub(super) fn fail_entry(
        &mut self,
        entry: &Entry,
        line: &[u8],
        unknown: bool,
        begun: bool,
        why: AskError,
    ) {
        self.counters.error(Source::Internal);
        self.count_lost(entry, line);
        match entry.owner {
            Owner::Client { session: id, seq } => {
                let Some(session) = self.sessions.get_mut(id) else { return };
                let answered = session.places.fail(seq, begun, line, &mut session.out);
                if !answered {
                    self.close_now(id);
                }
                self.delivered(id);
            }
            Owner::Part { session: id, seq, part } => {
                let Some(session) = self.sessions.get_mut(id) else { return };
                session.places.fail_part(seq, part, line, unknown, &mut session.out);
                self.delivered(id);
            }
            // Where it was asked in the name of a client, the line is what that one is told.
            Owner::Ticket(ticket) if entry.is_refusable() && why == AskError::Down => {
                self.settle_ticket(ticket, Ok(line.to_vec()));
            }
            Owner::Ticket(ticket) => self.settle_ticket(ticket, Err(why)),
        }
    }

    /// Has the clients that wait for room in an upstream's buffer go on.
    pub(super) fn room_again(&mut self, id: UpstreamId) {
        let Some(upstream) = self.upstreams.get_mut(id) else { return };
        for waiting in std::mem::take(&mut upstream.waiting) {
            self.call_back(waiting);
        }
    }

    /// Closes the connections of shards that are served elsewhere now. What was on its way is lost with them.
    pub(super) fn move_links(&mut self, changed: &[usize]) {
        for id in self.upstreams.ids() {
            let Some(upstream) = self.upstreams.get(id) else { continue };
            let gone = self.view.shards.get(upstream.shard).is_none_or(|shard| shard.gone);
            if changed.contains(&upstream.shard) || gone {
                self.drop_link(id);
            }
        }
        for shard in changed {
            if let Some(shard) = self.view.shards.get_mut(*shard) {
                shard.down = None;
            }
        }
        self.warm_up();
    }

    pub(super) fn close_idle_links(&mut self) {
        for id in self.upstreams.ids() {
            let Some(upstream) = self.upstreams.get(id) else { continue };
            let extra = upstream.database != 0 || upstream.protocol != Protocol::Resp2;
            let listens =
                upstream.purpose == Purpose::Subscriptions && self.topics.told_to(upstream.shard) > 0;
            if extra
                && !listens
                && upstream.in_flight() == 0
                && !self.awaits_later(id)
                && self.now.saturating_sub(upstream.used) > IDLE_US
                && !self.is_tracked_over(upstream.protocol, upstream.database)
            {
                self.drop_link(id);
            }
        }
    }

    fn drop_link(&mut self, id: UpstreamId) {
        self.upstream_lost(id, "it is no longer needed");
        self.fail_queued(id);
        self.upstreams.remove(id);
        self.actions.push(Action::Disconnect(id));
    }

    /// Number of connections, and bytes held for them.
    pub fn upstream_usage(&self) -> (usize, usize) {
        let ready = self.upstreams.iter().filter(|(_, upstream)| upstream.state == State::Ready).count();
        (ready, self.upstreams.iter().map(|(_, upstream)| upstream.bytes()).sum())
    }
}
