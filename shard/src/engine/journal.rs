//! What was changed, for those who pass changes on.
//!
//! Every slot notes that something in it was changed, whoever does it: a command, expiry or eviction. A slot that is being
//! copied notes the keys as well, and so does every slot for a command on several slots. [`crate::changes`] takes the notes
//! after each command. An engine that is fed by somebody else (a log that is read, slots that arrive) notes nothing.

use slotway_common::fault;
use slotway_common::slot::Slot;

use super::{DbIndex, Engine, Key};

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

/// Bits of [`super::SlotSpace`]: who watches it. Zero: nobody, and nothing is noted.
const CHANGES: u8 = 1;
/// At least one copy of the slot is under way.
const COPIED: u8 = 4;
/// Clients watch or wait for keys of the slot.
const CLIENTS: u8 = 8;
/// Clients are to be told of changes.
const TRACKED: u8 = 16;
/// Those who want to know which keys a command writes, but not to pass changes on.
const SEEN: u8 = CLIENTS | TRACKED;

/// Whether changes in a slot are noted for whoever passes them on.
#[inline]
pub(super) fn is_noted(watched: u8) -> bool {
    watched & !SEEN != 0
}

impl Watcher {
    fn bit(self) -> u8 {
        match self {
            Self::Clients => CLIENTS,
            Self::Tracking => TRACKED,
        }
    }
}

/// The changes since they were last taken.
#[derive(Debug, Default)]
pub struct Journal {
    /// Something of the rest is set. It is taken after the command that set it, also one that has changed nothing in the
    /// end: what it said of itself must not be taken for the next one's.
    pending: bool,
    notes: Vec<Note>,
    /// A key was written, noted or not.
    written: bool,
    /// The command in progress has keys in several slots: which of them it writes must be noted.
    several_slots: bool,
    /// What the command in progress is to be repeated as, where its own arguments would not repeat it.
    instead: Option<Vec<Vec<u8>>>,
    /// New slots are noted from the start.
    notes_changes: bool,
    /// Keys in slots in which clients watch some that the command in progress has written.
    touched: Vec<(DbIndex, Box<[u8]>)>,
    /// Keys in such slots that went, or seem to have changed, whatever the command counts.
    gone: Vec<Box<[u8]>>,
    /// Keys that those who wait for them are to look at, though no change counts.
    signalled: Vec<(DbIndex, Box<[u8]>)>,
    /// New slots are tracked from the start.
    is_tracked: bool,
}

/// What [`Engine::take_notes`] gives.
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
    pub fn is_empty(&self) -> bool {
        !self.pending
    }

    #[cold]
    pub(super) fn note(&mut self, note: Note) {
        self.pending = true;
        self.notes.push(note);
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

impl Engine {
    /// Begins or ends noting the changes in all slots.
    pub fn note_changes(&mut self, on: bool) {
        self.journal.notes_changes = on;
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
        let Journal { touched, gone, signalled, .. } = &self.journal;
        !(touched.is_empty() && gone.is_empty() && signalled.is_empty())
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
