//! Scripts that are slow do not hold up the connection that they were called over.
//!
//! The shard answers such a request with `-LATER <number>`, and what the client gets comes as a push with that number when the
//! script has ended. Until then the client's next requests wait, as they would on one Redis, and others' are answered BUSY. So
//! are those of the client itself that were on their way already: they are kept, and sent again when the script has ended.

use slotway_common::number::parse_i64;
use slotway_common::resp::frame::{Elements, string};

use super::awaited::Later;
use super::{Core, UpstreamId};
use crate::counters::Source;
use crate::session::Stall;
use crate::upstream::{Entry, NO_COMMAND, Owner};

impl Core {
    /// Takes a reply that says that it comes later, or that a request has to wait for one of its own client's that does. False
    /// for every other one.
    pub(super) fn takes_later(&mut self, id: UpstreamId, reply: &[u8]) -> bool {
        let Some(upstream) = self.upstreams.get_mut(id) else { return false };
        let Some(front) = upstream.front().copied() else { return false };
        if front.command == NO_COMMAND {
            return false;
        }
        if let Some(number) = reply.strip_prefix(b"-LATER ").and_then(number) {
            let Some((entry, sent_at)) = upstream.take() else { return false };
            let mut holds = false;
            if let Owner::Client { session, .. } = entry.owner
                && let Some(session) = self.sessions.get_mut(session)
            {
                holds = !std::mem::replace(&mut session.busy, true);
            }
            self.later.insert((id, number), Later { entry, sent_at, holds, behind: Vec::new() });
            return true;
        }
        let (Owner::Client { session, .. } | Owner::Part { session, .. }) = front.owner else { return false };
        if !is_busy(reply) || self.later.is_empty() {
            return false;
        }
        let own = |(key, later): &(&(UpstreamId, u64), &mut Later)| {
            key.0 == id
                && matches!(later.entry.owner, Owner::Client { session: other, .. } if other == session)
        };
        let Some((_, later)) = self.later.iter_mut().find(own) else { return false };
        let frame = upstream.front_frame().to_vec();
        if let Some((entry, _)) = upstream.take() {
            later.behind.push((frame, entry));
        }
        true
    }

    /// Takes the push that brings a reply.
    pub(super) fn came_later(&mut self, id: UpstreamId, push: &[u8]) {
        let Some(mut elements) = Elements::open(push) else { return };
        let found = elements.nth(1).and_then(string).and_then(number);
        let (Some(number), Some(reply)) = (found, elements.next()) else { return };
        let Some(later) = self.later.remove(&(id, number)) else { return };
        let Later { entry, sent_at, .. } = later;
        match entry.owner {
            Owner::Ticket(ticket) => self.settle_ticket(ticket, Ok(reply.to_vec())),
            owner => {
                if reply.first() == Some(&b'-') {
                    self.counters.error(Source::Upstream);
                }
                self.count(&entry, sent_at);
                self.pass_on(owner, reply, true);
            }
        }
        self.go_on_behind(id, later);
    }

    /// A connection broke: what was to come over it will not. Gives the requests.
    pub(super) fn lose_later(&mut self, id: UpstreamId) -> Vec<Entry> {
        let numbers: Vec<(UpstreamId, u64)> = self.later.keys().filter(|key| key.0 == id).copied().collect();
        let mut lost = Vec::new();
        for key in numbers {
            let Some(later) = self.later.remove(&key) else { continue };
            lost.push(later.entry);
            self.go_on_behind(id, later);
        }
        lost
    }

    /// Who waits for the reply of this number.
    pub(super) fn later_owner(&self, id: UpstreamId, number: u64) -> Option<Owner> {
        self.later.get(&(id, number)).map(|later| later.entry.owner)
    }

    /// Whether replies are to come over a connection.
    pub(super) fn awaits_later(&self, id: UpstreamId) -> bool {
        self.later.keys().any(|key| key.0 == id)
    }

    /// Has a client go on whose script has ended.
    fn go_on_behind(&mut self, id: UpstreamId, later: Later) {
        for (frame, entry) in later.behind {
            self.resend(id, entry, &frame);
        }
        if let Owner::Client { session: client, .. } = later.entry.owner
            && later.holds
            && let Some(session) = self.sessions.get_mut(client)
        {
            session.busy = false;
            if session.stall == Stall::Busy {
                self.call_back(client);
            }
        }
    }
}

/// The error of a command that finds a script slow.
fn is_busy(reply: &[u8]) -> bool {
    reply.starts_with(b"-BUSY ") || reply.starts_with(b"-EXECABORT Transaction discarded because of: BUSY ")
}

fn number(text: &[u8]) -> Option<u64> {
    let text = text.strip_suffix(b"\r\n").unwrap_or(text);
    parse_i64(text).and_then(|number| number.try_into().ok())
}
