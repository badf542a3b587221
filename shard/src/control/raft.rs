//! What the Raft library is told about our log, nodes and snapshots.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use slotway_common::cluster_state::{ClusterState, Outcome, Proposal};

openraft::declare_raft_types!(
    /// Entries are proposals, answers their outcomes, and a snapshot is the state in JSON.
    pub TypeConfig:
        D = Proposal,
        R = Outcome,
        NodeId = u64,
        Node = Place,
        SnapshotData = Vec<u8>,
        AsyncRuntime = super::runtime::Runtime,
);

pub type Entry = openraft::Entry<TypeConfig>;
pub type LogId = openraft::LogId<u64>;
pub type Vote = openraft::Vote<u64>;
pub type Raft = openraft::Raft<TypeConfig>;
pub type StorageError = openraft::StorageError<u64>;

/// A member of the Raft group, as its peers reach it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The node's id, for example `a-0`.
    pub node: String,
    /// `host:port` of its control port.
    pub control: String,
}

/// The number under which the library knows a node: the first 8 bytes of SHA-256 over its id, the highest first.
#[must_use]
pub fn number(node: &str) -> u64 {
    Sha256::digest(node.as_bytes()).iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// All nodes of the state, in its order.
pub fn places(state: &ClusterState) -> impl Iterator<Item = Place> {
    let nodes = state.shards.iter().flat_map(|shard| &shard.nodes);
    nodes.map(|node| Place { node: node.id.clone(), control: node.control.clone() })
}

/// The nodes that vote: of the first nodes of all shards the first one, or three where there are as many, if possible on
/// three hosts. Two would stop when either is lost, and a cluster of one shard is gone with that shard anyway.
#[must_use]
pub fn voters(state: &ClusterState) -> Vec<Place> {
    let first = state.shards.iter().filter_map(|shard| shard.primary());
    let candidates: Vec<Place> =
        first.map(|node| Place { node: node.id.clone(), control: node.control.clone() }).collect();
    if candidates.len() < 3 {
        return candidates.into_iter().take(1).collect();
    }
    let host = |place: &Place| place.control.rsplit_once(':').map(|(host, _)| host.to_owned());
    let mut chosen: Vec<Place> = Vec::new();
    for other_hosts_only in [true, false] {
        for place in &candidates {
            let taken = chosen
                .iter()
                .any(|known| known.node == place.node || other_hosts_only && host(known) == host(place));
            if chosen.len() < 3 && !taken {
                chosen.push(place.clone());
            }
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;
    use slotway_common::cluster_state::{Node, Shard};

    fn cluster(hosts: &[&str]) -> ClusterState {
        let shard = |(number, host): (usize, &&str)| Shard {
            name: number.to_string(),
            epoch: 1,
            nodes: vec![Node {
                id: format!("{number}-0"),
                address: format!("{host}:1{number}"),
                control: format!("{host}:2{number}"),
                admin: format!("{host}:3{number}"),
                incarnation: 0,
            }],
            slots: [].into_iter().collect(),
        };
        let mut state = ClusterState::default();
        state.shards.extend(hosts.iter().enumerate().map(shard));
        state
    }

    fn chosen(hosts: &[&str]) -> Vec<String> {
        voters(&cluster(hosts)).into_iter().map(|place| place.node).collect()
    }

    #[test]
    fn one_votes_below_three_shards_and_three_on_different_hosts_above() {
        assert_eq!(chosen(&[]), [""; 0]);
        assert_eq!(chosen(&["h", "i"]), ["0-0"]);
        assert_eq!(chosen(&["h", "h", "h", "h"]), ["0-0", "1-0", "2-0"]);
        assert_eq!(chosen(&["h", "h", "i", "i", "j"]), ["0-0", "2-0", "4-0"]);
        assert_eq!(chosen(&["h", "h", "i"]), ["0-0", "2-0", "1-0"]);
    }

    #[test]
    fn numbers_depend_on_the_id_alone() {
        assert_eq!(number("a-0"), number("a-0"));
        assert_ne!(number("a-0"), number("b-0"));
    }
}
