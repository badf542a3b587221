//! The state machine: applies committed entries to the cluster's state and publishes it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use openraft::storage::RaftStateMachine;
use openraft::{
    EntryPayload, OptionalSend, RaftSnapshotBuilder, Snapshot, SnapshotMeta, StorageIOError, StoredMembership,
};
use slotway_common::cluster_state::{ClusterState, Outcome, Recent, Update};
use tokio::sync::watch;

use super::files::{Files, Owner};
use super::raft::{Entry, LogId, Place, StorageError, TypeConfig};

type Meta = SnapshotMeta<u64, Place>;
type Membership = StoredMembership<u64, Place>;

/// The state machine. Clones are the same one.
#[derive(Clone)]
pub struct Machine {
    files: Files,
    node: String,
    applied: Arc<Mutex<Applied>>,
    published: Arc<watch::Sender<Arc<ClusterState>>>,
}

#[derive(Default)]
struct Applied {
    last: Option<LogId>,
    membership: Membership,
    state: Arc<ClusterState>,
    /// The changes that led to it.
    recent: Recent,
    /// The id of the cluster that the directory belongs to, as it is on disk.
    cluster: String,
    snapshot: Option<(Meta, Vec<u8>)>,
}

impl Machine {
    /// With what the directory held.
    ///
    /// # Errors
    /// A snapshot that cannot be read, in one line.
    pub fn new(files: Files, owner: Owner, snapshot: Option<(Vec<u8>, Vec<u8>)>) -> Result<Self, String> {
        let mut applied = Applied { cluster: owner.cluster, ..Applied::default() };
        if let Some((meta, state)) = snapshot {
            let unreadable = |error: serde_json::Error| format!("the snapshot is not readable: {error}");
            let meta: Meta = serde_json::from_slice(&meta).map_err(unreadable)?;
            applied.state = Arc::new(ClusterState::from_json(&state).map_err(unreadable)?);
            applied.last = meta.last_log_id;
            applied.membership = meta.last_membership.clone();
            applied.snapshot = Some((meta, state));
        }
        let published = Arc::new(watch::Sender::new(applied.state.clone()));
        Ok(Self { files, node: owner.node, applied: Arc::new(Mutex::new(applied)), published })
    }

    /// The state as it is applied.
    pub fn published(&self) -> watch::Receiver<Arc<ClusterState>> {
        self.published.subscribe()
    }

    /// The id of the cluster that this node belongs to; empty when it is not known to belong to one.
    pub fn cluster(&self) -> String {
        self.applied().cluster.clone()
    }

    /// What a follower needs that has generation `known` of the cluster `id`.
    pub fn since(&self, id: &str, known: u64) -> Update {
        let applied = self.applied();
        applied.recent.since(id, known, &applied.state)
    }

    fn applied(&self) -> MutexGuard<'_, Applied> {
        self.applied.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes on disk which cluster this is, the first time that it is known.
    async fn remember_cluster(&self) -> Result<(), StorageError> {
        let owner = {
            let applied = self.applied();
            if applied.state.id.is_empty() || applied.cluster == applied.state.id {
                return Ok(());
            }
            Owner { node: self.node.clone(), cluster: applied.state.id.clone() }
        };
        self.files.save_owner(&owner).await.map_err(|error| StorageIOError::write_state_machine(&error))?;
        self.applied().cluster = owner.cluster;
        Ok(())
    }

    fn publish(&self) {
        let state = self.applied().state.clone();
        self.published.send_if_modified(|published| {
            let changed = published.generation != state.generation;
            *published = state;
            changed
        });
    }
}

impl RaftStateMachine<TypeConfig> for Machine {
    type SnapshotBuilder = Self;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, Membership), StorageError> {
        let applied = self.applied();
        Ok((applied.last, applied.membership.clone()))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<Outcome>, StorageError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut outcomes = Vec::new();
        {
            let mut applied = self.applied();
            let mut state = ClusterState::clone(&applied.state);
            for entry in entries {
                applied.last = Some(entry.log_id);
                outcomes.push(match entry.payload {
                    EntryPayload::Normal(proposal) => {
                        let (before, outcome) = (state.generation, state.apply(&proposal));
                        if state.generation > before {
                            applied.recent.push(state.generation, proposal);
                        }
                        outcome
                    }
                    EntryPayload::Blank => Outcome::Done { generation: state.generation },
                    EntryPayload::Membership(membership) => {
                        applied.membership = Membership::new(Some(entry.log_id), membership);
                        Outcome::Done { generation: state.generation }
                    }
                });
            }
            applied.state = Arc::new(state);
        }
        self.remember_cluster().await?;
        self.publish();
        Ok(outcomes)
    }

    async fn get_snapshot_builder(&mut self) -> Self {
        self.clone()
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<Vec<u8>>, StorageError> {
        Ok(Box::default())
    }

    async fn install_snapshot(&mut self, meta: &Meta, snapshot: Box<Vec<u8>>) -> Result<(), StorageError> {
        let unreadable =
            |error: serde_json::Error| StorageIOError::read_snapshot(Some(meta.signature()), &error);
        let state = ClusterState::from_json(&snapshot).map_err(unreadable)?;
        let json = serde_json::to_vec(meta).map_err(unreadable)?;
        let unwritten = |error| StorageIOError::write_snapshot(Some(meta.signature()), &error);
        self.files.save_snapshot(json, snapshot.to_vec()).await.map_err(unwritten)?;
        {
            let mut applied = self.applied();
            applied.last = meta.last_log_id;
            applied.membership = meta.last_membership.clone();
            applied.state = Arc::new(state);
            applied.snapshot = Some((meta.clone(), *snapshot));
        }
        self.remember_cluster().await?;
        self.publish();
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot<TypeConfig>>, StorageError> {
        let applied = self.applied();
        let snapshot = applied.snapshot.clone();
        Ok(snapshot.map(|(meta, state)| Snapshot { meta, snapshot: Box::new(state) }))
    }
}

impl RaftSnapshotBuilder<TypeConfig> for Machine {
    async fn build_snapshot(&mut self) -> Result<Snapshot<TypeConfig>, StorageError> {
        let (meta, state) = {
            let applied = self.applied();
            let id = applied.last.map_or_else(|| "0".to_owned(), |last| last.to_string());
            let meta = Meta {
                last_log_id: applied.last,
                last_membership: applied.membership.clone(),
                snapshot_id: id,
            };
            (meta, applied.state.to_json().into_bytes())
        };
        let unwritten = |error| StorageIOError::write_snapshot(Some(meta.signature()), &error);
        let json = serde_json::to_vec(&meta).map_err(|error| unwritten(error.into()))?;
        self.files.save_snapshot(json, state.clone()).await.map_err(unwritten)?;
        self.applied().snapshot = Some((meta.clone(), state.clone()));
        Ok(Snapshot { meta, snapshot: Box::new(state) })
    }
}
