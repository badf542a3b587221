//! Keeps the workers' topology and settings up to date, and watches the shards for MONITOR.
//!
//! One task of the process asks the shards: now and then, and at once when a worker was redirected. However many
//! redirects there are, there is one round at a time, and a pause between two.

mod monitors;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use slotway_common::internal::{CallError, Connection};
use slotway_common::settings::{Name, StoredText};
use slotway_common::topology::Topology;
use tokio::time::{Instant, sleep_until, timeout_at};

pub use monitors::watch as watch_for_monitors;

use crate::context::Context;
use crate::jobs::changed_settings;

/// Time between two rounds that nobody asked for.
const INTERVAL: Duration = Duration::from_secs(1);
/// Least time between two rounds.
const PAUSE: Duration = Duration::from_millis(50);
/// For a shard to answer.
const PATIENCE: Duration = Duration::from_millis(500);

/// Settings as shards keep them: `SLOTWAY SETTINGS`. At version 0 those of the cluster file hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
struct Stored {
    version: u64,
    values: BTreeMap<String, StoredText>,
}

/// What the task knows.
struct Control {
    context: Arc<Context>,
    topology: Topology,
    connections: BTreeMap<String, Connection>,
    /// What each node said in the last round.
    settings: BTreeMap<String, Stored>,
}

/// Runs until the process ends. `topology` is that of the cluster file. `ready` is told after each round whether clients
/// can be served.
pub async fn run(context: Arc<Context>, topology: Topology, ready: impl Fn(bool)) {
    let mut control = Control { context, topology, connections: BTreeMap::new(), settings: BTreeMap::new() };
    control.publish_topology().await;
    loop {
        let began = Instant::now();
        control.round().await;
        let known = control.context.settings.lock().known;
        ready(known);
        sleep_until(began + PAUSE).await;
        let wait = if known { INTERVAL } else { PAUSE };
        let context = Arc::clone(&control.context);
        let _ = timeout_at(began + wait, context.refresh.notified()).await;
    }
}

impl Control {
    /// Asks every shard once, and tells those whose settings are older what has changed.
    async fn round(&mut self) {
        self.settings.clear();
        let nodes: Vec<(String, String)> = primaries(&self.topology);
        for (node, address) in &nodes {
            if let Err(error) = self.ask(node, address).await {
                self.connections.remove(node);
                tracing::debug!(%node, %address, %error, "shard did not tell topology and settings");
            }
        }
        let newest = self.settings.values().max_by_key(|stored| stored.version).cloned();
        let Some(newest) = newest else { return };
        self.take_over(&newest).await;
        let late: Vec<(String, Stored)> = self
            .settings
            .iter()
            .filter(|(_, stored)| stored.version < newest.version)
            .map(|(node, stored)| (node.clone(), stored.clone()))
            .collect();
        for (node, stored) in late {
            if let Err(error) = self.bring_up_to_date(&node, &stored, &newest).await {
                self.connections.remove(&node);
                tracing::warn!(%node, %error, "settings were not brought up to date");
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
                self.publish_topology().await;
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(node, %error, "a shard told a topology that cannot be used"),
        }
        match serde_json::from_slice::<Stored>(settings.as_bytes().unwrap_or_default()) {
            Ok(stored) => drop(self.settings.insert(node.to_owned(), stored)),
            Err(error) => tracing::warn!(node, %error, "a shard told settings that cannot be used"),
        }
        Ok(())
    }

    async fn publish_topology(&self) {
        let topology = Arc::new(self.topology.clone());
        self.context
            .fleet
            .each(move |worker| {
                worker.with(|core| {
                    core.apply_topology(&topology);
                    core.warm_up();
                });
            })
            .await;
    }

    /// Follows the newest settings that a shard has told.
    async fn take_over(&self, newest: &Stored) {
        {
            let mut settings = self.context.settings.lock();
            if settings.known && newest.version <= settings.version {
                return;
            }
            if newest.version > settings.version
                && let Err(reason) = settings.values.restore(&newest.values)
            {
                tracing::error!(%reason, "the shards' settings cannot be used");
                return;
            }
            settings.version = settings.version.max(newest.version);
            settings.known = true;
        }
        changed_settings(&self.context).await;
    }

    /// Sets on a node what differs from the newest settings.
    async fn bring_up_to_date(&mut self, node: &str, has: &Stored, newest: &Stored) -> Result<(), CallError> {
        let Some(connection) = self.connections.get_mut(node) else { return Ok(()) };
        let version = newest.version.to_string();
        let id = format!("{}-follow-{version}", self.context.identity.node);
        let names: std::collections::BTreeSet<&String> =
            has.values.keys().chain(newest.values.keys()).collect();
        let head = ["SLOTWAY", "SETTINGS", "PREPARE", &id];
        let mut words: Vec<Vec<u8>> = head.iter().map(|word| word.as_bytes().to_vec()).collect();
        for name in names {
            let value = match newest.values.get(name) {
                Some(value) => value.bytes().into_owned(),
                None => match Name::find(name.as_bytes()) {
                    Some(known) => known.parameter().default.as_bytes().to_vec(),
                    None => continue,
                },
            };
            words.push(name.clone().into_bytes());
            words.push(value);
        }
        if words.len() == 4 {
            // Nothing differs but the number; any setting at its value carries it.
            words.push(b"maxmemory-samples".to_vec());
            words.push(b"5".to_vec());
        }
        connection.call(&words).await?;
        connection.call(&["SLOTWAY", "SETTINGS", "COMMIT", &id, &version]).await?;
        tracing::info!(node, version, "settings brought up to date");
        Ok(())
    }
}

/// Id and address of the node that serves each shard.
fn primaries(topology: &Topology) -> Vec<(String, String)> {
    let first = topology.shards.iter().filter_map(|shard| shard.nodes.first());
    first.map(|node| (node.id.clone(), node.address.clone())).collect()
}
