//! Slots on their way from one engine to another: walked while they are served, then handed over whole.

use slotway_common::slot::Slot;

use super::key::{DATABASES, DbIndex, Key};
use super::record::Record;
use super::slots::SlotSpace;
use super::state::Engine;
use super::stats::Stats;
use crate::types::table::CURSOR_BITS;

/// The place of a hash in the order in which [`Engine::walk`] visits keys.
#[must_use]
#[inline]
pub fn prefix_of(hash: u64) -> u64 {
    hash >> (64 - CURSOR_BITS)
}

impl Engine {
    /// Visits about `count` records of a slot's database from hash prefix `from` on, in the order of their prefixes,
    /// those of equal prefix together, expired ones included. Gives the prefix to go on from, or `None` at the end.
    pub fn walk(
        &self,
        db: DbIndex,
        slot: Slot,
        from: u64,
        count: usize,
        visit: impl FnMut(&Record),
    ) -> Option<u64> {
        self.database(db, slot)?.scan(from, count, visit)
    }

    /// A key's record, expired or not.
    #[must_use]
    pub fn raw_record(&self, db: DbIndex, key: &Key<'_>) -> Option<&Record> {
        let database = self.database(db, key.slot)?;
        database.at(database.find(key)?)
    }

    /// Puts a record in as it is, expired or not, in the place of whatever the key was before. The access clock stays
    /// that of the record.
    pub fn put_raw(&mut self, db: DbIndex, key: &Key<'_>, record: Record) {
        if let Some(old) = self.take(db, key) {
            self.discard(old);
        }
        self.totals[db].add(key.slot, 1, u64::from(record.expire_at().is_some()));
        if let Some(space) = self.slots.get_mut(usize::from(key.slot)) {
            space.database_or_create(db).insert(key.hash, record);
        }
    }

    /// Removes a key, expired or not.
    pub fn remove_raw(&mut self, db: DbIndex, key: &Key<'_>) {
        if let Some(record) = self.take(db, key) {
            self.discard(record);
        }
    }

    /// Changes a key's record in place, expired or not; `None` without such a key.
    pub fn change_raw<R>(
        &mut self,
        db: DbIndex,
        key: &Key<'_>,
        change: impl FnOnce(&mut Record) -> R,
    ) -> Option<R> {
        let place = self.database(db, key.slot)?.find(key)?;
        self.change(db, key.slot, place, change)
    }

    /// Takes everything out that a slot holds. It is left empty and open, and nobody copies it.
    #[must_use]
    pub fn detach(&mut self, slot: Slot) -> SlotSpace {
        self.settle();
        self.break_watches_of(slot);
        let Some(space) = self.slots.get_mut(usize::from(slot)) else { return SlotSpace::default() };
        let space = std::mem::take(space);
        if let Some(operations) = self.operations.get_mut(usize::from(slot)) {
            *operations = 0;
        }
        if let Some(left) = self.slots.get_mut(usize::from(slot)) {
            left.watched = self.journal.for_new_slots();
        }
        for (db, database) in space.databases() {
            self.totals[db].remove(slot, database.len() as u64, database.expires());
        }
        space
    }

    /// Makes what another engine held in a slot this one's. What was here before is freed.
    pub fn attach(&mut self, slot: Slot, space: SlotSpace) {
        let old = self.detach(slot);
        self.free(old);
        for (db, database) in space.databases() {
            self.totals[db].add(slot, database.len() as u64, database.expires());
        }
        if let Some(place) = self.slots.get_mut(usize::from(slot)) {
            *place = space;
            (place.watched, place.copies, place.parked) = (self.journal.for_new_slots(), 0, false);
        }
    }

    /// Frees what a slot held, on the other thread.
    pub fn free(&self, mut space: SlotSpace) {
        for db in 0..DATABASES {
            if let Some(database) = space.take_database(db) {
                self.lazy_free.database(database);
            }
        }
    }

    /// Closes or opens a slot to expiry and eviction. Requests are kept off by [`crate::locks`].
    pub fn park(&mut self, slot: Slot, parked: bool) {
        if let Some(space) = self.slots.get_mut(usize::from(slot)) {
            space.parked = parked;
        }
    }

    /// Keys of each database that a slot holds, expired ones included.
    #[must_use]
    pub fn keys_by_database(&self, slot: Slot) -> [u64; DATABASES] {
        let mut keys = [0; DATABASES];
        if let Some(space) = self.slots.get(usize::from(slot)) {
            for (db, database) in space.databases() {
                keys[db] = database.len() as u64;
            }
        }
        keys
    }

    /// True when there is no key in any slot.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        (0..DATABASES).all(|db| self.totals(db).keys() == 0)
    }

    /// What a log held is here: keys expire again, and counting begins.
    pub fn loaded(&mut self) {
        self.keeps_expired = false;
        self.stats = Stats::default();
        self.changes = 0;
        self.set_now(slotway_common::platform::clock::now_ms());
    }

    /// From now on no key expires here by itself: whoever feeds this engine says which keys go.
    pub fn keep_expired(&mut self) {
        self.keeps_expired = true;
        self.set_now(self.now);
    }
}
