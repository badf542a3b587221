//! Buffers for splitting a request.

use crate::ids::UpstreamId;

/// Buffers of the splitting of one request, kept for the next one.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// The shard of each item.
    pub(super) owners: Vec<u16>,
    /// For each shard: items, connection, and its part's number.
    pub(super) shards: Vec<Share>,
}

/// What one shard gets of a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    pub(super) items: u32,
    pub(super) upstream: UpstreamId,
    pub(super) part: u16,
    /// Where its frame begins in the upstream's buffer.
    pub(super) from: usize,
}

pub(super) const NOTHING: Share = Share { items: 0, upstream: UpstreamId::NONE, part: 0, from: 0 };
