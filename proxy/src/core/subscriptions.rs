//! Clients subscribe, shards are told, and messages find their clients.
//!
//! Subscriptions go over one connection a shard that carries nothing else but the PUBLISH of clients that have
//! subscriptions themselves, so that they get their own messages before the reply. What is told to a shard is a number, how
//! many clients listen, so telling it again does no harm: after a connection broke everything is told again, and after a
//! slot has moved its channels are told to the new owner.

use std::rc::Rc;

use std::time::Duration;

use slotway_common::command::Command;
use slotway_common::error::Error;
use slotway_common::pubsub::{Kind, Subscriptions, is_everywhere, subscription};
use slotway_common::resp::frame::{Elements, string};
use slotway_common::resp::{Args, Protocol};
use slotway_common::slot::slot_of;
use tokio::sync::oneshot;

use super::detention::Refusal;
use super::errors::unowned;
use super::ticket::Ticket;
use super::told::{Asker, Change, Told, Why};
use super::{AskError, Core, Flow, Job, Request, SessionId, UpstreamId};
use crate::pubsub::{Draining, Share, Topic};
use crate::session::{Closing, Stall};
use crate::slab::Id;
use crate::tracking::quiet;
use crate::upstream::{Entry, Owner, Purpose, State};

/// Refusals after which a subscription waits for news of the topology.
const MOST_REFUSALS: u8 = 3;
/// Refusals, about ten a second, for which a client waits.
const GIVE_UP: u8 = 100;

impl Core {
    /// SUBSCRIBE, UNSUBSCRIBE and those of patterns and shard channels.
    pub(crate) fn subscribe(
        &mut self,
        id: SessionId,
        command: &'static Command,
        request: &Request<'_>,
    ) -> Flow {
        let Some(session) = self.sessions.get_mut(id) else { return Flow::Next };
        if !session.places.is_empty() {
            return Flow::Wait(Stall::Replies);
        }
        if let Some(link) = self.full_subscription_link() {
            return self.wait_for_room(id, link);
        }
        self.counters.requests.at(command.group as usize).inc();
        match self.change_subscriptions(id, command, &request.args.rest(1)) {
            Err(error) => self.fail(id, command, &request.args, &error),
            Ok((reply, told)) => {
                self.ran(id, command, &request.args, Duration::ZERO, b"");
                let begins = subscription(command).is_some_and(|(_, begins)| begins);
                let Some(session) = self.sessions.get_mut(id) else { return Flow::Next };
                // CLIENT REPLY does not concern confirmations.
                session.mute_next();
                if told.is_empty() {
                    self.push_to(id, &reply);
                    return Flow::Next;
                }
                let seq = session.places.open(false);
                session.busy = true;
                session.in_flight_route = session.route;
                if begins {
                    session.places.hold_pushes();
                }
                self.begin_change(reply, told, Asker::Client { session: id, seq });
                self.account(id);
            }
        }
        Flow::Next
    }

    /// The same within EXEC: gives where the confirmations will be.
    pub(crate) fn subscribe_for_job(
        &mut self,
        id: SessionId,
        command: &'static Command,
        args: &Args<'_>,
    ) -> Result<oneshot::Receiver<Vec<u8>>, Error> {
        let (reply, told) = self.change_subscriptions(id, command, &args.rest(1))?;
        let (sender, receiver) = oneshot::channel();
        if let Some(session) = self.sessions.get_mut(id) {
            session.places.hold_pushes();
        }
        self.begin_change(reply, told, Asker::Job(sender));
        Ok(receiver)
    }

    /// Has a client want, or not want, names; gives the confirmations and what shards are to be told.
    fn change_subscriptions(
        &mut self,
        id: SessionId,
        command: &'static Command,
        names: &Args<'_>,
    ) -> Result<(Vec<u8>, Vec<Told>), Error> {
        let (kind, begins) = subscription(command).ok_or(Error::Syntax)?;
        if begins {
            self.check_shards(kind, names)?;
        }
        let Some(session) = self.sessions.get_mut(id) else { return Ok((Vec::new(), Vec::new())) };
        let protocol = session.protocol;
        let mut mine = session.subscriptions.take().unwrap_or_default();
        let mut reply = Vec::new();
        let changed = mine.change(kind, begins, names.iter(), protocol, &mut reply);
        session.subscriptions = (!mine.is_empty()).then_some(mine);
        for name in &changed {
            if begins {
                self.topics.want(kind, name);
                self.settle_home(kind, name);
            } else {
                self.topics.unwant(kind, name);
            }
        }
        let why = if begins { Why::Joins(id) } else { Why::Leaves(id) };
        let shards = self.live_shards();
        let shares = self.topics.shares(kind, changed, &shards);
        let told = shares.into_iter().map(|share| Told { share, why, change: None, refusals: 0 });
        Ok((reply, told.collect()))
    }

    /// A channel that is told to nobody yet is told to its owner.
    fn settle_home(&mut self, kind: Kind, name: &[u8]) {
        let has_none = |topic: &mut Topic| topic.home.is_none();
        if !is_everywhere(kind, name) && self.topics.get_mut(kind, name).is_some_and(has_none) {
            let owner = self.view.owner(slot_of(name));
            self.topics.set_home(kind, name, owner);
        }
    }

    /// Checks that every shard that is to be told can be: what one cannot take note of is not subscribed to.
    fn check_shards(&mut self, kind: Kind, names: &Args<'_>) -> Result<(), Error> {
        let mut shards = Vec::new();
        if names.iter().any(|name| is_everywhere(kind, name)) {
            shards = self.live_shards();
        }
        for name in names.iter().filter(|name| !is_everywhere(kind, name)) {
            let slot = slot_of(name);
            let owner = self.view.owner(slot).ok_or_else(|| unowned(slot))?;
            if !shards.contains(&owner) {
                shards.push(owner);
            }
        }
        for shard in shards {
            let link = self.subscription_link(shard);
            if self.upstreams.get(link).is_none_or(|upstream| upstream.state == State::Down) {
                return Err(self.down_error(shard));
            }
            self.remember_told(shard, link);
        }
        Ok(())
    }

    fn live_shards(&self) -> Vec<usize> {
        let shards = self.view.shards.iter().enumerate();
        shards.filter(|(_, shard)| !shard.gone).map(|(position, _)| position).collect()
    }

    /// The connection to a shard for subscriptions.
    fn subscription_link(&mut self, shard: usize) -> UpstreamId {
        let route = self.route_for(Protocol::Resp3, 0, Purpose::Subscriptions);
        self.link_of_route(route, shard)
    }

    /// A connection for subscriptions that has no room.
    fn full_subscription_link(&self) -> Option<UpstreamId> {
        let full = |upstream: &crate::upstream::Upstream| {
            upstream.purpose == Purpose::Subscriptions && upstream.bytes() > self.budgets.upstream
        };
        self.upstreams.iter().find(|(_, upstream)| full(upstream)).map(|(id, _)| id)
    }

    fn begin_change(&mut self, reply: Vec<u8>, told: Vec<Told>, asker: Asker) {
        // A pattern is told to every shard, in shares of the same names.
        let leaving = told.iter().fold(None, |all, told| {
            let Why::Leaves(id) = told.why else { return all };
            let kind = told.share.kind;
            let everywhere = told.share.names.iter().filter(|name| is_everywhere(kind, name));
            let (_, mut names): (_, Vec<(Kind, Rc<[u8]>)>) = all.unwrap_or((id, Vec::new()));
            names.extend(everywhere.map(|name| (kind, name.clone())));
            Some((id, names))
        });
        let change = self.changes.insert(Change { open: told.len() + 1, reply, asker, leaving });
        for told in told {
            self.tell(Told { change: Some(change), ..told });
        }
        self.answered_one(Some(change));
    }

    /// Tells a shard how many clients listen to some names.
    fn tell(&mut self, told: Told) {
        let shard = told.share.shard;
        let link = self.subscription_link(shard);
        if self.upstreams.get(link).is_none_or(|upstream| upstream.state == State::Down) {
            self.told(told, Err(AskError::Down));
            return;
        }
        let is_told_all = self.remember_told(shard, link);
        if is_told_all && told.why == Why::Again {
            self.knows(told);
            return;
        }
        let frame = self.topics.request(&told.share, told.why == Why::Moved);
        self.push_ticket(link, Ticket::Told(Box::new(told)), &frame);
    }

    /// Has a shard that knows nothing over this connection told everything. False if it does.
    fn remember_told(&mut self, shard: usize, link: UpstreamId) -> bool {
        if self.told_all.len() <= shard {
            self.told_all.resize(shard + 1, Id::NONE);
        }
        if self.told_all[shard] == link {
            return false;
        }
        self.told_all[shard] = link;
        for share in self.topics.all_of(shard) {
            self.tell(Told { share, why: Why::Again, change: None, refusals: 0 });
        }
        true
    }

    /// Takes a shard's answer to what it was told.
    pub(super) fn told(&mut self, told: Told, reply: Result<Vec<u8>, AskError>) {
        match reply {
            Ok(line) if line.first() == Some(&b'-') => self.told_in_vain(told, &line),
            Ok(_) => self.knows(told),
            Err(_) => {
                // It is told everything when it can be reached again.
                self.forget_told(told.share.shard);
                self.knows(told);
            }
        }
    }

    /// A shard's connection is not what it was told over any more.
    fn forget_told(&mut self, shard: usize) {
        if let Some(link) = self.told_all.get_mut(shard).filter(|link| **link != Id::NONE) {
            *link = Id::NONE;
            let names = self.topics.told_to(shard);
            if names > 0 {
                self.counters.subscription_gaps.add(names as u64);
                let name = self.shard_name(shard);
                tracing::warn!(
                    shard = %name, names,
                    "subscriptions are made again: messages in between are lost"
                );
            }
        }
    }

    /// The connection for subscriptions broke.
    pub(super) fn subscriptions_lost(&mut self, link: UpstreamId) {
        if let Some(upstream) = self.upstreams.get(link)
            && upstream.purpose == Purpose::Subscriptions
            && self.told_all.get(upstream.shard) == Some(&link)
        {
            let shard = upstream.shard;
            self.forget_told(shard);
        }
    }

    /// A connection for subscriptions is open: its shard is told all, unless that is on its way.
    pub(super) fn subscriptions_opened(&mut self, link: UpstreamId) {
        if let Some(upstream) = self.upstreams.get(link)
            && upstream.purpose == Purpose::Subscriptions
        {
            let shard = upstream.shard;
            self.remember_told(shard, link);
        }
    }

    /// A shard knows what it was told.
    fn knows(&mut self, told: Told) {
        let kind = told.share.kind;
        for name in &told.share.names {
            match told.why {
                Why::Joins(id) => {
                    let wants = self.sessions.get(id).and_then(|session| session.subscriptions.as_ref());
                    if wants.is_some_and(|wants| wants.names(kind).contains(name)) {
                        self.topics.add_listener(kind, name, id);
                    }
                }
                // What every shard is told ends when all of them know.
                Why::Leaves(id) if !is_everywhere(kind, name) => self.topics.remove_listener(kind, name, id),
                Why::Leaves(_) | Why::Again => {}
                Why::Moved => self.drained(kind, name, told.share.shard),
            }
        }
        self.answered_one(told.change);
    }

    /// With the last answer the client gets its confirmations.
    fn answered_one(&mut self, change: Option<Id>) {
        let Some((id, open)) = change.and_then(|id| Some((id, self.changes.get_mut(id)?))) else { return };
        open.open -= 1;
        if open.open > 0 {
            return;
        }
        let Some(Change { reply, asker, leaving, .. }) = self.changes.remove(id) else { return };
        if let Some((session, names)) = leaving {
            for (kind, name) in &names {
                self.topics.remove_listener(*kind, name, session);
            }
        }
        match asker {
            Asker::Client { session, seq } => self.finish(session, seq, &reply),
            Asker::Job(sender) => {
                let _ = sender.send(reply);
            }
        }
    }

    /// A shard does not take note: the names are another's, or it does not serve yet.
    #[cold]
    fn told_in_vain(&mut self, mut told: Told, line: &[u8]) {
        told.refusals = told.refusals.saturating_add(1);
        let shard = told.share.shard;
        if let Some(Refusal::Moved { slot, address }) = Refusal::parse(line) {
            self.learn_owner(slot, &address);
            let owner = self.view.owner(slot);
            if owner.is_some_and(|owner| owner != shard) && told.refusals <= MOST_REFUSALS {
                self.tell_again(told);
                return;
            }
        }
        if told.refusals > GIVE_UP && told.change.is_some() {
            // Its client has waited long enough; the shard is told all the same as soon as it can be.
            let share = Share { shard, kind: told.share.kind, names: told.share.names.clone() };
            self.counters.subscription_gaps.add(share.names.len() as u64);
            self.knows(told);
            self.untold.push(Told { share, why: Why::Again, change: None, refusals: 0 });
        } else {
            self.untold.push(told);
        }
    }

    /// Tells what was told in vain to those whom it concerns now.
    fn tell_again(&mut self, told: Told) {
        let Told { share: Share { shard, kind, names }, why, change, refusals } = told;
        let gone = self.view.shards.get(shard).is_none_or(|shard| shard.gone);
        let shards: &[usize] = if gone { &[] } else { &[shard] };
        names.iter().for_each(|name| self.settle_home(kind, name));
        let shares = self.topics.shares(kind, names, shards);
        if let Some(change) = change.and_then(|change| self.changes.get_mut(change)) {
            change.open += shares.len();
        }
        for share in shares {
            self.tell(Told { share, why, change, refusals });
        }
        self.answered_one(change);
    }

    /// Tries once more what was told in vain, and has every shard know what it should. To be called when the topology is
    /// news, and from time to time.
    pub(super) fn review_subscriptions(&mut self) {
        if self.topics.len() == 0 && self.untold.is_empty() {
            return;
        }
        for told in std::mem::take(&mut self.untold) {
            self.tell_again(told);
        }
        for shard in self.live_shards() {
            if self.topics.told_to(shard) > 0
                && self.told_all.get(shard).is_none_or(|link| self.upstreams.get(*link).is_none())
            {
                let link = self.subscription_link(shard);
                if self.upstreams.get(link).is_some_and(|upstream| upstream.state == State::Ready) {
                    self.remember_told(shard, link);
                }
            }
        }
    }

    /// Tells new owners of channels whose slot has moved. Messages of the new owner wait until the old one, which is told
    /// too, has sent all.
    pub(super) fn follow_moves(&mut self) {
        let moved = self.topics.moved(|slot| self.view.owner(slot));
        if moved.is_empty() {
            return;
        }
        self.counters.subscription_gaps.add(moved.len() as u64);
        tracing::info!(channels = moved.len(), "subscriptions follow their slots to another shard");
        for kind in [Kind::Channel, Kind::Shard] {
            let mut left: Vec<Share> = Vec::new();
            let mut names = Vec::new();
            for (_, name, old, new) in moved.iter().filter(|(of, ..)| *of == kind) {
                let drains = self.told_all.get(*old).is_some_and(|link| self.upstreams.get(*link).is_some());
                self.topics.set_home(kind, name, Some(*new));
                if let Some(topic) = self.topics.get_mut(kind, name) {
                    topic.draining = drains.then(|| Box::new(Draining::new(*old)));
                }
                names.push(name.clone());
                match left.iter_mut().find(|share| share.shard == *old) {
                    _ if !drains => {}
                    Some(share) => share.names.push(name.clone()),
                    None => left.push(Share { shard: *old, kind, names: vec![name.clone()] }),
                }
            }
            for share in left {
                self.tell(Told { share, why: Why::Moved, change: None, refusals: 0 });
            }
            for share in self.topics.shares(kind, names, &[]) {
                self.tell(Told { share, why: Why::Again, change: None, refusals: 0 });
            }
        }
    }

    /// The old owner of a channel has sent all that it will.
    fn drained(&mut self, kind: Kind, name: &[u8], from: usize) {
        let Some(topic) = self.topics.get_mut(kind, name) else { return };
        if topic.draining.as_ref().is_some_and(|draining| draining.from == from) {
            let waiting = topic.draining.take().map(|draining| draining.waiting).unwrap_or_default();
            for message in waiting {
                self.deliver(kind, name, &message);
            }
        }
    }

    /// Takes a message that a shard sent.
    pub(super) fn message(&mut self, link: UpstreamId, kind: Kind, message: &[u8]) {
        let Some(shard) = self.upstreams.get(link).map(|upstream| upstream.shard) else { return };
        let name = Elements::open(message).and_then(|mut elements| elements.nth(1)).and_then(string);
        let Some(name) = name else { return };
        let Some(topic) = self.topics.get_mut(kind, name) else { return };
        if let Some(draining) = topic.draining.as_mut().filter(|draining| draining.from != shard) {
            if !draining.hold(message) {
                let from = draining.from;
                self.drained(kind, name, from);
            }
            return;
        }
        self.deliver(kind, name, message);
    }

    /// Gives a message to all clients that listen.
    fn deliver(&mut self, kind: Kind, name: &[u8], message: &[u8]) {
        let Some(topic) = self.topics.get_mut(kind, name) else { return };
        let listeners = std::mem::take(&mut topic.listeners);
        for id in &listeners {
            let Some(session) = self.sessions.get_mut(*id) else { continue };
            if session.closing == Closing::No {
                session.places.push(session.protocol, message, &mut session.out);
                self.delivered(*id);
            }
        }
        self.counters.messages_delivered.add(listeners.len() as u64);
        if let Some(topic) = self.topics.get_mut(kind, name) {
            topic.listeners = listeners;
        }
    }

    /// Ends all subscriptions of a client, without telling it.
    pub(crate) fn forget_subscriptions(&mut self, id: SessionId) {
        let mine = self.sessions.get_mut(id).and_then(|session| session.subscriptions.take());
        if let Some(mine) = mine {
            for told in self.end_subscriptions(id, &mine) {
                self.tell(told);
            }
        }
    }

    /// The same for RESET, whose reply comes when all shards know.
    pub(crate) fn reset_subscriptions(&mut self, id: SessionId, reply: Vec<u8>) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        let mine = session.subscriptions.take().unwrap_or_default();
        let muted = session.mute_next();
        let seq = session.places.open(muted);
        session.busy = true;
        session.in_flight_route = session.route;
        let told = self.end_subscriptions(id, &mine);
        self.begin_change(reply, told, Asker::Client { session: id, seq });
        self.account(id);
    }

    /// A client has these subscriptions no more; gives what shards are to be told.
    fn end_subscriptions(&mut self, id: SessionId, mine: &Subscriptions) -> Vec<Told> {
        let shards = self.live_shards();
        let mut all = Vec::new();
        for kind in Kind::ALL {
            let names: Vec<Rc<[u8]>> = mine.names(kind).iter().cloned().collect();
            names.iter().for_each(|name| self.topics.unwant(kind, name));
            let shares = self.topics.shares(kind, names.iter().cloned(), &shards);
            for share in shares {
                let known = self.told_all.get(share.shard).is_some_and(|link| *link != Id::NONE);
                if known {
                    all.push(Told { share, why: Why::Again, change: None, refusals: 0 });
                }
            }
            names.iter().for_each(|name| self.topics.remove_listener(kind, name, id));
        }
        all
    }

    /// PUBLISH and SPUBLISH go to the shard of their channel.
    pub(crate) fn publish_message(
        &mut self,
        id: SessionId,
        command: &'static Command,
        request: &Request<'_>,
    ) -> Flow {
        let slot = slot_of(request.args.at(1));
        let Some(owner) = self.view.owner(slot) else {
            self.reply_unowned(id, slot);
            return Flow::Next;
        };
        let Some(session) = self.sessions.get(id) else { return Flow::Next };
        let route = match session.subscriptions {
            Some(_) => self.route_for(Protocol::Resp3, 0, Purpose::Subscriptions),
            None => session.route,
        };
        self.forward_over(id, command, request, slot, owner, route)
    }

    /// Sends a PUBLISH for a job. Its reply is that of the shard.
    pub(crate) fn publish_for_job(
        &mut self,
        job: &Job,
    ) -> Result<oneshot::Receiver<Result<Vec<u8>, AskError>>, Error> {
        let args = job.args.args();
        let slot = slot_of(args.at(1));
        let owner = self.view.owner(slot).ok_or_else(|| unowned(slot))?;
        let (sender, receiver) = oneshot::channel();
        let ticket = self.add_ticket(Ticket::Ask(sender));
        let mut frame = Vec::new();
        args.encode(&mut frame);
        // The job counts.
        let frame = quiet(&frame);
        let entry = Entry {
            owner: Owner::Ticket(ticket),
            length: 0,
            slot,
            command: job.command.id,
            writes: true,
            refusals: 0,
            searched: false,
            received: self.now,
        };
        self.ask_on_slots(job, owner, &[(slot, args.at(1))], entry, frame);
        Ok(receiver)
    }
}
