//! MULTI and EXEC.
//!
//! Commands are queued here and sent as one request, [`Batch`], which its shard answers as Redis answers EXEC. Refusals
//! (MOVED, PARKED) are those of any request on several slots: the shard looks at all slots before it runs anything. What is more
//! than one batch, or has its slots on several shards, is run by a job.

use std::time::Duration;

use slotway_common::command::{Command, Flags, Route, find_by_full_name, unknown_command, unsupported};
use slotway_common::error::Error;
use slotway_common::resp::{Args, Reply};
use tokio::sync::oneshot;

use super::errors::unowned;
use super::ticket::Ticket;
use super::{AskError, Core, Flow, Job, Request, SessionId, Unsent, Work};
use crate::owned::OwnedArgs;
use crate::session::Stall;
use crate::tracking::Mark;
use crate::transaction::{ABORTED, Batch, How, NESTED, WATCH_INSIDE, Watch};
use crate::upstream::{Entry, MANY_SLOTS, Owner, State};

/// The row of what only Slotway's processes say to each other.
fn internal(name: &str) -> u16 {
    find_by_full_name(name.as_bytes()).map_or(u16::MAX, |row| row.id)
}

/// Why a command cannot be queued, whatever its arguments.
fn unqueueable(command: &Command, args: &Args<'_>) -> Option<Error> {
    match command.route {
        Route::Unsupported => Some(unsupported(command)),
        Route::Internal => Some(unknown_command(args)),
        _ if command.flags.contains(Flags::NO_MULTI) => {
            Some(Error::err("Command not allowed inside a transaction"))
        }
        _ => None,
    }
}

impl Core {
    /// Takes note that a command of a transaction was refused: EXEC will run none.
    #[inline]
    pub(super) fn abort_transaction(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.get_mut(id)
            && let Some(transaction) = &mut session.transaction
        {
            transaction.aborted = true;
        }
    }

    /// Queues a command.
    pub(super) fn queue(&mut self, id: SessionId, command: &'static Command, request: &Request<'_>) -> Flow {
        let refused = unqueueable(command, &request.args);
        if let Some(error) = refused {
            self.abort_transaction(id);
            self.refuse(id, &error);
            return Flow::Next;
        }
        self.push_queued(id, command, &request.args);
        self.reply(id, b"+QUEUED\r\n");
        Flow::Next
    }

    /// Queues a command of a job's client, if it has been found that there is memory for it.
    pub(crate) fn queue_for_job(&mut self, job: &Job, room: Result<(), Error>) -> Result<(), Error> {
        let args = job.args.args();
        let checked = match unqueueable(job.command, &args) {
            Some(error) => Err(error),
            None => room,
        };
        if let Err(error) = checked {
            self.abort_transaction(job.session);
            return Err(error);
        }
        match job.command.name {
            "multi" => return Err(NESTED),
            "watch" => return Err(WATCH_INSIDE),
            _ => self.push_queued(job.session, job.command, &args),
        }
        Ok(())
    }

    fn push_queued(&mut self, id: SessionId, command: &'static Command, args: &Args<'_>) {
        let databases = self.policy.databases;
        if let Some(transaction) = self.sessions.get_mut(id).and_then(|session| session.transaction.as_mut())
        {
            transaction.push(command, args, databases);
        }
    }

    /// Runs what was queued.
    pub(crate) fn exec(&mut self, id: SessionId, command: &'static Command, request: &Request<'_>) -> Flow {
        let Some(session) = self.sessions.get_mut(id) else { return Flow::Next };
        let Some(transaction) = &session.transaction else {
            self.fail(id, command, &request.args, &Error::err("EXEC without MULTI"));
            return Flow::Next;
        };
        if transaction.aborted {
            if transaction.effects.needs_memory && self.may_be_full() {
                // Memory is asked for first, as in Redis.
                return self.exec_in_steps(id, command, request);
            }
            self.end_transaction(id);
            self.fail(id, command, &request.args, &Error::ExecAbort(ABORTED.into()));
            return Flow::Next;
        }
        if transaction.len() == 0 && session.watch.is_none() {
            self.end_transaction(id);
            self.ran(id, command, &request.args, Duration::ZERO, b"");
            self.reply(id, b"*0\r\n");
            return Flow::Next;
        }
        let (view, databases) = (&self.view, self.policy.databases);
        let watch = session.watch.as_deref();
        let apart = transaction.with_publishes_apart(databases, watch, |slot| view.owner(slot));
        if let Some(apart) = apart
            && let Some(session) = self.sessions.get_mut(id)
        {
            session.transaction = Some(Box::new(apart));
        }
        let Some(session) = self.sessions.get_mut(id) else { return Flow::Next };
        let Some(transaction) = &session.transaction else { return Flow::Next };
        if transaction.len() > 0 && transaction.single_batch().is_none() {
            return self.exec_in_steps(id, command, request);
        }
        // Taken for as long as it takes to send it; put back if the client has to wait first.
        let Some(transaction) = session.transaction.take() else { return Flow::Next };
        let empty;
        let batch = match transaction.single_batch() {
            Some(batch) => batch,
            None => {
                empty = Batch::empty(session.database);
                &empty
            }
        };
        match self.send_batch(id, command, batch) {
            Ok(()) => {
                self.show_exec_later(id);
                if let Some(session) = self.sessions.get_mut(id) {
                    session.watch = None;
                    // What was answered while it was queued is written together with its reply.
                    session.gathers = (session.places.len() == 1).then(|| session.places.first());
                }
                self.account(id);
            }
            Err(Unsent::Wait(stall)) => {
                if let Some(session) = self.sessions.get_mut(id) {
                    session.transaction = Some(transaction);
                }
                return Flow::Wait(stall);
            }
            Err(Unsent::Across) => {
                if let Some(session) = self.sessions.get_mut(id) {
                    session.transaction = Some(transaction);
                }
                return self.exec_in_steps(id, command, request);
            }
            Err(Unsent::Refused(error)) => {
                self.end_transaction(id);
                self.fail(id, command, &request.args, &error);
            }
            Err(Unsent::Broken) => {
                self.end_transaction(id);
                self.ran(id, command, &request.args, Duration::ZERO, b"");
                self.reply_null_array(id);
            }
        }
        Flow::Next
    }

    /// Sends a batch with the watch of its client, whose next place gets the reply.
    fn send_batch(&mut self, id: SessionId, command: &'static Command, batch: &Batch) -> Result<(), Unsent> {
        let watch = self.sessions.get_mut(id).and_then(|session| session.watch.take());
        let result = self.send_watched_batch(id, command, batch, watch.as_deref());
        if let Some(session) = self.sessions.get_mut(id) {
            session.watch = watch;
        }
        result
    }

    fn send_watched_batch(
        &mut self,
        id: SessionId,
        command: &'static Command,
        batch: &Batch,
        watch: Option<&Watch>,
    ) -> Result<(), Unsent> {
        let slots = batch.slots(watch.into_iter().flat_map(Watch::keys));
        let owner = self.owner_of_all(&slots, watch)?;
        if self.must_borrow(batch) {
            return Err(Unsent::Across);
        }
        let watch = watch.and_then(|watch| watch.on(owner)).map(|watch| watch.token);
        let Some(session) = self.sessions.get_mut(id) else { return Ok(()) };
        if !session.places.is_empty() && session.in_flight_route != session.route {
            return Err(Unsent::Wait(Stall::Replies));
        }
        if !self.detained.is_empty() && slots.iter().any(|(slot, _)| self.wait_for_slot(id, *slot)) {
            return Err(Unsent::Wait(Stall::Slot));
        }
        let link = self.link(id, owner);
        let Some(upstream) = self.upstreams.get(link) else { return Ok(()) };
        if upstream.state == State::Down {
            return Err(Unsent::Refused(self.down_error(owner)));
        }
        if upstream.bytes() > self.budgets.upstream {
            let Flow::Wait(stall) = self.wait_for_room(id, link) else { return Ok(()) };
            return Err(Unsent::Wait(stall));
        }
        let Some(session) = self.sessions.get_mut(id) else { return Ok(()) };
        let muted = session.mute_next();
        let seq = session.places.open(muted);
        session.in_flight_route = session.route;
        let mut entry = batch_entry(Owner::Client { session: id, seq }, &slots, self.now);
        if session.login.is_free() && self.mark.is_none() {
            if let Some(upstream) = self.upstreams.get_mut(link) {
                let from = upstream.buffer().len();
                batch.encode(watch, &slots, How::Whole, upstream.buffer());
                upstream.commit(from, entry);
            }
        } else {
            let frame = self.batch_frame(id, batch, watch, &slots, How::Whole, self.mark, &mut entry);
            if let Some(upstream) = self.upstreams.get_mut(link) {
                upstream.push(&frame, entry);
            }
        }
        self.counters.requests.at(command.group as usize).inc();
        self.touch_upstream(link);
        Ok(())
    }

    /// The request that has a shard run a batch, in the client's name where its user may not do all, and marked where the
    /// client is tracked.
    fn batch_frame(
        &self,
        id: SessionId,
        batch: &Batch,
        watch: Option<u64>,
        slots: &[(u16, &[u8])],
        how: How,
        mark: Option<Mark>,
        entry: &mut Entry,
    ) -> Vec<u8> {
        let mut frame = Vec::new();
        batch.encode(watch, slots, how, &mut frame);
        if let Some((row, named)) = self.in_the_name_of(id, &frame, slots) {
            entry.command = row.id;
            frame = named;
        }
        match mark {
            Some(mark) => mark.wrap(&frame).0,
            None => frame,
        }
    }

    /// The shard that owns all of the slots, those that are watched included; any shard if there are none.
    pub(super) fn owner_of_all(
        &self,
        slots: &[(u16, &[u8])],
        watch: Option<&Watch>,
    ) -> Result<usize, Unsent> {
        if watch.is_some_and(|watch| !self.is_whole(watch)) {
            return Err(Unsent::Broken);
        }
        let mut owner = None;
        let mut is_across = false;
        for (slot, _) in slots {
            let Some(found) = self.view.owner(*slot) else { return Err(Unsent::Refused(unowned(*slot))) };
            is_across |= *owner.get_or_insert(found) != found;
        }
        if is_across {
            return Err(Unsent::Across);
        }
        let none = || Unsent::Refused(Error::ClusterDown("there is no shard".into()));
        owner.or_else(|| self.any_shard()).ok_or_else(none)
    }

    /// Has a job run a transaction that is more than one batch, or is on several shards.
    fn exec_in_steps(&mut self, id: SessionId, command: &'static Command, request: &Request<'_>) -> Flow {
        let Some(session) = self.sessions.get_mut(id) else { return Flow::Next };
        if !session.places.is_empty() {
            return Flow::Wait(Stall::Replies);
        }
        let Some(transaction) = session.transaction.take() else { return Flow::Next };
        let watch = session.watch.take();
        self.show_exec_later(id);
        let words = OwnedArgs::new(&request.args);
        self.start_job(id, command, words, Work::Exec(transaction, watch));
        Flow::Next
    }

    /// Sends a batch for a job. Its reply is that of EXEC; an error that is no shard's comes as an error reply too.
    pub(crate) fn ask_batch(
        &mut self,
        job: &Job,
        batch: &Batch,
        watch: Option<&Watch>,
        how: How,
    ) -> Result<(usize, oneshot::Receiver<Result<Vec<u8>, AskError>>), Unsent> {
        let slots = batch.slots(watch.into_iter().flat_map(Watch::keys));
        let owner = self.owner_of_all(&slots, watch)?;
        if self.must_borrow(batch) {
            return Err(Unsent::Across);
        }
        let watch = watch.and_then(|watch| watch.on(owner)).map(|watch| watch.token);
        let (sender, receiver) = oneshot::channel();
        let ticket = self.add_ticket(Ticket::Batch { session: job.session, sender });
        let mut entry = batch_entry(Owner::Ticket(ticket), &slots, self.now);
        let frame = self.batch_frame(job.session, batch, watch, &slots, how, job.mark, &mut entry);
        self.ask_on_slots(job, owner, &slots, entry, frame);
        Ok((owner, receiver))
    }

    /// Sends a request on some slots to their owner, in the name of a job's client.
    pub(super) fn ask_on_slots(
        &mut self,
        job: &Job,
        owner: usize,
        slots: &[(u16, &[u8])],
        entry: Entry,
        frame: Vec<u8>,
    ) {
        if slots.iter().any(|(slot, _)| self.detained.contains_key(slot)) {
            let slots: Vec<u16> = slots.iter().map(|(slot, _)| *slot).collect();
            self.detain_request(&slots, frame, entry, job.protocol, job.database);
        } else {
            let route = self.route(job.protocol, job.database);
            let link = self.link_of_route(route, owner);
            self.resend(link, entry, &frame);
        }
    }

    /// Ends a transaction and a watch without running anything.
    pub(crate) fn end_transaction(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.get_mut(id) {
            session.transaction = None;
        }
        self.end_watch(id);
        self.account(id);
    }

    fn reply_null_array(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        let mut line = Vec::new();
        Reply::new(&mut line, session.protocol).null_array();
        self.reply(id, &line);
    }
}

fn batch_entry(owner: Owner, slots: &[(u16, &[u8])], now: u64) -> Entry {
    let slot = match slots {
        [] => 0,
        [(slot, _)] => *slot,
        _ => MANY_SLOTS,
    };
    let command = internal("slotway-exec");
    Entry { owner, length: 0, slot, command, writes: true, refusals: 0, searched: false, received: now }
}
