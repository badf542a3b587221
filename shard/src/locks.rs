//! Who holds slots, and who waits for them.
//!
//! In a slot that is held nothing changes: its requests wait, and nothing of it expires or is evicted, which the engine is told in
//! the same step. A move holds the slots of a batch while they change hands. Clients that speak to this shard itself wait in
//! the slot's queue, first come, first served, with what they go on sending left in their sockets, and for a bounded time;
//! a proxy is told instead, so that its other clients need not wait.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::{Duration, Instant};

use slotway_common::command::{self, Command, Route};
use slotway_common::error::Error;
use slotway_common::resp::Args;
use slotway_common::slot::{Slot, slot_of};

use crate::client::Client;
use crate::engine::Engine;

/// The longest that a client waits for a slot; a move that has not ended by then may take as long as the nodes take to agree.
pub const MAX_WAIT: Duration = Duration::from_secs(10);

/// What a client that speaks to this shard directly is told after it has waited for so long.
#[must_use]
pub fn try_again(slot: Slot) -> Error {
    Error::Line(format!("TRYAGAIN slot {slot} has been changing hands for {} s", MAX_WAIT.as_secs()).into())
}

/// Who holds a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// A move from here: this shard owns the slot and is about to hand it over.
    Leaving,
    /// A move to here: this shard has all of the slot and is about to own it.
    Arriving,
}

/// A client in the queue of a slot.
struct Waiter {
    client: Rc<Client>,
    since: Instant,
}

/// The slots that are held, and the queues for them.
#[derive(Default)]
pub struct Locks {
    held: BTreeMap<Slot, Holder>,
    queues: BTreeMap<Slot, VecDeque<Waiter>>,
}

impl Locks {
    /// True when some slot is held.
    #[must_use]
    #[inline]
    pub fn is_any_held(&self) -> bool {
        !self.held.is_empty()
    }

    /// Who holds a slot.
    #[must_use]
    #[inline]
    pub fn holder(&self, slot: Slot) -> Option<Holder> {
        if self.held.is_empty() { None } else { self.held.get(&slot).copied() }
    }

    /// From now on nothing in the slot changes.
    pub fn hold(&mut self, engine: &mut Engine, slot: Slot, holder: Holder) {
        engine.park(slot, true);
        self.held.insert(slot, holder);
    }

    /// Nobody holds the slot any more: its queue looks again, in its order.
    pub fn release(&mut self, engine: &mut Engine, slot: Slot) {
        if self.held.remove(&slot).is_some() {
            engine.park(slot, false);
        }
        for waiter in self.queues.remove(&slot).unwrap_or_default() {
            waiter.client.wake();
        }
    }

    /// The first slot of a command that is held, so that a client which speaks to this shard directly has to wait for it.
    ///
    /// One that arrives counts as well: sent here by its old owner, which has learnt of the commit earlier, the client
    /// would be sent back there, and so on until it gives up.
    #[must_use]
    pub fn held_of(&self, command: Option<&'static Command>, args: &Args<'_>) -> Option<Slot> {
        let command = command?;
        if !command.has_keys() {
            let covers_all = command.is_write() && command.route == Route::FanOut;
            let mut leaving = self.held.iter().filter(|(_, holder)| **holder == Holder::Leaving);
            return leaving.next().map(|(slot, _)| *slot).filter(|_| covers_all);
        }
        let keys = command::keys(command, args).ok()?;
        let mut slots = keys.positions().map(|position| slot_of(args.at(position)));
        slots.find(|slot| self.holder(*slot).is_some())
    }

    /// As [`Locks::held_of`] for a transaction on some slots.
    #[must_use]
    pub fn held_among(&self, slots: &[Slot]) -> Option<Slot> {
        slots.iter().copied().find(|slot| self.holder(*slot).is_some())
    }

    /// Takes a place in the queue of a slot: the client is woken when the slot is released. One that was in it keeps its place.
    pub fn wait(&mut self, slot: Slot, client: &Rc<Client>, now: Instant) {
        let queue = self.queues.entry(slot).or_default();
        if !queue.iter().any(|waiter| waiter.client.id == client.id) {
            queue.push_back(Waiter { client: client.clone(), since: now });
        }
    }

    /// A client that is gone waits for nothing.
    pub fn forget(&mut self, client: u64) {
        self.queues.values_mut().for_each(|queue| queue.retain(|waiter| waiter.client.id != client));
        self.queues.retain(|_, queue| !queue.is_empty());
    }

    /// Clients that wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.queues.values().map(VecDeque::len).sum()
    }

    /// Ends the waits that have lasted for too long: the request is refused.
    pub fn time_out(&mut self, now: Instant) {
        for queue in self.queues.values_mut() {
            // They stand in the order of coming.
            while queue.front().is_some_and(|waiter| now.duration_since(waiter.since) >= MAX_WAIT) {
                let Some(waiter) = queue.pop_front() else { break };
                waiter.client.gave_up.set(true);
                waiter.client.wake();
            }
        }
        self.queues.retain(|_, queue| !queue.is_empty());
    }
}
