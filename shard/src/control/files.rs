//! The node's `raft` directory, and the thread that writes to it.
//!
//! | file | holds | written |
//! |---|---|---|
//! | `log` | a head, then entries one by one | appended to; cut at its end; replaced when old entries go |
//! | `vote` | the vote | replaced |
//! | `snapshot` | what it covers, and the state | replaced |
//! | `owner` | cluster and node | replaced |
//!
//! All are made of [records](record). Replaced means that a new file is written, synced and renamed, and the directory
//! synced. Everything is written by one thread in the order in which it was asked for.

mod appended;
pub(crate) mod record;

use std::io;
use std::path::{Path, PathBuf};

use openraft::storage::LogFlushed;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use slotway_common::platform::{files, threads};
use tokio::sync::{mpsc, oneshot};

use super::raft::{Entry, LogId, TypeConfig, Vote};
use appended::Log;
use record::{Damage, Kind, Record, encode, scan_appended, scan_whole};

/// Entries that are synced together at most.
const GROUP: usize = 256;

/// Why a directory cannot be used, in one line.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{}: {error}", path.display())]
    Io { path: PathBuf, error: io::Error },
    #[error(
        "{} is damaged at offset {offset}: {what}; put a copy of the whole directory back, or remove the node from \
         the cluster and add it anew", path.display()
    )]
    Damaged { path: PathBuf, offset: usize, what: String },
    #[error("{} belongs to node {theirs}, not to {ours}", path.display())]
    OtherNode { path: PathBuf, ours: String, theirs: String },
}

/// Which cluster and node a directory belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    pub node: String,
    /// The id that the cluster got when it was founded; empty before.
    pub cluster: String,
}

/// What the directory held when it was opened.
#[derive(Debug, Default)]
pub struct Contents {
    pub owner: Owner,
    pub vote: Option<Vote>,
    /// The last entry that is not in the log any more.
    pub purged: Option<LogId>,
    pub entries: Vec<Entry>,
    /// What the snapshot covers, as JSON, and the state.
    pub snapshot: Option<(Vec<u8>, Vec<u8>)>,
}

/// The head of the log.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    purged: Option<LogId>,
}

enum Job {
    Append { entries: Vec<(u64, Vec<u8>)>, flushed: LogFlushed<TypeConfig> },
    Run { work: Box<dyn FnOnce(&mut Log) -> io::Result<()> + Send>, done: oneshot::Sender<io::Result<()>> },
}

/// Handle on the directory. The thread ends with the last clone.
#[derive(Clone)]
pub struct Files {
    directory: PathBuf,
    jobs: mpsc::UnboundedSender<Job>,
}

impl Files {
    /// Opens or makes the directory, reads all of it, and starts the thread.
    ///
    /// A torn tail of the log is cut, and the log of the process says so.
    ///
    /// # Errors
    /// When a file cannot be read or is damaged, or belongs to another node than `node`.
    pub fn open(directory: &Path, node: &str) -> Result<(Self, Contents), OpenError> {
        let at = |path: &Path| {
            let path = path.to_owned();
            move |error| OpenError::Io { path, error }
        };
        files::create_directory(directory).map_err(at(directory))?;
        let owner = match read_whole(&directory.join("owner"), &[Kind::Owner])?.as_deref() {
            Some([owner]) => parse(&directory.join("owner"), 0, owner)?,
            _ => Owner { node: node.to_owned(), cluster: String::new() },
        };
        if owner.node != node {
            return Err(OpenError::OtherNode {
                path: directory.to_owned(),
                ours: node.to_owned(),
                theirs: owner.node,
            });
        }
        let vote = match read_whole(&directory.join("vote"), &[Kind::Vote])?.as_deref() {
            Some([vote]) => Some(parse(&directory.join("vote"), 0, vote)?),
            _ => None,
        };
        let snapshot = match read_whole(&directory.join("snapshot"), &[Kind::Meta, Kind::State])?.as_deref() {
            Some([meta, state]) => Some((meta.clone(), state.clone())),
            _ => None,
        };
        let path = directory.join("log");
        let (log, purged, entries) = open_log(&path)?;
        let (jobs, received) = mpsc::unbounded_channel();
        threads::run("raft-log", move || write(log, received)).map_err(at(&path))?;
        let files = Self { directory: directory.to_owned(), jobs };
        Ok((files, Contents { owner, vote, purged, entries, snapshot }))
    }

    /// Appends entries, given by index and JSON, and tells when they are on disk.
    pub fn append(&self, entries: Vec<(u64, Vec<u8>)>, flushed: LogFlushed<TypeConfig>) {
        if let Err(mpsc::error::SendError(Job::Append { flushed, .. })) =
            self.jobs.send(Job::Append { entries, flushed })
        {
            flushed.log_io_completed(Err(ended()));
        }
    }

    /// Cuts the log before the entry `index`.
    pub async fn truncate(&self, index: u64) -> io::Result<()> {
        self.run(move |log| log.truncate(index)).await
    }

    /// Drops the entries up to `purged` by writing a log with the `kept` ones, given by index and JSON.
    pub async fn purge(&self, purged: Option<LogId>, kept: Vec<(u64, Vec<u8>)>) -> io::Result<()> {
        let head = serde_json::to_vec(&Head { purged })?;
        self.run(move |log| log.replace(&head, &kept)).await
    }

    pub async fn save_vote(&self, vote: &Vote) -> io::Result<()> {
        self.replace("vote", &[(Kind::Vote, serde_json::to_vec(vote)?)]).await
    }

    pub async fn save_owner(&self, owner: &Owner) -> io::Result<()> {
        self.replace("owner", &[(Kind::Owner, serde_json::to_vec(owner)?)]).await
    }

    pub async fn save_snapshot(&self, meta: Vec<u8>, state: Vec<u8>) -> io::Result<()> {
        self.replace("snapshot", &[(Kind::Meta, meta), (Kind::State, state)]).await
    }

    async fn replace(&self, name: &str, records: &[(Kind, Vec<u8>)]) -> io::Result<()> {
        let path = self.directory.join(name);
        let mut bytes = Vec::new();
        for (kind, payload) in records {
            encode(*kind, 0, payload, &mut bytes);
        }
        // What was set by CONFIG SET can be a password.
        self.run(move |_| files::replace_private(&path, &bytes)).await
    }

    async fn run(&self, work: impl FnOnce(&mut Log) -> io::Result<()> + Send + 'static) -> io::Result<()> {
        let (done, result) = oneshot::channel();
        self.jobs.send(Job::Run { work: Box::new(work), done }).map_err(|_| ended())?;
        result.await.map_err(|_| ended())?
    }
}

fn ended() -> io::Error {
    io::Error::other("the thread that writes the Raft log has ended")
}

/// The payloads of a file that is replaced as a whole; `None` when there is none.
fn read_whole(path: &Path, kinds: &[Kind]) -> Result<Option<Vec<Vec<u8>>>, OpenError> {
    let read = files::read(path).map_err(|error| OpenError::Io { path: path.to_owned(), error })?;
    let Some(bytes) = read else { return Ok(None) };
    let records = scan_whole(&bytes).map_err(|damage| damaged(path, &damage))?;
    if records.iter().map(|record| record.kind).ne(kinds.iter().copied()) {
        return Err(damaged(path, &Damage { offset: 0, what: "it has other records than it should" }));
    }
    Ok(Some(records.iter().map(|record| record.payload.to_vec()).collect()))
}

fn damaged(path: &Path, damage: &Damage) -> OpenError {
    OpenError::Damaged { path: path.to_owned(), offset: damage.offset, what: damage.what.to_owned() }
}

fn parse<T: DeserializeOwned>(path: &Path, offset: usize, json: &[u8]) -> Result<T, OpenError> {
    serde_json::from_slice(json).map_err(|error| OpenError::Damaged {
        path: path.to_owned(),
        offset,
        what: format!("the content of a record is not readable: {error}"),
    })
}

fn open_log(path: &Path) -> Result<(Log, Option<LogId>, Vec<Entry>), OpenError> {
    let io = |error| OpenError::Io { path: path.to_owned(), error };
    let bytes = match files::read(path).map_err(io)? {
        Some(bytes) => bytes,
        None => {
            let mut bytes = Vec::new();
            let head = serde_json::to_vec(&Head { purged: None }).map_err(|error| io(error.into()))?;
            encode(Kind::Head, 0, &head, &mut bytes);
            files::replace_private(path, &bytes).map_err(io)?;
            bytes
        }
    };
    let (records, torn) = scan_appended(&bytes).map_err(|damage| damaged(path, &damage))?;
    let mut entries: Vec<Entry> = Vec::new();
    let mut places = Vec::new();
    let mut purged: Option<LogId> = None;
    for (position, record) in records.iter().enumerate() {
        let offset = record.offset;
        match record.kind {
            Kind::Head if position == 0 => purged = parse::<Head>(path, offset, record.payload)?.purged,
            Kind::Entry if position > 0 => {
                let entry: Entry = parse(path, offset, record.payload)?;
                let before = entries.last().map(|entry| entry.log_id.index).or(purged.map(|id| id.index));
                // A log that was never purged may begin at 0 or, as the library's tests have it, elsewhere.
                if before.is_some_and(|before| before + 1 != entry.log_id.index) {
                    return Err(damaged(
                        path,
                        &Damage { offset, what: "an entry is missing before this one" },
                    ));
                }
                places.push((entry.log_id.index, offset as u64));
                entries.push(entry);
            }
            _ => return Err(damaged(path, &Damage { offset, what: "a record has no place here" })),
        }
    }
    let length = records.last().map_or(0, Record::end);
    let log = Log::open(path, length as u64, places).map_err(io)?;
    if let Some(offset) = torn {
        tracing::warn!(
            "{}: a torn tail of {} bytes at offset {offset} was cut off: it was being written when the process ended",
            path.display(),
            bytes.len() - offset
        );
    }
    Ok((log, purged, entries))
}

/// The thread.
async fn write(mut log: Log, mut jobs: mpsc::UnboundedReceiver<Job>) {
    let mut next = None;
    loop {
        let job = match next.take() {
            Some(job) => job,
            None => match jobs.recv().await {
                Some(job) => job,
                None => return,
            },
        };
        let (mut entries, flushed) = match job {
            Job::Append { entries, flushed } => (entries, flushed),
            Job::Run { work, done } => {
                files::disk_latency().await;
                // Who asked may have given up.
                let _ = done.send(work(&mut log));
                continue;
            }
        };
        let mut waiting = vec![flushed];
        while entries.len() < GROUP {
            match jobs.try_recv() {
                Ok(Job::Append { entries: more, flushed }) => {
                    entries.extend(more);
                    waiting.push(flushed);
                }
                Ok(job) => {
                    next = Some(job);
                    break;
                }
                Err(_) => break,
            }
        }
        let result = log.append(&entries).await;
        for flushed in waiting {
            let result =
                result.as_ref().copied().map_err(|error| io::Error::new(error.kind(), error.to_string()));
            flushed.log_io_completed(result);
        }
    }
}

#[cfg(test)]
mod tests;
