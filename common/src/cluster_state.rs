//! The cluster's committed state: who owns which slot, which moves are under way, and what is set.
//!
//! It changes by [`Change`]s alone, each an entry of the cluster's Raft log that every node applies in the same order.
//! [`ClusterState::apply`] is a pure function, so equal logs give equal states. A change carries the epochs or ids that
//! it expects; where they do not fit any more it does nothing and says why, so a repeated or late change is harmless.

mod apply;
mod change;
mod follow;
mod reason;
#[cfg(test)]
mod tests;

pub use change::{Change, Move, Outcome, Proposal};
pub use follow::{Gap, Recent, Update};
pub use reason::{AbortKind, AbortReason};

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::acl::StoredUser;
use crate::settings::StoredText;
use crate::topology::{self, SlotRanges, Topology};

/// Ended moves that are remembered, for `slotway status` and for repeated changes.
const MOST_ENDED: usize = 64;
/// Proposals whose outcome is remembered: more than can be under way at once. All travel with the state.
const MOST_ANSWERED: usize = 128;

/// Everything that the nodes of a cluster agree on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterState {
    /// The cluster's name; empty until the cluster has been founded.
    pub cluster: String,
    /// Made when the cluster was founded: tells it from another of the same name. Hexadecimal.
    pub id: String,
    /// Grows by one with every change that changed something.
    pub generation: u64,
    /// The seed of the hashes that scan cursors are made of.
    pub hash_seed: u64,
    /// In the order in which they were added.
    pub shards: Vec<Shard>,
    /// Moves that have not ended, oldest first.
    pub migrations: Vec<Migration>,
    /// The last moves that have ended, oldest first.
    pub ended: Vec<Migration>,
    /// Cluster-wide settings that are not at their defaults, by their Redis names.
    pub settings: BTreeMap<String, StoredText>,
    /// The generation at which the settings were last changed.
    pub settings_version: u64,
    /// The code of every library of functions, by name.
    #[serde(default)]
    pub functions: BTreeMap<String, StoredText>,
    /// The generation at which the libraries were last changed.
    #[serde(default)]
    pub functions_version: u64,
    /// The users that were made or changed, by name.
    #[serde(default)]
    pub users: Vec<StoredUser>,
    /// The generation at which they were last changed.
    #[serde(default)]
    pub users_version: u64,
    /// What the last proposals came to, oldest first.
    answered: Vec<(String, Outcome)>,
}

/// A shard of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    pub name: String,
    /// Grows whenever what the shard holds may have changed hands or been lost: a node started anew.
    pub epoch: u64,
    /// The first is the primary.
    pub nodes: Vec<Node>,
    pub slots: SlotRanges,
}

impl Shard {
    /// The node that serves the shard's slots.
    #[must_use]
    pub fn primary(&self) -> Option<&Node> {
        self.nodes.first()
    }
}

/// A node of a shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Shard name and position, for example `a-0`.
    pub id: String,
    /// Client, control and admin addresses, `host:port`.
    pub address: String,
    pub control: String,
    pub admin: String,
    /// The number that its running process drew; 0 before it has ever started.
    pub incarnation: u64,
}

/// A move of slots from one shard to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Migration {
    /// Unique in the cluster; a move that is planned twice has the same id twice.
    pub id: String,
    pub source: String,
    pub target: String,
    /// All slots of the move.
    pub slots: SlotRanges,
    /// Those of them that the target owns by now.
    pub moved: SlotRanges,
    /// The epochs of source and target under which it runs; it ends when one changes.
    pub source_epoch: u64,
    pub target_epoch: u64,
    pub phase: Phase,
}

/// How far a move is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    Running,
    Finished,
    /// Ended early; `moved` says what the target owns, the source owns the rest.
    Aborted(AbortReason),
}

/// How much of a move is done, as its source tells it in `SLOTWAY STATS`; no part of the committed state. What a source does
/// not tell is 0.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MoveProgress {
    pub id: String,
    pub slots_done: u64,
    pub slots_total: u64,
    /// Keys, and bytes of keys and values, that were copied so far.
    pub keys: u64,
    pub bytes: u64,
    /// The same with those that are still to be copied.
    pub keys_total: u64,
    pub bytes_total: u64,
    /// Bytes that the target has yet to apply.
    pub lag_bytes: u64,
    /// The longest time that a slot was parked, in milliseconds.
    pub parked_ms_max: f64,
}

impl Migration {
    /// Slots that the source still owns.
    #[must_use]
    pub fn remaining(&self) -> SlotRanges {
        self.slots.slots().filter(|slot| !self.moved.contains(*slot)).collect()
    }
}

impl ClusterState {
    /// True once a cluster has been founded.
    #[must_use]
    pub fn is_founded(&self) -> bool {
        !self.cluster.is_empty()
    }

    #[must_use]
    pub fn shard(&self, name: &str) -> Option<&Shard> {
        self.shards.iter().find(|shard| shard.name == name)
    }

    /// The node of that id with its shard.
    #[must_use]
    pub fn node(&self, id: &str) -> Option<(&Shard, &Node)> {
        self.shards
            .iter()
            .find_map(|shard| shard.nodes.iter().find(|node| node.id == id).map(|node| (shard, node)))
    }

    /// The move of that id, under way or ended.
    #[must_use]
    pub fn migration(&self, id: &str) -> Option<&Migration> {
        self.migrations.iter().chain(self.ended.iter().rev()).find(|migration| migration.id == id)
    }

    /// The move under way that `slot` belongs to and has not left the source by.
    #[must_use]
    pub fn migration_of(&self, slot: u16) -> Option<&Migration> {
        self.migrations
            .iter()
            .find(|migration| migration.slots.contains(slot) && !migration.moved.contains(slot))
    }

    /// The incarnations of the primaries of a move's source and target; 0 for a shard that is not there.
    #[must_use]
    pub fn incarnations(&self, migration: &Migration) -> (u64, u64) {
        let of = |name: &str| {
            self.shard(name).and_then(|shard| shard.primary()).map_or(0, |node| node.incarnation)
        };
        (of(&migration.source), of(&migration.target))
    }

    /// What routes requests: shards, nodes and slots; its version is the generation.
    #[must_use]
    pub fn topology(&self) -> Topology {
        let shards = self.shards.iter().map(|shard| topology::Shard {
            name: shard.name.clone(),
            slots: shard.slots.clone(),
            nodes: shard
                .nodes
                .iter()
                .map(|node| topology::Node {
                    id: node.id.clone(),
                    address: node.address.clone(),
                    control: node.control.clone(),
                    admin: node.admin.clone(),
                })
                .collect(),
        });
        Topology {
            version: self.generation,
            cluster: self.cluster.clone(),
            id: self.id.clone(),
            shards: shards.collect(),
        }
    }

    /// As JSON, for snapshots and other processes.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// As JSON, for who only reads it: without the outcomes of proposals.
    #[must_use]
    pub fn to_shown_json(&self) -> String {
        serde_json::to_string(&self.shown()).unwrap_or_default()
    }

    fn shown(&self) -> Self {
        Self { answered: Vec::new(), ..self.clone() }
    }

    /// What [`ClusterState::to_json`] or [`ClusterState::to_shown_json`] wrote.
    ///
    /// # Errors
    /// A text that is no such JSON.
    pub fn from_json(json: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(json)
    }
}

impl From<topology::Shard> for Shard {
    /// A shard as the cluster file has it, at its first epoch.
    fn from(shard: topology::Shard) -> Self {
        let node = |node: topology::Node| Node {
            id: node.id,
            address: node.address,
            control: node.control,
            admin: node.admin,
            incarnation: 0,
        };
        Self {
            name: shard.name,
            epoch: 1,
            nodes: shard.nodes.into_iter().map(node).collect(),
            slots: shard.slots,
        }
    }
}
