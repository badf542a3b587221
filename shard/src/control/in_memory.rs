//! One committed state for several nodes in one process, without sockets, files or elections.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use slotway_common::cluster_state::{Change, ClusterState, Outcome, Proposal};
use slotway_common::platform::random;
use tokio::sync::{mpsc, watch};

use super::handle::{Control, ProposeError, Request};

/// The state that the nodes of a test share. Clones are the same state.
#[derive(Clone, Debug)]
pub struct Proposals {
    state: Arc<watch::Sender<Arc<ClusterState>>>,
    /// Draws what becomes of the nodes' proposals; none: all are applied and answered at once.
    trouble: Arc<Mutex<Option<SmallRng>>>,
}

impl Proposals {
    #[must_use]
    pub fn new(state: ClusterState) -> Self {
        Self { state: Arc::new(watch::Sender::new(Arc::new(state))), trouble: Arc::default() }
    }

    #[must_use]
    pub fn state(&self) -> Arc<ClusterState> {
        self.state.borrow().clone()
    }

    /// From now on nodes' proposals take up to some milliseconds, and of many it is not known what became of them:
    /// some are applied all the same, others never.
    pub fn disturb(&self, seed: u64) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(SmallRng::seed_from_u64(seed));
    }

    /// How long the next proposal takes, and whether it is applied and whether it is answered.
    fn fate(&self) -> (Duration, bool, bool) {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(random) = trouble.as_mut() else { return (Duration::ZERO, true, true) };
        let delay = Duration::from_micros(random.random_range(0..5000));
        match random.random_range(0..10) {
            0 | 1 => (delay, false, false),
            2..5 => (delay, true, false),
            _ => (delay, true, true),
        }
    }

    /// Makes a change, as if some node had proposed it.
    pub fn apply(&self, change: Change) -> Outcome {
        self.commit(&Proposal { request: random::hex_id::<16>(), change })
    }

    fn commit(&self, proposal: &Proposal) -> Outcome {
        let mut outcome = None;
        self.state.send_if_modified(|state| {
            let mut next = ClusterState::clone(state);
            let generation = next.generation;
            outcome = Some(next.apply(proposal));
            let changed = next.generation != generation;
            *state = Arc::new(next);
            changed
        });
        outcome.unwrap_or_else(|| Outcome::Refused("it was not applied".to_owned()))
    }

    /// A node's handle.
    fn control(&self) -> Control {
        let (requests, mut received) = mpsc::unbounded_channel::<Request>();
        let state = self.state.subscribe();
        let proposals = self.clone();
        tokio::spawn(async move {
            while let Some(Request { proposal, answer }) = received.recv().await {
                let (delay, is_applied, is_answered) = proposals.fate();
                tokio::time::sleep(delay).await;
                let mut outcome = Err(ProposeError::Unknown("no answer".to_owned()));
                if is_applied {
                    let applied = proposals.commit(&proposal).into_result().map_err(ProposeError::Refused);
                    outcome = if is_answered { applied } else { outcome };
                }
                // Who asked may have given up.
                let _ = answer.send(outcome);
            }
        });
        Control::new(state, requests)
    }
}

impl Control {
    /// A node of a cluster whose nodes are all in this process, for tests: its proposals are applied at once.
    ///
    /// Must be called inside a tokio runtime.
    #[must_use]
    pub fn in_memory(proposals: &Proposals) -> Self {
        proposals.control()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use slotway_common::cluster_state::{AbortReason, Node, Shard};

    fn found() -> Change {
        let node = Node {
            id: "a-0".to_owned(),
            address: "127.0.0.1:7001".to_owned(),
            control: "127.0.0.1:17001".to_owned(),
            admin: "127.0.0.1:27001".to_owned(),
            incarnation: 0,
        };
        Change::Found {
            cluster: "test".to_owned(),
            id: "1".to_owned(),
            hash_seed: 7,
            shards: vec![Shard {
                name: "a".to_owned(),
                epoch: 1,
                nodes: vec![node],
                slots: [0].into_iter().collect(),
            }],
            settings: std::collections::BTreeMap::default(),
        }
    }

    #[tokio::test]
    async fn what_one_node_proposes_every_node_sees() {
        let proposals = Proposals::new(ClusterState::default());
        let (one, mut other) = (Control::in_memory(&proposals), Control::in_memory(&proposals));
        let generation = one.propose(found()).await.unwrap();
        other.changed().await;
        assert_eq!((other.state().generation, one.state().generation), (generation, generation));
        let refused =
            one.propose(Change::AbortMove { id: "x".to_owned(), reason: AbortReason::asked("") }).await;
        assert_eq!(refused, Err(ProposeError::Refused("there is no move x".to_owned())));
    }
}
