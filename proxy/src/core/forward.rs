//! Requests on keys of one slot.

use slotway_common::command::{self, Command};
use slotway_common::error::Error;
use slotway_common::resp::Args;
use slotway_common::slot::slot_of;

use super::errors::unowned;
use super::{Core, Flow, Request, SessionId, UpstreamId, Work};
use crate::counters::Source;
use crate::items::has_partial_item;
use crate::session::Stall;
use crate::upstream::{Entry, Owner, State, Upstream};

impl Core {
    /// Sends a request to the owner of its keys' slot.
    #[inline]
    pub(crate) fn forward(
        &mut self,
        id: SessionId,
        command: &'static Command,
        request: &Request<'_>,
    ) -> Flow {
        if !self.borrowers.is_empty() && self.borrows(command, &request.args) {
            return self.begin_job(id, command, request, Work::Borrow);
        }
        match self.place_of(id, command, &request.args) {
            Ok((slot, owner)) => self.forward_to(id, command, request, slot, owner),
            Err(flow) => flow,
        }
    }

    /// The slot of a request's keys, and its owner. Where there is none, or are several, the client has been told, or will be.
    #[inline]
    pub(super) fn place_of(
        &mut self,
        id: SessionId,
        command: &'static Command,
        args: &Args<'_>,
    ) -> Result<(u16, usize), Flow> {
        let (slot, owner) = match command::keys(command, args) {
            Ok(keys) if keys.len() == 1 => {
                let slot = slot_of(args.at(keys.first().unwrap_or(1)));
                (slot, self.view.owner(slot))
            }
            Ok(keys) if !keys.is_empty() => {
                let mut slots = keys.positions().map(|position| slot_of(args.at(position)));
                let slot = slots.next().unwrap_or(0);
                if slots.any(|other| other != slot) {
                    if has_partial_item(command, args) {
                        return Err(self.fail_partial(id, command, args));
                    }
                    let request = Request { args: *args, spans: &[], frame: None };
                    return Err(self.begin_job(id, command, &request, Work::Run));
                }
                (slot, self.view.owner(slot))
            }
            // Without a key the request is going to fail, and any shard knows how.
            _ => (0, self.any_shard()),
        };
        match owner {
            Some(owner) => Ok((slot, owner)),
            None => {
                self.reply_unowned(id, slot);
                Err(Flow::Next)
            }
        }
    }

    /// Has a request with a partial item fail, whose keys are of several shards: by what memory lacks, if anything, which shards know.
    #[cold]
    pub(super) fn fail_partial(&mut self, id: SessionId, command: &'static Command, args: &Args<'_>) -> Flow {
        if self.may_be_full() {
            return self.begin_job(id, command, &Request { args: *args, spans: &[], frame: None }, Work::Run);
        }
        self.fail(id, command, args, &command::wrong_arity(command));
        Flow::Next
    }

    /// Sends a request to a shard as it came in.
    #[inline]
    pub(super) fn forward_to(
        &mut self,
        id: SessionId,
        command: &'static Command,
        request: &Request<'_>,
        slot: u16,
        owner: usize,
    ) -> Flow {
        let Some(session) = self.sessions.get(id) else { return Flow::Next };
        let route = session.route;
        self.forward_over(id, command, request, slot, owner, route)
    }

    /// The same over other connections than the client's own.
    #[inline]
    pub(super) fn forward_over(
        &mut self,
        id: SessionId,
        command: &'static Command,
        request: &Request<'_>,
        slot: u16,
        owner: usize,
        route: u16,
    ) -> Flow {
        let Some(session) = self.sessions.get_mut(id) else { return Flow::Next };
        if !session.places.is_empty() && session.in_flight_route != route {
            return Flow::Wait(Stall::Replies);
        }
        if !self.detained.is_empty() && self.wait_for_slot(id, slot) {
            return Flow::Wait(Stall::Slot);
        }
        let links = self.routes.get(usize::from(route));
        let upstream_id = match links.and_then(|route| route.links.get(owner)) {
            Some(link) if self.upstreams.get(*link).is_some() => *link,
            _ => self.link_of_route(route, owner),
        };
        let (Some(session), Some(upstream)) =
            (self.sessions.get_mut(id), self.upstreams.get_mut(upstream_id))
        else {
            return Flow::Next;
        };
        if upstream.state == State::Down {
            self.reply_down(id, owner);
            return Flow::Next;
        }
        if upstream.bytes() > self.budgets.upstream {
            return self.wait_for_room(id, upstream_id);
        }
        let muted = session.mute_next();
        let seq = session.places.open(muted);
        session.in_flight_route = route;
        let entry = Entry {
            owner: Owner::Client { session: id, seq },
            length: 0,
            slot,
            command: command.id,
            writes: command.is_write(),
            refusals: 0,
            searched: false,
            received: self.now,
        };
        match request.frame {
            Some(frame) => upstream.push(frame, entry),
            None => push_encoded(upstream, request, entry),
        }
        self.touch_upstream(upstream_id);
        Flow::Next
    }

    /// Has a client wait until an upstream has room again.
    #[cold]
    pub(super) fn wait_for_room(&mut self, id: SessionId, upstream: UpstreamId) -> Flow {
        self.counters.budget_hits.at(1).inc();
        if let Some(upstream) = self.upstreams.get_mut(upstream) {
            upstream.waiting.push(id);
        }
        Flow::Wait(Stall::Room)
    }

    /// A shard that can be asked, whichever.
    pub(super) fn any_shard(&self) -> Option<usize> {
        let up = |shard: &super::ShardView| !shard.gone && shard.down.is_none();
        self.view.shards.iter().position(up).or_else(|| self.view.shards.iter().position(|shard| !shard.gone))
    }

    #[cold]
    pub(super) fn reply_unowned(&mut self, id: SessionId, slot: u16) {
        self.counters.error(Source::Internal);
        self.reply_error(id, &unowned(slot));
    }

    #[cold]
    pub(super) fn reply_down(&mut self, id: SessionId, shard: usize) {
        self.counters.error(Source::Internal);
        let error = self.down_error(shard);
        self.reply_error(id, &error);
    }

    /// The error of a request that could not be sent because its shard is down.
    pub(super) fn down_error(&self, shard: usize) -> Error {
        let Some(shard) = self.view.shards.get(shard) else {
            return Error::ClusterDown("the shard is gone".into());
        };
        let reason = shard.down.as_deref().unwrap_or("not connected");
        Error::ClusterDown(format!("shard '{}' at {} is down: {reason}", shard.name, shard.address).into())
    }
}

/// Writes an inline request as shards take it.
#[cold]
fn push_encoded(upstream: &mut Upstream, request: &Request<'_>, entry: Entry) {
    let from = upstream.buffer().len();
    request.args.encode(upstream.buffer());
    upstream.commit(from, entry);
}
