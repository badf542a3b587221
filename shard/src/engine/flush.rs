//! Whole databases: emptied, and swapped with each other.

use slotway_common::slot::{SLOTS, Slot};

use super::journal::{self, Note};
use super::key::{DATABASES, DbIndex};
use super::state::Engine;

impl Engine {
    /// Removes all keys of one database, or of all, in the slots that `wanted` names; gives their number.
    pub fn flush(&mut self, db: Option<DbIndex>, wanted: impl Fn(Slot) -> bool) -> u64 {
        self.settle();
        self.break_watches(|slot, index| wanted(slot) && db.is_none_or(|db| db == index), |_| None);
        let mut removed = 0;
        for (slot, space) in (0..SLOTS).zip(self.slots.iter_mut()).filter(|(slot, _)| wanted(*slot)) {
            for index in (0..DATABASES).filter(|index| db.is_none_or(|db| db == *index)) {
                let Some(database) = space.take_database(index) else { continue };
                removed += database.len() as u64;
                if journal::is_noted(space.watched) {
                    self.journal.note(Note::Flushed { slot, db: index });
                }
                self.totals[index].remove(slot, database.len() as u64, database.expires());
                self.lazy_free.database(database);
            }
        }
        removed
    }

    /// Swaps two databases in the slots that `wanted` names.
    pub fn swap(&mut self, a: DbIndex, b: DbIndex, wanted: impl Fn(Slot) -> bool) {
        self.settle();
        if a == b {
            // Nobody who watches a key is told of it either.
            return;
        }
        let other = |db| if db == a { Some(b) } else { Some(a) };
        self.break_watches(|slot, db| wanted(slot) && (db == a || db == b), other);
        for (slot, space) in (0..SLOTS).zip(self.slots.iter_mut()).filter(|(slot, _)| wanted(*slot)) {
            let (first, second) = (space.take_database(a), space.take_database(b));
            if journal::is_noted(space.watched) && (first.is_some() || second.is_some()) {
                self.journal.note(Note::Swapped { slot, a, b });
            }
            for (from, to, database) in [(a, b, first), (b, a, second)] {
                let Some(database) = database else { continue };
                let (keys, expires) = (database.len() as u64, database.expires());
                self.totals[from].remove(slot, keys, expires);
                self.totals[to].add(slot, keys, expires);
                space.put_database(to, database);
            }
        }
    }
}
