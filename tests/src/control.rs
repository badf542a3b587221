//! A node's control port.

use std::time::Duration;

use anyhow::{Context, Result};
use slotway_common::cluster_file::ClusterFile;
use slotway_common::cluster_state::{Change, ClusterState, Outcome, Proposal};
use slotway_common::handshake::Identity;
use slotway_common::internal::{CallError, Connection};
use slotway_common::platform::random;
use slotway_common::secret::Secret;

use crate::cluster::Layout;

/// Longer than a node tries to have something committed.
const PATIENCE: Duration = Duration::from_secs(20);

/// A connection to it.
pub struct ControlPort {
    runtime: tokio::runtime::Runtime,
    connection: Connection,
}

impl ControlPort {
    /// Connects to a node of the cluster file.
    ///
    /// # Errors
    /// When the node does not answer.
    pub fn open(layout: &Layout, node: &str) -> Result<ControlPort> {
        let file = ClusterFile::read(&layout.file())?;
        let secret = Secret::read(&layout.directory().join(&file.secret_path))?;
        let identity = Identity { cluster: file.cluster.clone(), node: "slotway".to_owned() };
        let (_, place) = file.node(node).context("a node of that name")?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let address = place.control.to_string();
        let opened = Connection::open(&address, &identity, &secret, Some(node), PATIENCE);
        let connection = runtime.block_on(opened)?;
        Ok(ControlPort { runtime, connection })
    }

    /// Asks something.
    ///
    /// # Errors
    /// When there is no answer, or it is an error.
    pub fn call(&mut self, words: &[&str]) -> Result<Vec<u8>, CallError> {
        let answer = self.runtime.block_on(self.connection.call(words))?;
        Ok(answer.as_bytes().unwrap_or_default().to_vec())
    }

    /// The state as the node has applied it.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn state(&mut self) -> Result<ClusterState> {
        Ok(ClusterState::from_json(&self.call(&["SLOTWAY", "STATE"])?)?)
    }

    /// The node's part in the Raft group.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn status(&mut self) -> Result<serde_json::Value> {
        Ok(serde_json::from_slice(&self.call(&["SLOTWAY", "RAFT", "STATUS"])?)?)
    }

    /// Has the cluster make a change.
    ///
    /// # Errors
    /// When the outcome is not known.
    pub fn propose(&mut self, change: Change) -> Result<Outcome> {
        let proposal = Proposal { request: random::hex_id::<16>(), change };
        let json = serde_json::to_string(&proposal)?;
        Ok(serde_json::from_slice(&self.call(&["SLOTWAY", "PROPOSE", &json])?)?)
    }
}
