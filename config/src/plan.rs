//! What has to change so that the cluster is as its file wants it: a pure function of the file and the committed state.
//!
//! The state is the truth, the file a wish. Moves that are under way count as done, since they will be, so planning
//! again while they run finds only what is missing beyond them. A slot that must go on to another shard after such a
//! move waits for its end. Equal files and states give equal plans, ids included: a plan that is applied twice begins
//! every move once.

mod describe;
mod refusal;
mod settings;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use describe::shortened;
pub use describe::{MoveFigures, describe, to_json};
pub use refusal::Refusal;
pub use settings::SettingChange;

use std::collections::BTreeMap;

use slotway_common::cluster_file::{ClusterFile, Node as FileNode, Shard as FileShard};
use slotway_common::cluster_state::{ClusterState, Migration, Move, Node, Shard};
use slotway_common::slot::SLOTS;
use slotway_common::topology::{SlotMap, SlotRanges};

/// The steps from a state to what a file wants.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    pub cluster: String,
    /// Of the state that it was made from.
    pub generation: u64,
    /// In the file, not in the cluster. They own nothing at first.
    pub add: Vec<Shard>,
    /// Moves that can begin once the added shards have started.
    pub moves: Vec<Move>,
    /// Moves of slots that are still on their way to `source`: they are planned again when those have arrived.
    pub waiting: Vec<Move>,
    /// Moves that are under way and count as done.
    pub running: Vec<Migration>,
    /// In the cluster, not in the file, so they leave when they own nothing any more.
    pub remove: Vec<String>,
    pub settings: Vec<SettingChange>,
    /// What an operator should know about the plan: one line each.
    pub notes: Vec<String>,
}

impl Plan {
    /// Whether the cluster is as the file wants it, or will be when the moves under way have ended.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.add.is_empty()
            && self.all_moves().next().is_none()
            && self.remove.is_empty()
            && self.settings.is_empty()
    }

    /// Those that can begin and those that wait.
    pub fn all_moves(&self) -> impl Iterator<Item = &Move> {
        self.moves.iter().chain(&self.waiting)
    }

    /// How many slots the plan moves.
    #[must_use]
    pub fn slots_to_move(&self) -> usize {
        self.all_moves().map(|planned| planned.slots.count()).sum()
    }

    /// Why this plan does not do the same as `earlier`, which somebody has agreed to; `None` if it does.
    ///
    /// Ids and generations may differ.
    #[must_use]
    pub fn difference(&self, earlier: &Plan) -> Option<String> {
        let names = |shards: &[Shard]| shards.iter().map(|shard| shard.name.clone()).collect::<Vec<_>>();
        let (now, then) = (names(&self.add), names(&earlier.add));
        if now != then {
            return Some(format!("shards to add were {}, now {}", listed(&then), listed(&now)));
        }
        if self.remove != earlier.remove {
            return Some(format!(
                "shards to remove were {}, now {}",
                listed(&earlier.remove),
                listed(&self.remove)
            ));
        }
        let routes = |plan: &Plan| {
            plan.all_moves()
                .map(|planned| (planned.source.clone(), planned.target.clone(), planned.slots.clone()))
                .collect::<Vec<_>>()
        };
        let (now, then) = (routes(self), routes(earlier));
        if let Some((source, target, slots)) = now.iter().find(|route| !then.contains(route)) {
            return Some(format!("slots {slots} would now move from {source} to {target}"));
        }
        if let Some((source, target, slots)) = then.iter().find(|route| !now.contains(route)) {
            return Some(format!("slots {slots} do not have to move from {source} to {target} any more"));
        }
        if self.settings != earlier.settings {
            return Some("its settings are others".to_owned());
        }
        None
    }
}

/// Names with commas, or `none`.
fn listed(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// Compares a file with the committed state.
///
/// # Errors
/// The file describes another cluster, or wants what cannot be done.
pub fn plan(file: &ClusterFile, state: &ClusterState) -> Result<Plan, Refusal> {
    if !state.is_founded() {
        return Err(Refusal::NotFounded);
    }
    if file.cluster != state.cluster {
        return Err(Refusal::OtherCluster { file: file.cluster.clone(), running: state.cluster.clone() });
    }
    let mut add = Vec::new();
    for shard in &file.shards {
        match state.shard(&shard.name) {
            Some(known) => check_nodes(shard, known)?,
            None => add.push(new_shard(shard, state)?),
        }
    }
    let remove: Vec<String> = state
        .shards
        .iter()
        .filter(|known| !file.shards.iter().any(|shard| shard.name == known.name))
        .map(|known| known.name.clone())
        .collect();

    let places = Places::of(file, state)?;
    let (moves, waiting) = places.moves(state);
    let (settings, notes) = settings::compare(&file.settings, &state.settings);
    Ok(Plan {
        cluster: state.cluster.clone(),
        generation: state.generation,
        add,
        moves,
        waiting,
        running: state.migrations.clone(),
        remove,
        settings,
        notes,
    })
}

/// What each shard of the file owns once the moves that are under way have ended, in the file's order.
#[must_use]
pub fn ownership(file: &ClusterFile, state: &ClusterState) -> Vec<SlotRanges> {
    let (names, owners) = effective(file, state);
    file.shards
        .iter()
        .map(|shard| {
            let index = names.iter().position(|name| *name == shard.name);
            index.map(|index| owners.slots_of(index)).unwrap_or_default()
        })
        .collect()
}

/// The shards of the state and then those that only the file has, and who owns what after the moves under way.
fn effective<'a>(file: &'a ClusterFile, state: &'a ClusterState) -> (Vec<&'a str>, SlotMap) {
    let mut names: Vec<&str> = state.shards.iter().map(|shard| shard.name.as_str()).collect();
    for shard in &file.shards {
        if !names.contains(&shard.name.as_str()) {
            names.push(&shard.name);
        }
    }
    let mut owners = SlotMap::unassigned();
    let mut assign = |slots: &SlotRanges, name: &str| {
        if let Some(index) = names.iter().position(|other| *other == name) {
            slots.slots().for_each(|slot| owners.assign(slot, index));
        }
    };
    for shard in &state.shards {
        assign(&shard.slots, &shard.name);
    }
    for migration in &state.migrations {
        assign(&migration.remaining(), &migration.target);
    }
    (names, owners)
}

/// Where every slot will be when the moves under way have ended, and where the file wants it.
struct Places<'a> {
    names: Vec<&'a str>,
    current: SlotMap,
    wanted: SlotMap,
}

impl<'a> Places<'a> {
    fn of(file: &'a ClusterFile, state: &'a ClusterState) -> Result<Self, Refusal> {
        let (names, current) = effective(file, state);
        let unowned: SlotRanges = (0..SLOTS).filter(|slot| current.shard_of(*slot).is_none()).collect();
        if !unowned.is_empty() {
            return Err(Refusal::Unowned(unowned));
        }
        let mut wanted = SlotMap::unassigned();
        for (shard, slots) in file.shards.iter().zip(file.slots(&ownership(file, state))) {
            if let Some(index) = names.iter().position(|name| *name == shard.name) {
                slots.slots().for_each(|slot| wanted.assign(slot, index));
            }
        }
        Ok(Self { names, current, wanted })
    }

    /// One move for each pair of shards, and one more where some of its slots are under way to the source.
    fn moves(&self, state: &ClusterState) -> (Vec<Move>, Vec<Move>) {
        let mut busy = SlotMap::unassigned();
        for migration in &state.migrations {
            migration.remaining().slots().for_each(|slot| busy.assign(slot, 0));
        }
        let mut groups: BTreeMap<(bool, usize, usize), Vec<u16>> = BTreeMap::new();
        for slot in 0..SLOTS {
            let (Some(source), Some(target)) = (self.current.shard_of(slot), self.wanted.shard_of(slot))
            else {
                continue;
            };
            if source != target {
                let waits = busy.shard_of(slot).is_some();
                groups.entry((waits, source, target)).or_default().push(slot);
            }
        }
        let name = |index: usize| self.names.get(index).map(|name| (*name).to_owned()).unwrap_or_default();
        let (mut moves, mut waiting) = (Vec::new(), Vec::new());
        for ((waits, source, target), slots) in groups {
            let first = slots.first().copied().unwrap_or_default();
            let planned = Move {
                id: format!("{}-{first}", state.generation),
                source: name(source),
                target: name(target),
                slots: SlotRanges::from_slots(slots),
            };
            if waits { waiting.push(planned) } else { moves.push(planned) }
        }
        (moves, waiting)
    }
}

/// The addresses of a node of the file, each with its name there.
fn addresses(node: &FileNode) -> [(&'static str, String); 3] {
    [
        ("address", node.client.to_string()),
        ("control address", node.control.to_string()),
        ("admin address", node.admin.to_string()),
    ]
}

/// A shard that is known must have the nodes that are known.
fn check_nodes(shard: &FileShard, known: &Shard) -> Result<(), Refusal> {
    if let Some(node) = shard.nodes.iter().find(|node| !known.nodes.iter().any(|other| other.id == node.id)) {
        return Err(Refusal::NodeAdded { shard: shard.name.clone(), node: node.id.clone() });
    }
    if let Some(node) = known.nodes.iter().find(|node| !shard.nodes.iter().any(|other| other.id == node.id)) {
        return Err(Refusal::NodeRemoved { shard: shard.name.clone(), node: node.id.clone() });
    }
    for (node, other) in shard.nodes.iter().zip(&known.nodes) {
        let running = [&other.address, &other.control, &other.admin];
        for ((what, wanted), running) in addresses(node).into_iter().zip(running) {
            if wanted != *running {
                return Err(Refusal::NodeMoved {
                    node: node.id.clone(),
                    what,
                    file: wanted,
                    running: running.clone(),
                });
            }
        }
    }
    Ok(())
}

/// A shard of the file as it joins. None of its addresses may belong to a shard that is there.
fn new_shard(shard: &FileShard, state: &ClusterState) -> Result<Shard, Refusal> {
    for node in &shard.nodes {
        for (_, address) in addresses(node) {
            let taken = state.shards.iter().find_map(|known| {
                let mut nodes = known.nodes.iter();
                let node =
                    nodes.find(|node| [&node.address, &node.control, &node.admin].contains(&&address))?;
                Some((known, node))
            });
            if let Some((known, other)) = taken {
                return Err(Refusal::AddressTaken {
                    shard: shard.name.clone(),
                    address,
                    other: other.id.clone(),
                    other_shard: known.name.clone(),
                });
            }
        }
    }
    Ok(Shard {
        name: shard.name.clone(),
        epoch: 1,
        nodes: shard
            .nodes
            .iter()
            .map(|node| Node {
                id: node.id.clone(),
                address: node.client.to_string(),
                control: node.control.to_string(),
                admin: node.admin.to_string(),
                incarnation: 0,
            })
            .collect(),
        slots: SlotRanges::default(),
    })
}
