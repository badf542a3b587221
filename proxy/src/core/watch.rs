//! WATCH.
//!
//! Watches are kept by the shards of the keys, under a number, for as long as the connection that they came over; a shard that
//! does not know the number of an EXEC answers nil. Keys on one shard are watched by a request like any other; of keys on several
//! each shard is told by a job, before the client is answered.

use std::time::Duration;

use slotway_common::command::{Command, find_by_full_name};
use slotway_common::error::Error;
use slotway_common::resp::request;
use slotway_common::slot::slot_of;
use tokio::sync::oneshot;

use super::awaited::ToldWatch;
use super::errors::unowned;
use super::ticket::Ticket;
use super::{Core, Flow, Job, Request, SessionId, Work};
use crate::session::Stall;
use crate::tracking::quiet;
use crate::transaction::{ShardWatch, Slots, WATCH_INSIDE, Watch, add_slot};
use crate::upstream::{Entry, MANY_SLOTS, Owner, State};

impl Core {
    pub(crate) fn watch(&mut self, id: SessionId, command: &'static Command, request: &Request<'_>) -> Flow {
        let Some(session) = self.sessions.get_mut(id) else { return Flow::Next };
        if session.transaction.is_some() {
            self.fail(id, command, &request.args, &WATCH_INSIDE);
            return Flow::Next;
        }
        let mut shards = Vec::new();
        for key in request.args.rest(1).iter() {
            let slot = slot_of(key);
            let Some(owner) = self.view.owner(slot) else {
                self.reply_unowned(id, slot);
                return Flow::Next;
            };
            if !shards.contains(&owner) {
                shards.push(owner);
            }
        }
        if self.has_broken_watch(id) {
            self.ran(id, command, &request.args, Duration::ZERO, b"");
            self.reply(id, b"+OK\r\n");
            return Flow::Next;
        }
        match shards[..] {
            [shard] => self.watch_on(id, command, request, shard),
            _ => self.begin_job(id, command, request, Work::Run),
        }
    }

    /// Whether what a client watches cannot be watched any more; then that is noted, and what is to be watched besides does not
    /// matter: EXEC will answer nil.
    fn has_broken_watch(&mut self, id: SessionId) -> bool {
        let watch = self.sessions.get(id).and_then(|session| session.watch.as_ref());
        let is_broken = watch.is_some_and(|watch| !self.is_whole(watch));
        if is_broken && let Some(watch) = self.sessions.get_mut(id).and_then(|session| session.watch.as_mut())
        {
            watch.broken = true;
        }
        is_broken
    }

    /// Whether all that is watched is still where it was.
    pub(super) fn is_whole(&self, watch: &Watch) -> bool {
        let is_there =
            |on: &ShardWatch| on.keys.iter().all(|(slot, _)| self.view.owner(*slot) == Some(on.shard));
        !watch.broken && watch.shards.iter().all(is_there)
    }

    /// Has one shard watch all keys of a request.
    fn watch_on(
        &mut self,
        id: SessionId,
        command: &'static Command,
        request: &Request<'_>,
        shard: usize,
    ) -> Flow {
        let keys: Vec<&[u8]> = request.args.rest(1).iter().collect();
        let slots = slots_of(&keys);
        if !self.detained.is_empty() && slots.iter().any(|(slot, _)| self.wait_for_slot(id, *slot)) {
            return Flow::Wait(Stall::Slot);
        }
        let (token, _) = self.token_on(id, shard);
        let frame = watch_frame(token, request.args.at(0), &keys);
        let slot = if let [(slot, _)] = slots[..] { slot } else { MANY_SLOTS };
        let rewritten = Request { args: request.args, spans: request.spans, frame: Some(&frame) };
        let row = find_by_full_name(b"slotway-watch").unwrap_or(command);
        let flow = self.forward_to(id, row, &rewritten, slot, shard);
        if flow == Flow::Next
            && let Some(session) = self.sessions.get_mut(id)
        {
            let route = session.route;
            session.watch.get_or_insert_default().add(ShardWatch { token, shard, route, keys: slots });
        }
        self.account(id);
        flow
    }

    /// The number by which a shard knows what a client watches there, and whether it is a new one.
    fn token_on(&mut self, id: SessionId, shard: usize) -> (u64, bool) {
        let watch = self.sessions.get(id).and_then(|session| session.watch.as_ref());
        match watch.and_then(|watch| watch.on(shard)) {
            Some(watch) => (watch.token, false),
            None => (self.next_token(), true),
        }
    }

    /// Has each shard of its keys watch them for a job's client, whose watch they become with [`Core::add_watch`].
    ///
    /// # Errors
    /// When nobody owns a slot; no shard has been told anything then.
    pub(crate) fn watch_for_job(&mut self, job: &Job) -> Result<Vec<ToldWatch>, Error> {
        if self.has_broken_watch(job.session) {
            return Ok(Vec::new());
        }
        let args = job.args.args();
        let mut shards: Vec<(usize, Vec<&[u8]>)> = Vec::new();
        for key in args.rest(1).iter() {
            let slot = slot_of(key);
            let owner = self.view.owner(slot).ok_or_else(|| unowned(slot))?;
            match shards.iter_mut().find(|(shard, _)| *shard == owner) {
                Some((_, keys)) => keys.push(key),
                None => shards.push((owner, vec![key])),
            }
        }
        Ok(shards.into_iter().map(|(shard, keys)| self.tell_watch(job, shard, args.at(0), &keys)).collect())
    }

    fn tell_watch(&mut self, job: &Job, shard: usize, name: &[u8], keys: &[&[u8]]) -> ToldWatch {
        let (token, is_new) = self.token_on(job.session, shard);
        let route = self.route(job.protocol, job.database);
        let slots = slots_of(keys);
        let (sender, answer) = oneshot::channel();
        let ticket = self.add_ticket(Ticket::Batch { session: job.session, sender });
        let entry = Entry {
            owner: Owner::Ticket(ticket),
            length: 0,
            slot: if let [(slot, _)] = slots[..] { slot } else { MANY_SLOTS },
            command: find_by_full_name(b"slotway-watch").map_or(u16::MAX, |row| row.id),
            writes: false,
            refusals: 0,
            searched: false,
            received: self.now,
        };
        let borrowed: Vec<(u16, &[u8])> = slots.iter().map(|(slot, key)| (*slot, &**key)).collect();
        // The job counts.
        self.ask_on_slots(job, shard, &borrowed, entry, quiet(&watch_frame(token, name, keys)));
        ToldWatch { watch: ShardWatch { token, shard, route, keys: slots }, is_new, answer }
    }

    /// A shard watches something for a client from now on.
    pub(crate) fn add_watch(&mut self, id: SessionId, watch: ShardWatch) {
        match self.sessions.get_mut(id) {
            Some(session) => session.watch.get_or_insert_default().add(watch),
            None => self.forget_on(&watch),
        }
        self.account(id);
    }

    pub(super) fn next_token(&mut self) -> u64 {
        self.last_token = self.last_token.wrapping_add(1) & (u64::MAX >> 1);
        self.last_token
    }

    /// Has a client watch nothing any more.
    pub(crate) fn end_watch(&mut self, id: SessionId) {
        let watch = self.sessions.get_mut(id).and_then(|session| session.watch.take());
        if let Some(watch) = watch {
            self.forget_watch(&watch);
        }
    }

    /// Has shards forget what a client watched.
    pub(crate) fn forget_watch(&mut self, watch: &Watch) {
        watch.shards.iter().for_each(|watch| self.forget_on(watch));
    }

    /// Has one shard forget what a client watched there.
    pub(crate) fn forget_on(&mut self, watch: &ShardWatch) {
        let link = self.link_of_route(watch.route, watch.shard);
        // A connection that broke took its watches with it.
        if self.upstreams.get(link).is_some_and(|upstream| upstream.state == State::Ready) {
            let mut frame = Vec::new();
            let mut digits = itoa::Buffer::new();
            let words = [&b"SLOTWAY-UNWATCH"[..], digits.format(watch.token).as_bytes()];
            request::encode(words.into_iter(), &mut frame);
            let (sender, _) = oneshot::channel();
            self.push_ticket(link, Ticket::Ask(sender), &frame);
        }
    }
}

fn slots_of(keys: &[&[u8]]) -> Slots {
    let mut slots = Slots::new();
    keys.iter().for_each(|key| add_slot(&mut slots, key));
    slots
}

/// The request that has a shard watch keys under a number. `name`: the client's word for WATCH.
fn watch_frame(token: u64, name: &[u8], keys: &[&[u8]]) -> Vec<u8> {
    let mut digits = itoa::Buffer::new();
    let head: [&[u8]; 3] = [b"SLOTWAY-WATCH", digits.format(token).as_bytes(), name];
    let words: Vec<&[u8]> = head.into_iter().chain(keys.iter().copied()).collect();
    let mut frame = Vec::new();
    request::encode(words.into_iter(), &mut frame);
    frame
}
