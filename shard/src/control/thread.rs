//! The control thread: it runs the Raft group, serves the control port, and takes the data thread's proposals.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use openraft::{Config, SnapshotPolicy};
use slotway_common::admin::Pulse;
use slotway_common::cluster_file::ClusterFile;
use slotway_common::cluster_state::{Change, ClusterState, Outcome, Proposal};
use slotway_common::fault;
use slotway_common::handshake::Identity;
use slotway_common::platform::net::{self, Listener};
use slotway_common::platform::{random, threads};
use slotway_common::secret::Secret;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::files::Files;
use super::group::Group;
use super::handle::{Control, ProposeError, Request};
use super::log::LogStore;
use super::machine::Machine;
use super::peer::Peers;
use super::raft::{Raft, number};
use super::{founding, leading, listener};

/// How often the leader shows itself, in milliseconds.
const HEARTBEAT: u64 = 100;
/// How long a node waits for a leader before it stands for election, in milliseconds: at random between these.
const ELECTION: (u64, u64) = (500, 1000);
/// Entries between two snapshots, where nothing else is wanted.
pub const SNAPSHOT_EVERY: u64 = 1000;
/// Of so many entries one is kept behind a snapshot, for nodes that are a little late.
const KEPT: u64 = 5;
/// For this node to apply what the leader has applied.
const APPLY: Duration = Duration::from_secs(5);
/// After a start that was not committed.
const PAUSE: Duration = Duration::from_millis(100);

/// How late a start is told where a test wants that.
const LATE: Duration = Duration::from_millis(300);
/// Between two signs of life.
const PULSE: Duration = Duration::from_secs(1);

/// What the control thread is started with.
pub struct Start {
    pub identity: Identity,
    pub secret: Secret,
    /// The cluster as its file has it: how it is founded.
    pub file: ClusterFile,
    /// Where to listen, `host:port`.
    pub address: String,
    /// The node's directory.
    pub directory: PathBuf,
    /// The number of this process among all that have been this node; drawn at random.
    pub incarnation: u64,
    /// Entries of the log between two snapshots.
    pub snapshot_every: u64,
    /// Told when this process could serve: only then is its start proposed.
    pub is_loaded: oneshot::Receiver<()>,
    /// Shows that the thread lives.
    pub pulse: Pulse,
}

/// Reads what is on disk, starts the thread, and waits until it has bound the control port.
///
/// # Errors
/// One line: files that cannot be used, or an address that is taken.
pub async fn start(start: Start) -> Result<(Control, Running), String> {
    let node = start.identity.node.clone();
    let (files, contents) =
        Files::open(&start.directory.join("raft"), &node).map_err(|error| error.to_string())?;
    let log = LogStore::new(files.clone(), contents.vote, contents.purged, contents.entries);
    let machine = Machine::new(files, contents.owner, contents.snapshot)?;
    let (requests, received) = mpsc::unbounded_channel();
    let control = Control::new(machine.published(), requests).of_cluster(machine.cluster());
    let peers = Peers { identity: start.identity.clone(), secret: start.secret.clone(), log, machine };
    let (began, result) = oneshot::channel();
    let (stop, stopped) = oneshot::channel();
    let make = move || async move {
        let listener = match net::listen(&start.address, listener::BACKLOG) {
            Ok(listener) => listener,
            Err(error) => {
                return drop(began.send(Err(format!("control address {}: {error}", start.address))));
            }
        };
        match raft(&start, &peers).await {
            Ok(raft) => {
                let group = Arc::new(Group::new(raft, peers));
                let _ = began.send(Ok(()));
                run(start, group, listener, received, stopped).await;
            }
            Err(error) => drop(began.send(Err(error))),
        }
    };
    let thread = threads::run("control", make).map_err(|error| error.to_string())?;
    result.await.map_err(|_| "the control thread ended".to_owned())??;
    Ok((control, Running { stop: Some(stop), thread: Some(thread) }))
}

/// The running thread. Dropping it stops the node's part in the group and waits until it has.
pub struct Running {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<threads::Running>,
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join();
        }
    }
}

async fn raft(start: &Start, peers: &Peers) -> Result<Raft, String> {
    let config = Config {
        cluster_name: start.identity.cluster.clone(),
        heartbeat_interval: HEARTBEAT,
        election_timeout_min: ELECTION.0,
        election_timeout_max: ELECTION.1,
        install_snapshot_timeout: 10_000,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(start.snapshot_every),
        max_in_snapshot_log_to_keep: start.snapshot_every / KEPT,
        purge_batch_size: (start.snapshot_every / KEPT).max(1),
        ..Config::default()
    };
    let config = Arc::new(config.validate().map_err(|error| error.to_string())?);
    let (log, machine) = (peers.log.clone(), peers.machine.clone());
    Raft::new(number(&start.identity.node), config, peers.clone(), log, machine)
        .await
        .map_err(|error| error.to_string())
}

async fn run(
    mut start: Start,
    group: Arc<Group>,
    listener: Listener,
    mut requests: mpsc::UnboundedReceiver<Request>,
    stopped: oneshot::Receiver<()>,
) {
    let proposals = async {
        while let Some(request) = requests.recv().await {
            tokio::spawn(answer(group.clone(), request));
        }
        std::future::pending::<()>().await;
    };
    let is_loaded = std::mem::replace(&mut start.is_loaded, oneshot::channel().1);
    let begin = async {
        let announced = async {
            if is_loaded.await.is_ok() {
                announce(&group, start.incarnation).await;
            }
        };
        tokio::join!(founding::begin(&group, &start.file), announced);
        std::future::pending::<()>().await;
    };
    let pulse = async {
        loop {
            start.pulse.beat();
            tokio::time::sleep(PULSE).await;
        }
    };
    tokio::select! {
        () = pulse => {}
        () = listener::accept(listener, group.clone()) => {}
        () = leading::run(group.clone(), start.file.clone()) => tracing::error!("the Raft group has stopped"),
        () = proposals => {}
        () = begin => {}
        _ = stopped => {}
    }
    // The files are in order without this; it only ends the tasks.
    let _ = timeout(Duration::from_secs(1), group.raft.shutdown()).await;
}

/// Has the cluster take note of this process, once it knows the node; again when the node has been removed from the
/// cluster and added once more. What a later process of this node has announced stays.
async fn announce(group: &Group, incarnation: u64) {
    let node = group.node().to_owned();
    let mut state = group.state.clone();
    let mut is_first = true;
    loop {
        let is_unknown = |state: &Arc<ClusterState>| {
            state.node(&node).is_some_and(|(_, found)| {
                found.incarnation != incarnation && (is_first || found.incarnation == 0)
            })
        };
        let follows = match state.wait_for(is_unknown).await {
            Ok(state) => state.node(&node).map(|(_, found)| found.incarnation),
            Err(_) => return,
        };
        // No bug, but time for one: until the start is committed the state speaks of the process before this one.
        if fault::planted("start-told-late") {
            tokio::time::sleep(LATE).await;
        }
        let proposal = Proposal {
            request: random::hex_id::<16>(),
            change: Change::NodeStarted { node: node.clone(), incarnation, follows },
        };
        is_first &= !has_announced(group, &proposal, &node).await;
    }
}

/// True when the start is committed; false when it was refused.
async fn has_announced(group: &Group, proposal: &Proposal, node: &str) -> bool {
    loop {
        match group.propose(proposal).await.map(Outcome::into_result) {
            Ok(Ok(_)) => return true,
            Ok(Err(reason)) => {
                tracing::warn!("the start of node {node} was refused: {reason}");
                tokio::time::sleep(PAUSE).await;
                return false;
            }
            Err(reason) => tracing::warn!("the start of node {node} is not committed yet: {reason}"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Sees one request of the data thread through.
async fn answer(group: Arc<Group>, Request { proposal, answer }: Request) {
    let outcome = match group.propose(&proposal).await {
        Ok(outcome) => outcome.into_result().map_err(ProposeError::Refused),
        Err(reason) => Err(ProposeError::Unknown(reason)),
    };
    let outcome = match outcome {
        Ok(generation) => {
            let mut state = group.state.clone();
            match timeout(APPLY, state.wait_for(|state| state.generation >= generation)).await {
                Ok(Ok(_)) => Ok(generation),
                _ => Err(ProposeError::Unknown(
                    "it is committed, and this node does not hear of it".to_owned(),
                )),
            }
        }
        refused => refused,
    };
    // Who asked may have given up.
    let _ = answer.send(outcome);
}
