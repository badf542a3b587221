//! The Raft log and the vote: in memory to be read, in the node's directory to last.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io;
use std::ops::RangeBounds;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use openraft::storage::{LogFlushed, LogState, RaftLogStorage};
use openraft::{OptionalSend, RaftLogReader, StorageIOError};
use slotway_common::cluster_state::Change;

use super::files::Files;
use super::raft::{Entry, LogId, StorageError, TypeConfig, Vote};

/// The log. Clones are the same log.
#[derive(Clone)]
pub struct LogStore {
    files: Files,
    memory: Arc<Mutex<Memory>>,
}

#[derive(Default)]
struct Memory {
    vote: Option<Vote>,
    purged: Option<LogId>,
    entries: BTreeMap<u64, Entry>,
}

impl LogStore {
    /// With what the directory held.
    pub fn new(files: Files, vote: Option<Vote>, purged: Option<LogId>, entries: Vec<Entry>) -> Self {
        let entries = entries.into_iter().map(|entry| (entry.log_id.index, entry)).collect();
        Self { files, memory: Arc::new(Mutex::new(Memory { vote, purged, entries })) }
    }

    /// True when nothing was ever written.
    pub fn is_empty(&self) -> bool {
        let memory = self.memory();
        memory.vote.is_none() && memory.purged.is_none() && memory.entries.is_empty()
    }

    /// The id of the cluster that the first entry of its kind founds, committed or not.
    pub fn founded(&self) -> Option<String> {
        let memory = self.memory();
        memory.entries.values().find_map(|entry| match &entry.payload {
            openraft::EntryPayload::Normal(proposal) => match &proposal.change {
                Change::Found { id, .. } => Some(id.clone()),
                _ => None,
            },
            _ => None,
        })
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn json(entry: &Entry) -> Result<(u64, Vec<u8>), serde_json::Error> {
    Ok((entry.log_id.index, serde_json::to_vec(entry)?))
}

fn unencoded(error: &serde_json::Error) -> StorageError {
    StorageIOError::write_logs(error).into()
}

fn unwritten(error: &io::Error) -> StorageError {
    StorageIOError::write_logs(error).into()
}

impl RaftLogReader<TypeConfig> for LogStore {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, StorageError> {
        Ok(self.memory().entries.range(range).map(|(_, entry)| entry.clone()).collect())
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, StorageError> {
        let memory = self.memory();
        let last = memory.entries.last_key_value().map(|(_, entry)| entry.log_id);
        Ok(LogState { last_purged_log_id: memory.purged, last_log_id: last.or(memory.purged) })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), StorageError> {
        self.files.save_vote(vote).await.map_err(|error| StorageIOError::write_vote(&error))?;
        self.memory().vote = Some(*vote);
        Ok(())
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, StorageError> {
        Ok(self.memory().vote)
    }

    async fn append<I>(&mut self, entries: I, callback: LogFlushed<TypeConfig>) -> Result<(), StorageError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut written = Vec::new();
        {
            let mut memory = self.memory();
            for entry in entries {
                written.push(json(&entry).map_err(|error| unencoded(&error))?);
                memory.entries.insert(entry.log_id.index, entry);
            }
        }
        self.files.append(written, callback);
        Ok(())
    }

    async fn truncate(&mut self, log_id: LogId) -> Result<(), StorageError> {
        self.memory().entries.split_off(&log_id.index);
        self.files.truncate(log_id.index).await.map_err(|error| unwritten(&error))
    }

    async fn purge(&mut self, log_id: LogId) -> Result<(), StorageError> {
        let kept: Vec<(u64, Vec<u8>)> = {
            let mut memory = self.memory();
            memory.entries = memory.entries.split_off(&(log_id.index + 1));
            memory.purged = Some(log_id);
            let kept: Result<_, _> = memory.entries.values().map(json).collect();
            kept.map_err(|error| unencoded(&error))?
        };
        self.files.purge(Some(log_id), kept).await.map_err(|error| unwritten(&error))
    }
}
