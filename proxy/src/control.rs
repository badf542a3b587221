//! Keeps the workers' topology and settings up to date, and watches the shards for MONITOR.
//!
//! One task of the process asks the shards: now and then, and at once when a worker was redirected. However many
//! redirects there are, there is one round at a time, and a pause between two. Beside that, one connection to the control
//! port of some node waits for each new state of the cluster, so that changes are followed as they are made.

mod monitors;
mod states;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use slotway_common::cluster_state::ClusterState;
use slotway_common::internal::{CallError, Connection};
use slotway_common::settings::{Name, StoredText};
use slotway_common::topology::Topology;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

pub use monitors::watch as watch_for_monitors;

use crate::context::Context;
use crate::jobs::{changed_settings, require_password, take_over_users};
use crate::users::StoredUsers;

/// Time between two rounds that nobody asked for.
const INTERVAL: Duration = Duration::from_secs(1);
/// Least time between two rounds.
const PAUSE: Duration = Duration::from_millis(50);
/// For a shard to answer.
const PATIENCE: Duration = Duration::from_millis(500);

/// Settings as shards tell them: `SLOTWAY SETTINGS`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
struct Stored {
    version: u64,
    values: BTreeMap<String, StoredText>,
}

/// What the task knows.
struct Control {
    context: Arc<Context>,
    connections: BTreeMap<String, Connection>,
}

/// Runs until the process ends. `ready` is told after each round whether clients can be served.
pub async fn run(context: Arc<Context>, ready: impl Fn(bool)) {
    let (told, mut states) = mpsc::channel(1);
    drop(tokio::spawn(states::follow(Arc::clone(&context), told)));
    let mut control = Control { context, connections: BTreeMap::new() };
    control.publish_topology().await;
    loop {
        let began = Instant::now();
        control.round().await;
        loop {
            let users_are_known = control.context.users.lock().version().is_some();
            let known = control.context.settings.lock().known && users_are_known;
            ready(known);
            let context = Arc::clone(&control.context);
            let wait = if known { INTERVAL } else { PAUSE };
            tokio::select! {
                Some(state) = states.recv() => control.take_over_state(&state).await,
                () = context.refresh.notified() => break,
                () = sleep_until(began + wait) => break,
            }
        }
        sleep_until(began + PAUSE).await;
    }
}

impl Control {
    /// Asks every shard once.
    async fn round(&mut self) {
        let nodes: Vec<(String, String)> = primaries(&self.context.topology.lock());
        for (node, address) in &nodes {
            if let Err(error) = self.ask(node, address).await {
                self.connections.remove(node);
                tracing::debug!(%node, %address, %error, "shard did not tell topology and settings");
            }
        }
    }

    /// Follows a state that a node has told at its control port.
    async fn take_over_state(&self, state: &ClusterState) {
        self.take_over_topology(state.topology()).await;
        self.take_over(&Stored { version: state.settings_version, values: state.settings.clone() }).await;
        let users = StoredUsers { version: state.users_version, users: state.users.clone() };
        take_over_users(&self.context, users).await;
    }

    async fn take_over_topology(&self, topology: Topology) {
        {
            let mut known = self.context.topology.lock();
            if !topology.replaces(&known) {
                return;
            }
            if topology.is_of_another_cluster(&known.id) {
                tracing::warn!(id = topology.id, "the cluster was founded anew");
                self.context.settings.lock().version = 0;
                self.context.users.lock().forget();
            }
            *known = Arc::new(topology);
        }
        self.publish_topology().await;
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
        let known = self.context.users.lock().version().map_or_else(String::new, |known| known.to_string());
        let users = connection.call(&["SLOTWAY", "USERS", &known]).await?;
        self.connections.insert(node.to_owned(), connection);
        match Topology::from_json(topology.as_bytes().unwrap_or_default()) {
            Ok(topology) => self.take_over_topology(topology).await,
            Err(error) => tracing::warn!(node, %error, "a shard told a topology that cannot be used"),
        }
        match serde_json::from_slice::<Stored>(settings.as_bytes().unwrap_or_default()) {
            Ok(stored) => self.take_over(&stored).await,
            Err(error) => tracing::warn!(node, %error, "a shard told settings that cannot be used"),
        }
        match users.as_bytes().map(serde_json::from_slice::<StoredUsers>) {
            Some(Ok(stored)) => take_over_users(&self.context, stored).await,
            Some(Err(error)) => tracing::warn!(node, %error, "a shard told users that cannot be used"),
            None => {}
        }
        Ok(())
    }

    async fn publish_topology(&self) {
        let topology = Arc::clone(&self.context.topology.lock());
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
        let password = {
            let mut settings = self.context.settings.lock();
            let password = settings.values.text(Name::Requirepass).into_owned();
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
            let new = settings.values.text(Name::Requirepass).into_owned();
            (new != password).then_some(new)
        };
        changed_settings(&self.context).await;
        if let Some(password) = password {
            require_password(&self.context, &password, newest.version).await;
        }
    }
}

/// Id and address of the node that serves each shard.
fn primaries(topology: &Topology) -> Vec<(String, String)> {
    let first = topology.shards.iter().filter_map(|shard| shard.primary());
    first.map(|node| (node.id.clone(), node.address.clone())).collect()
}
