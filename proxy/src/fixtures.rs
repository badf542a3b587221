//! Values that several tests of this crate start from.

use slotway_common::topology::{Node, Shard, Topology};

/// A topology of shards given by name, address and slots.
pub(crate) fn topology(version: u64, shards: &[(&str, &str, &str)]) -> Topology {
    Topology {
        version,
        cluster: "test".to_owned(),
        id: String::new(),
        shards: shards
            .iter()
            .map(|(name, address, slots)| Shard {
                name: (*name).to_owned(),
                slots: slots.parse().unwrap(),
                nodes: vec![Node {
                    id: format!("{name}-0"),
                    address: (*address).to_owned(),
                    control: String::new(),
                    admin: String::new(),
                }],
            })
            .collect(),
    }
}
