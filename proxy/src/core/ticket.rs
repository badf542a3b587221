//! Requests that the proxy itself makes, and who waits for their replies.

use slotway_common::resp::Protocol;
use tokio::sync::oneshot;

use super::told::Told;
use crate::ids::{SessionId, UpstreamId};
use crate::slab::Id;

/// Which connection a request goes over. Requests over the connection that a client uses too keep their order with
/// that client's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// Position of the shard.
    pub shard: usize,
    pub protocol: Protocol,
    pub database: u32,
}

/// Why there is no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// The shard is down; it was sent nothing.
    #[error("the shard is down")]
    Down,
    /// The connection broke; the request may have been executed.
    #[error("the connection broke before the reply")]
    Lost,
}

/// Who in the proxy waits for a reply.
#[derive(Debug)]
pub(super) enum Ticket {
    /// A RESUME for one slot of a detention.
    Resume {
        detention: Id,
        upstream: UpstreamId,
        slot: u16,
    },
    Ask(oneshot::Sender<Result<Vec<u8>, AskError>>),
    /// A part of a client's transaction or command.
    Batch {
        session: SessionId,
        sender: oneshot::Sender<Result<Vec<u8>, AskError>>,
    },
    /// A command that may wait, under the number of its wait.
    Block {
        wait: u64,
        sender: oneshot::Sender<Result<Vec<u8>, AskError>>,
    },
    /// What a shard is told of subscriptions.
    Told(Box<Told>),
    /// The prefixes that a tracked client is to hear of, which it may have missed until then.
    Tracking {
        session: SessionId,
        link: UpstreamId,
    },
}
