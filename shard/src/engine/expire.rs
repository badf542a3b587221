//! Active expiry: removes keys that have expired although nobody asks for them.
//!
//! Every database of a slot knows a time before which none of its keys expires, so a pass over all
//! slots touches only those where something is due; it goes on where the last one stopped.

use std::time::{Duration, Instant};

use slotway_common::platform::clock;
use slotway_common::slot::SLOTS;

use super::events::EventClass;
use super::key::DATABASES;
use super::state::Engine;
use crate::types::table::Hashed;

/// What one call of [`Engine::sweep_expired`] did.
#[derive(Clone, Copy, Debug, Default)]
pub struct SweepReport {
    pub removed: u64,
    /// True when the time was up before everything was looked at.
    pub unfinished: bool,
}

impl Engine {
    /// Removes expired keys for at most `budget` (overrun by one slot's table at the most).
    pub fn sweep_expired(&mut self, budget: Duration) -> SweepReport {
        self.settle();
        let start: Instant = clock::monotonic();
        let mut report = SweepReport::default();
        let mut looked = 0u32;
        for _ in 0..DATABASES {
            let db = self.sweep.db % DATABASES;
            while self.totals[db].expires() > 0 && self.sweep.slot < SLOTS {
                report.removed += self.sweep_slot(db, self.sweep.slot);
                self.sweep.slot += 1;
                looked += 1;
                if looked.is_multiple_of(64) && clock::since(start) > budget {
                    report.unfinished = true;
                    return report;
                }
            }
            self.sweep.slot = 0;
            self.sweep.db = (db + 1) % DATABASES;
        }
        report
    }

    fn sweep_slot(&mut self, db: usize, slot: u16) -> u64 {
        let now = self.expired_by;
        if self.slot(slot).parked {
            return 0;
        }
        let mut expired = Vec::new();
        let Some(database) = self.database_mut(db, slot).filter(|database| database.is_due(now)) else {
            return 0;
        };
        database.take_expired(now, |record| expired.push(record));
        let removed = expired.len() as u64;
        self.totals[db].remove(slot, removed, removed);
        self.stats.expired_keys += removed;
        for record in expired {
            let began = self.expiry_times.begin();
            self.note_gone(db, slot, record.hash(), record.key());
            self.notify(EventClass::EXPIRED, "expired", db, record.key());
            self.discard(record);
            self.expiry_times.end(began);
        }
        removed
    }

    /// Begins or ends keeping how long removing an expired key takes.
    pub fn time_expiry(&mut self, on: bool) {
        self.expiry_times.is_kept = on;
    }

    /// The longest removal of an expired key since the last call.
    pub fn take_slowest_expiry(&mut self) -> Duration {
        std::mem::take(&mut self.expiry_times.slowest)
    }
}
