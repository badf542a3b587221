//! Following the state by numbered changes instead of fetching all of it each time.
//!
//! Who follows says which generation of which cluster it has. It gets the changes since then, and applies them as the
//! nodes did; [`ClusterState::apply`] is a pure function, so it has the same state. Where the changes are not known any more,
//! or are of another cluster, it gets the whole state.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::{ClusterState, Outcome, Proposal};

/// Changes that are remembered: a follower that asks once a second falls behind so far only when it stood still.
const MOST: usize = 256;

/// The last changes that changed something, as one node has applied them.
#[derive(Clone, Debug, Default)]
pub struct Recent(VecDeque<(u64, Proposal)>);

/// What brings a follower up to date.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Update {
    /// The changes after its generation, in their order, each of which makes the generation grow by one.
    Changes(Vec<Proposal>),
    State(Box<ClusterState>),
}

/// Changes that do not fit the follower's state: it needs the whole one.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the changes do not fit generation {0}")]
pub struct Gap(pub u64);

impl Recent {
    /// Notes the change that made the state's generation `generation`.
    pub fn push(&mut self, generation: u64, proposal: Proposal) {
        if self.0.back().is_some_and(|(last, _)| last + 1 != generation) {
            self.0.clear();
        }
        if self.0.len() >= MOST {
            self.0.pop_front();
        }
        self.0.push_back((generation, proposal));
    }

    /// What a follower needs that has generation `known` of the cluster `id`.
    #[must_use]
    pub fn since(&self, id: &str, known: u64, current: &ClusterState) -> Update {
        let missing = current.generation.checked_sub(known);
        let reaches = self.0.back().is_some_and(|(last, _)| *last == current.generation)
            && self.0.front().is_some_and(|(first, _)| *first <= known + 1);
        match missing {
            Some(missing) if id == current.id && (reaches || missing == 0) => {
                let first = self.0.len() - (missing as usize).min(self.0.len());
                Update::Changes(self.0.iter().skip(first).map(|(_, proposal)| proposal.clone()).collect())
            }
            _ => Update::State(Box::new(current.shown())),
        }
    }
}

impl ClusterState {
    /// Brings this copy up to date; false when there was nothing new.
    ///
    /// # Errors
    /// [`Gap`]; the copy is then of no use any more.
    pub fn follow(&mut self, update: Update) -> Result<bool, Gap> {
        match update {
            Update::State(state) => {
                let is_new = state.id != self.id || state.generation > self.generation;
                *self = *state;
                Ok(is_new)
            }
            Update::Changes(changes) => {
                for proposal in &changes {
                    let next = self.generation + 1;
                    if self.apply(proposal) != (Outcome::Done { generation: next }) {
                        return Err(Gap(next - 1));
                    }
                }
                Ok(!changes.is_empty())
            }
        }
    }
}
