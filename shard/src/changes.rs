//! What happens to a node's data, as one stream of numbered changes, and copies of slots while they change.
//!
//! Every change of the node gets a number here, whether anybody keeps it or not: a command, expiry and eviction, slots that
//! come and go. The number of a slot's last change is what a reply about the slot depends on. While somebody follows the
//! stream (the log), changes become frames, which gather in a buffer until a follower takes them. Copies of slots (a move, a
//! base of the log) are told what they need to stay exact; there may be any number at a time, each with a cursor of its own.
//!
//! A new follower of all changes takes [`Changes::take`]; a new copy is [`Changes::begin_copy`].

mod copy;
mod encode;
mod executed;
pub mod frame;
mod record;
#[cfg(test)]
mod tests;

pub use copy::{Finished, SlotCopy};
pub use executed::Executed;

use std::rc::Rc;

use slotway_common::fault;
use slotway_common::slot::{SLOTS, Slot};
use tokio::sync::Notify;

use crate::engine::{Engine, Notes};
use crate::stream::{Digest, Kind, put_bytes, put_effect};
use record::Recorder;

/// A copy of slots under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyId(u64);

/// A copy and the slots whose changes the engine notes for it.
struct Pass {
    id: CopyId,
    copy: SlotCopy,
    noted: Vec<Slot>,
}

/// A group of changes that is not complete: a transaction or a script in progress.
#[derive(Clone, Copy, Debug)]
struct OpenGroup {
    /// Where its frames begin in the buffer.
    from: usize,
    /// The last change before it.
    before: u64,
}

/// The changes of a node, on its data thread.
pub struct Changes {
    /// The number of the last change.
    sequence: u64,
    /// Of each slot the number of its last change, or a higher one that is not over `sequence`. Kept up only while somebody
    /// follows: it is memory that each write would have to fetch.
    last: Box<[u64]>,
    /// Somebody follows: changes become frames.
    is_followed: bool,
    /// Frames that nobody has taken yet, without checksums.
    frames: Vec<u8>,
    group: Option<OpenGroup>,
    passes: Vec<Pass>,
    next_copy: u64,
    /// Frames wait to be taken.
    pub gathered: Rc<Notify>,
}

impl Default for Changes {
    fn default() -> Self {
        Self {
            sequence: 0,
            last: vec![0; usize::from(SLOTS)].into_boxed_slice(),
            is_followed: false,
            frames: Vec::new(),
            group: None,
            passes: Vec::new(),
            next_copy: 0,
            gathered: Rc::default(),
        }
    }
}

impl Changes {
    /// Begins numbering the engine's changes; the next one gets the number after `sequence`.
    pub fn begin(&mut self, engine: &mut Engine, sequence: u64) {
        self.sequence = self.sequence.max(sequence);
        // What was read back is as old as the last change that was read, at most.
        if self.sequence > 0 {
            self.last.fill(self.sequence);
        }
        engine.note_changes(true);
    }

    /// The number of the last change.
    #[must_use]
    #[inline]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The last change that anybody can have seen: nobody has seen anything of a group in progress.
    #[must_use]
    #[inline]
    pub fn visible(&self) -> u64 {
        self.group.map_or(self.sequence, |group| group.before)
    }

    /// The number of a slot's last change; that of the node's, unless somebody follows.
    #[must_use]
    #[inline]
    pub fn last_of(&self, slot: Slot) -> u64 {
        let kept = if self.is_followed { self.last.get(usize::from(slot)) } else { None };
        kept.copied().unwrap_or(self.sequence)
    }

    /// Whether changes become frames.
    #[must_use]
    #[inline]
    pub fn is_followed(&self) -> bool {
        self.is_followed
    }

    /// Begins or ends making frames of changes.
    pub fn follow(&mut self, on: bool) {
        if on && !self.is_followed {
            self.last.fill(self.sequence);
        }
        self.is_followed = on;
        if !on {
            self.frames = Vec::new();
            if let Some(group) = &mut self.group {
                group.from = 0;
            }
        }
    }

    /// Takes what a command, expiry or eviction has changed since the last call; `executed` is the command. True when copies
    /// may have had to be told.
    #[inline]
    pub fn note(&mut self, engine: &mut Engine, executed: Option<&Executed<'_>>) -> bool {
        if let Some(executed) = executed
            && executed.is_repeatable
            && let Some(slot) = executed.slot
            && engine.take_plain_write()
        {
            self.note_plain(engine.now(), executed, slot);
            return false;
        }
        self.note_more(engine, executed);
        true
    }

    /// Takes what a command with its first key in `slot` has changed, if it needs nothing but a number: nobody follows, and
    /// nobody copies the slot. Does nothing otherwise, and gives false.
    #[inline]
    pub fn number_alone(&mut self, engine: &mut Engine, slot: Slot) -> bool {
        let alone = !self.is_followed && engine.take_plain_write();
        if alone {
            self.number(slot);
        }
        alone
    }

    /// A command on one slot that gives the same again, and nobody copies the slot.
    #[inline]
    fn note_plain(&mut self, now: i64, executed: &Executed<'_>, slot: Slot) {
        let sequence = self.number(slot);
        if self.is_followed {
            self.tell();
            let start = frame::begin(Kind::Effect, executed.db, slot, sequence, &mut self.frames);
            put_effect(now, executed.args.iter(), &mut self.frames);
            frame::end(start, &mut self.frames);
        }
    }

    #[cold]
    fn note_more(&mut self, engine: &mut Engine, executed: Option<&Executed<'_>>) {
        let notes: Notes = engine.take_notes();
        self.tell();
        let mut recorder = Recorder::new(self);
        encode::encode(&mut recorder, engine, &notes, executed);
        recorder.finish();
        for pass in &mut self.passes {
            pass.copy.note(engine, &notes, executed);
        }
    }

    /// Gives the next number to a change of a slot.
    #[inline]
    fn number(&mut self, slot: Slot) -> u64 {
        if self.is_followed || !fault::planted("change-without-number") {
            self.sequence += 1;
        }
        if self.is_followed
            && let Some(last) = self.last.get_mut(usize::from(slot))
        {
            *last = self.sequence;
        }
        self.sequence
    }

    /// Has what gathers be taken at the end of the turn.
    #[inline]
    fn tell(&self) {
        if self.is_followed && self.frames.is_empty() {
            self.gathered.notify_one();
        }
    }

    /// A change that is no change of keys.
    fn put(&mut self, kind: Kind, db: usize, slot: Slot, write: impl FnOnce(&mut Vec<u8>)) {
        let sequence = self.number(slot);
        if self.is_followed {
            self.tell();
            let start = frame::begin(kind, db, slot, sequence, &mut self.frames);
            write(&mut self.frames);
            frame::end(start, &mut self.frames);
        }
    }

    /// A frame of a move has brought something here.
    pub fn staged(&mut self, move_id: &str, brought: &crate::stream::Frame<'_>) {
        self.put(Kind::Staged, brought.db, brought.slot, |out| {
            put_bytes(move_id.as_bytes(), out);
            out.push(brought.kind as u8);
            out.extend_from_slice(brought.payload);
        });
    }

    /// Slots of a move are here whole.
    pub fn arrived(&mut self, move_id: &str, slots: &[Slot]) {
        self.put(Kind::Arrived, 0, 0, |out| {
            put_bytes(move_id.as_bytes(), out);
            slots.iter().for_each(|slot| out.extend_from_slice(&slot.to_le_bytes()));
        });
    }

    /// A slot that had arrived is served here, or one is served elsewhere, by that move.
    pub fn handed(&mut self, engine: &mut Engine, slot: Slot, move_id: &str, here: bool) {
        let kind = if here { Kind::Attached } else { Kind::Detached };
        self.put(kind, 0, slot, |out| put_bytes(move_id.as_bytes(), out));
        // The slot that copies noted is gone. Who has copied it, or is to, is told by what follows.
        for Pass { copy, noted, .. } in &mut self.passes {
            let Some(position) = noted.iter().position(|noted| *noted == slot) else { continue };
            if copy.slot() == Some(slot) {
                copy.begin_again(slot);
                engine.copy_slot(slot, true);
            } else {
                noted.swap_remove(position);
            }
        }
    }

    /// A part of a transaction across shards holds its slots.
    pub fn prepared(&mut self, slot: Slot, write: impl FnOnce(&mut Vec<u8>)) {
        self.put(Kind::Prepared, 0, slot, write);
    }

    /// A transaction across shards has ended.
    pub fn outcome(&mut self, slot: Slot, write: impl FnOnce(&mut Vec<u8>)) {
        self.put(Kind::Outcome, 0, slot, write);
    }

    /// Begins a group: until [`Changes::end_group`], within the same turn but for scripts that are slow, all changes will be
    /// applied whole or not at all. Expiry and eviction before it are to be noted before. Gives false, and begins none,
    /// while there is one already.
    pub fn begin_group(&mut self) -> bool {
        if self.group.is_some() {
            return false;
        }
        self.group = Some(OpenGroup { from: self.frames.len(), before: self.sequence });
        true
    }

    pub fn end_group(&mut self) {
        if let Some(OpenGroup { from, .. }) = self.group.take() {
            frame::join(self.frames.get_mut(from..).unwrap_or_default());
        }
        if !self.frames.is_empty() {
            self.gathered.notify_one();
        }
    }

    /// Takes the frames that have gathered, and the number of the last one; nothing within a group.
    pub fn take(&mut self) -> Option<(Vec<u8>, u64)> {
        if self.group.is_some() || self.frames.is_empty() {
            return None;
        }
        Some((std::mem::take(&mut self.frames), self.sequence))
    }

    /// An empty buffer for the next frames.
    pub fn reuse(&mut self, buffer: Vec<u8>) {
        if self.frames.is_empty() {
            self.frames = buffer;
        }
    }

    /// Takes what had gathered before the group in progress, because that will take long.
    pub fn take_before_group(&mut self) -> Option<(Vec<u8>, u64)> {
        let group = self.group.as_mut().filter(|group| group.from > 0)?;
        let own = self.frames.split_off(group.from);
        group.from = 0;
        Some((std::mem::replace(&mut self.frames, own), group.before))
    }

    /// Bytes that nobody has taken yet.
    #[must_use]
    #[inline]
    pub fn waiting_bytes(&self) -> usize {
        self.frames.len()
    }

    /// Begins a copy of slots, ascending, whose first frame gets the number after `sequence`.
    pub fn begin_copy(
        &mut self,
        engine: &mut Engine,
        slots: Vec<Slot>,
        finished: Finished,
        (sequence, digest): (u64, Digest),
    ) -> CopyId {
        self.next_copy += 1;
        let id = CopyId(self.next_copy);
        let mut pass = Pass { id, copy: SlotCopy::new(slots, finished, sequence, digest), noted: Vec::new() };
        pass.follow_cursor(engine);
        self.passes.push(pass);
        id
    }

    /// A copy under way.
    #[must_use]
    pub fn copy(&self, id: CopyId) -> Option<&SlotCopy> {
        self.passes.iter().find(|pass| pass.id == id).map(|pass| &pass.copy)
    }

    pub fn copy_mut(&mut self, id: CopyId) -> Option<&mut SlotCopy> {
        self.passes.iter_mut().find(|pass| pass.id == id).map(|pass| &mut pass.copy)
    }

    /// Copies a few more records. True when another slot is in progress than before.
    pub fn advance(&mut self, engine: &mut Engine, id: CopyId) -> bool {
        let sequence = self.sequence;
        let Some(pass) = self.passes.iter_mut().find(|pass| pass.id == id) else { return false };
        let before = pass.copy.slot();
        pass.copy.advance(engine, sequence);
        let changed = pass.copy.slot() != before;
        if changed {
            pass.follow_cursor(engine);
        }
        changed
    }

    /// Ends a copy; gives it as far as it came.
    pub fn end_copy(&mut self, engine: &mut Engine, id: CopyId) -> Option<SlotCopy> {
        let position = self.passes.iter().position(|pass| pass.id == id)?;
        let pass = self.passes.remove(position);
        pass.noted.iter().for_each(|slot| engine.copy_slot(*slot, false));
        Some(pass.copy)
    }
}

impl Pass {
    /// Has the engine note the changes of the slots that the copy needs them of now.
    fn follow_cursor(&mut self, engine: &mut Engine) {
        let now = self.copy.noted();
        if self.noted == now {
            return;
        }
        now.iter().for_each(|slot| engine.copy_slot(*slot, true));
        self.noted.iter().for_each(|slot| engine.copy_slot(*slot, false));
        self.noted = now.to_vec();
    }
}
