//! What was changed, for those who pass changes on.
//!
//! Every slot notes that something in it was changed, whoever does it: a command, expiry or eviction. A slot that is being
//! copied notes the keys as well, and so does every slot for a command on several slots. [`crate::changes`] takes the notes
//! after each command. An engine that is fed by somebody else (a log that is read, slots that arrive) notes nothing.

use slotway_common::slot::Slot;

use super::key::{DbIndex, Key};

/// A key in a noted slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotedKey {
    pub slot: Slot,
    pub db: DbIndex,
    pub hash: u64,
    pub key: Box<[u8]>,
}

/// A change in a noted slot.
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

/// Who wants to know of the keys that commands write in a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watcher {
    /// Clients watch keys of the slot, or wait for them.
    Clients,
    /// Clients are to be told of changes (CLIENT TRACKING).
    Tracking,
}

/// Bits of [`super::slots::SlotSpace`]: who watches it. Zero: nobody, and nothing is noted.
pub(super) const CHANGES: u8 = 1;
/// At least one copy of the slot is under way.
pub(super) const COPIED: u8 = 4;
/// Clients watch or wait for keys of the slot.
pub(super) const CLIENTS: u8 = 8;
/// Clients are to be told of changes.
pub(super) const TRACKED: u8 = 16;
/// Those who want to know which keys a command writes, but not to pass changes on.
const SEEN: u8 = CLIENTS | TRACKED;

/// Whether changes in a slot are noted for whoever passes them on.
#[inline]
pub(super) fn is_noted(watched: u8) -> bool {
    watched & !SEEN != 0
}

impl Watcher {
    pub(super) fn bit(self) -> u8 {
        match self {
            Self::Clients => CLIENTS,
            Self::Tracking => TRACKED,
        }
    }
}

/// The changes since they were last taken.
#[derive(Debug, Default)]
pub(super) struct Journal {
    /// Something of the rest is set. It is taken after the command that set it, also one that has changed nothing in the
    /// end: what it said of itself must not be taken for the next one's.
    pub(super) pending: bool,
    pub(super) notes: Vec<Note>,
    /// A key was written, noted or not.
    pub(super) written: bool,
    /// The command in progress has keys in several slots: which of them it writes must be noted.
    pub(super) several_slots: bool,
    /// What the command in progress is to be repeated as, where its own arguments would not repeat it.
    pub(super) instead: Option<Vec<Vec<u8>>>,
    /// New slots are noted from the start.
    pub(super) notes_changes: bool,
    /// Keys in slots in which clients watch some that the command in progress has written.
    pub(super) touched: Vec<(DbIndex, Box<[u8]>)>,
    /// Those of them that no client is told of, if somebody else wants to know.
    pub(super) unseen: Vec<(DbIndex, Box<[u8]>)>,
    pub(super) keeps_unseen: bool,
    /// Keys in such slots that went, or seem to have changed, whatever the command counts.
    pub(super) gone: Vec<Box<[u8]>>,
    /// Keys that those who wait for them are to look at, though no change counts.
    pub(super) signalled: Vec<(DbIndex, Box<[u8]>)>,
    /// New slots are tracked from the start.
    pub(super) is_tracked: bool,
}

/// What [`super::state::Engine::take_notes`] gives.
#[derive(Debug, Default)]
pub struct Notes {
    pub notes: Vec<Note>,
    /// Some key was written. It is among the notes only if its slot is copied or the command has keys in several slots.
    pub written: bool,
    /// The command had keys in several slots.
    pub several_slots: bool,
    /// What the command is to be repeated as, if not by its own arguments.
    pub instead: Option<Vec<Vec<u8>>>,
}

impl Journal {
    #[must_use]
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        !self.pending
    }

    #[cold]
    pub(super) fn note(&mut self, note: Note) {
        self.pending = true;
        self.notes.push(note);
    }

    /// As [`Journal::written`] where nobody wants to know which key it was; false where somebody does.
    #[inline]
    pub(super) fn written_alone(&mut self, watched: u8) -> bool {
        let alone = watched == CHANGES && !self.several_slots;
        if alone {
            (self.pending, self.written) = (true, true);
        }
        alone
    }

    /// A key of a slot that `watched` watch was written.
    #[inline]
    pub(super) fn written(&mut self, watched: u8, db: DbIndex, key: &Key<'_>) {
        if watched & SEEN != 0 {
            self.touch(db, key);
        }
        if !is_noted(watched) {
            return;
        }
        (self.pending, self.written) = (true, true);
        if watched & !SEEN != CHANGES || self.several_slots {
            self.note_key(db, key);
        }
    }

    #[cold]
    fn touch(&mut self, db: DbIndex, key: &Key<'_>) {
        self.touched.push((db, key.bytes.into()));
    }

    #[cold]
    fn note_key(&mut self, db: DbIndex, key: &Key<'_>) {
        self.notes.push(Note::Written(NotedKey {
            slot: key.slot,
            db,
            hash: key.hash,
            key: key.bytes.into(),
        }));
    }

    /// Who watches a slot that has just come.
    pub(super) fn for_new_slots(&self) -> u8 {
        (if self.notes_changes { CHANGES } else { 0 }) | (if self.is_tracked { TRACKED } else { 0 })
    }
}
