//! Keeps the workers' topology and settings up to date.
//!
//! One task of the process asks the shards: now and then, and at once when a worker was redirected. However many
//! redirects there are, there is one round at a time, and a pause between two.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use slotway_common::internal::{CallError, Connection};
use slotway_common::topology::Topology;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::context::Context;
use crate::policy::Policy;

/// Time between two rounds that nobody asked for.
const INTERVAL: Duration = Duration::from_secs(1);
/// Least time between two rounds.
const PAUSE: Duration = Duration::from_millis(50);
/// For a shard to answer.
const PATIENCE: Duration = Duration::from_millis(500);

/// Settings as shards keep them: `SLOTWAY SETTINGS`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Stored {
    pub version: u64,
    pub values: BTreeMap<String, String>,
}

/// What the task knows.
struct Control {
    context: Arc<Context>,
    topology: Topology,
    settings: Option<Stored>,
    connections: BTreeMap<String, Connection>,
    defaults: BTreeMap<String, String>,
}

/// Runs until the process ends. `topology` and `defaults` are those of the cluster file.
pub async fn run(
    context: Arc<Context>,
    topology: Topology,
    defaults: BTreeMap<String, String>,
    ready: impl Fn(bool),
) {
    let mut control = Control { context, topology, settings: None, connections: BTreeMap::new(), defaults };
    control.publish_topology();
    loop {
        let began = Instant::now();
        control.round().await;
        ready(control.settings.is_some());
        sleep_until(began + PAUSE).await;
        let wait = if control.settings.is_some() { INTERVAL } else { PAUSE };
        let context = Arc::clone(&control.context);
        let _ = timeout_at(began + wait.max(PAUSE), context.refresh.notified()).await;
    }
}

impl Control {
    /// Asks every shard once.
    async fn round(&mut self) {
        let nodes: Vec<(String, String)> = self
            .topology
            .shards
            .iter()
            .filter_map(|shard| shard.nodes.first())
            .map(|node| (node.id.clone(), node.address.clone()))
            .collect();
        for (node, address) in nodes {
            if let Err(error) = self.ask(&node, &address).await {
                self.connections.remove(&node);
                tracing::debug!(%node, %address, %error, "shard did not tell topology and settings");
            }
        }
    }

    async fn ask(&mut self, node: &str, address: &str) -> Result<(), CallError> {
        let mut connection = match self.connections.remove(node) {
            Some(connection) => connection,
            None => {
                let context = &self.context;
                Connection::open(address, &context.identity, &context.secret, Some(node), PATIENCE).await?
            }
        };
        let topology = connection.call(&["SLOTWAY", "TOPOLOGY"]).await?;
        let settings = connection.call(&["SLOTWAY", "SETTINGS"]).await?;
        self.connections.insert(node.to_owned(), connection);
        match Topology::from_json(topology.as_bytes().unwrap_or_default()) {
            Ok(topology) if topology.version > self.topology.version => {
                self.topology = topology;
                self.publish_topology();
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(node, %error, "a shard told a topology that cannot be used"),
        }
        match serde_json::from_slice::<Stored>(settings.as_bytes().unwrap_or_default()) {
            Ok(stored) if self.settings.as_ref().is_none_or(|known| stored.version > known.version) => {
                self.settings = Some(stored);
                self.publish_settings();
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(node, %error, "a shard told settings that cannot be used"),
        }
        Ok(())
    }

    fn publish_topology(&self) {
        let topology = Arc::new(self.topology.clone());
        self.context.fleet.tell(move |worker| {
            worker.with(|core| {
                core.apply_topology(&topology);
                core.warm_up();
            });
        });
    }

    fn publish_settings(&self) {
        let Some(stored) = &self.settings else { return };
        let mut values = self.defaults.clone();
        values.extend(stored.values.clone());
        let policy = Arc::new(policy(&values));
        self.context.fleet.tell(move |worker| worker.with(|core| core.apply_policy(Arc::clone(&policy))));
    }
}

/// The settings that requests need, from all settings.
fn policy(values: &BTreeMap<String, String>) -> Policy {
    let text = |name: &str| values.get(name).map(String::as_str);
    let number = |name: &str, default: u64| text(name).and_then(|text| text.parse().ok()).unwrap_or(default);
    Policy {
        known: true,
        password: text("requirepass").filter(|text| !text.is_empty()).map(|text| text.as_bytes().to_vec()),
        databases: number("databases", 16) as u32,
        max_bulk: number("proto-max-bulk-len", 512 << 20) as usize,
        max_clients: number("maxclients", 10_000) as usize,
        idle_seconds: number("timeout", 0),
        debug: match text("enable-debug-command") {
            Some("yes") => crate::policy::DebugAccess::Everybody,
            Some("local") => crate::policy::DebugAccess::Local,
            _ => crate::policy::DebugAccess::Nobody,
        },
    }
}
