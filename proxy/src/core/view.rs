//! The cluster as one worker sees it: shards, and the owner of every slot.

use std::rc::Rc;

use slotway_common::slot::{SLOTS, Slot};
use slotway_common::topology::Topology;

const NOBODY: u16 = u16::MAX;

/// A shard that this worker knows. Its position in [`View::shards`] never changes, so that connections can refer to it.
#[derive(Debug)]
pub struct ShardView {
    pub name: Rc<str>,
    /// Id of the node that serves it.
    pub node: String,
    /// `host:port` of that node.
    pub address: Rc<str>,
    /// Why the last attempt to connect failed, if no later one has succeeded.
    pub down: Option<Rc<str>>,
    /// No longer in the topology.
    pub gone: bool,
}

/// Shards and slots.
#[derive(Debug)]
pub struct View {
    pub shards: Vec<ShardView>,
    owners: Box<[u16]>,
    pub version: u64,
    /// The id of the cluster that this is of, once it is known.
    pub cluster: String,
}

impl Default for View {
    fn default() -> Self {
        Self {
            shards: Vec::new(),
            owners: vec![NOBODY; usize::from(SLOTS)].into(),
            version: 0,
            cluster: String::new(),
        }
    }
}

impl View {
    /// Position of the shard that owns `slot`.
    #[inline]
    pub fn owner(&self, slot: Slot) -> Option<usize> {
        match self.owners.get(usize::from(slot)) {
            Some(&owner) if owner != NOBODY => Some(usize::from(owner)),
            _ => None,
        }
    }

    /// Makes the shard at `address` the owner of one slot. False if no shard is known to be there.
    pub fn moved(&mut self, slot: Slot, address: &str) -> bool {
        let found = self.shards.iter().position(|shard| !shard.gone && &*shard.address == address);
        match (found, self.owners.get_mut(usize::from(slot))) {
            (Some(shard), Some(owner)) => {
                *owner = shard as u16;
                true
            }
            _ => false,
        }
    }

    /// The slots of each shard, by position.
    pub fn slots_by_shard(&self) -> Vec<Vec<Slot>> {
        let mut slots = vec![Vec::new(); self.shards.len()];
        for slot in 0..SLOTS {
            if let Some(list) = self.owner(slot).and_then(|owner| slots.get_mut(owner)) {
                list.push(slot);
            }
        }
        slots
    }

    /// Takes over a topology. Returns the positions of the shards that are now served by another node or address.
    pub fn apply(&mut self, topology: &Topology) -> Vec<usize> {
        let mut changed = Vec::new();
        let mut positions = Vec::with_capacity(topology.shards.len());
        for shard in &topology.shards {
            let Some(primary) = shard.primary() else {
                positions.push(None);
                continue;
            };
            let position = match self.shards.iter().position(|known| *known.name == *shard.name) {
                Some(position) => {
                    let known = &mut self.shards[position];
                    if *known.address != *primary.address || known.node != primary.id {
                        known.address = Rc::from(primary.address.as_str());
                        known.node.clone_from(&primary.id);
                        changed.push(position);
                    }
                    known.gone = false;
                    position
                }
                None => {
                    self.shards.push(ShardView {
                        name: Rc::from(shard.name.as_str()),
                        node: primary.id.clone(),
                        address: Rc::from(primary.address.as_str()),
                        down: None,
                        gone: false,
                    });
                    self.shards.len() - 1
                }
            };
            positions.push(Some(position));
        }
        for (position, shard) in self.shards.iter_mut().enumerate() {
            shard.gone = !positions.contains(&Some(position));
        }
        self.owners.fill(NOBODY);
        for (shard, position) in topology.shards.iter().zip(&positions) {
            let Some(position) = position else { continue };
            for slot in shard.slots.slots() {
                if let Some(owner) = self.owners.get_mut(usize::from(slot)) {
                    *owner = *position as u16;
                }
            }
        }
        self.version = topology.version;
        self.cluster.clone_from(&topology.id);
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::topology;

    #[test]
    fn positions_survive_changes_of_the_topology() {
        let mut view = View::default();
        assert!(view.apply(&topology(1, &[("a", "h:1", "0-99"), ("b", "h:2", "100-16383")])).is_empty());
        assert_eq!((view.owner(99), view.owner(100)), (Some(0), Some(1)));
        assert!(view.apply(&topology(2, &[("b", "h:2", "0-50"), ("c", "h:3", "51-16383")])).is_empty());
        assert_eq!((view.owner(50), view.owner(51)), (Some(1), Some(2)));
        assert!(view.shards[0].gone);
        assert_eq!(view.apply(&topology(3, &[("a", "h:9", "0-16382")])), [0]);
        assert_eq!((view.owner(16382), view.owner(16383)), (Some(0), None));
    }

    #[test]
    fn a_redirect_moves_one_slot() {
        let mut view = View::default();
        view.apply(&topology(1, &[("a", "h:1", "0-99"), ("b", "h:2", "100-16383")]));
        assert!(view.moved(5, "h:2"));
        assert_eq!((view.owner(5), view.owner(6)), (Some(1), Some(0)));
        assert!(!view.moved(6, "h:7"));
        assert_eq!(view.slots_by_shard().iter().map(Vec::len).collect::<Vec<_>>(), [99, 16285]);
    }
}
