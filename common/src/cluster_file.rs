//! The cluster file: one YAML file that says which processes a cluster consists of and how the slots are spread.
//!
//! ```yaml
//! cluster: local
//! proxies:
//!   - { listen: 127.0.0.1:6379, admin: 127.0.0.1:9379 }
//! shards:
//!   - { name: a, nodes: [127.0.0.1:7001] }
//!   - name: b
//!     weight: 2
//!     nodes:
//!       - { client: "10.0.0.5:7001", control: 7002, admin: 7003, directory: /var/lib/slotway/b-0 }
//! settings: { maxmemory: 4gb }
//! ```
//!
//! Whatever is wrong with it is told in one line, `FILE:LINE: reason`.

mod address;
mod check;
mod lines;
mod raw;

pub use address::Address;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::secret::{Secret, SecretError};
use crate::topology::{self, SlotRanges, Topology};

/// Distance of a node's control port from its client port, if it is not set.
pub const CONTROL_OFFSET: u16 = 10_000;

/// Distance of a process's admin port from its client port, if it is not set.
pub const ADMIN_OFFSET: u16 = 20_000;

/// A cluster file that has passed every check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterFile {
    /// The cluster's name and its id in handshakes.
    pub cluster: String,
    pub proxies: Vec<Proxy>,
    /// At least one.
    pub shards: Vec<Shard>,
    /// Values of CONFIG parameters as texts, by their lower-case Redis names.
    pub settings: BTreeMap<String, String>,
    /// The secret's file, by default `data/<cluster>/secret`.
    pub secret_path: PathBuf,
}

/// A proxy process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    /// `proxy-` and its position in the file.
    pub id: String,
    /// Where clients connect.
    pub listen: Address,
    pub admin: Address,
}

/// A shard with its nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shard {
    pub name: String,
    pub placement: Placement,
    /// At least one; the first is the preferred primary.
    pub nodes: Vec<Node>,
}

/// Which slots a shard gets. All shards of a file are placed in the same way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placement {
    /// Exactly these. Together the shards own every slot once.
    Slots(SlotRanges),
    /// Its part of the slots, in proportion to the weights of all shards.
    Weight(u32),
}

/// A shard process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The shard's name and the position among its nodes, for example `a-0`.
    pub id: String,
    /// Where clients and proxies connect.
    pub client: Address,
    /// Where other nodes and the operator command connect.
    pub control: Address,
    pub admin: Address,
    /// Where its files are, relative to the current directory of the process unless it is absolute.
    pub directory: PathBuf,
}

/// What is wrong with a cluster file and where. Displayed as `FILE:LINE: reason`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}:{} {reason}", file.display(), line.map(|line| format!("{line}:")).unwrap_or_default())]
pub struct ClusterFileError {
    pub file: PathBuf,
    /// Counted from 1. `None` if the file could not be read at all.
    pub line: Option<usize>,
    pub reason: String,
}

/// What is wrong and in which line, of a file whose name is not known.
#[derive(Debug, PartialEq, Eq)]
struct Problem {
    line: usize,
    reason: String,
}

impl ClusterFile {
    /// Reads and checks a file.
    pub fn read(path: &Path) -> Result<ClusterFile, ClusterFileError> {
        let bytes = std::fs::read(path).map_err(|source| ClusterFileError {
            file: path.to_owned(),
            line: None,
            reason: format!("cannot be read: {source}"),
        })?;
        ClusterFile::of_bytes(path, &bytes)
    }

    /// Checks bytes as [`ClusterFile::read`] does the content of `path`, which only stands in the error here.
    pub fn of_bytes(path: &Path, bytes: &[u8]) -> Result<ClusterFile, ClusterFileError> {
        ClusterFile::parse(bytes).map_err(|Problem { line, reason }| ClusterFileError {
            file: path.to_owned(),
            line: Some(line),
            reason,
        })
    }

    fn parse(bytes: &[u8]) -> Result<ClusterFile, Problem> {
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
            let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
            Problem { line, reason: "the file is not UTF-8 text".to_owned() }
        })?;
        let lines = lines::Lines::of(text)?;
        let raw = raw::File::parse(text)?;
        check::check(&raw, &lines)
    }

    /// The slots of each shard, in the order of [`ClusterFile::shards`].
    ///
    /// Shards with weights keep as many as possible of the slots that they own today, which `current` gives in the
    /// same order (empty for a new cluster).
    pub fn slots(&self, current: &[SlotRanges]) -> Vec<SlotRanges> {
        let weights: Vec<u32> = self
            .shards
            .iter()
            .map(|shard| match shard.placement {
                Placement::Weight(weight) => weight,
                Placement::Slots(_) => 0,
            })
            .collect();
        let spread = topology::spread(&weights, current);
        let placed = self.shards.iter().zip(spread).map(|(shard, spread)| match &shard.placement {
            Placement::Slots(slots) => slots.clone(),
            Placement::Weight(_) => spread,
        });
        placed.collect()
    }

    /// The topology of a new cluster: version 1.
    pub fn topology(&self) -> Topology {
        let shards = self.shards.iter().zip(self.slots(&[])).map(|(shard, slots)| topology::Shard {
            name: shard.name.clone(),
            slots,
            nodes: shard
                .nodes
                .iter()
                .map(|node| topology::Node {
                    id: node.id.clone(),
                    address: node.client.to_string(),
                    control: node.control.to_string(),
                    admin: node.admin.to_string(),
                })
                .collect(),
        });
        let shards = shards.collect();
        Topology { version: 1, cluster: self.cluster.clone(), id: String::new(), shards }
    }

    /// The node with this id, with the shard that it belongs to.
    pub fn node(&self, id: &str) -> Option<(&Shard, &Node)> {
        self.shards
            .iter()
            .find_map(|shard| shard.nodes.iter().find(|node| node.id == id).map(|node| (shard, node)))
    }

    /// The secret that internal connections prove.
    ///
    /// A cluster whose nodes all have loopback addresses gets one if there is none yet; any other one must be given
    /// it by its operator.
    pub fn secret(&self) -> Result<Secret, SecretRefusal> {
        let mut nodes = self.shards.iter().flat_map(|shard| &shard.nodes);
        let remote = nodes.find(|node| !node.client.is_loopback() || !node.control.is_loopback());
        match remote {
            None => Ok(Secret::read_or_create(&self.secret_path)?),
            Some(node) => match Secret::read(&self.secret_path) {
                Err(SecretError::Read { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                    Err(SecretRefusal::Missing {
                        node: node.id.clone(),
                        address: node.client.to_string(),
                        path: self.secret_path.clone(),
                    })
                }
                result => Ok(result?),
            },
        }
    }
}

/// Why a process cannot take part in the cluster.
#[derive(Debug, thiserror::Error)]
pub enum SecretRefusal {
    #[error(transparent)]
    File(#[from] SecretError),
    #[error(
        "node {node} at {address} is not on this machine, so the cluster needs a secret: put at least 16 random \
         bytes into {} on every host", path.display()
    )]
    Missing { node: String, address: String, path: PathBuf },
}

#[cfg(test)]
mod tests;
