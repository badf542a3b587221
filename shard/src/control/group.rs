//! The node's part in the Raft group: proposals are brought to the leader, and others' messages to the library.

use std::sync::Arc;
use std::time::Duration;

use openraft::error::{ClientWriteError, RaftError};
use openraft::raft::{AppendEntriesRequest, VoteRequest};
use openraft::{Snapshot, SnapshotMeta};
use serde::Serialize;
use serde::de::DeserializeOwned;
use slotway_common::cluster_state::{ClusterState, Outcome, Proposal};
use slotway_common::platform::clock;
use std::sync::{Mutex, PoisonError};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::peer::{Peer, Peers};
use super::raft::{Place, Raft, TypeConfig, Vote, number};

/// How long a proposal is tried for.
const PATIENCE: Duration = Duration::from_secs(5);
/// For one attempt: a leader that is cut off from the others never answers.
const ATTEMPT: Duration = Duration::from_millis(1500);
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(20);
/// Connections that are kept for further proposals.
const MOST_IDLE: usize = 8;

/// This node as a member of the group.
pub struct Group {
    pub raft: Raft,
    pub peers: Peers,
    pub state: watch::Receiver<Arc<ClusterState>>,
    /// Connections to a leader that no proposal uses.
    idle: Mutex<(Option<Place>, Vec<Peer>)>,
}

/// What `SLOTWAY RAFT STATUS` answers.
#[derive(Debug, Serialize)]
pub struct Status {
    pub node: String,
    /// The cluster's id; empty when the node does not belong to one yet.
    pub cluster: String,
    /// `leader`, `follower`, `candidate`, `learner` or `shutdown`.
    pub role: String,
    /// The leader's node id, if one is known.
    pub leader: Option<String>,
    pub term: u64,
    pub last_log: Option<u64>,
    pub last_applied: Option<u64>,
    pub generation: u64,
    pub voters: Vec<String>,
    pub learners: Vec<String>,
    /// Whether the node has ever been part of a group.
    pub initialized: bool,
}

impl Group {
    pub fn new(raft: Raft, peers: Peers) -> Self {
        let state = peers.machine.published();
        Self { raft, peers, state, idle: Mutex::default() }
    }

    pub fn node(&self) -> &str {
        &self.peers.identity.node
    }

    /// The state as this node has applied it.
    pub fn current(&self) -> Arc<ClusterState> {
        self.state.borrow().clone()
    }

    pub fn status(&self) -> Status {
        let metrics = self.raft.metrics().borrow().clone();
        let membership = metrics.membership_config.membership();
        let name = |id: &u64| membership.get_node(id).map(|place| place.node.clone());
        let mut voters: Vec<String> = membership.voter_ids().filter_map(|id| name(&id)).collect();
        let mut learners: Vec<String> = membership.learner_ids().filter_map(|id| name(&id)).collect();
        voters.sort();
        learners.sort();
        Status {
            node: self.node().to_owned(),
            cluster: self.peers.machine.cluster(),
            role: format!("{:?}", metrics.state).to_lowercase(),
            leader: metrics.current_leader.as_ref().and_then(name),
            term: metrics.current_term,
            last_log: metrics.last_log_index,
            last_applied: metrics.last_applied.map(|id| id.index),
            generation: self.current().generation,
            initialized: !self.peers.log.is_empty(),
            voters,
            learners,
        }
    }

    /// Has the leader commit a proposal, and gives its outcome once the leader has applied it.
    ///
    /// # Errors
    /// One line, when nobody has answered in time: the proposal may or may not be made.
    pub async fn propose(&self, proposal: &Proposal) -> Result<Outcome, String> {
        let deadline = clock::monotonic() + PATIENCE;
        let mut reason = "no leader is known".to_owned();
        loop {
            match self.attempt(proposal).await {
                Ok(outcome) => return Ok(outcome),
                Err(Some(why)) => reason = why,
                Err(None) => {}
            }
            if clock::monotonic() >= deadline {
                return Err(format!("no outcome within {} s: {reason}", PATIENCE.as_secs()));
            }
            sleep(PAUSE).await;
        }
    }

    async fn attempt(&self, proposal: &Proposal) -> Result<Outcome, Option<String>> {
        let leader = {
            let metrics = self.raft.metrics();
            let metrics = metrics.borrow();
            let membership = metrics.membership_config.membership();
            metrics.current_leader.and_then(|leader| Some((leader, membership.get_node(&leader)?.clone())))
        };
        let Some((leader, place)) = leader else { return Err(None) };
        if leader == number(self.node()) {
            return self.commit(proposal).await.map_err(Some);
        }
        let json = serde_json::to_vec(proposal).map_err(|error| Some(error.to_string()))?;
        let mut peer = self.take_idle(&place);
        let outcome = timeout(ATTEMPT, peer.call::<Outcome>(&[b"PROPOSE", &json])).await;
        match outcome {
            Ok(Ok(outcome)) => {
                self.put_idle(place, peer);
                Ok(outcome)
            }
            Ok(Err(error)) => Err(Some(format!("the leader, node {}: {error}", place.node))),
            Err(_) => Err(Some(format!("the leader, node {}, does not answer", place.node))),
        }
    }

    /// Commits a proposal, if this node is the leader.
    ///
    /// # Errors
    /// One line.
    pub async fn commit(&self, proposal: &Proposal) -> Result<Outcome, String> {
        match timeout(ATTEMPT, self.raft.client_write(proposal.clone())).await {
            Ok(Ok(written)) => Ok(written.data),
            Ok(Err(RaftError::APIError(ClientWriteError::ForwardToLeader(_)))) => {
                Err(format!("node {} is not the leader", self.node()))
            }
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("the leader does not reach enough nodes".to_owned()),
        }
    }

    fn take_idle(&self, place: &Place) -> Peer {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.0.as_ref() != Some(place) {
            *idle = (Some(place.clone()), Vec::new());
        }
        idle.1.pop().unwrap_or_else(|| self.peers.to(place))
    }

    fn put_idle(&self, place: Place, peer: Peer) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.0 == Some(place) && idle.1.len() < MOST_IDLE {
            idle.1.push(peer);
        }
    }

    /// Answers `SLOTWAY RAFT <cluster> <kind> <json> …`.
    ///
    /// # Errors
    /// One line.
    pub async fn receive(
        &self,
        cluster: &[u8],
        kind: &[u8],
        json: &[u8],
        data: &[u8],
    ) -> Result<Vec<u8>, String> {
        self.admit(cluster)?;
        match kind {
            b"APPEND" => {
                let message: AppendEntriesRequest<TypeConfig> = parse(json)?;
                answer(self.raft.append_entries(message).await)
            }
            b"VOTE" => {
                let message: VoteRequest<u64> = parse(json)?;
                answer(self.raft.vote(message).await)
            }
            b"SNAPSHOT" => {
                let (vote, meta): (Vote, SnapshotMeta<u64, Place>) = parse(json)?;
                let snapshot = Snapshot { meta, snapshot: Box::new(data.to_vec()) };
                answer(self.raft.install_full_snapshot(vote, snapshot).await)
            }
            b"PROPOSE" => answer(self.commit(&parse(json)?).await),
            _ => Err("there is no such message".to_owned()),
        }
    }

    /// A node that belongs to a cluster listens to no other one, even if that has its name and its secret.
    fn admit(&self, cluster: &[u8]) -> Result<(), String> {
        let own = self.peers.machine.cluster();
        if own.is_empty() || own.as_bytes() == cluster {
            return Ok(());
        }
        let theirs = match cluster {
            b"" => "a node that has not joined it".to_owned(),
            id => format!("one of id {}", id.escape_ascii()),
        };
        let name = &self.peers.identity.cluster;
        Err(format!(
            "node {} belongs to cluster `{name}` of id {own}, and was called by {theirs}",
            self.node()
        ))
    }
}

fn parse<T: DeserializeOwned>(json: &[u8]) -> Result<T, String> {
    serde_json::from_slice(json).map_err(|error| format!("the message is not readable: {error}"))
}

fn answer<T: Serialize, E: std::fmt::Display>(result: Result<T, E>) -> Result<Vec<u8>, String> {
    let answer = result.map_err(|error| error.to_string())?;
    serde_json::to_vec(&answer).map_err(|error| error.to_string())
}
