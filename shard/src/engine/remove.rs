//! How keys go: those that a command removes or has emptied, and those whose time is up.

use slotway_common::slot::Slot;

use super::edit::Emptied;
use super::events::EventClass;
use super::key::{DbIndex, Key};
use super::lazy_free;
use super::record::Record;
use super::state::Engine;
use crate::types::Object;

impl Engine {
    /// Removes what the commands so far have emptied.
    #[inline]
    pub fn settle(&mut self) {
        if !self.emptied.is_empty() {
            self.settle_emptied();
        }
    }

    #[cold]
    fn settle_emptied(&mut self) {
        for Emptied { db, slot, hash } in std::mem::take(&mut self.emptied) {
            let taken =
                self.take_where(db, slot, hash, |record| record.value().is_some_and(Object::is_empty));
            if let Some(record) = taken {
                self.notify(EventClass::GENERIC, "del", db, record.key());
            }
        }
    }

    fn take_where(
        &mut self,
        db: DbIndex,
        slot: Slot,
        hash: u64,
        wanted: impl Fn(&Record) -> bool,
    ) -> Option<Record> {
        let record = self.database_mut(db, slot)?.take(hash, wanted)?;
        self.totals[db].remove(slot, 1, u64::from(record.expire_at().is_some()));
        Some(record)
    }

    /// Takes the key out, expired or not.
    pub(super) fn take(&mut self, db: DbIndex, key: &Key<'_>) -> Option<Record> {
        self.take_where(db, key.slot, key.hash, |record| record.key() == key.bytes)
    }

    /// Takes a live key out, to be put elsewhere.
    pub fn take_live(&mut self, db: DbIndex, key: &Key<'_>) -> Option<Record> {
        self.locate(db, key)?;
        self.note_written(db, key.slot, key.hash, key.bytes);
        self.take(db, key)
    }

    /// Removes the key; true when it was there and had not expired.
    pub fn remove(&mut self, db: DbIndex, key: &Key<'_>) -> bool {
        match self.take_live(db, key) {
            Some(record) => {
                self.discard(record);
                true
            }
            None => false,
        }
    }

    /// Drops a record that has been taken out, on another thread if that is much work.
    pub(super) fn discard(&self, mut record: Record) {
        if record.value().is_some_and(|value| value.free_effort() > lazy_free::THRESHOLD)
            && let Some(value) = record.take_value()
        {
            self.lazy_free.value(value);
        }
    }

    #[cold]
    pub(super) fn expire_now(&mut self, db: DbIndex, key: &Key<'_>) {
        let began = self.expiry_times.begin();
        if let Some(record) = self.take(db, key) {
            self.note_gone(db, key.slot, key.hash, key.bytes);
            self.notify(EventClass::EXPIRED, "expired", db, key.bytes);
            self.stats.expired_keys += 1;
            self.discard(record);
        }
        self.expiry_times.end(began);
    }
}
