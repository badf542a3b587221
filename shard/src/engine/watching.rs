//! Watching keys for clients, and breaking the watches of what is changed.

use slotway_common::fault;
use slotway_common::slot::Slot;

use super::journal::Watcher;
use super::key::{DbIndex, Key};
use super::state::Engine;
use super::watches::{WatchId, WatchState};

impl Engine {
    /// Watches a key for a client.
    pub fn watch_key(&mut self, id: WatchId, db: DbIndex, key: &Key<'_>) {
        let expired = self.has_expired(db, key);
        if self.watches.add(id, db, key, expired) {
            self.add_interest(key.slot);
        }
    }

    /// A client watches a key of the slot, or waits for it.
    pub fn add_interest(&mut self, slot: Slot) {
        *self.watches.interests.entry(slot).or_default() += 1;
        self.watch(slot, Watcher::Clients, true);
    }

    /// A client does no longer what [`Engine::add_interest`] said.
    pub fn drop_interest(&mut self, slot: Slot) {
        let Some(count) = self.watches.interests.get_mut(&slot) else { return };
        *count -= 1;
        if *count == 0 {
            self.watches.interests.remove(&slot);
            self.watch(slot, Watcher::Clients, false);
        }
    }

    /// Whether a key is there still although its time is up.
    fn has_expired(&self, db: DbIndex, key: &Key<'_>) -> bool {
        let expires = self.raw_record(db, key).and_then(|record| record.expire_at());
        expires.is_some_and(|at| at <= self.expired_by)
    }

    /// What has become of a watch so far.
    #[must_use]
    pub fn watch_state(&self, id: WatchId) -> WatchState {
        let Some(watch) = self.watches.watches.get(&id) else { return WatchState::Unknown };
        let has_expired = |watched: &super::watches::Watched| {
            !watched.expired && self.has_expired(watched.db, &Key::new(&watched.key))
        };
        if watch.broken || watch.keys.iter().any(has_expired) {
            WatchState::Broken
        } else {
            WatchState::Whole
        }
    }

    /// Ends a watch, and tells what has become of it.
    pub fn end_watch(&mut self, id: WatchId) -> WatchState {
        let state = self.watch_state(id);
        for slot in self.watches.clear(id) {
            self.drop_interest(slot);
        }
        self.watches.watches.remove(&id);
        state
    }

    /// Takes note of what a command has written in slots with watched keys. A command that counted no change since
    /// `changes` has written nothing. Gives the keys, since somebody may wait for one.
    #[cold]
    pub fn settle_touched(&mut self, changes: u64) -> Vec<(DbIndex, Box<[u8]>)> {
        if self.changes() == changes {
            self.forget_touched();
            return Vec::new();
        }
        let touched = self.take_touched();
        for (db, key) in &touched {
            self.watches.touch(*db, key);
        }
        touched
    }

    /// Breaks the watches of a key that a command has left as it was: where Redis tells of it all the same.
    pub fn seem_changed(&mut self, db: DbIndex, key: &Key<'_>) {
        if self.watching() > 0 {
            self.watches.touch(db, key.bytes);
        }
        self.note_seeming(key.slot, key.bytes);
    }

    /// What the command in progress has written counts as no change for those who watch: Redis does not tell them of it
    /// either.
    pub fn forget_touched(&mut self) {
        let touched = self.take_touched();
        if self.journal.keeps_unseen {
            self.journal.unseen.extend(touched);
        }
    }

    /// From now on [`Engine::take_unseen`] tells of what was written, or may have been, and counts as no change for those who
    /// watch.
    pub fn keep_unseen(&mut self) {
        self.journal.keeps_unseen = true;
    }

    /// The keys that were written in that way since the last call, in slots in which clients watch some.
    pub fn take_unseen(&mut self) -> Vec<(DbIndex, Box<[u8]>)> {
        std::mem::take(&mut self.journal.unseen)
    }

    /// Breaks the watches of keys that are there, in some slots and databases that are about to be emptied or swapped;
    /// `other` gives the database that a swap puts in the place of one.
    pub(super) fn break_watches(
        &mut self,
        wanted: impl Fn(Slot, DbIndex) -> bool,
        other: impl Fn(DbIndex) -> Option<DbIndex>,
    ) {
        for (id, db, key) in self.watches.keys_in(wanted) {
            let key = Key::new(&key);
            let changes = self.peek_record(db, &key).is_some()
                || other(db).is_some_and(|other| self.peek_record(other, &key).is_some());
            if changes {
                self.watches.break_watch(id);
            }
        }
    }

    /// A slot goes to another shard: nobody will tell here what becomes of its keys.
    pub(super) fn break_watches_of(&mut self, slot: Slot) {
        if fault::planted("watch-survives-move") {
            return;
        }
        for (id, ..) in self.watches.keys_in(|of, _| of == slot) {
            self.watches.break_watch(id);
            for slot in self.watches.clear(id) {
                self.drop_interest(slot);
            }
        }
    }

    /// Clients that watch something.
    #[must_use]
    pub fn watching(&self) -> usize {
        self.watches.watches.len()
    }
}
