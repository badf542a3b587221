//! Replies that shards push when they have them: those of slow scripts, and of clients that wait for data.

use std::collections::HashMap;

use tokio::sync::oneshot;

use super::ticket::AskError;
use crate::ids::{SessionId, UpstreamId};
use crate::transaction::ShardWatch;
use crate::upstream::Entry;

/// A request whose reply comes later.
#[derive(Debug)]
pub(super) struct Later {
    pub(super) entry: Entry,
    pub(super) sent_at: u64,
    /// The client does nothing else because of it.
    pub(super) holds: bool,
    /// What the client had sent behind it.
    pub(super) behind: Vec<(Vec<u8>, Entry)>,
}

/// By the connection and the shard's number.
pub(super) type Laters = HashMap<(UpstreamId, u64), Later>;

/// What comes of asking.
pub(crate) type Answer = oneshot::Receiver<Result<Vec<u8>, AskError>>;

/// A client that waits, or is about to.
#[derive(Debug)]
pub(super) struct Wait {
    pub(super) session: SessionId,
    /// The connection over which the push will come, once that is known.
    pub(super) upstream: Option<UpstreamId>,
    pub(super) sender: oneshot::Sender<Result<Vec<u8>, AskError>>,
}

/// By the numbers that shards know the waits by.
pub(super) type Waits = HashMap<u64, Wait>;

/// A command that may wait, on its way.
pub(crate) struct Asked {
    pub(crate) token: u64,
    pub(crate) shard: usize,
    /// The command's reply, or `+WAITING`.
    pub(crate) reply: Answer,
    /// What is pushed after that.
    pub(crate) pushed: Answer,
}

/// What a shard is told to watch for a job's client, and its answer.
pub(crate) struct ToldWatch {
    pub(crate) watch: ShardWatch,
    /// Nothing of the client was watched there before.
    pub(crate) is_new: bool,
    pub(crate) answer: Answer,
}
