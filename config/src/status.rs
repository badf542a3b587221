//! `slotway status`: what the cluster's processes say about themselves.

mod committed;
mod moves;
mod table;
mod watch;

pub use committed::{Committed, Owner};
pub use moves::{Move, Moves};

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use slotway_common::cluster_file::ClusterFile;
use slotway_common::handshake::Identity;
use slotway_common::internal::{CallError, Connection};
use slotway_common::secret::Secret;
use slotway_common::slot::SLOTS;
use slotway_common::topology::{SlotRanges, Topology};

use crate::processes::{Process, Role};
use crate::{CommandError, http};

/// For the answer of one process. All are asked at once.
const PATIENCE: Duration = Duration::from_secs(3);

/// The cluster as its processes describe it.
#[derive(Debug, Serialize)]
pub struct Status {
    pub cluster: String,
    /// Slots that a reachable node owns, of 16384.
    pub slots_served: usize,
    pub shards: Vec<ShardStatus>,
    pub proxies: Vec<ProxyStatus>,
    pub moves: Moves,
    /// `None` when no node answers, or the cluster was never founded.
    pub state: Option<Committed>,
}

/// One node of a shard.
#[derive(Debug, Serialize)]
pub struct ShardStatus {
    pub shard: String,
    pub node: String,
    pub address: String,
    /// What the node says, or why it said nothing.
    #[serde(flatten)]
    pub answer: Answer<NodeFigures>,
}

#[derive(Debug, Serialize)]
pub struct ProxyStatus {
    pub proxy: String,
    pub address: String,
    #[serde(flatten)]
    pub answer: Answer<ProxyFigures>,
}

/// In JSON either the figures' fields or `error`, next to `reachable`.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Answer<T> {
    Figures {
        reachable: bool,
        #[serde(flatten)]
        figures: T,
    },
    Nothing {
        reachable: bool,
        error: String,
    },
}

#[derive(Debug, Serialize)]
pub struct NodeFigures {
    /// Ranges as in `0-99,105`.
    pub slots: SlotRanges,
    /// In all databases.
    pub keys: u64,
    /// Memory in use, by the allocator.
    pub bytes: u64,
    pub operations_per_second: f64,
    pub clients: u64,
    pub uptime_seconds: u64,
    /// The script that runs for too long, if there is one.
    pub busy: Option<Busy>,
    pub transactions: Transactions,
}

/// Transactions over several shards that have a part on a shard.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Transactions {
    /// Parts that wait for slots, and that are prepared.
    pub waiting: u64,
    pub prepared: u64,
    pub slots_locked: u64,
    /// Parts whose outcome the shard asks for, since their proxy is silent.
    pub in_doubt: Vec<InDoubt>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct InDoubt {
    pub id: String,
    /// The shard that knows the outcome.
    pub decider: String,
    pub slots: u64,
    pub seconds: f64,
}

/// A script or function for which clients of a shard are answered BUSY.
#[derive(Debug, Deserialize, Serialize)]
pub struct Busy {
    /// The function's name, or the script's digest.
    pub name: String,
    pub seconds: f64,
    pub is_function: bool,
}

impl Busy {
    /// The command that ends it, unless it has written.
    fn ended_by(&self) -> &'static str {
        if self.is_function { "FUNCTION KILL" } else { "SCRIPT KILL" }
    }
}

#[derive(Debug, Serialize)]
pub struct ProxyFigures {
    pub ready: bool,
    /// Why it is not ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl<T> Answer<T> {
    fn of(result: Result<T, String>) -> Answer<T> {
        match result {
            Ok(figures) => Answer::Figures { reachable: true, figures },
            Err(error) => Answer::Nothing { reachable: false, error },
        }
    }

    fn figures(&self) -> Option<&T> {
        match self {
            Answer::Figures { figures, .. } => Some(figures),
            Answer::Nothing { .. } => None,
        }
    }
}

/// Prints the status; with `watch` again and again, until Ctrl-C. Exit code 1 if a process is unreachable, a slot
/// not served, or a shard busy with a script that does not end.
pub async fn run(file: &ClusterFile, json: bool, watch: bool) -> Result<ExitCode, CommandError> {
    let secret = file.secret()?;
    if watch {
        return watch::run(file, &secret, json).await;
    }
    let status = collect(file, &secret, &mut moves::Paces::default()).await;
    let text = if json {
        serde_json::to_string_pretty(&status).unwrap_or_default() + "\n"
    } else {
        table::render(&status)
    };
    // Whoever reads it may stop early, as `head` does.
    let _ = std::io::stdout().write_all(text.as_bytes());
    let complete = status.slots_served == usize::from(SLOTS)
        && status.shards.iter().all(|shard| shard.answer.figures().is_some_and(|node| node.busy.is_none()))
        && status.proxies.iter().all(|proxy| proxy.answer.figures().is_some_and(|proxy| proxy.ready));
    Ok(if complete { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

async fn collect(file: &ClusterFile, secret: &Secret, paces: &mut moves::Paces) -> Status {
    let identity = Identity { cluster: file.cluster.clone(), node: "slotway".to_owned() };
    let mut tasks = tokio::task::JoinSet::new();
    for (position, process) in Process::all(file).into_iter().enumerate() {
        let (identity, secret) = (identity.clone(), secret.clone());
        tasks.spawn(async move {
            let asked = ask(&process, &identity, &secret).await;
            (position, process, asked)
        });
    }
    let (mut answers, moves, state) =
        tokio::join!(tasks.join_all(), moves::collect(file, secret, paces), committed::collect(file, secret));
    answers.sort_by_key(|(position, ..)| *position);

    let shard_of = |node: &str| file.node(node).map(|(shard, _)| shard.name.clone()).unwrap_or_default();
    let mut status = Status {
        cluster: file.cluster.clone(),
        slots_served: 0,
        shards: Vec::new(),
        proxies: Vec::new(),
        moves,
        state,
    };
    for (_, process, asked) in answers {
        let address = process.address.to_string();
        match asked {
            Asked::Shard(result) => status.shards.push(ShardStatus {
                shard: shard_of(&process.id),
                node: process.id,
                address,
                answer: Answer::of(result),
            }),
            Asked::Proxy(result) => {
                status.proxies.push(ProxyStatus { proxy: process.id, address, answer: Answer::of(result) })
            }
        }
    }
    let served = status.shards.iter().filter_map(|shard| shard.answer.figures());
    status.slots_served = SlotRanges::from_slots(served.flat_map(|node| node.slots.slots())).count();
    status
}

enum Asked {
    Shard(Result<NodeFigures, String>),
    Proxy(Result<ProxyFigures, String>),
}

async fn ask(process: &Process, identity: &Identity, secret: &Secret) -> Asked {
    match process.role {
        Role::Shard => {
            Asked::Shard(ask_node(process, identity, secret).await.map_err(|error| error.to_string()))
        }
        Role::Proxy => Asked::Proxy(
            http::get(&process.admin, "/readyz", PATIENCE)
                .await
                .map(|(ready, body)| ProxyFigures { ready, reason: Some(body).filter(|_| !ready) }),
        ),
    }
}

async fn ask_node(process: &Process, identity: &Identity, secret: &Secret) -> Result<NodeFigures, CallError> {
    let address = process.address.to_string();
    let mut connection = Connection::open(&address, identity, secret, Some(&process.id), PATIENCE).await?;
    let topology = connection.call(&["SLOTWAY", "TOPOLOGY"]).await?;
    let topology = topology.as_bytes().unwrap_or_default();
    let topology = Topology::from_json(topology).map_err(|error| CallError::Refused(error.to_string()))?;
    let stats = connection.call(&["SLOTWAY", "STATS"]).await?;
    let stats: Stats = serde_json::from_slice(stats.as_bytes().unwrap_or_default())
        .map_err(|error| CallError::Refused(format!("its figures are not readable: {error}")))?;
    Ok(NodeFigures {
        slots: topology.node(&process.id).map(|(shard, _)| shard.slots.clone()).unwrap_or_default(),
        keys: stats.databases.iter().map(|database| database.keys).sum(),
        bytes: stats.used_memory,
        operations_per_second: stats.instantaneous_ops_per_sec.round(),
        clients: stats.connected_clients,
        uptime_seconds: stats.uptime_in_seconds,
        busy: stats.busy,
        transactions: stats.transactions,
    })
}

/// What is shown of a shard's answer to `SLOTWAY STATS`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Stats {
    used_memory: u64,
    instantaneous_ops_per_sec: f64,
    connected_clients: u64,
    uptime_in_seconds: u64,
    databases: Vec<DatabaseStats>,
    busy: Option<Busy>,
    transactions: Transactions,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct DatabaseStats {
    keys: u64,
}
