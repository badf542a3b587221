//! Owner of a slot in one array read.

use super::SlotRanges;
use crate::slot::SLOTS;

/// Nobody owns the slot. A cluster never has this many shards.
const NOBODY: u16 = u16::MAX;

/// The owner of each of the 16,384 slots as a shard's position; 32 KiB.
#[derive(Clone, PartialEq, Eq)]
pub struct SlotMap(Box<[u16; SLOTS as usize]>);

impl SlotMap {
    /// A map in which nobody owns anything.
    pub fn unassigned() -> SlotMap {
        SlotMap(Box::new([NOBODY; SLOTS as usize]))
    }

    /// The owner's position in the topology's list of shards; `None` for a slot without an owner and for a number
    /// that is no slot.
    #[inline]
    pub fn shard_of(&self, slot: u16) -> Option<usize> {
        match self.0.get(usize::from(slot)) {
            Some(&shard) if shard != NOBODY => Some(usize::from(shard)),
            _ => None,
        }
    }

    /// Makes `shard` the owner of one slot, as a redirect told. Numbers that are no slot are ignored.
    pub fn assign(&mut self, slot: u16, shard: usize) {
        if let (Some(cell), Ok(shard)) = (self.0.get_mut(usize::from(slot)), u16::try_from(shard)) {
            *cell = shard;
        }
    }

    /// All slots of one shard.
    pub fn slots_of(&self, shard: usize) -> SlotRanges {
        (0..SLOTS).filter(|slot| self.shard_of(*slot) == Some(shard)).collect()
    }
}

impl std::fmt::Debug for SlotMap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let assigned = self.0.iter().filter(|shard| **shard != NOBODY).count();
        write!(f, "SlotMap({assigned} slots assigned)")
    }
}
