//! Noting what is changed, and handing it to whoever passes it on.

use slotway_common::fault;
use slotway_common::slot::Slot;

use super::journal::{CHANGES, CLIENTS, COPIED, Note, NotedKey, Notes, TRACKED, Watcher, is_noted};
use super::key::{DbIndex, Key};
use super::state::Engine;

impl Engine {
    /// Begins or ends noting the changes in all slots.
    pub fn note_changes(&mut self, on: bool) {
        if std::mem::replace(&mut self.journal.notes_changes, on) == on {
            return;
        }
        for space in &mut self.slots {
            space.watched = if on { space.watched | CHANGES } else { space.watched & !CHANGES };
        }
    }

    /// A copy of a slot begins or ends: while there is one, the keys that are changed are noted. There may be 255.
    pub fn copy_slot(&mut self, slot: Slot, begins: bool) {
        let Some(space) = self.slots.get_mut(usize::from(slot)) else { return };
        space.copies = match begins {
            true => space.copies.saturating_add(1),
            false if fault::planted("copies-share-a-mark") => 0,
            false => space.copies.saturating_sub(1),
        };
        space.watched = if space.copies > 0 { space.watched | COPIED } else { space.watched & !COPIED };
    }

    /// Begins or ends noting the keys that are changed in a slot.
    pub fn watch(&mut self, slot: Slot, watcher: Watcher, on: bool) {
        if let Some(space) = self.slots.get_mut(usize::from(slot)) {
            space.watched = if on { space.watched | watcher.bit() } else { space.watched & !watcher.bit() };
        }
    }

    /// Whether changes in the slot are noted for whoever passes them on.
    #[must_use]
    #[inline]
    pub fn is_watched(&self, slot: Slot) -> bool {
        is_noted(self.watched(slot))
    }

    #[inline]
    pub(super) fn watched(&self, slot: Slot) -> u8 {
        self.slots.get(usize::from(slot)).map_or(0, |space| space.watched)
    }

    /// The next command has keys in several slots.
    #[inline]
    pub fn expect_several_slots(&mut self) {
        (self.journal.pending, self.journal.several_slots) = (true, true);
    }

    /// The command that has several slots does not run now.
    #[inline]
    pub fn forget_several_slots(&mut self) {
        self.journal.several_slots = false;
    }

    /// True when the command in progress has written keys in slots in which clients watch some.
    #[must_use]
    #[inline]
    pub fn has_touched(&self) -> bool {
        let journal = &self.journal;
        !(journal.touched.is_empty() && journal.gone.is_empty() && journal.signalled.is_empty())
    }

    /// Begins or ends noting which keys of a slot are changed, for those who are to be told.
    pub fn track_slot(&mut self, slot: Slot, on: bool) {
        self.watch(slot, Watcher::Tracking, on);
    }

    /// The same of all slots.
    pub fn track_all(&mut self, on: bool) {
        self.journal.is_tracked = on;
        for space in &mut self.slots {
            space.watched = if on { space.watched | TRACKED } else { space.watched & !TRACKED };
        }
    }

    /// The keys that went since the last call, or seem to have changed.
    pub fn take_gone(&mut self) -> Vec<Box<[u8]>> {
        std::mem::take(&mut self.journal.gone)
    }

    /// Notes that those who are told of changes are to be told of a key, though no command has counted a change.
    #[inline]
    pub(super) fn note_seeming(&mut self, slot: Slot, key: &[u8]) {
        if self.watched(slot) & TRACKED != 0 {
            self.journal.gone.push(key.into());
        }
    }

    /// Those who wait for a key are to look at it, whatever the command counts.
    pub fn signal(&mut self, db: DbIndex, key: &Key<'_>) {
        self.journal.signalled.push((db, key.bytes.into()));
    }

    /// The keys that were signalled since the last call.
    pub fn take_signalled(&mut self) -> Vec<(DbIndex, Box<[u8]>)> {
        std::mem::take(&mut self.journal.signalled)
    }

    pub(super) fn take_touched(&mut self) -> Vec<(DbIndex, Box<[u8]>)> {
        std::mem::take(&mut self.journal.touched)
    }

    /// True when there are changes that nobody has taken.
    #[must_use]
    #[inline]
    pub fn has_notes(&self) -> bool {
        !self.journal.is_empty()
    }

    /// True when all that there is to take is that a command has written keys of one slot that nobody copies, by its own
    /// arguments. That is taken then.
    #[inline]
    pub fn take_plain_write(&mut self) -> bool {
        let journal = &mut self.journal;
        let plain = journal.written
            && journal.notes.is_empty()
            && !journal.several_slots
            && journal.instead.is_none();
        if plain {
            (journal.pending, journal.written) = (false, false);
        }
        plain
    }

    /// The changes since the last call, in their order.
    pub fn take_notes(&mut self) -> Notes {
        let journal = &mut self.journal;
        journal.pending = false;
        Notes {
            notes: std::mem::take(&mut journal.notes),
            written: std::mem::take(&mut journal.written),
            several_slots: std::mem::take(&mut journal.several_slots),
            instead: journal.instead.take(),
        }
    }

    /// Says how the command in progress is to be repeated: it chose something at random. Does nothing for a slot that
    /// nobody watches.
    pub fn repeat_as(&mut self, slot: Slot, command: impl FnOnce() -> Vec<Vec<u8>>) {
        if self.is_watched(slot) {
            self.journal.pending = true;
            self.journal.instead = Some(command());
        }
    }

    #[inline]
    pub(super) fn note_written(&mut self, db: DbIndex, slot: Slot, hash: u64, bytes: &[u8]) {
        let watched = self.watched(slot);
        if watched != 0 {
            self.journal.written(watched, db, &Key { bytes, slot, hash });
        }
    }

    #[inline]
    pub(super) fn note_gone(&mut self, db: DbIndex, slot: Slot, hash: u64, key: &[u8]) {
        let watched = self.watched(slot);
        if watched & CLIENTS != 0 {
            self.watches.gone(db, key);
        }
        self.note_seeming(slot, key);
        if is_noted(watched) {
            self.journal.note(Note::Gone(NotedKey { slot, db, hash, key: key.into() }));
        }
    }
}
