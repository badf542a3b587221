//! What names things of one worker.

use crate::slab::Id;

/// Names a client of this worker.
pub type SessionId = Id;
/// Names a connection of this worker to a shard.
pub type UpstreamId = Id;
/// Number of a reply place within its client; grows by one with each request and wraps around.
pub type Seq = u32;
