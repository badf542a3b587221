//! Bounds on memory: stop reading first, then an error, then close.

use super::{Core, SessionId};
use crate::session::Closing;

/// Bounds in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Budgets {
    /// Replies that a client has not read: beyond this no request of it is read.
    pub client_pause: usize,
    /// Replies and requests held for one client: beyond this it is closed.
    pub client: usize,
    /// Requests on their way over one connection to a shard: beyond this its clients wait.
    pub upstream: usize,
    /// Held for all clients of a worker: beyond this the largest is closed.
    pub worker: usize,
    /// Requests of one client that may be on their way at once.
    pub places: usize,
}

impl Default for Budgets {
    fn default() -> Self {
        Self { client_pause: 256 * 1024, client: 1 << 30, upstream: 32 << 20, worker: 4 << 30, places: 1024 }
    }
}

impl Core {
    /// The bounds of this worker.
    pub fn budgets(&self) -> &Budgets {
        &self.budgets
    }

    /// Bytes held for all clients of this worker.
    pub fn held_for_clients(&self) -> usize {
        self.total
    }

    /// Brings the totals up to date with one client, and closes clients that are over their budget.
    #[inline]
    pub(super) fn account(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        let bytes = session.bytes();
        self.total = self.total - session.accounted + bytes;
        session.accounted = bytes;
        let hard = self.policy.output_of(session).hard;
        if bytes > self.budgets.client || (hard > 0 && session.output_bytes() as u64 > hard) {
            self.counters.budget_hits.at(0).inc();
            self.shed(id);
        } else if self.total > self.budgets.worker {
            self.shed_largest();
        }
    }

    /// Closes the client that holds the most.
    #[cold]
    fn shed_largest(&mut self) {
        self.counters.budget_hits.at(2).inc();
        let largest = self.sessions.iter().max_by_key(|(_, session)| session.bytes()).map(|(id, _)| id);
        if let Some(id) = largest {
            self.shed(id);
        }
    }

    /// Closes a client and gives back at once what was held for it. Told why if it has nothing else to read.
    #[cold]
    fn shed(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        if session.closing == Closing::Now {
            return;
        }
        let told = session.out.is_empty() && session.places.is_empty() && !session.full;
        session.partial = None;
        session.transaction = None;
        session.places = crate::places::Places::default();
        session.out = Vec::new();
        session.sent = 0;
        if told {
            session.out.extend_from_slice(b"-ERR the proxy's memory budget for this client is used up\r\n");
        }
        self.total -= session.accounted;
        session.accounted = 0;
        self.close_after_replies(id);
        if !told {
            self.close_now(id);
        }
    }
}
