//! Who holds slots, and who waits for them.
//!
//! In a slot that is held nothing changes: its requests wait, and nothing of it expires or is evicted, which the engine is told in
//! the same step. A move holds the slots of a batch while they change hands, a transaction across shards those of its part. Who
//! waits stands in the slot's queue, first come, first served: clients that speak to this shard itself, with what they go on
//! sending left in their sockets, and parts of transactions. A proxy is told instead, so that its other clients need not wait; for
//! what it was refused the slot is left free for a moment before the next transaction gets it. All waits are bounded.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::time::{Duration, Instant};

use slotway_common::command::{self, Command, Route};
use slotway_common::error::Error;
use slotway_common::resp::Args;
use slotway_common::slot::{Slot, slot_of};
use slotway_common::transaction_id::TransactionId;
use tokio::sync::Notify;

use crate::client::Client;
use crate::engine::Engine;

/// The longest that anybody waits for a slot; a move that has not ended by then may take as long as the nodes take to agree.
pub const MAX_WAIT: Duration = Duration::from_secs(10);

/// For so long a slot is left to those who were refused, or wait, before the next transaction gets it: a proxy tries again after a
/// millisecond.
pub const TURN: Duration = Duration::from_millis(3);

/// What a client that speaks to this shard directly is told after it has waited for so long.
#[must_use]
pub fn try_again(slot: Slot) -> Error {
    Error::Line(format!("TRYAGAIN slot {slot} has been held for {} s", MAX_WAIT.as_secs()).into())
}

/// Who holds a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// A move from here: this shard owns the slot and is about to hand it over.
    Leaving,
    /// A move to here: this shard has all of the slot and is about to own it.
    Arriving,
    /// A part of a transaction across shards.
    Transaction(TransactionId),
}

/// One in the queue of a slot.
enum Waiter {
    Client { client: Rc<Client>, since: Instant },
    Part(TransactionId),
}

/// The slots that are held, and the queues for them.
#[derive(Default)]
pub struct Locks {
    held: BTreeMap<Slot, Holder>,
    queues: BTreeMap<Slot, VecDeque<Waiter>>,
    /// Slots for which proxies were refused while a transaction held them.
    refused: BTreeSet<Slot>,
    /// Slots that no transaction gets before then.
    left: BTreeMap<Slot, Instant>,
    /// Slots that a move waits for: no transaction gets them.
    reserved: BTreeSet<Slot>,
    /// Told when a part of a transaction may have its turn.
    pub news: Rc<Notify>,
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

    /// Slots that transactions hold.
    #[must_use]
    pub fn held_by_transactions(&self) -> usize {
        self.held.values().filter(|holder| matches!(holder, Holder::Transaction(_))).count()
    }

    /// From now on nothing in the slot changes.
    pub fn hold(&mut self, engine: &mut Engine, slot: Slot, holder: Holder) {
        engine.park(slot, true);
        self.held.insert(slot, holder);
    }

    /// No move holds the slot any more: its queue goes on, in its order.
    pub fn release(&mut self, engine: &mut Engine, slot: Slot, now: Instant) {
        if !matches!(self.holder(slot), Some(Holder::Transaction(_))) {
            self.free(engine, slot, now);
        }
    }

    /// A transaction holds the slot no more.
    pub fn release_part(&mut self, engine: &mut Engine, id: TransactionId, slot: Slot, now: Instant) {
        if self.holder(slot) == Some(Holder::Transaction(id)) {
            self.free(engine, slot, now);
        }
    }

    fn free(&mut self, engine: &mut Engine, slot: Slot, now: Instant) {
        if self.held.remove(&slot).is_some() {
            engine.park(slot, false);
        }
        if self.refused.remove(&slot) {
            self.left.insert(slot, now + TURN);
        }
        self.go_on(slot, now);
    }

    /// Wakes the clients at the front of the queue of a slot that is free.
    fn go_on(&mut self, slot: Slot, now: Instant) {
        let Some(queue) = self.queues.get_mut(&slot) else { return };
        if self.held.contains_key(&slot) {
            return;
        }
        while let Some(Waiter::Client { .. }) = queue.front() {
            if let Some(Waiter::Client { client, .. }) = queue.pop_front() {
                client.wake();
                self.left.insert(slot, now + TURN);
            }
        }
        if queue.is_empty() {
            self.queues.remove(&slot);
        } else {
            self.news.notify_one();
        }
    }

    /// A proxy was refused for a slot that a transaction holds.
    pub fn note_refusal(&mut self, slot: Slot) {
        self.refused.insert(slot);
    }

    /// Takes slots for a part of a transaction, in their order from place `taken` on, as far as they are free and it is its turn;
    /// where it is not, it takes a place in the queue. True when it has them all.
    pub fn take(
        &mut self,
        engine: &mut Engine,
        id: TransactionId,
        slots: &[Slot],
        taken: &mut usize,
        now: Instant,
    ) -> bool {
        while let Some(slot) = slots.get(*taken) {
            let Self { queues, held, reserved, left, .. } = self;
            let queue = queues.entry(*slot).or_default();
            let place = queue.iter().position(|waiter| matches!(waiter, Waiter::Part(other) if *other == id));
            let is_next = place.map_or(queue.is_empty(), |place| place == 0);
            let is_free = !held.contains_key(slot)
                && !reserved.contains(slot)
                && left.get(slot).is_none_or(|until| *until <= now);
            if !is_next || !is_free {
                if place.is_none() {
                    queue.push_back(Waiter::Part(id));
                }
                return false;
            }
            queue.pop_front();
            if queue.is_empty() {
                queues.remove(slot);
            }
            self.hold(engine, *slot, Holder::Transaction(id));
            *taken += 1;
        }
        true
    }

    /// The part of a transaction leaves the queue of a slot.
    pub fn leave(&mut self, id: TransactionId, slot: Slot, now: Instant) {
        if let Some(queue) = self.queues.get_mut(&slot) {
            queue.retain(|waiter| !matches!(waiter, Waiter::Part(other) if *other == id));
        }
        self.go_on(slot, now);
    }

    /// The parts of transactions whose turn may have come, and when that of another one will, which is left to others until then.
    pub fn turns(&mut self, now: Instant) -> (Vec<TransactionId>, Option<Instant>) {
        self.left.retain(|_, until| *until > now);
        let (mut turns, mut next) = (Vec::new(), None);
        for (slot, queue) in &self.queues {
            let Some(Waiter::Part(id)) = queue.front() else { continue };
            if self.held.contains_key(slot) || self.reserved.contains(slot) {
                continue;
            }
            match self.left.get(slot) {
                Some(until) => next = Some(next.map_or(*until, |next: Instant| next.min(*until))),
                None => turns.push(*id),
            }
        }
        (turns, next)
    }

    /// Has no more transactions get these slots; true when none holds one of them any more.
    pub fn reserve(&mut self, slots: &[Slot]) -> bool {
        self.reserved.extend(slots);
        !slots.iter().any(|slot| matches!(self.held.get(slot), Some(Holder::Transaction(_))))
    }

    /// Transactions may have these slots again.
    pub fn unreserve(&mut self, slots: &[Slot]) {
        slots.iter().for_each(|slot| {
            self.reserved.remove(slot);
        });
        self.news.notify_one();
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
            let mut own = self.held.iter().filter(|(_, holder)| **holder != Holder::Arriving);
            return own.next().map(|(slot, _)| *slot).filter(|_| covers_all);
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

    /// Takes a place in the queue of a slot: the client is woken when it is its turn. One that was in it keeps its place.
    pub fn wait(&mut self, slot: Slot, client: &Rc<Client>, now: Instant) {
        let queue = self.queues.entry(slot).or_default();
        let is_it =
            |waiter: &Waiter| matches!(waiter, Waiter::Client { client: other, .. } if other.id == client.id);
        if !queue.iter().any(is_it) {
            queue.push_back(Waiter::Client { client: client.clone(), since: now });
        }
    }

    /// A client that is gone waits for nothing.
    pub fn forget(&mut self, client: u64, now: Instant) {
        let is_it =
            |waiter: &Waiter| matches!(waiter, Waiter::Client { client: other, .. } if other.id == client);
        self.leave_all(now, is_it);
    }

    /// Takes some waiters out of all queues.
    fn leave_all(&mut self, now: Instant, leaves: impl Fn(&Waiter) -> bool) {
        let mut left = Vec::new();
        for (slot, queue) in &mut self.queues {
            let before = queue.len();
            queue.retain(|waiter| !leaves(waiter));
            if queue.len() != before {
                left.push(*slot);
            }
        }
        left.into_iter().for_each(|slot| self.go_on(slot, now));
        self.queues.retain(|_, queue| !queue.is_empty());
    }

    /// Clients and parts of transactions that wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.queues.values().map(VecDeque::len).sum()
    }

    /// Ends the waits of clients that have lasted for too long: the request is refused.
    pub fn time_out(&mut self, now: Instant) {
        let has_expired = |waiter: &Waiter| matches!(waiter, Waiter::Client { since, .. } if now.duration_since(*since) >= MAX_WAIT);
        let late = self.queues.values().flatten().filter(|waiter| has_expired(waiter));
        let late: Vec<Rc<Client>> = late
            .filter_map(|waiter| match waiter {
                Waiter::Client { client, .. } => Some(client.clone()),
                Waiter::Part(_) => None,
            })
            .collect();
        if late.is_empty() {
            return;
        }
        for client in &late {
            client.gave_up.set(true);
            client.wake();
        }
        self.leave_all(now, has_expired);
    }
}
