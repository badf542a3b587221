//! What can be changed in the cluster's state.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{AbortReason, Shard};
use crate::acl::UserChange;
use crate::settings::StoredText;
use crate::topology::SlotRanges;

/// A change with the id under which its outcome is remembered: an entry of the Raft log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// Unique; the same id again gets the outcome of the first time.
    pub request: String,
    pub change: Change,
}

/// A change of the cluster's state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// The first change of a cluster. Does nothing when there is one already.
    Found {
        cluster: String,
        id: String,
        hash_seed: u64,
        shards: Vec<Shard>,
        settings: BTreeMap<String, StoredText>,
    },
    /// A process has started as `node`. Its shard gets a new epoch, which ends its unfinished moves. Refused when the
    /// last process that was known is another one than it `follows`: this start was on its way for long, and its process
    /// may be the earlier one. The logs of the first versions do not say whom a process follows.
    NodeStarted {
        node: String,
        incarnation: u64,
        #[serde(default)]
        follows: Option<u64>,
    },
    /// A shard joins; it owns no slots yet. Nothing changes when it is there already with the same nodes.
    AddShard { shard: Shard },
    /// A shard without slots and without unfinished moves leaves. Nothing changes when there is none of that name.
    RemoveShard { name: String },
    /// Moves begin, all of them or none. A move whose id is known, under way or ended, is not begun again.
    StartMoves { moves: Vec<Move> },
    /// These slots of a move are the target's from now on. The incarnations are those of the primaries of source and
    /// target; the logs of the first versions do not have them.
    CommitSlots {
        id: String,
        slots: SlotRanges,
        source_epoch: u64,
        target_epoch: u64,
        #[serde(default)]
        incarnations: Option<(u64, u64)>,
    },
    /// A move ends where it is. Nothing changes when it has ended already.
    AbortMove { id: String, reason: AbortReason },
    /// Cluster-wide settings get these values; `None` sets the default.
    Set { values: BTreeMap<String, Option<StoredText>> },
    /// Libraries of functions get this code; `None` removes one. `expected` is the version that this is a change of.
    SetFunctions { functions: BTreeMap<String, Option<StoredText>>, expected: u64 },
    /// Users are made, changed or deleted. `expected` is the version that this is a change of.
    SetUsers { users: Vec<UserChange>, expected: u64 },
}

/// A move as it is planned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    pub id: String,
    pub source: String,
    pub target: String,
    pub slots: SlotRanges,
}

/// What a change came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The state is as the change wants it, at this generation.
    Done { generation: u64 },
    /// Nothing was changed; the reason is one line.
    Refused(String),
}

impl Outcome {
    /// The generation, or the reason of the refusal.
    ///
    /// # Errors
    /// The change was refused.
    pub fn into_result(self) -> Result<u64, String> {
        match self {
            Self::Done { generation } => Ok(generation),
            Self::Refused(reason) => Err(reason),
        }
    }
}
