//! Bounds on memory: stop reading first, then an error, then close.

use super::{Budgets, Core, SessionId};
use crate::session::Closing;

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
        let hard = session.output_bounds(&self.policy).hard;
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
