//! A copy of slots while they are served, without I/O: which frames are to be sent.
//!
//! Slots are copied one by one, each in the order of its databases and its keys' hashes. The cursor in that order says of
//! every key whether it has been sent, so entries need no marks:
//!
//! - Changes of keys that have not been sent are not sent either: the copy will come to them.
//! - A command all of whose keys have been sent is sent as it is, an effect that the receiver repeats.
//! - A command that has some of each kind is sent as what it left in those of its keys that have been sent.
//!
//! So at every moment the frames so far give exactly the keys before the cursor, and after the last slot's end exactly
//! the slots.

use std::collections::VecDeque;

use slotway_common::fault;
use slotway_common::slot::Slot;

use super::encode::{self, PART, Recipient, put_record};
use super::executed::Executed;
use crate::engine::{DATABASES, DbIndex, Engine, Notes, Record, prefix_of};
use crate::rdb::{self, Compression};
use crate::stream::{Digest, HEADER, Head, Kind, put_frame, put_number, put_part};

/// Records that one step of the copy visits at most, unless they have equal hash prefixes.
const STEP: usize = 64;

/// What waits to be sent, in its order.
enum Item {
    Frame {
        kind: Kind,
        db: DbIndex,
        slot: Slot,
        payload: Vec<u8>,
    },
    /// A large value as it was when it was noted; its parts are made when they are sent.
    Value {
        db: DbIndex,
        slot: Slot,
        record: Record,
        number: u64,
        from: rdb::PartCursor,
    },
}

/// Where the copy stands: everything before it has been sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cursor {
    /// Position in the list of slots; at its length the copy is complete.
    slot: usize,
    db: DbIndex,
    prefix: u64,
}

/// What becomes of changes in slots that have been copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finished {
    /// They are sent as they happen.
    Followed,
    /// They are left to whoever takes the change stream. The end of a slot tells the number of the last change that the
    /// copy has in it.
    LeftOut,
}

/// A copy of some slots.
pub struct SlotCopy {
    slots: Vec<Slot>,
    finished: Finished,
    cursor: Cursor,
    queue: VecDeque<Item>,
    /// About how many bytes the queue holds.
    queued: usize,
    sequence: u64,
    digest: Digest,
    scratch: Vec<u8>,
    /// The number of the last change of the node.
    as_of: u64,
    /// Keys and bytes of their values that the copy has passed.
    pub keys: u64,
    pub bytes: u64,
}

impl SlotCopy {
    /// A copy of these slots, ascending, whose first frame gets the number after `sequence`.
    #[must_use]
    pub fn new(slots: Vec<Slot>, finished: Finished, sequence: u64, digest: Digest) -> Self {
        let mut copy = Self {
            slots,
            finished,
            cursor: Cursor { slot: 0, db: 0, prefix: 0 },
            queue: VecDeque::new(),
            queued: 0,
            sequence,
            digest,
            scratch: Vec::new(),
            as_of: 0,
            keys: 0,
            bytes: 0,
        };
        copy.begin_slot();
        copy
    }

    /// The slots whose changes have to be noted for it now.
    pub(super) fn noted(&self) -> &[Slot] {
        match self.finished {
            Finished::Followed => &self.slots,
            Finished::LeftOut => {
                let at = self.cursor.slot.min(self.slots.len());
                self.slots.get(at..(at + 1).min(self.slots.len())).unwrap_or_default()
            }
        }
    }

    /// The slot in progress.
    #[must_use]
    pub fn slot(&self) -> Option<Slot> {
        self.slots.get(self.cursor.slot).copied()
    }

    /// A slot holds something else altogether: if it is in progress it is begun again.
    pub(super) fn begin_again(&mut self, slot: Slot) {
        if self.slot() == Some(slot) {
            self.cursor = Cursor { db: 0, prefix: 0, ..self.cursor };
            self.begin_slot();
        }
    }

    #[must_use]
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// True when every slot has been copied; what is still queued are its last frames and effects.
    #[must_use]
    pub fn is_copied(&self) -> bool {
        self.cursor.slot == self.slots.len()
    }

    /// About how many bytes wait to be sent.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.queued
    }

    /// The number of the last frame that was sent.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Copies a few records, all changes up to number `as_of` included; does nothing when all are copied.
    pub(super) fn advance(&mut self, engine: &Engine, as_of: u64) {
        self.as_of = as_of;
        let Some(slot) = self.slot() else { return };
        let (mut payload, mut scratch) = (Vec::new(), std::mem::take(&mut self.scratch));
        let Cursor { db, prefix, .. } = self.cursor;
        let mut large = Vec::new();
        let next = engine.walk(db, slot, prefix, step(engine, db, slot), |record| {
            self.keys += 1;
            self.bytes += record.heap_bytes() as u64;
            if encode::is_large(record) {
                large.push(frozen(record));
            } else {
                put_record(record, &mut scratch, &mut payload);
            }
        });
        self.scratch = scratch;
        if !payload.is_empty() {
            self.push(Kind::Values, db, slot, payload);
        }
        for record in large {
            self.push_value(db, slot, record);
        }
        match next {
            Some(prefix) => self.cursor.prefix = prefix,
            None => self.end_database(engine, slot),
        }
    }

    /// Goes on to the next database of the slot that holds keys, or to the next slot.
    fn end_database(&mut self, engine: &Engine, slot: Slot) {
        let keys = engine.keys_by_database(slot);
        let next = (self.cursor.db + 1..DATABASES).find(|db| keys.get(*db).is_some_and(|keys| *keys > 0));
        match next {
            Some(db) => self.cursor = Cursor { db, prefix: 0, ..self.cursor },
            None => {
                let as_of = match self.finished {
                    Finished::Followed => Vec::new(),
                    Finished::LeftOut => self.as_of.to_le_bytes().to_vec(),
                };
                self.push(Kind::End, 0, slot, as_of);
                self.cursor = Cursor { slot: self.cursor.slot + 1, db: 0, prefix: 0 };
                self.begin_slot();
            }
        }
    }

    fn begin_slot(&mut self) {
        if let Some(slot) = self.slot() {
            self.push(Kind::Begin, 0, slot, Vec::new());
        }
    }

    /// Takes note of what a command, expiry or eviction has changed.
    pub(super) fn note(&mut self, engine: &Engine, notes: &Notes, executed: Option<&Executed<'_>>) {
        encode::encode(self, engine, notes, executed);
    }

    fn push(&mut self, kind: Kind, db: DbIndex, slot: Slot, payload: Vec<u8>) {
        self.queued += payload.len() + HEADER;
        self.queue.push_back(Item::Frame { kind, db, slot, payload });
    }

    fn push_value(&mut self, db: DbIndex, slot: Slot, record: Record) {
        self.queued += PART;
        self.queue.push_back(Item::Value { db, slot, record, number: 0, from: rdb::PartCursor::default() });
    }

    /// Appends the next frames to `out`, about `budget` bytes of them; false when there is none.
    pub fn send(&mut self, budget: usize, out: &mut Vec<u8>) -> bool {
        let start = out.len();
        while out.len() - start < budget {
            match self.queue.pop_front() {
                None => break,
                Some(Item::Frame { kind, db, slot, payload }) => {
                    self.queued -= payload.len() + HEADER;
                    self.put_frame((kind, db, slot), &payload, out);
                }
                Some(Item::Value { db, slot, record, number, from }) => {
                    self.queued -= PART;
                    self.send_part(db, slot, record, number, from, out);
                }
            }
        }
        out.len() > start
    }

    fn send_part(
        &mut self,
        db: DbIndex,
        slot: Slot,
        record: Record,
        number: u64,
        from: rdb::PartCursor,
        out: &mut Vec<u8>,
    ) {
        let mut value = Vec::with_capacity(PART + PART / 4);
        let next = record
            .value()
            .and_then(|object| rdb::encode_part(object, from, PART, Compression::None, &mut value));
        let mut payload = Vec::with_capacity(value.len() + 64);
        put_part(&Head::of(&record), number, &value, &mut payload);
        self.put_frame((Kind::Part, db, slot), &payload, out);
        if let Some(from) = next {
            self.queued += PART;
            self.queue.push_front(Item::Value { db, slot, record, number: number + 1, from });
        }
    }

    fn put_frame(&mut self, head: (Kind, DbIndex, Slot), payload: &[u8], out: &mut Vec<u8>) {
        self.sequence += 1;
        put_frame(head, self.sequence, payload, &mut self.digest, out);
    }

    /// Appends the last frame of a move's batch, when its slots are parked and everything else has been sent: what the
    /// target must have by then.
    pub fn put_final(&mut self, engine: &Engine, out: &mut Vec<u8>) {
        let mut payload = self.digest.0.to_le_bytes().to_vec();
        put_number(self.slots.len() as u64, &mut payload);
        for slot in &self.slots {
            payload.extend_from_slice(&slot.to_le_bytes());
            engine.keys_by_database(*slot).iter().for_each(|keys| put_number(*keys, &mut payload));
        }
        self.put_frame((Kind::Final, 0, 0), &payload, out);
    }
}

impl Recipient for SlotCopy {
    fn has(&self, slot: Slot, db: DbIndex, hash: u64) -> bool {
        let Ok(position) = self.slots.binary_search(&slot) else { return false };
        if self.finished == Finished::LeftOut && position != self.cursor.slot {
            return false;
        }
        let Cursor { slot: at, db: in_progress, prefix } = self.cursor;
        (position, db, prefix_of(hash)) < (at, in_progress, prefix)
    }

    fn put(&mut self, kind: Kind, db: DbIndex, slot: Slot, write: impl FnOnce(&mut Vec<u8>)) {
        if kind == Kind::Effect && self.slot() == Some(slot) && fault::planted("effect-dropped") {
            return;
        }
        let mut payload = Vec::new();
        write(&mut payload);
        self.push(kind, db, slot, payload);
    }

    fn put_large(&mut self, db: DbIndex, slot: Slot, record: &Record) {
        self.push_value(db, slot, frozen(record));
    }

    fn swapped(&mut self, slot: Slot, a: DbIndex, b: DbIndex) {
        let Ok(position) = self.slots.binary_search(&slot) else { return };
        if position < self.cursor.slot && self.finished == Finished::Followed {
            self.push(Kind::Swapped, 0, slot, vec![a as u8, b as u8]);
        }
        // What has been sent of a slot in progress is in no order any more: once more from the start.
        self.begin_again(slot);
    }
}

/// Records of a database that are visited at once: so few that one frame does not get much larger than a part.
fn step(engine: &Engine, db: DbIndex, slot: Slot) -> usize {
    let Some(database) = engine.slot(slot).database(db) else { return STEP };
    let bytes = (database.bytes() / (database.len() as u64).max(1)).max(1);
    (PART as u64 / bytes).clamp(1, STEP as u64) as usize
}

/// The record as it is now, whatever is done to it later.
fn frozen(record: &Record) -> Record {
    let mut copy = record.copied(record.key());
    copy.set_access(record.access());
    copy
}
