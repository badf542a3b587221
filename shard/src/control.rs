//! The cluster's committed state, as the data thread sees it: the state as this node has applied it, and how to have it
//! changed.

mod files;
mod founding;
mod group;
mod handle;
mod in_memory;
mod leading;
mod listener;
mod log;
mod machine;
mod peer;
mod raft;
mod runtime;
mod thread;

pub(crate) use files::record;
pub use handle::{Control, ProposeError};
pub use in_memory::Proposals;
pub use thread::{Running, SNAPSHOT_EVERY, Start, start};
