//! What was changed in slots that are being copied.
//!
//! A slot that is tracked notes every change of a key, whoever makes it: a command, expiry or eviction. Whoever copies
//! the slot takes the notes after each command and turns them into what its stream needs.

use slotway_common::slot::Slot;

use super::{DbIndex, Engine, Key};

/// A key in a tracked slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotedKey {
    pub slot: Slot,
    pub db: DbIndex,
    pub hash: u64,
    pub key: Box<[u8]>,
}

/// A change in a tracked slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// A command may have changed the key, or made or removed it.
    Written(NotedKey),
    /// The key expired or was evicted, before the command in progress saw it.
    Gone(NotedKey),
    /// All keys of a database were removed.
    Flushed { slot: Slot, db: DbIndex },
    /// Two databases changed places.
    Swapped { slot: Slot, a: DbIndex, b: DbIndex },
}

/// The changes since they were last taken.
#[derive(Debug, Default)]
pub struct Journal {
    notes: Vec<Note>,
    /// What the command in progress is to be repeated as, where its own arguments would not repeat it.
    instead: Option<Vec<Vec<u8>>>,
}

impl Journal {
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.notes.is_empty()
    }

    #[cold]
    pub(super) fn note(&mut self, note: Note) {
        self.notes.push(note);
    }

    #[cold]
    pub(super) fn written(&mut self, db: DbIndex, key: &Key<'_>) {
        self.notes.push(Note::Written(NotedKey {
            slot: key.slot,
            db,
            hash: key.hash,
            key: key.bytes.into(),
        }));
    }
}

impl Engine {
    /// Begins or ends noting the changes in a slot.
    pub fn track(&mut self, slot: Slot, tracked: bool) {
        if let Some(space) = self.slots.get_mut(usize::from(slot)) {
            space.tracked = tracked;
        }
    }

    #[must_use]
    #[inline]
    pub fn is_tracked(&self, slot: Slot) -> bool {
        self.slots.get(usize::from(slot)).is_some_and(|space| space.tracked)
    }

    /// True when there are changes that nobody has taken.
    #[must_use]
    #[inline]
    pub fn has_notes(&self) -> bool {
        !self.journal.is_empty()
    }

    /// The changes since the last call, in their order, and what the command in progress is to be repeated as if not by
    /// its own arguments.
    pub fn take_notes(&mut self) -> (Vec<Note>, Option<Vec<Vec<u8>>>) {
        (std::mem::take(&mut self.journal.notes), self.journal.instead.take())
    }

    /// Says how the command in progress is to be repeated: it chose something at random. Does nothing for a slot that
    /// is not tracked.
    pub fn repeat_as(&mut self, slot: Slot, command: impl FnOnce() -> Vec<Vec<u8>>) {
        if self.is_tracked(slot) {
            self.journal.instead = Some(command());
        }
    }

    #[inline]
    pub(super) fn note_written(&mut self, db: DbIndex, slot: Slot, hash: u64, bytes: &[u8]) {
        if self.is_tracked(slot) {
            self.journal.written(db, &Key { bytes, slot, hash });
        }
    }

    #[inline]
    pub(super) fn note_gone(&mut self, db: DbIndex, slot: Slot, hash: u64, key: &[u8]) {
        if self.is_tracked(slot) {
            self.journal.note(Note::Gone(NotedKey { slot, db, hash, key: key.into() }));
        }
    }
}
