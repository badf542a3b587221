//! What shards are told of subscriptions, until they have answered.

use std::rc::Rc;

use slotway_common::pubsub::Kind;
use tokio::sync::oneshot;

use crate::ids::{Seq, SessionId};
use crate::pubsub::Share;
use crate::slab::Id;

/// A SUBSCRIBE or UNSUBSCRIBE that shards are told of.
#[derive(Debug)]
pub(super) struct Change {
    /// Shards' answers that are still to come.
    pub(super) open: usize,
    /// The confirmations.
    pub(super) reply: Vec<u8>,
    pub(super) asker: Asker,
    /// The client and the names, of those told to every shard, that it listens to no more when all shards know.
    pub(super) leaving: Option<(SessionId, Vec<(Kind, Rc<[u8]>)>)>,
}

/// Who gets the confirmations.
#[derive(Debug)]
pub(super) enum Asker {
    Client { session: SessionId, seq: Seq },
    Job(oneshot::Sender<Vec<u8>>),
}

/// Something that a shard is told of.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) share: Share,
    pub(super) why: Why,
    pub(super) change: Option<Id>,
    /// How often a shard has refused it.
    pub(super) refusals: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// A client subscribes.
    Joins(SessionId),
    /// A client unsubscribes.
    Leaves(SessionId),
    /// The shard is to know again what it knew.
    Again,
    /// The names are told to another shard now.
    Moved,
}
