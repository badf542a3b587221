//! Client-side caching: requests of tracked clients are marked, and what shards tell finds the clients.
//!
//! The table of who has read what is the shards'. A client has a number, a request goes with it over the connection that it
//! would go over anyhow, and what a shard has to tell comes back over that connection, behind the reply. Here it only has to
//! stay behind that reply, which may wait for those of other shards. A connection that is lost took with it what its shard knew: the
//! clients that have read over it are told to forget everything.

use slotway_common::command::{Command, Route};
use slotway_common::error::Error;
use slotway_common::fault;
use slotway_common::resp::frame::{Elements, string};
use slotway_common::resp::request::Span;
use slotway_common::resp::{Args, Protocol, request};
use slotway_common::tracking::{Change, Tracking, broken_redirection, invalidation};
use tokio::sync::oneshot;

use super::ticket::Ticket;
use super::{Action, AskError, Core, Flow, Request, SessionId, UpstreamId};
use crate::ids::Seq;
use crate::slab::Id;
use crate::tracking::{Mark, Tracked};
use crate::upstream::{Owner, Purpose, State};

/// A null in each protocol.
const NULL: &[u8] = b"_\r\n";
const NULL_RESP2: &[u8] = b"$-1\r\n";

/// Where an answer of a shard to a registration goes.
type Registered = oneshot::Receiver<Result<Vec<u8>, AskError>>;

impl Core {
    /// As [`Core::dispatch_to`] of a client that is tracked.
    #[cold]
    pub(super) fn dispatch_tracked(
        &mut self,
        id: SessionId,
        command: &'static Command,
        request: &Request<'_>,
    ) -> Flow {
        self.note_request(id, command);
        self.mark = self.mark_of(id, command);
        let flow = match self.mark {
            Some(mark) if command.has_keys() => {
                let mut encoded = Vec::new();
                let frame = match request.frame {
                    Some(frame) => frame,
                    None => {
                        request.args.encode(&mut encoded);
                        &encoded
                    }
                };
                let (frame, moved) = mark.wrap(frame);
                let moved = |(start, length): &Span| (start.saturating_add(moved as u32), *length);
                let spans: Vec<Span> = request.spans.iter().map(moved).collect();
                // The places of an inline request are not those of its frame.
                let whole = request.frame.is_some();
                let marked = Request { args: request.args, spans: &spans, frame: Some(&frame) };
                if whole || command.route == Route::Slot {
                    self.dispatch_to(id, command, &marked)
                } else {
                    self.dispatch_to(id, command, request)
                }
            }
            _ => self.dispatch_to(id, command, request),
        };
        self.mark = None;
        if flow == Flow::Next {
            self.end_caching(id, command);
        }
        flow
    }

    /// Takes note that a client may be about to read something.
    fn note_request(&mut self, id: SessionId, command: &Command) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        let next = session.places.next();
        if let Some(tracked) = &mut session.tracked
            && (command.has_keys() || command.name == "exec")
        {
            (tracked.has_nothing, tracked.last_request) = (false, Some(next));
        }
    }

    /// What is to be said of a client's request.
    fn mark_of(&mut self, id: SessionId, command: &Command) -> Option<Mark> {
        let session = self.sessions.get_mut(id)?;
        let route = session.route;
        let tracked = session.tracked.as_mut()?;
        let tracking = &tracked.tracking;
        let mark = Mark { token: tracked.token, remembers: tracking.remembers(), no_loop: tracking.no_loop };
        let concerns = command.has_keys() || command.name == "exec";
        if !tracking.on || !concerns || !(mark.no_loop || mark.remembers && !command.is_write()) {
            return None;
        }
        if mark.remembers && !tracked.routes.contains(&route) {
            tracked.routes.push(route);
        }
        Some(mark)
    }

    /// CLIENT CACHING is for one command, or for one transaction.
    fn end_caching(&mut self, id: SessionId, command: &Command) {
        if let Some(session) = self.sessions.get_mut(id)
            && session.transaction.is_none()
            && !command.name.starts_with("client")
            && let Some(tracked) = &mut session.tracked
        {
            tracked.tracking.caching = false;
        }
    }

    /// What is in force for a client.
    pub(crate) fn tracking(&self, id: SessionId) -> Tracking {
        let tracked = self.sessions.get(id).and_then(|session| session.tracked.as_ref());
        tracked.map(|tracked| tracked.tracking.clone()).unwrap_or_default()
    }

    /// CLIENT CACHING.
    pub(crate) fn set_caching(&mut self, id: SessionId, args: &Args<'_>) -> Result<(), Error> {
        match self.sessions.get_mut(id).and_then(|session| session.tracked.as_mut()) {
            Some(tracked) => tracked.tracking.set_caching(args),
            None => Tracking::default().set_caching(args),
        }
    }

    /// CLIENT TRACKING; gives the answers of shards that are to be waited for.
    pub(crate) fn change_tracking(&mut self, id: SessionId, change: Change) -> Vec<Registered> {
        let Change::On(tracking) = change else {
            self.stop_tracking(id);
            return Vec::new();
        };
        let token = self.next_token();
        let Some(session) = self.sessions.get_mut(id) else { return Vec::new() };
        let tracked =
            session.tracked.get_or_insert_with(|| Box::new(Tracked { token, ..Tracked::default() }));
        tracked.tracking = tracking;
        (tracked.target, tracked.told) = (Id::NONE, Vec::new());
        session.marks = true;
        self.tracked.insert(tracked.token, id);
        self.register(id)
    }

    /// A client is not tracked any more.
    pub(crate) fn stop_tracking(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        let Some(tracked) = &mut session.tracked else { return };
        session.marks = false;
        tracked.tracking = Tracking::default();
        let (token, mut links) = (tracked.token, std::mem::take(&mut tracked.told));
        let routes = std::mem::take(&mut tracked.routes);
        self.tracked.remove(&token);
        for route in routes {
            let known = self.routes.get(usize::from(route)).map(|route| route.links.clone());
            links.extend(known.unwrap_or_default());
        }
        let mut seen = std::collections::HashSet::new();
        for link in links.into_iter().filter(|link| seen.insert(*link)) {
            if self.upstreams.get(link).is_some_and(|upstream| upstream.state == State::Ready) {
                let frame = registration(token, None);
                let (sender, _) = oneshot::channel();
                self.push_ticket(link, Ticket::Ask(sender), &frame);
            }
        }
    }

    /// Has every shard tell a client, over the connections that it reads over, of its prefixes, or at least of databases that
    /// are emptied.
    fn register(&mut self, id: SessionId) -> Vec<Registered> {
        let mut answers = Vec::new();
        for (link, frame) in self.unregistered(id) {
            let (sender, receiver) = oneshot::channel();
            self.push_ticket(link, Ticket::Ask(sender), &frame);
            answers.push(receiver);
        }
        answers
    }

    /// The same later: what the client has kept until then may be old.
    pub(super) fn register_again(&mut self, id: SessionId) {
        for (link, frame) in self.unregistered(id) {
            self.push_ticket(link, Ticket::Tracking { session: id, link }, &frame);
        }
    }

    /// The connections over which a shard is still to be told of a client's prefixes, with what it is told. They count as
    /// told then.
    fn unregistered(&mut self, id: SessionId) -> Vec<(UpstreamId, Vec<u8>)> {
        let Some(session) = self.sessions.get(id) else { return Vec::new() };
        let route = session.route;
        let shards = || self.view.shards.iter().enumerate().filter(|(_, shard)| !shard.gone);
        let wants = |tracked: &Tracked| tracked.tracking.on && tracked.told.len() < shards().count();
        if !session.tracked.as_deref().is_some_and(wants) {
            return Vec::new();
        }
        let shards: Vec<usize> = shards().map(|(position, _)| position).collect();
        let mut new = Vec::new();
        for shard in shards {
            let link = self.link_of_route(route, shard);
            let is_down = self.upstreams.get(link).is_none_or(|upstream| upstream.state == State::Down);
            let tracked = self.sessions.get_mut(id).and_then(|session| session.tracked.as_mut());
            if let Some(tracked) = tracked
                && !is_down
                && !tracked.told.contains(&link)
            {
                tracked.told.push(link);
                // What comes over it is nothing that was told before.
                tracked.has_nothing = false;
                new.push((link, registration(tracked.token, Some(&tracked.tracking))));
            }
        }
        new
    }

    /// A shard tells a client of its prefixes from now on.
    pub(super) fn registered(&mut self, id: SessionId, link: UpstreamId, reply: Result<Vec<u8>, AskError>) {
        if reply.is_ok() && self.tracking(id).broadcast {
            self.tell_tracked(id, link, NULL, None);
        }
    }

    /// A client's requests go over other connections from now on.
    pub(super) fn follow_route(&mut self, id: SessionId) {
        let tracked = self.sessions.get(id).and_then(|session| session.tracked.as_ref());
        if tracked.is_some_and(|tracked| tracked.tracking.on) {
            if let Some(tracked) = self.sessions.get_mut(id).and_then(|session| session.tracked.as_mut()) {
                tracked.told.clear();
            }
            // A shard tells over the last connection that it heard of; none is left in between.
            for (link, frame) in self.unregistered(id) {
                let (sender, _) = oneshot::channel();
                self.push_ticket(link, Ticket::Ask(sender), &frame);
            }
        }
    }

    /// Tells shards of prefixes that they do not know of. To be called from time to time.
    pub(super) fn review_tracking(&mut self) {
        if self.tracked.is_empty() {
            return;
        }
        let all: Vec<SessionId> = self.tracked.values().copied().collect();
        all.into_iter().for_each(|id| self.register_again(id));
    }

    /// A connection broke, or is closed: what its shard has to tell over it will not come.
    pub(super) fn tracking_lost(&mut self, link: UpstreamId) {
        if self.tracked.is_empty() {
            return;
        }
        let Some(upstream) = self.upstreams.get(link) else { return };
        if upstream.purpose != Purpose::Requests {
            return;
        }
        let (protocol, database) = (upstream.protocol, upstream.database);
        let route = self.route(protocol, database);
        let all: Vec<SessionId> = self.tracked.values().copied().collect();
        for id in all {
            let Some(session) = self.sessions.get_mut(id) else { continue };
            let Some(tracked) = &mut session.tracked else { continue };
            let was_told = tracked.told.contains(&link);
            tracked.told.retain(|told| *told != link);
            if was_told || tracked.routes.contains(&route) {
                self.tell_tracked(id, link, NULL, None);
            }
        }
    }

    /// Whether clients have read over the connections of a protocol and a database, which then must stay.
    pub(super) fn is_tracked_over(&self, protocol: Protocol, database: u32) -> bool {
        if self.tracked.is_empty() {
            return false;
        }
        let is = |route: &super::Route| {
            route.protocol == protocol && route.database == database && route.purpose == Purpose::Requests
        };
        let Some(route) = self.routes.iter().position(is) else { return false };
        let tracked = |id: &SessionId| self.sessions.get(*id).and_then(|session| session.tracked.as_ref());
        self.tracked.values().filter_map(tracked).any(|tracked| {
            tracked.routes.iter().any(|used| usize::from(*used) == route) || tracked.tracking.on
        })
    }

    /// The client, and its place, that the next reply of a connection is for.
    pub(super) fn place_of_front(&self, link: UpstreamId) -> Option<(SessionId, Seq)> {
        let session = match self.upstreams.get(link)?.front()?.owner {
            Owner::Client { session, seq } | Owner::Part { session, seq, .. } => return Some((session, seq)),
            Owner::Ticket(ticket) => self.client_of(ticket)?,
        };
        // A job has the only place of its client.
        Some((session, self.sessions.get(session)?.places.first()))
    }

    /// Takes what a shard tells a client: the number of the client, and the keys, or a null for all. `own` is where the
    /// reply will stand of the command that this is about.
    #[cold]
    pub(super) fn invalidated(&mut self, link: UpstreamId, push: &[u8], own: Option<(SessionId, Seq)>) {
        let Some(mut elements) = Elements::open(push) else { return };
        let token = elements.nth(1).and_then(string).and_then(|text| std::str::from_utf8(text).ok());
        let (Some(token), Some(keys)) = (token.and_then(|text| text.parse().ok()), elements.next()) else {
            return;
        };
        if let Some(id) = self.tracked.get(&token).copied() {
            let place = own.filter(|(session, _)| *session == id).map(|(_, seq)| seq);
            self.tell_tracked(id, link, keys, place);
        }
    }

    /// Tells a client what to forget, or the one that is told instead: behind the reply of place `seq` if it is to stand there.
    fn tell_tracked(&mut self, id: SessionId, link: UpstreamId, keys: &[u8], seq: Option<Seq>) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        let Some(tracked) = &mut session.tracked else { return };
        if !tracked.tracking.on {
            return;
        }
        let all = keys == NULL;
        if all {
            // The other shards say the same of one FLUSHALL; what a shard says twice is of two.
            if tracked.has_nothing && !tracked.emptied.contains(&link) {
                return tracked.emptied.push(link);
            }
            tracked.has_nothing = !tracked.last_request.is_some_and(|seq| session.places.is_open(seq));
            tracked.emptied = vec![link];
        }
        let keys = if all && session.protocol == Protocol::Resp2 { NULL_RESP2 } else { keys };
        if let Some(to) = tracked.tracking.redirect {
            let (token, target) = (tracked.token, tracked.target);
            self.tell_instead(token, target, to, keys);
            return;
        }
        let Some(push) = invalidation(session.protocol, false, false, keys) else { return };
        if fault::planted("invalidation-overtakes-reply") {
            session.places.push_as_it_is(&push, &mut session.out);
        } else {
            session.places.push_behind(&push, seq, all, &mut session.out);
        }
        self.counters.invalidations.inc();
        self.delivered(id);
    }

    /// Tells the client of this number what another one is to forget.
    fn tell_instead(&mut self, token: u64, known: SessionId, to: u64, keys: &[u8]) {
        let is_it = |session: &crate::session::Session| session.client == to;
        let target = match self.sessions.get(known) {
            Some(session) if is_it(session) => Some(known),
            _ => self.sessions.iter().find(|(_, session)| is_it(session)).map(|(id, _)| id),
        };
        let Some(target) = target else {
            self.actions.push(Action::Redirect { token, to, keys: keys.to_vec() });
            return;
        };
        let by_token = self.tracked.get(&token).copied();
        let tracked =
            by_token.and_then(|id| self.sessions.get_mut(id)).and_then(|session| session.tracked.as_mut());
        if let Some(tracked) = tracked {
            tracked.target = target;
        }
        self.tell_redirected(target, keys);
    }

    /// Tells a client what another one is to forget.
    fn tell_redirected(&mut self, target: SessionId, keys: &[u8]) {
        let Some(session) = self.sessions.get(target) else { return };
        let subscribed = session.subscriptions.is_some();
        if let Some(push) = invalidation(session.protocol, true, subscribed, keys) {
            self.counters.invalidations.inc();
            self.push_to(target, &push);
        }
    }

    /// The same for a client of another worker; false if it is none of this one.
    pub(crate) fn take_redirected(&mut self, to: u64, keys: &[u8]) -> bool {
        let target = self.sessions.iter().find(|(_, session)| session.client == to).map(|(id, _)| id);
        if let Some(target) = target {
            self.tell_redirected(target, keys);
        }
        target.is_some()
    }

    /// Nobody is there to be told in the place of a client.
    pub(crate) fn redirection_broken(&mut self, token: u64, to: u64) {
        let Some(id) = self.tracked.get(&token).copied() else { return };
        let Some(session) = self.sessions.get_mut(id) else { return };
        let Some(tracked) = &mut session.tracked else { return };
        tracked.tracking.broken = true;
        if session.protocol == Protocol::Resp3 {
            self.push_to(id, &broken_redirection(to));
        }
    }

    /// Clients that are tracked.
    pub(crate) fn tracked_clients(&self) -> usize {
        self.tracked.len()
    }
}

/// What tells a shard of which prefixes a client is to hear, or that it hears of nothing any more.
fn registration(token: u64, tracking: Option<&Tracking>) -> Vec<u8> {
    let mut digits = itoa::Buffer::new();
    let mut words: Vec<&[u8]> = vec![b"SLOTWAY-TRACKING", digits.format(token).as_bytes()];
    if let Some(tracking) = tracking {
        words.push(if tracking.no_loop { b"NOLOOP" } else { b"LOOP" });
        words.extend(tracking.prefixes.iter().map(|prefix| &**prefix));
    }
    let mut frame = Vec::new();
    request::encode(words.into_iter(), &mut frame);
    frame
}
