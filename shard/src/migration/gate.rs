//! The gate of each slot: open, or closed while the slot is handed over.

use std::collections::BTreeMap;
use std::rc::Rc;

use slotway_common::command::{self, Command, Route};
use slotway_common::resp::Args;
use slotway_common::slot::{Slot, slot_of};

use crate::client::Client;

/// Why a slot is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// This shard owns it and is about to hand it over: requests wait.
    Parked,
    /// This shard has all of it and is about to own it.
    Arriving,
}

/// Which slots are closed, and who waits for one to open.
#[derive(Default)]
pub struct Gate {
    closed: BTreeMap<Slot, Closed>,
    waiting: Vec<Rc<Client>>,
}

impl Gate {
    /// True when some slot is closed.
    #[must_use]
    #[inline]
    pub fn is_any_closed(&self) -> bool {
        !self.closed.is_empty()
    }

    /// Why a slot is closed; `None` if it is open.
    #[must_use]
    #[inline]
    pub fn closed(&self, slot: Slot) -> Option<Closed> {
        if self.closed.is_empty() { None } else { self.closed.get(&slot).copied() }
    }

    pub fn close(&mut self, slot: Slot, why: Closed) {
        self.closed.insert(slot, why);
    }

    pub fn open(&mut self, slot: Slot) {
        self.closed.remove(&slot);
    }

    /// Whether a client that speaks to this shard directly has to wait before this command: it touches a closed slot.
    ///
    /// One that arrives counts as well: sent here by its old owner, which has learnt of the commit earlier, the client
    /// would be sent back there, and so on until it gives up.
    #[must_use]
    pub fn holds(&self, command: Option<&'static Command>, args: &Args<'_>) -> bool {
        let Some(command) = command else { return false };
        if !command.has_keys() {
            let any_parked = self.closed.values().any(|why| *why == Closed::Parked);
            return any_parked && command.is_write() && command.route == Route::FanOut;
        }
        command::keys(command, args).is_ok_and(|keys| {
            keys.positions().any(|position| self.closed(slot_of(args.at(position))).is_some())
        })
    }

    /// As [`Gate::holds`] for a transaction on some slots.
    #[must_use]
    pub fn holds_any(&self, slots: &[Slot]) -> bool {
        slots.iter().any(|slot| self.closed(*slot).is_some())
    }

    /// Wakes the client when a slot has opened.
    pub fn wait(&mut self, client: Rc<Client>) {
        self.waiting.push(client);
    }

    /// Lets everybody who waits look again.
    pub fn wake(&mut self) {
        for client in std::mem::take(&mut self.waiting) {
            client.wake();
        }
    }
}
