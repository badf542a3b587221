//! Following the committed state: the one place where slots change hands.

use std::collections::HashSet;
use std::sync::Arc;

use slotway_common::cluster_state::{ClusterState, Phase};
use slotway_common::fault;
use slotway_common::platform::clock;
use slotway_common::settings::Name;
use slotway_common::slot::{SLOTS, Slot};
use slotway_common::topology::SlotMap;

use super::Shard;
use super::settings::share;
use crate::locks::Holder;
use crate::migration::{Batch, Outgoing, Progress};

impl Shard {
    /// Brings this shard to a newer committed state: serves what it got, lets go of what it gave, and forgets moves that
    /// have ended.
    pub fn adopt(&mut self, state: &Arc<ClusterState>) {
        if !state.is_founded() || state.generation < self.node.state.generation {
            return;
        }
        let (before, was) = self.follow(state);
        let serves = self.node.not_serving().is_none();
        let begins = serves && was == usize::MAX;
        let mut leave = false;
        self.tell_trackers(&before, was);
        for slot in 0..SLOTS {
            let owned = before.shard_of(slot) == Some(was);
            let owns = self.node.owns(slot);
            // At the start the log may still hold what another shard has taken over meanwhile.
            let left_over = begins && !owns && self.engine.slot(slot).keys() > 0;
            if owned && !owns || left_over {
                self.let_go(slot, state, serves);
                leave |= owned;
            } else if owns && !owned {
                self.take_over(slot, state);
            }
        }
        if leave && serves {
            let Self { node, .. } = self;
            let (slot_map, mine) = (&node.slot_map, node.shard_index);
            node.pubsub.let_go(|slot| slot_map.shard_of(slot) == Some(mine));
        }
        fault::point("adopted");
        if serves {
            self.end_moves(state);
        }
        let my_name = state.node(&self.node.identity.node).map(|(shard, _)| shard.name.as_str());
        let to_here = state.migrations.iter().filter(|found| Some(found.target.as_str()) == my_name);
        self.node.moves.outgoing = state
            .migrations
            .iter()
            .filter(|found| Some(found.source.as_str()) == my_name)
            .map(|found| Outgoing {
                id: found.id.clone(),
                done: found.moved.count(),
                remaining: found.remaining(),
            })
            .collect();
        self.node.moves.expected =
            to_here.map(|found| (found.id.clone(), found.remaining().count())).collect();
        self.node.moves.wake_slowed();
    }

    /// Clients that have read keys of slots which leave are told to forget them.
    fn tell_trackers(&mut self, before: &SlotMap, was: usize) {
        if !self.node.tracking.is_used() {
            return;
        }
        let leaves = |slot: &Slot| before.shard_of(*slot) == Some(was) && !self.node.owns(*slot);
        let left: HashSet<Slot> = (0..SLOTS).filter(leaves).collect();
        if !left.is_empty() {
            self.node.tell_slots_left(&mut self.engine, &left);
        }
    }

    /// The slot is another shard's now.
    fn let_go(&mut self, slot: Slot, state: &ClusterState, serves: bool) {
        let Self { engine, node } = self;
        let error = node.moved(slot);
        node.blocked.slot_left(engine, slot, &error);
        let space = self.engine.detach(slot);
        self.engine.free(space);
        // A process that serves no more, because there is a later one, has no say in what the directory holds.
        if serves {
            let migration = state.migrations.iter().chain(state.ended.iter().rev());
            let id =
                migration.filter(|found| found.moved.contains(slot)).map(|found| found.id.clone()).next();
            self.node.changes.handed(&mut self.engine, slot, &id.unwrap_or_default(), false);
        }
        self.node.locks.release(&mut self.engine, slot, clock::monotonic());
        self.node.moves.stats.slots_left += 1;
    }

    /// The slot is this shard's now.
    fn take_over(&mut self, slot: Slot, state: &ClusterState) {
        match self.node.moves.arrived.remove(&slot) {
            // A move that the state has forgotten was committed: nothing else could have made the slot this shard's.
            Some((id, space)) if state.migration(&id).is_none_or(|found| found.moved.contains(slot)) => {
                self.engine.attach(slot, space);
                self.node.changes.handed(&mut self.engine, slot, &id, true);
                self.node.moves.stats.slots_arrived += 1;
            }
            // What is left of an earlier move.
            Some((_, space)) => self.engine.free(space),
            None => {}
        }
        self.node.locks.release(&mut self.engine, slot, clock::monotonic());
    }

    /// Lets go of everything that belongs to moves, or batches of moves, that have ended.
    fn end_moves(&mut self, state: &ClusterState) {
        let Shard { engine, node } = self;
        let is_running = |id: &str| state.migration(id).is_some_and(|found| found.phase == Phase::Running);
        let gone: Vec<Slot> =
            node.moves.arrived.iter().filter(|(_, (id, _))| !is_running(id)).map(|(slot, _)| *slot).collect();
        for slot in gone {
            if let Some((_, space)) = node.moves.arrived.remove(&slot) {
                engine.free(space);
            }
            node.locks.release(engine, slot, clock::monotonic());
        }
        let (slot_map, me) = (&node.slot_map, node.shard_index);
        let owns = |slot: Slot| slot_map.shard_of(slot) == Some(me);
        let (ended, going): (Vec<Batch>, Vec<Batch>) = std::mem::take(&mut node.moves.batches)
            .into_iter()
            .partition(|batch| !is_running(&batch.id) || !batch.slots.iter().any(|slot| owns(*slot)));
        node.moves.batches = going;
        let mut parks = Vec::new();
        for batch in ended {
            // What was not committed stays, and is served again: the move has been aborted.
            for slot in batch.slots.iter().copied().filter(|slot| owns(*slot)) {
                node.locks.release(engine, slot, clock::monotonic());
            }
            let progress = node.moves.progress.entry(batch.id.clone()).or_default();
            if let Some(copy) = node.changes.end_copy(engine, batch.copy) {
                node.moves.stats.keys += copy.keys;
                node.moves.stats.bytes += copy.bytes;
                progress.keys += copy.keys;
                progress.bytes += copy.bytes;
            }
            if let Some(since) = batch.parked_at {
                let parked = clock::monotonic().duration_since(since);
                progress.longest_park = progress.longest_park.max(parked);
                parks.push((parked, batch.slots.len() as u64));
            }
        }
        for (parked, slots) in parks {
            node.observe_park(parked, slots);
        }
        node.moves.progress.retain(|id, _: &mut Progress| state.migration(id).is_some());
    }

    /// Bytes that this process may use while slots of a move arrive: its part of `maxmemory` for the slots that it owns
    /// and those that are arriving. `None`: no limit.
    #[must_use]
    pub fn import_limit(&self, id: &str) -> Option<u64> {
        let total = self.node.settings.values.bytes(Name::Maxmemory);
        if total == 0 {
            return None;
        }
        let owned = self.node.assigned();
        let arriving = self.node.moves.expected.get(id).copied().unwrap_or(0);
        Some(share(total, (owned + arriving) as u64))
    }

    /// Closes the slots of a move's batch: from now on nothing in them changes.
    pub fn park(&mut self, id: &str) {
        let Shard { engine, node } = self;
        let Some(batch) = node.moves.batches.iter_mut().find(|batch| batch.id == id) else { return };
        batch.parked_at = Some(clock::monotonic());
        for slot in batch.slots.clone() {
            node.locks.hold(engine, slot, Holder::Leaving);
        }
    }
}
