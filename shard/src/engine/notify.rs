//! Telling of keyspace events.
//!
//! Whoever changes a key says so with [`Engine::notify`], at the place where redis-server does, so that the order is the
//! same. What is asked for is kept until whoever runs the command takes it and sends it to the listeners. While nothing is
//! asked for, a call compares two integers.

use super::events::{Event, EventClass, Wanted};
use super::key::DbIndex;
use super::state::Engine;

impl Engine {
    /// Sets which events are wanted from now on.
    pub fn want_events(&mut self, wanted: Wanted) {
        self.events.wanted = wanted;
    }

    /// Which events are wanted.
    #[must_use]
    pub fn wanted_events(&self) -> Wanted {
        self.events.wanted
    }

    /// True when some event is wanted.
    #[must_use]
    #[inline]
    pub fn wants_events(&self) -> bool {
        self.events.wanted.classes != 0
    }

    /// Something has happened to a key.
    #[inline]
    pub fn notify(&mut self, class: EventClass, name: &'static str, db: DbIndex, key: &[u8]) {
        if self.events.wanted.classes & class.0 != 0 {
            self.note_event(name, db, key);
        }
    }

    #[cold]
    fn note_event(&mut self, name: &'static str, db: DbIndex, key: &[u8]) {
        self.events.pending.push(Event { name, db, key: key.into() });
    }

    /// True when something has happened that nobody has taken.
    #[must_use]
    #[inline]
    pub fn has_events(&self) -> bool {
        !self.events.pending.is_empty()
    }

    /// What has happened since the last call, in its order.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events.pending)
    }
}
