//! Who serves which hash slot: the shards, their nodes and a slot map for lookups.
//!
//! A [`Topology`] travels as JSON between processes. What routes requests keeps a [`SlotMap`] made of it.

mod ranges;
mod slot_map;
mod spread;

pub use ranges::{RangeError, SlotRange, SlotRanges};
pub use slot_map::SlotMap;
pub use spread::spread;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The whole cluster as one process knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Topology {
    /// Grows with every change; of two topologies the one with the higher version is newer.
    pub version: u64,
    /// The cluster's name, which is also its id in handshakes.
    pub cluster: String,
    /// Made when the cluster was founded; empty where that is not known, as in a cluster file.
    #[serde(default)]
    pub id: String,
    /// In the order of the cluster file.
    pub shards: Vec<Shard>,
}

/// A set of nodes that hold the same slots.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    pub name: String,
    /// In JSON a string such as `"0-99,105"`; empty when the shard owns nothing.
    pub slots: SlotRanges,
    /// The first is the primary, the others are replicas.
    pub nodes: Vec<Node>,
}

impl Shard {
    /// The node that serves the shard's slots.
    #[must_use]
    pub fn primary(&self) -> Option<&Node> {
        self.nodes.first()
    }
}

/// One process of a shard. The addresses are `host:port` texts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Shard name and position, for example `a-0`.
    pub id: String,
    /// Where clients and proxies connect.
    pub address: String,
    /// Where other nodes and the operator command connect.
    pub control: String,
    /// Where `/metrics`, `/healthz` and `/readyz` are served.
    pub admin: String,
}

impl Node {
    /// The node's id in the form of Redis's cluster commands: 40 hexadecimal digits that depend on the names of the
    /// cluster and the node alone.
    pub fn redis_id(&self, cluster: &str) -> String {
        let digest = Sha256::new().chain_update(cluster).chain_update([0]).chain_update(&self.id).finalize();
        digest.iter().take(20).map(|byte| format!("{byte:02x}")).collect()
    }
}

impl Topology {
    /// Whether this is to be followed by who has that one: it is newer, or of a cluster that was founded in the other's
    /// place and whose versions begin anew.
    #[must_use]
    pub fn replaces(&self, known: &Self) -> bool {
        self.version > known.version || self.is_of_another_cluster(&known.id)
    }

    /// Whether the cluster of this id is not the one of this topology, as far as both are known.
    #[must_use]
    pub fn is_of_another_cluster(&self, id: &str) -> bool {
        !self.id.is_empty() && !id.is_empty() && self.id != id
    }

    /// The shard with this name, with its position in [`Topology::shards`].
    pub fn shard(&self, name: &str) -> Option<(usize, &Shard)> {
        self.shards.iter().enumerate().find(|(_, shard)| shard.name == name)
    }

    /// The node with this id, with the shard that it belongs to.
    pub fn node(&self, id: &str) -> Option<(&Shard, &Node)> {
        self.shards
            .iter()
            .find_map(|shard| shard.nodes.iter().find(|node| node.id == id).map(|node| (shard, node)))
    }

    /// The owner of every slot by its position in [`Topology::shards`].
    pub fn slot_map(&self) -> SlotMap {
        let mut map = SlotMap::unassigned();
        for (index, shard) in self.shards.iter().enumerate() {
            for slot in shard.slots.slots() {
                map.assign(slot, index);
            }
        }
        map
    }

    /// What [`Topology::from_json`] reads.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads a topology that another process sent, and checks that no slot has two owners.
    ///
    /// A slot without an owner is allowed: its requests fail with CLUSTERDOWN.
    pub fn from_json(json: &[u8]) -> Result<Topology, TopologyError> {
        let topology: Topology = serde_json::from_slice(json)?;
        let mut map = SlotMap::unassigned();
        for (index, shard) in topology.shards.iter().enumerate() {
            for slot in shard.slots.slots() {
                if let Some(owner) = map.shard_of(slot).and_then(|owner| topology.shards.get(owner)) {
                    return Err(TopologyError::TwoOwners {
                        slot,
                        first: owner.name.clone(),
                        second: shard.name.clone(),
                    });
                }
                map.assign(slot, index);
            }
        }
        Ok(topology)
    }
}

/// Why a topology from another process was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum TopologyError {
    #[error("topology is not readable: {0}")]
    Json(#[from] serde_json::Error),
    #[error("topology gives slot {slot} to shard {first} and to shard {second}")]
    TwoOwners { slot: u16, first: String, second: String },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(id: &str, port: u16) -> Node {
        Node {
            id: id.to_owned(),
            address: format!("127.0.0.1:{port}"),
            control: format!("127.0.0.1:{}", port + 10000),
            admin: format!("127.0.0.1:{}", port + 20000),
        }
    }

    fn sample() -> Topology {
        Topology {
            version: 7,
            cluster: "local".to_owned(),
            id: String::new(),
            shards: vec![
                Shard {
                    name: "a".to_owned(),
                    slots: "0-99,105".parse().unwrap(),
                    nodes: vec![node("a-0", 7001)],
                },
                Shard {
                    name: "b".to_owned(),
                    slots: "106-16383".parse().unwrap(),
                    nodes: vec![node("b-0", 7002), node("b-1", 7003)],
                },
                Shard { name: "c".to_owned(), slots: SlotRanges::default(), nodes: vec![node("c-0", 7004)] },
            ],
        }
    }

    #[test]
    fn json_round_trips() {
        let topology = sample();
        assert_eq!(Topology::from_json(topology.to_json().as_bytes()).unwrap(), topology);
        assert!(topology.to_json().contains(r#""slots":"0-99,105""#));
    }

    #[test]
    fn slot_map_names_owner_or_nobody() {
        let map = sample().slot_map();
        assert_eq!(map.shard_of(0), Some(0));
        assert_eq!(map.shard_of(105), Some(0));
        assert_eq!(map.shard_of(104), None);
        assert_eq!(map.shard_of(16383), Some(1));
        assert_eq!(map.shard_of(16384), None);
    }

    #[test]
    fn slot_with_two_owners_is_refused() {
        let mut topology = sample();
        topology.shards[2].slots = "105".parse().unwrap();
        let refusal = Topology::from_json(topology.to_json().as_bytes()).unwrap_err();
        assert_eq!(refusal.to_string(), "topology gives slot 105 to shard a and to shard c");
    }

    #[test]
    fn slot_outside_the_table_is_refused() {
        let json = sample().to_json().replace("16383", "16384");
        assert!(Topology::from_json(json.as_bytes()).is_err());
    }

    #[test]
    fn nodes_are_found_by_id() {
        let topology = sample();
        assert_eq!(topology.node("b-1").unwrap().0.name, "b");
        assert!(topology.node("b-2").is_none());
        assert_eq!(topology.shard("c").unwrap().0, 2);
    }
}
