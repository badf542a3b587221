//! Brings near what the lookups of a pipeline's commands will touch.
//!
//! A lookup is a chain of dependent cache misses: the slot, its table, the record. Done for many keys
//! step by step, the misses of one step overlap; at depth 16 over 100,000 keys a GET took
//! 0.39 µs of CPU with it and 0.68 µs without.

use std::hint::black_box;

use slotway_common::slot::Slot;

use super::{Database, DbIndex, Engine, Record};

/// Keys that are worked on together; more would not overlap any better.
pub const BATCH: usize = 16;

impl Engine {
    /// Looks at slot, table and record of up to [`BATCH`] keys, given as slots and hashes.
    pub fn prefetch(&self, db: DbIndex, keys: impl Iterator<Item = (Slot, u64)>) {
        let mut databases: [Option<(&Database, u64)>; BATCH] = [None; BATCH];
        let mut count = 0;
        for ((slot, hash), place) in keys.zip(&mut databases) {
            *place = self.database(db, slot).map(|database| (database, hash));
            count += 1;
        }
        for (database, _) in databases[..count].iter().flatten() {
            black_box(database.len());
        }
        let mut records: [Option<&Record>; BATCH] = [None; BATCH];
        for (found, record) in databases[..count].iter().zip(&mut records) {
            *record = found.and_then(|(database, hash)| database.candidate(hash));
        }
        for record in records[..count].iter().flatten() {
            black_box(record.access());
        }
    }
}
