//! Moves of slots between shards; the steps are in the README beside this file.
//!
//! The source's half is a copy ([`crate::changes::SlotCopy`]), [`target`] is the other without I/O, [`crate::locks`] hold slots
//! while they change hands, and [`Moves`] is what the data thread keeps of all of it. Owners change by
//! [`Shard::adopt`](crate::node::Shard::adopt) alone, which follows the cluster's committed state.

mod target;
#[cfg(test)]
pub(crate) mod tests;

pub use target::{Applied, Target, TargetError};

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::{Duration, Instant};

use slotway_common::cluster_state::AbortKind;
use slotway_common::slot::Slot;
use slotway_common::topology::SlotRanges;

use crate::changes::{Changes, CopyId, SlotCopy};
use crate::client::Client;
use crate::engine::SlotSpace;

/// Bytes that may be on their way to a target before writers to moving slots have to wait.
const CONGESTED: usize = 4 * 1024 * 1024;
/// The same when everything is copied and the slots are to be parked.
const CONGESTED_AT_THE_END: usize = 64 * 1024;

/// A batch of slots that is leaving.
pub struct Batch {
    /// The move's id.
    pub id: String,
    /// In the node's changes.
    pub copy: CopyId,
    pub slots: Vec<Slot>,
    /// The slots are parked since then.
    pub parked_at: Option<Instant>,
    /// Frames that were written to the connection and not confirmed: sequence number and bytes of each write.
    unconfirmed: VecDeque<(u64, usize)>,
    /// Their bytes.
    on_the_way: usize,
    /// Everything has been copied and the lag must get small.
    pub ending: bool,
}

impl Batch {
    #[must_use]
    pub fn new(id: String, copy: CopyId, slots: Vec<Slot>) -> Self {
        Self { id, copy, slots, parked_at: None, unconfirmed: VecDeque::new(), on_the_way: 0, ending: false }
    }

    /// Notes that frames up to that sequence number, so many bytes, are being written.
    pub fn sent(&mut self, sequence: u64, bytes: usize) {
        self.unconfirmed.push_back((sequence, bytes));
        self.on_the_way += bytes;
    }

    /// Notes that the target has applied all frames up to a number.
    pub fn confirmed(&mut self, sequence: u64) {
        while let Some((last, bytes)) = self.unconfirmed.front().copied()
            && last <= sequence
        {
            self.unconfirmed.pop_front();
            self.on_the_way -= bytes;
        }
    }

    /// Bytes that were sent and are not confirmed.
    #[must_use]
    pub fn on_the_way(&self) -> usize {
        self.on_the_way
    }

    /// Bytes that the target has yet to apply.
    #[must_use]
    pub fn lag(&self, changes: &Changes) -> usize {
        self.on_the_way + changes.copy(self.copy).map_or(0, SlotCopy::queued)
    }

    fn is_congested(&self, changes: &Changes) -> bool {
        self.lag(changes) > if self.ending { CONGESTED_AT_THE_END } else { CONGESTED }
    }
}

/// What has been moved so far, of one move.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    pub keys: u64,
    pub bytes: u64,
    pub longest_park: Duration,
}

/// A move under way that leads away from here.
#[derive(Clone, Debug)]
pub struct Outgoing {
    pub id: String,
    /// Slots that the target owns.
    pub done: usize,
    pub remaining: SlotRanges,
}

/// Counters over all moves of this shard.
#[derive(Clone, Copy, Debug, Default)]
pub struct MoveStats {
    /// Keys and bytes of the batches that have ended.
    pub keys: u64,
    pub bytes: u64,
    pub slots_left: u64,
    pub slots_arrived: u64,
    /// By [`AbortKind`].
    pub aborts: [u64; AbortKind::ALL.len()],
}

/// All moves that this shard takes part in.
#[derive(Default)]
pub struct Moves {
    /// Clients that write to slots which move, faster than they can be copied.
    slowed: Vec<Rc<Client>>,
    /// One batch for each move at a time.
    pub batches: Vec<Batch>,
    /// Slots that are here whole and not owned yet, with their moves' ids.
    pub arrived: BTreeMap<Slot, (String, SlotSpace)>,
    pub outgoing: Vec<Outgoing>,
    /// Slots that moves to this shard have yet to bring.
    pub expected: BTreeMap<String, usize>,
    pub progress: BTreeMap<String, Progress>,
    pub stats: MoveStats,
}

impl Moves {
    /// The batch of a move that is leaving.
    pub fn batch(&mut self, id: &str) -> Option<&mut Batch> {
        self.batches.iter_mut().find(|batch| batch.id == id)
    }

    /// Wakes the client when the targets have caught up.
    pub fn wait_for_targets(&mut self, client: Rc<Client>) {
        self.slowed.push(client);
    }

    /// Lets the clients that are slowed down look again.
    pub fn wake_slowed(&mut self) {
        self.slowed.drain(..).for_each(|client| client.wake());
    }

    pub fn count_abort(&mut self, kind: AbortKind) {
        if let Some(count) = self.stats.aborts.get_mut(kind.position()) {
            *count += 1;
        }
    }

    /// True when the targets cannot keep up with what is written.
    #[must_use]
    #[inline]
    pub fn is_congested(&self, changes: &Changes) -> bool {
        self.batches.iter().any(|batch| batch.is_congested(changes))
    }
}
