//! The engine: everything the shard stores, by slot and database.
//!
//! It is owned by the data thread alone and takes no locks. Slots hold their own small tables, one
//! per database in use; see the crate's README for why.

mod access;
mod edit;
mod events;
mod evict;
mod expire;
mod flush;
mod journal;
mod key;
mod lazy_free;
mod lookup;
mod notes;
mod notify;
pub mod prefetch;
pub mod record;
mod remove;
mod scan;
mod slots;
mod state;
mod stats;
#[cfg(test)]
mod tests;
mod totals;
mod transfer;
mod victims;
mod watches;
mod watching;
mod write;

pub use access::{AccessClock, Policy};
pub use edit::Edit;
pub use events::{Event, EventClass, Wanted};
pub use expire::SweepReport;
pub use journal::{Note, NotedKey, Notes, Watcher};
pub use key::{DATABASES, DbIndex, Key};
pub use lazy_free::LazyFree;
pub use record::Record;
pub use scan::Cursor;
pub use slots::{Database, SlotSpace};
pub use state::Engine;
pub use stats::Stats;
pub use totals::DbTotals;
pub use transfer::prefix_of;
pub use watches::{WatchId, WatchState};

pub use crate::memory::{GarbageBytes, HandedOver, Limits, Memory, hash_bytes, set_hash_seed};
