//! What the core asks of those above it.

use std::cell::Cell;
use std::rc::Rc;

use slotway_common::command::Command;
use slotway_common::resp::Protocol;

use crate::ids::{Seq, SessionId, UpstreamId};
use crate::owned::OwnedArgs;
use crate::slab::Id;
use crate::tracking::Mark;
use crate::transaction::{Transaction, Watch};

/// What the driver is to do besides moving bytes.
#[derive(Debug)]
pub enum Action {
    /// Open this upstream's connection, then call `Core::upstream_opened` or `Core::upstream_failed`.
    Connect(UpstreamId),
    /// Close this upstream's connection for good.
    Disconnect(UpstreamId),
    /// Close this client's connection, then call `Core::close_session`.
    Close(SessionId),
    /// Read this client's socket again.
    Read(SessionId),
    /// Run a command that takes more than one step, then call `Core::finish`.
    Run(Job),
    /// Fetch the topology: a shard has told something that this worker did not know.
    Refresh,
    /// Call `Core::release` after so many milliseconds.
    Release { detention: Id, after_ms: u64 },
    /// Look for a script that a shard does not know, load it there, then call `Core::scripts_found`.
    FindScripts(UnknownScripts),
    /// Tell the client of this number, of another worker, what the tracked client of a token is to forget.
    Redirect { token: u64, to: u64, keys: Vec<u8> },
    /// Show this line to the clients in MONITOR mode.
    Monitor(Vec<u8>),
    /// This client is not in MONITOR mode any more.
    MonitorLeft(SessionId),
}

/// A command that takes more than one step. Its client waits until it is finished.
#[derive(Clone, Debug)]
pub struct Job {
    pub session: SessionId,
    pub seq: Seq,
    pub command: &'static Command,
    pub args: OwnedArgs,
    pub protocol: Protocol,
    pub database: u32,
    /// What its requests on keys are marked with.
    pub(crate) mark: Option<Mark>,
    /// Its shard counts it, or it has been counted.
    pub(crate) accounted: Rc<Cell<bool>>,
    pub(crate) work: Work,
}

/// What a job does with its command.
#[derive(Clone, Debug)]
pub(crate) enum Work {
    Run,
    /// It is EXEC, and this is what was queued and is watched.
    Exec(Box<Transaction>, Option<Box<Watch>>),
    /// It is to be queued, if shards have memory left.
    Queue,
    /// It is a script that uses keys of other shards than those that it names.
    Borrow,
}

/// Scripts that are to be loaded on a shard for a call that waits.
#[derive(Clone, Debug)]
pub struct UnknownScripts {
    pub digests: Vec<Vec<u8>>,
    /// Position of the shard that does not know them.
    pub shard: usize,
    pub(super) upstream: UpstreamId,
    pub(super) slots: Vec<u16>,
}
