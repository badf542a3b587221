//! Two shards behind a proxy; one owns all slots.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use slotway_common::cluster_file::ClusterFile;
use slotway_common::cluster_state::{Change, ClusterState, Move, Phase, Proposal};
use slotway_common::handshake::Identity;
use slotway_common::internal::Connection;
use slotway_common::platform::random;
use slotway_common::secret::Secret;
use slotway_common::topology::SlotRanges;
use slotway_tests::cluster::{Layout, Up};
use slotway_tests::{Plan, http};

/// For one answer of a node.
const PATIENCE: Duration = Duration::from_secs(10);

/// A running cluster.
pub struct TwoShards {
    layout: Layout,
    _up: Up,
    identity: Identity,
    secret: Secret,
    control: String,
    runtime: tokio::runtime::Runtime,
    /// The owner of everything.
    owner: usize,
}

/// One move of all slots.
pub struct Moved {
    pub seconds: f64,
    /// Bytes of keys and values.
    pub dataset: u64,
    /// By how many bytes the memory in use of source and target together grew at most.
    pub extra: u64,
}

const NAMES: [&str; 2] = ["a", "b"];

impl TwoShards {
    pub fn start() -> Result<Self> {
        let layout = Layout::new(&Plan { shards: 2, ..Plan::without_log() })?;
        let text = std::fs::read_to_string(layout.file())?
            .replace("{ name: a,", "{ name: a, slots: 0-16383,")
            .replace("{ name: b,", "{ name: b, slots: [],");
        std::fs::write(layout.file(), text)?;
        let mut up = layout.up()?;
        up.wait_until_ready()?;
        let file = ClusterFile::read(&layout.file())?;
        let secret = Secret::read(&layout.directory().join(&file.secret_path))?;
        let control = file.shards.first().and_then(|shard| shard.nodes.first());
        let control = control.map(|node| node.control.to_string()).context("a node")?;
        let identity = Identity { cluster: file.cluster, node: "slotway".to_owned() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { layout, _up: up, identity, secret, control, runtime, owner: 0 })
    }

    pub fn endpoint(&self) -> SocketAddr {
        self.layout.proxies[0].address
    }

    pub fn flush(&self) -> Result<()> {
        let mut client = slotway_tests::Client::connect(self.endpoint())?;
        let reply = client.run("FLUSHALL")?;
        if reply.is_error() {
            bail!("FLUSHALL: {reply}");
        }
        Ok(())
    }

    /// Moves every slot to the other shard.
    pub fn move_all(&mut self) -> Result<Moved> {
        let stop = Arc::new(AtomicBool::new(false));
        let watcher = {
            let (identity, secret, stop) = (self.identity.clone(), self.secret.clone(), stop.clone());
            let addresses: Vec<String> =
                self.layout.nodes.iter().map(|node| node.address.to_string()).collect();
            std::thread::spawn(move || watch_memory(&identity, &secret, &addresses, &stop))
        };
        let (source, target) = (NAMES[self.owner], NAMES[1 - self.owner]);
        let seconds = self.runtime.block_on(async {
            let mut control =
                Connection::open(&self.control, &self.identity, &self.secret, None, PATIENCE).await?;
            let id = random::hex_id::<4>();
            let planned = Move {
                id: id.clone(),
                source: source.to_owned(),
                target: target.to_owned(),
                slots: SlotRanges::all(),
            };
            let proposal = Proposal {
                request: random::hex_id::<16>(),
                change: Change::StartMoves { moves: vec![planned] },
            };
            let started = Instant::now();
            control.call(&["SLOTWAY", "PROPOSE", &serde_json::to_string(&proposal)?]).await?;
            loop {
                let state = control.call(&["SLOTWAY", "STATE"]).await?;
                let state = ClusterState::from_json(state.as_bytes().unwrap_or_default())?;
                match state.migration(&id).map(|migration| &migration.phase) {
                    Some(Phase::Running) => tokio::time::sleep(Duration::from_millis(2)).await,
                    Some(Phase::Finished) => return Ok(started.elapsed().as_secs_f64()),
                    other => return Err(anyhow!("the move has ended early: {other:?}")),
                }
            }
        })?;
        stop.store(true, Ordering::Relaxed);
        let (dataset, extra) = watcher.join().map_err(|_| anyhow!("the watcher failed"))??;
        self.owner = 1 - self.owner;
        Ok(Moved { seconds, dataset, extra })
    }

    /// The bucket of the 99th percentile of all parks of both shards, in milliseconds.
    pub fn park_p99(&self) -> Result<f64> {
        let mut buckets: Vec<(f64, f64)> = Vec::new();
        for node in &self.layout.nodes {
            let (_, page) = http::get(node.admin, "/metrics")?;
            for line in page.lines() {
                let Some(rest) = line.strip_prefix("slotway_shard_slot_park_duration_seconds_bucket{le=\"")
                else {
                    continue;
                };
                let (bound, count) = rest.split_once("\"} ").context("a bucket")?;
                let bound = bound.parse().unwrap_or(f64::INFINITY);
                let count: f64 = count.parse()?;
                match buckets.iter_mut().find(|(known, _)| *known == bound) {
                    Some((_, sum)) => *sum += count,
                    None => buckets.push((bound, count)),
                }
            }
        }
        let all = buckets.last().map_or(0.0, |(_, count)| *count);
        let bucket = buckets.iter().find(|(_, count)| *count >= 0.99 * all);
        Ok(bucket.map_or(0.0, |(bound, _)| bound * 1000.0))
    }
}

/// Follows the memory of both shards until told to stop: bytes of keys and values at the start, and by how much the
/// memory in use grew.
fn watch_memory(
    identity: &Identity,
    secret: &Secret,
    addresses: &[String],
    stop: &AtomicBool,
) -> Result<(u64, u64)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut connections = Vec::new();
        for address in addresses {
            connections.push(Connection::open(address, identity, secret, None, PATIENCE).await?);
        }
        let (mut first, mut dataset, mut most) = (None, 0, 0);
        while !stop.load(Ordering::Relaxed) {
            let mut used = 0;
            for connection in &mut connections {
                let figures = connection.call(&["SLOTWAY", "STATS"]).await?;
                let figures: serde_json::Value =
                    serde_json::from_slice(figures.as_bytes().unwrap_or_default())?;
                let figure = |name: &str| figures[name].as_u64().unwrap_or(0);
                used += figure("used_memory");
                if first.is_none() {
                    dataset += figure("dataset_bytes");
                }
            }
            let first = *first.get_or_insert(used);
            most = most.max(used.saturating_sub(first));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok((dataset, most))
    })
}
