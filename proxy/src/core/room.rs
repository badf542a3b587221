//! Whether shards have memory left for what is queued.
//!
//! Redis refuses what a client queues after MULTI while memory is over its limit. The queue is here and the memory is the
//! shards': one that has told a proxy that there is some left tells it when there is not. From then on shards are asked before
//! anything is queued, until all of them have room again. So a transaction costs nothing more while there is memory.

use super::Core;

impl Core {
    /// A shard may have no memory left: it says so, or may have said so while nobody heard it.
    pub(crate) fn doubt_room(&mut self) {
        self.room.is_doubtful = true;
        self.room.told += 1;
    }

    /// Whether shards have to be asked before anything is queued.
    #[inline]
    pub(crate) fn may_be_full(&self) -> bool {
        self.room.is_doubtful && self.policy.limits_memory
    }

    /// How often shards have been doubted: to be asked for before they are asked.
    pub(crate) fn doubts(&self) -> u64 {
        self.room.told
    }

    /// All shards have room, if none has said otherwise since so many doubts.
    pub(crate) fn has_room(&mut self, doubts: u64) {
        self.room.is_doubtful &= self.room.told != doubts;
    }
}
