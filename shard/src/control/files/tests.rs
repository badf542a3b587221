//! The library's own suite, and what becomes of damaged files.

use std::path::PathBuf;

use openraft::storage::{RaftLogStorage, RaftLogStorageExt};
use openraft::testing::{StoreBuilder, Suite, blank_ent};
use slotway_common::platform::random;

use super::*;
use crate::control::log::LogStore;
use crate::control::machine::Machine;
use crate::control::raft::StorageError;

/// A directory that goes with this value.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        Self(std::env::temp_dir().join(format!("slotway-raft-{}", random::hex_id::<8>())))
    }

    fn open(&self) -> Result<(LogStore, Machine), OpenError> {
        let (files, contents) = Files::open(&self.0, "a-0")?;
        let log = LogStore::new(files.clone(), contents.vote, contents.purged, contents.entries);
        Ok((log, Machine::new(files, contents.owner, contents.snapshot).unwrap()))
    }

    fn log(&self) -> PathBuf {
        self.0.join("log")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

struct Builder;

impl StoreBuilder<TypeConfig, LogStore, Machine, Folder> for Builder {
    async fn build(&self) -> Result<(Folder, LogStore, Machine), StorageError> {
        let folder = Folder::new();
        let (log, machine) = folder.open().unwrap();
        Ok((folder, log, machine))
    }
}

#[test]
fn the_store_is_what_the_raft_library_expects() {
    Suite::test_all(Builder).unwrap();
}

/// A log of five entries that were synced one by one, and its offsets.
async fn written(folder: &Folder) -> Vec<usize> {
    let (mut log, _) = folder.open().unwrap();
    for index in 0..5 {
        log.blocking_append([blank_ent::<TypeConfig>(1, 7, index)]).await.unwrap();
    }
    let bytes = std::fs::read(folder.log()).unwrap();
    scan_appended(&bytes).unwrap().0.iter().map(|record| record.offset).collect()
}

async fn last(folder: &Folder) -> Option<u64> {
    let (mut log, _) = folder.open().unwrap();
    log.get_log_state().await.unwrap().last_log_id.map(|id| id.index)
}

#[tokio::test]
async fn vote_entries_and_what_was_cut_or_purged_are_the_same_after_a_restart() {
    let folder = Folder::new();
    written(&folder).await;
    let (mut log, _) = folder.open().unwrap();
    log.save_vote(&Vote::new(3, 7)).await.unwrap();
    log.truncate(blank_ent::<TypeConfig>(1, 7, 4).log_id).await.unwrap();
    log.blocking_append([blank_ent::<TypeConfig>(2, 7, 4)]).await.unwrap();
    log.purge(blank_ent::<TypeConfig>(1, 7, 1).log_id).await.unwrap();
    log.blocking_append([blank_ent::<TypeConfig>(2, 7, 5)]).await.unwrap();
    drop(log);
    let (mut log, _) = folder.open().unwrap();
    assert_eq!(log.read_vote().await.unwrap(), Some(Vote::new(3, 7)));
    let state = log.get_log_state().await.unwrap();
    assert_eq!(state.last_purged_log_id.map(|id| id.index), Some(1));
    let entries = openraft::RaftLogReader::try_get_log_entries(&mut log, ..).await.unwrap();
    let ids: Vec<(u64, u64)> =
        entries.iter().map(|entry| (entry.log_id.leader_id.term, entry.log_id.index)).collect();
    assert_eq!(ids, [(1, 2), (1, 3), (2, 4), (2, 5)]);
}

#[tokio::test]
async fn a_torn_tail_is_cut_and_the_log_goes_on() {
    let folder = Folder::new();
    let offsets = written(&folder).await;
    let mut bytes = std::fs::read(folder.log()).unwrap();
    let end = scan_appended(&bytes).unwrap().0.last().unwrap().end();
    bytes[end - 3..].fill(0);
    std::fs::write(folder.log(), &bytes).unwrap();
    assert_eq!(last(&folder).await, Some(3));
    assert_eq!(std::fs::metadata(folder.log()).unwrap().len(), offsets[5] as u64);
    let (mut log, _) = folder.open().unwrap();
    log.blocking_append([blank_ent::<TypeConfig>(1, 7, 4)]).await.unwrap();
    assert_eq!(last(&folder).await, Some(4));
}

#[tokio::test]
async fn damage_is_refused_with_file_and_offset() {
    let folder = Folder::new();
    let offsets = written(&folder).await;
    let mut bytes = std::fs::read(folder.log()).unwrap();
    bytes[offsets[2] + 30] ^= 1;
    std::fs::write(folder.log(), &bytes).unwrap();
    let refusal = folder.open().err().unwrap().to_string();
    let expected = format!("{} is damaged at offset {}: ", folder.log().display(), offsets[2]);
    assert!(refusal.starts_with(&expected), "{refusal}");
    std::fs::write(folder.0.join("vote"), b"nonsense").unwrap();
    let refusal = folder.open().err().unwrap().to_string();
    assert!(refusal.contains("vote is damaged at offset 0"), "{refusal}");
}

#[tokio::test]
async fn a_directory_of_another_node_is_refused() {
    let folder = Folder::new();
    let (files, _) = Files::open(&folder.0, "a-0").unwrap();
    files.save_owner(&Owner { node: "a-0".to_owned(), cluster: "x".to_owned() }).await.unwrap();
    let refusal = Files::open(&folder.0, "b-0").err().unwrap().to_string();
    assert!(refusal.ends_with("belongs to node a-0, not to b-0"), "{refusal}");
}
