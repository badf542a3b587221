//! What must hold at every moment, and is looked at after every step.
//!
//! | name | says |
//! |---|---|
//! | one owner | in every committed state each slot has exactly one shard |
//! | one truth | nodes that have applied as many changes, and proxies that follow them, have the same state |
//! | one server | no slot is served by two processes |
//! | own slots only | a process serves what the state that it has applied gives to its shard, and only if that state names its very incarnation |
//! | parked is parked | a parked slot is opened by a committed state alone |

use std::collections::{BTreeMap, BTreeSet};

use slotway_common::cluster_state::ClusterState;
use slotway_common::slot::{SLOTS, Slot};
use slotway_shard::locks::Holder;
use slotway_tests::history::Loss;

use crate::shared::{Common, Process};

/// See the module.
pub struct Invariants {
    common: Common,
    /// Committed states by generation, as digests.
    states: BTreeMap<u64, String>,
    /// The generation that each process has applied.
    seen: BTreeMap<u64, u64>,
    /// The incarnations that the states have named.
    incarnations: BTreeMap<String, u64>,
    /// Parked slots with the process and the moves that they were parked for.
    parked: BTreeMap<(u64, Slot), String>,
}

impl Invariants {
    pub fn new(common: &Common) -> Self {
        Self {
            common: common.clone(),
            states: BTreeMap::new(),
            seen: BTreeMap::new(),
            incarnations: BTreeMap::new(),
            parked: BTreeMap::new(),
        }
    }

    /// Looks at everything. `deaths` tells when incarnations have died, in microseconds.
    pub fn check(&mut self, deaths: &BTreeMap<u64, u64>) {
        let common = self.common.clone();
        let processes = common.processes.borrow();
        for state in common.followed.take() {
            self.see("the proxy", &state, deaths);
        }
        let mut served: BTreeMap<Slot, &str> = BTreeMap::new();
        for (id, process) in processes.iter() {
            let state = process.control.state();
            if self.seen.insert(process.incarnation, state.generation) != Some(state.generation) {
                self.see(id, &state, deaths);
            }
            for slot in self.serves(id, process) {
                if let Some(other) = served.insert(slot, id) {
                    self.common.wrong(format!("one server: slot {slot} is served by {other} and by {id}"));
                }
            }
            self.look_at_parked(id, process);
        }
    }

    /// The slots of keys that a process serves.
    fn serves(&self, id: &str, process: &Process) -> Vec<Slot> {
        let served = process.window.look(|shard| {
            let node = &shard.node;
            let slots = self.common.slots.iter().copied().filter(|slot| node.serves(*slot));
            let slots: Vec<Slot> = slots.collect();
            let owner = node.state.node(id);
            for slot in &slots {
                match owner {
                    Some((shard, place))
                        if place.incarnation == process.incarnation && shard.slots.contains(*slot) => {}
                    _ => self
                        .common
                        .wrong(format!("own slots only: {id} serves slot {slot}, which is not its own")),
                }
            }
            slots
        });
        served.unwrap_or_default()
    }

    fn look_at_parked(&mut self, id: &str, process: &Process) {
        let common = self.common.clone();
        let parked = &mut self.parked;
        process.window.look(|shard| {
            let node = &shard.node;
            let key = |slot: Slot| (process.incarnation, slot);
            for slot in common.slots.iter().copied() {
                if node.locks.holder(slot) == Some(Holder::Leaving) {
                    if let Some(migration) = node.state.migration_of(slot) {
                        parked.insert(key(slot), migration.id.clone());
                    }
                } else if let Some(migration) = parked.remove(&key(slot))
                    && node.state.migration_of(slot).is_some_and(|now| now.id == migration)
                {
                    common.wrong(format!(
                        "parked is parked: {id} has opened slot {slot} while move {migration} goes on"
                    ));
                }
            }
        });
    }

    fn see(&mut self, id: &str, state: &ClusterState, deaths: &BTreeMap<u64, u64>) {
        let json = state.to_shown_json();
        match self.states.get(&state.generation) {
            Some(known) if *known == json => return,
            Some(known) => {
                let generation = state.generation;
                self.common
                    .wrong(format!("one truth: generation {generation} is {json} at {id}, and was {known}"));
                return;
            }
            None => {}
        }
        self.common.note(format!("generation {}: {json}", state.generation));
        self.states.insert(state.generation, json);
        if !state.is_founded() {
            return;
        }
        let mut owners = vec![0_u8; usize::from(SLOTS)];
        for slot in state.shards.iter().flat_map(|shard| shard.slots.slots()) {
            owners[usize::from(slot)] += 1;
        }
        if let Some(slot) = owners.iter().position(|owners| *owners != 1) {
            self.common.wrong(format!(
                "one owner: slot {slot} has {} in generation {}",
                owners[slot], state.generation
            ));
        }
        for shard in &state.shards {
            for node in &shard.nodes {
                let before = self.incarnations.insert(node.id.clone(), node.incarnation).unwrap_or(0);
                if before == node.incarnation || before == 0 {
                    continue;
                }
                // A process holds its data in memory only: they have gone with it.
                let died = deaths.get(&before).copied().unwrap_or_default();
                let slots: BTreeSet<Slot> = shard.slots.slots().collect();
                self.common.note(format!("what {} held since before {died} µs is lost", node.id));
                let loss = Loss { slots: slots.into_iter().collect(), from: died, until: died };
                self.common.history.borrow_mut().losses.push(loss);
            }
        }
    }

    /// Whether everything has come to rest: every node serves, nothing moves, and all agree.
    pub fn is_settled(&self, nodes: usize) -> bool {
        let processes = self.common.processes.borrow();
        let mut served: BTreeMap<Slot, usize> = BTreeMap::new();
        let mut generations = BTreeSet::new();
        let mut is_settled = processes.len() == nodes;
        for process in processes.values() {
            let looked = process.window.look(|shard| {
                let node = &shard.node;
                generations.insert(node.state.generation);
                is_settled &= node.state.is_founded()
                    && node.state.migrations.is_empty()
                    && node.not_serving().is_none()
                    && !node.locks.is_any_held();
                for slot in (0..SLOTS).filter(|slot| node.serves(*slot)) {
                    *served.entry(slot).or_default() += 1;
                }
            });
            is_settled &= looked.is_some();
        }
        is_settled && generations.len() == 1 && served.len() == usize::from(SLOTS)
    }

    /// Why it is not settled, for messages.
    pub fn unrest(&self) -> String {
        let processes = self.common.processes.borrow();
        let lines = processes.iter().map(|(id, process)| {
            let told = process.window.look(|shard| {
                let node = &shard.node;
                format!(
                    "{id}: generation {}, serving: {:?}, moves: {:?}, held slots: {}",
                    node.state.generation,
                    node.not_serving(),
                    node.state.migrations.iter().map(|one| &one.id).collect::<Vec<_>>(),
                    node.locks.is_any_held()
                )
            });
            told.unwrap_or_else(|| format!("{id}: ended"))
        });
        lines.collect::<Vec<_>>().join("; ")
    }
}
