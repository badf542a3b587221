//! Requests that the proxy itself makes of shards, for commands of more than one step.

use tokio::sync::oneshot;

use super::errors::error_line;
use super::ticket::Ticket;
use super::{AskError, Core, SessionId, Target};
use crate::slab::Id;
use crate::tracking::quiet;
use crate::upstream::{Entry, MANY_SLOTS, NO_COMMAND, Owner, State};

impl Core {
    /// Sends a request (a whole multibulk frame) to a shard, where it counts for nothing. The reply is given whole, an error
    /// reply too.
    pub fn ask(&mut self, target: Target, frame: &[u8]) -> oneshot::Receiver<Result<Vec<u8>, AskError>> {
        let (sender, receiver) = oneshot::channel();
        let route = self.route(target.protocol, target.database);
        let link = self.link_of_route(route, target.shard);
        match self.upstreams.get(link) {
            Some(upstream) if upstream.state != State::Down => {
                self.push_ticket(link, Ticket::Ask(sender), &quiet(frame));
            }
            _ => {
                let _ = sender.send(Err(AskError::Down));
            }
        }
        receiver
    }

    /// The error that a client is told when a shard could not be asked.
    pub fn ask_error(&self, shard: usize, error: AskError) -> slotway_common::error::Error {
        match error {
            AskError::Down => self.down_error(shard),
            AskError::Lost => slotway_common::error::Error::err(format!(
                "the connection to shard '{}' broke before its reply: the command may have been executed",
                self.shard_name(shard)
            )),
        }
    }

    pub(super) fn add_ticket(&mut self, ticket: Ticket) -> Id {
        self.tickets.insert(ticket)
    }

    /// The wait that a ticket begins.
    pub(super) fn wait_of(&self, ticket: Id) -> Option<u64> {
        match self.tickets.get(ticket) {
            Some(Ticket::Block { wait, .. }) => Some(*wait),
            _ => None,
        }
    }

    /// The client for whose job a ticket stands.
    pub(super) fn client_of(&self, ticket: Id) -> Option<SessionId> {
        match self.tickets.get(ticket)? {
            Ticket::Batch { session, .. } => Some(*session),
            Ticket::Block { wait, .. } => self.client_of_wait(*wait),
            _ => None,
        }
    }

    pub(super) fn push_ticket(&mut self, link: Id, ticket: Ticket, frame: &[u8]) {
        let entry = self.ticket_entry(ticket);
        if let Some(upstream) = self.upstreams.get_mut(link) {
            upstream.push(frame, entry);
            self.touch_upstream(link);
        }
    }

    /// Sends what has to run before all that waits for a connection which has just been opened.
    pub(super) fn push_first_ticket(&mut self, link: Id, ticket: Ticket, frame: &[u8]) {
        let entry = self.ticket_entry(ticket);
        if let Some(upstream) = self.upstreams.get_mut(link) {
            upstream.push_first(frame, entry);
            self.touch_upstream(link);
        }
    }

    fn ticket_entry(&mut self, ticket: Ticket) -> Entry {
        Entry {
            owner: Owner::Ticket(self.tickets.insert(ticket)),
            length: 0,
            slot: MANY_SLOTS,
            command: NO_COMMAND,
            // Whether it ran is for the asker to judge.
            writes: true,
            refusals: 0,
            searched: false,
            received: self.now,
        }
    }

    pub(super) fn settle_ticket(&mut self, ticket: Id, reply: Result<Vec<u8>, AskError>) {
        match self.tickets.remove(ticket) {
            // A connection that broke has forgotten its refusals, so it need not be told.
            Some(Ticket::Resume { detention, upstream, slot }) => self.resumed(detention, upstream, slot),
            Some(Ticket::Ask(sender) | Ticket::Batch { sender, .. } | Ticket::Block { sender, .. }) => {
                let _ = sender.send(reply);
            }
            Some(Ticket::Told(told)) => self.told(*told, reply),
            Some(Ticket::Tracking { session, link }) => self.registered(session, link, reply),
            None => {}
        }
    }

    /// The error of a shard that is down, as a reply line.
    pub fn down_line(&self, shard: usize) -> Vec<u8> {
        error_line(&self.down_error(shard))
    }
}
