//! The cluster's control plane as this command uses it: its committed state, changes of it, and what shards count.
//!
//! [`ControlPlane`] is what commands need; [`Control`] is the real one, over the nodes' control ports. Any node answers
//! for the cluster, so one that does not answer is no reason to stop while another does.

use std::io;
use std::time::Duration;

use serde::Deserialize;
use slotway_common::cluster_file::ClusterFile;
use slotway_common::cluster_state::{Change, ClusterState, MoveProgress, Node, Outcome, Proposal};
use slotway_common::handshake::Identity;
use slotway_common::internal::{CallError, Connection};
use slotway_common::platform::random;
use slotway_common::secret::Secret;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// For an answer of a node.
const PATIENCE: Duration = Duration::from_secs(3);

/// For a proposal, which a node may hold while there is no leader.
const PROPOSAL_PATIENCE: Duration = Duration::from_secs(6);

/// For the whole control plane: an election, or a node that starts again, takes less.
const OVERALL_PATIENCE: Duration = Duration::from_secs(20);

/// Between two attempts.
const RETRY: Duration = Duration::from_millis(200);

/// Waits without news after which another node is asked: this one may be cut off from the others.
const MOST_SILENT_WAITS: u32 = 10;

/// What commands ask of a cluster.
pub(crate) trait ControlPlane {
    /// The newest state that a node tells.
    async fn state(&mut self) -> Result<ClusterState, ControlError>;

    /// A state newer than `generation`; `None` if there was none for about a second.
    async fn newer(&mut self, generation: u64) -> Result<Option<ClusterState>, ControlError>;

    /// Changes the state. Repeated under one id until it is answered, so it happens once or not at all.
    async fn propose(&mut self, change: Change) -> Result<Outcome, ControlError>;

    /// What the slots of a shard hold, of its primary. The error says why there is no answer.
    async fn slots(&mut self, node: &Node) -> Result<Vec<SlotFigures>, String>;

    /// How far the moves are that leave a shard, of its primary.
    async fn progress(&mut self, node: &Node) -> Result<Vec<MoveProgress>, String>;

    /// Whether the process of a node answers.
    async fn presence(&mut self, node: &Node) -> Presence;
}

/// What is known of a node's process from here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    Answers,
    /// Nobody listens there, or not this node; why.
    Absent(String),
    /// It does not answer here: it, or its host, may be down, or only out of reach from here; why.
    Unclear(String),
}

/// What a slot holds: slot, keys, bytes, operations since the shard counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "(u16, u64, u64, u64)")]
pub(crate) struct SlotFigures {
    pub(crate) slot: u16,
    pub(crate) keys: u64,
    pub(crate) bytes: u64,
    pub(crate) operations: u64,
}

impl From<(u16, u64, u64, u64)> for SlotFigures {
    fn from((slot, keys, bytes, operations): (u16, u64, u64, u64)) -> Self {
        Self { slot, keys, bytes, operations }
    }
}

/// Why the control plane gave no answer. One line.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    #[error("no node of the cluster answers; {node} at {address}: {reason}")]
    Unreachable { node: String, address: String, reason: String },
    #[error("nodes {first} and {second} belong to different clusters of the same name: their ids differ")]
    TwoClusters { first: String, second: String },
}

/// The control ports of a cluster's nodes.
pub(crate) struct Control {
    identity: Identity,
    secret: Secret,
    /// Node ids with their control addresses; the one to be asked next comes first.
    endpoints: Vec<(String, String)>,
    /// To the first endpoint.
    connection: Option<Connection>,
    silent_waits: u32,
}

impl Control {
    /// Connects to nobody yet.
    pub(crate) fn new(file: &ClusterFile, secret: Secret) -> Self {
        let nodes = file.shards.iter().flat_map(|shard| &shard.nodes);
        Self {
            identity: Identity { cluster: file.cluster.clone(), node: "slotway".to_owned() },
            secret,
            endpoints: nodes.map(|node| (node.id.clone(), node.control.to_string())).collect(),
            connection: None,
            silent_waits: 0,
        }
    }

    /// From here on the members of the cluster are asked, and nobody else: a node of the file that has not been added
    /// yet knows nothing and can decide nothing.
    fn learn(&mut self, state: &ClusterState) {
        if !state.is_founded() {
            return;
        }
        let nodes = state.shards.iter().flat_map(|shard| &shard.nodes);
        let members: Vec<(String, String)> =
            nodes.map(|node| (node.id.clone(), node.control.clone())).collect();
        let asked =
            self.endpoints.first().and_then(|first| members.iter().position(|member| member == first));
        self.endpoints = members;
        match asked {
            Some(position) => self.endpoints.rotate_left(position),
            None => self.connection = None,
        }
    }

    /// One question to the first endpoint. After an error, the next one comes first.
    async fn ask(&mut self, words: &[&str], patience: Duration) -> Result<Vec<u8>, ControlError> {
        let (node, address) = self.endpoints.first().cloned().unwrap_or_default();
        let asked = async {
            let connection = match &mut self.connection {
                Some(connection) => connection,
                none => none.insert(
                    Connection::open(&address, &self.identity, &self.secret, Some(&node), patience).await?,
                ),
            };
            let answer = connection.call(words).await?;
            Ok::<_, CallError>(answer.as_bytes().unwrap_or_default().to_vec())
        };
        asked.await.map_err(|error| {
            self.turn();
            ControlError::Unreachable { node, address, reason: error.to_string() }
        })
    }

    /// Goes on to the next node.
    fn turn(&mut self) {
        self.connection = None;
        self.silent_waits = 0;
        if !self.endpoints.is_empty() {
            self.endpoints.rotate_left(1);
        }
    }

    /// Asks node after node until one gives an answer that can be read.
    async fn insist<T: serde::de::DeserializeOwned>(
        &mut self,
        words: &[&str],
        patience: Duration,
    ) -> Result<T, ControlError> {
        let start = Instant::now();
        loop {
            let refused = match self.ask(words, patience).await {
                Ok(answer) => match serde_json::from_slice(&answer) {
                    Ok(value) => return Ok(value),
                    Err(error) => {
                        let (node, address) = self.endpoints.first().cloned().unwrap_or_default();
                        self.turn();
                        ControlError::Unreachable {
                            node,
                            address,
                            reason: format!("its answer is not readable: {error}"),
                        }
                    }
                },
                Err(error) => error,
            };
            if start.elapsed() > OVERALL_PATIENCE {
                return Err(refused);
            }
            sleep(RETRY).await;
        }
    }

    /// One question at the client port of a shard's node.
    async fn ask_shard(&self, node: &Node, question: &str) -> Result<Vec<u8>, CallError> {
        let mut connection =
            Connection::open(&node.address, &self.identity, &self.secret, Some(&node.id), PATIENCE).await?;
        let answer = connection.call(&["SLOTWAY", question]).await?;
        Ok(answer.as_bytes().unwrap_or_default().to_vec())
    }
}

impl ControlPlane for Control {
    async fn state(&mut self) -> Result<ClusterState, ControlError> {
        let mut tasks = JoinSet::new();
        for (position, (node, address)) in self.endpoints.iter().cloned().enumerate() {
            let (identity, secret) = (self.identity.clone(), self.secret.clone());
            tasks.spawn(async move {
                let asked = async {
                    let mut connection =
                        Connection::open(&address, &identity, &secret, Some(&node), PATIENCE).await?;
                    connection.call(&["SLOTWAY", "STATE"]).await
                };
                let read = asked.await.map_err(|error| error.to_string()).and_then(|answer| {
                    ClusterState::from_json(answer.as_bytes().unwrap_or_default())
                        .map_err(|error| format!("its state is not readable: {error}"))
                });
                (position, node, address, read)
            });
        }
        let mut answers = tasks.join_all().await;
        answers.sort_by_key(|(position, ..)| *position);
        let newest = newest(answers.into_iter().map(|(_, node, address, read)| (node, address, read)))?;
        self.learn(&newest);
        Ok(newest)
    }

    async fn newer(&mut self, generation: u64) -> Result<Option<ClusterState>, ControlError> {
        let state: ClusterState =
            self.insist(&["SLOTWAY", "STATE", &generation.to_string()], PATIENCE).await?;
        if state.generation > generation {
            self.silent_waits = 0;
            self.learn(&state);
            return Ok(Some(state));
        }
        self.silent_waits += 1;
        if self.silent_waits >= MOST_SILENT_WAITS || state.generation < generation {
            self.turn();
        }
        Ok(None)
    }

    async fn propose(&mut self, change: Change) -> Result<Outcome, ControlError> {
        let proposal = Proposal { request: random::hex_id::<16>(), change };
        let json = serde_json::to_string(&proposal).unwrap_or_default();
        self.insist(&["SLOTWAY", "PROPOSE", &json], PROPOSAL_PATIENCE).await
    }

    async fn slots(&mut self, node: &Node) -> Result<Vec<SlotFigures>, String> {
        #[derive(Deserialize)]
        struct Slots {
            slots: Vec<SlotFigures>,
        }
        let answer = self.ask_shard(node, "SLOTS").await.map_err(|error| error.to_string())?;
        serde_json::from_slice::<Slots>(&answer)
            .map(|answer| answer.slots)
            .map_err(|error| format!("its slots are not readable: {error}"))
    }

    async fn progress(&mut self, node: &Node) -> Result<Vec<MoveProgress>, String> {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Stats {
            moves: Vec<MoveProgress>,
        }
        let answer = self.ask_shard(node, "STATS").await.map_err(|error| error.to_string())?;
        serde_json::from_slice::<Stats>(&answer)
            .map(|stats| stats.moves)
            .map_err(|error| format!("its figures are not readable: {error}"))
    }

    async fn presence(&mut self, node: &Node) -> Presence {
        match self.ask_shard(node, "STATS").await {
            Ok(_) => Presence::Answers,
            Err(error @ (CallError::Silent(_) | CallError::Lost(_))) => Presence::Unclear(error.to_string()),
            Err(CallError::Connect(error)) if error.kind() != io::ErrorKind::ConnectionRefused => {
                Presence::Unclear(error.to_string())
            }
            Err(error) => Presence::Absent(error.to_string()),
        }
    }
}

/// The newest state of a founded cluster among the answers; the state of one that is not founded if there is no other.
fn newest(
    answers: impl Iterator<Item = (String, String, Result<ClusterState, String>)>,
) -> Result<ClusterState, ControlError> {
    let mut newest: Option<(String, ClusterState)> = None;
    let mut silent = None;
    for (node, address, answer) in answers {
        match answer {
            Ok(state) => match &newest {
                Some((first, known)) if known.is_founded() && state.is_founded() && known.id != state.id => {
                    return Err(ControlError::TwoClusters { first: first.clone(), second: node });
                }
                Some((_, known))
                    if (known.is_founded(), known.generation) >= (state.is_founded(), state.generation) => {}
                _ => newest = Some((node, state)),
            },
            Err(reason) => silent = silent.or(Some(ControlError::Unreachable { node, address, reason })),
        }
    }
    let nobody = || ControlError::Unreachable {
        node: "nobody".to_owned(),
        address: "nowhere".to_owned(),
        reason: "the file has no nodes".to_owned(),
    };
    newest.map(|(_, state)| state).ok_or_else(|| silent.unwrap_or_else(nobody))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(id: &str, generation: u64) -> ClusterState {
        let cluster = if id.is_empty() { String::new() } else { "local".to_owned() };
        let mut state = ClusterState::default();
        (state.cluster, state.id, state.generation) = (cluster, id.to_owned(), generation);
        state
    }

    fn choose(answers: Vec<Result<ClusterState, String>>) -> Result<ClusterState, String> {
        let named = answers
            .into_iter()
            .enumerate()
            .map(|(index, answer)| (format!("n-{index}"), format!("host:{index}"), answer));
        newest(named).map_err(|error| error.to_string())
    }

    #[test]
    fn newest_state_of_a_founded_cluster_is_taken() {
        let answers = vec![Ok(state("", 99)), Ok(state("x", 4)), Err("gone".to_owned()), Ok(state("x", 5))];
        assert_eq!(choose(answers).unwrap().generation, 5);
        assert!(!choose(vec![Ok(state("", 0)), Err("gone".to_owned())]).unwrap().is_founded());
    }

    #[test]
    fn silence_is_told_with_the_first_reason() {
        assert_eq!(
            choose(vec![Err("connection refused".to_owned()), Err("other".to_owned())]).unwrap_err(),
            "no node of the cluster answers; n-0 at host:0: connection refused"
        );
    }

    #[test]
    fn two_clusters_of_one_name_are_refused() {
        assert_eq!(
            choose(vec![Ok(state("x", 1)), Ok(state("y", 9))]).unwrap_err(),
            "nodes n-0 and n-1 belong to different clusters of the same name: their ids differ"
        );
    }

    #[test]
    fn members_are_asked_and_nodes_that_wait_are_not() {
        let file = |names: &[(&str, &str)]| crate::plan::tests::file(names);
        let four = file(&[("d", ""), ("a", ""), ("b", ""), ("c", "")]);
        let mut control = Control::new(&four, Secret::from_bytes(b"a secret of the tests"));
        control.turn();
        control.learn(&ClusterState::default());
        assert_eq!(control.endpoints.len(), 4, "who the members are is not known yet");
        control.turn();
        control.learn(&crate::plan::tests::founded(&file(&[("a", ""), ("b", ""), ("c", "")])));
        let asked: Vec<&str> = control.endpoints.iter().map(|(node, _)| node.as_str()).collect();
        assert_eq!(asked, ["b-0", "c-0", "a-0"], "who was to be asked next still is");
    }

    #[test]
    fn figures_of_slots_and_moves_are_read() {
        let slot: SlotFigures = serde_json::from_str("[5, 10, 2048, 7]").unwrap();
        assert_eq!(slot, SlotFigures { slot: 5, keys: 10, bytes: 2048, operations: 7 });
        let progress: MoveProgress = serde_json::from_str(r#"{"id":"4-0","keys":3,"new":1}"#).unwrap();
        assert_eq!(progress, MoveProgress { id: "4-0".to_owned(), keys: 3, ..MoveProgress::default() });
    }
}
