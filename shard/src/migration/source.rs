//! The source's half of a move, without I/O: which frames are to be sent.
//!
//! A batch of slots is copied one by one, each in the order of its databases and its keys' hashes, while it is served.
//! The copy's place in that order says of every key whether it has been sent, so entries need no marks:
//!
//! - Changes of keys that have not been sent are not sent either: the copy will come to them.
//! - A command all of whose keys have been sent is sent as it is, an effect that the target repeats.
//! - A command that has some of each kind is sent as what it left in those of its keys that have been sent.
//!
//! So at every moment the frames so far give exactly the keys before the copy's place, and after the last slot's end
//! exactly the batch.

use std::collections::VecDeque;

use slotway_common::command::{self, Command};
use slotway_common::fault;
use slotway_common::resp::Args;
use slotway_common::slot::Slot;

use crate::engine::{DATABASES, DbIndex, Engine, Key, Note, NotedKey, Notes, Record, prefix_of};
use crate::log::Ran;
use crate::rdb::{self, Compression};
use crate::stream::{Digest, Head, Kind, put_bytes, put_effect, put_entry, put_frame, put_number, put_part};

/// Values with more bytes than this travel in parts of about this size.
const PART: usize = 64 * 1024;
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
struct Place {
    /// Position in the batch; at its length the copy is complete.
    slot: usize,
    db: DbIndex,
    prefix: u64,
}

/// The copy of one batch of slots.
pub struct Source {
    slots: Vec<Slot>,
    place: Place,
    queue: VecDeque<Item>,
    /// About how many bytes the queue holds.
    queued: usize,
    sequence: u64,
    digest: Digest,
    scratch: Vec<u8>,
    /// What is copied is a base of the log: of slots that have been copied nothing more is sent, and their ends tell this
    /// number, that of the last frame of the log which the copy has in it.
    as_of: Option<u64>,
    /// Keys and bytes of their values that the copy has passed.
    pub keys: u64,
    pub bytes: u64,
}

impl Source {
    /// A copy of these slots, ascending, whose first frame gets the number after `sequence`.
    #[must_use]
    pub fn new(slots: Vec<Slot>, sequence: u64, digest: Digest) -> Self {
        let mut source = Self {
            slots,
            place: Place { slot: 0, db: 0, prefix: 0 },
            queue: VecDeque::new(),
            queued: 0,
            sequence,
            digest,
            scratch: Vec::new(),
            as_of: None,
            keys: 0,
            bytes: 0,
        };
        source.begin_slot();
        source
    }

    /// A copy of these slots as a base of the log.
    #[must_use]
    pub fn of_base(slots: Vec<Slot>) -> Self {
        Self { as_of: Some(0), ..Self::new(slots, 0, Digest::default()) }
    }

    /// Says which frame of the log is the last one so far.
    pub fn set_as_of(&mut self, sequence: u64) {
        self.as_of = Some(sequence);
    }

    /// The slot in progress.
    #[must_use]
    pub fn slot(&self) -> Option<Slot> {
        self.slots.get(self.place.slot).copied()
    }

    /// Begins the slot in progress again, if it is this one: it holds something else altogether.
    pub fn begin_again(&mut self, slot: Slot) {
        if self.slot() == Some(slot) {
            self.place = Place { db: 0, prefix: 0, ..self.place };
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
        self.place.slot == self.slots.len()
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

    /// Copies a few records; does nothing when all are copied.
    pub fn copy(&mut self, engine: &Engine) {
        let Some(&slot) = self.slots.get(self.place.slot) else { return };
        let (mut payload, mut scratch) = (Vec::new(), std::mem::take(&mut self.scratch));
        let Place { db, prefix, .. } = self.place;
        let mut large = Vec::new();
        let next = engine.walk(db, slot, prefix, step(engine, db, slot), |record| {
            self.keys += 1;
            self.bytes += record.heap_bytes() as u64;
            if record.heap_bytes() > PART {
                large.push(frozen(record));
            } else {
                put_entry(&Head::of(record), &mut payload, &mut scratch, |out| {
                    rdb::encode(record, Compression::None, out)
                });
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
            Some(prefix) => self.place.prefix = prefix,
            None => self.end_database(engine, slot),
        }
    }

    /// Goes on to the next database of the slot that holds keys, or to the next slot.
    fn end_database(&mut self, engine: &Engine, slot: Slot) {
        let keys = engine.keys_by_database(slot);
        let next = (self.place.db + 1..DATABASES).find(|db| keys.get(*db).is_some_and(|keys| *keys > 0));
        match next {
            Some(db) => self.place = Place { db, prefix: 0, ..self.place },
            None => {
                let as_of = self.as_of.map_or_else(Vec::new, |as_of| as_of.to_le_bytes().to_vec());
                self.push(Kind::End, 0, slot, as_of);
                self.place = Place { slot: self.place.slot + 1, db: 0, prefix: 0 };
                self.begin_slot();
            }
        }
    }

    fn begin_slot(&mut self) {
        if let Some(&slot) = self.slots.get(self.place.slot) {
            self.push(Kind::Begin, 0, slot, Vec::new());
        }
    }

    /// Whether the copy has passed this place; `None` for a slot that does not belong to the batch.
    fn is_sent(&self, slot: Slot, db: DbIndex, hash: u64) -> Option<bool> {
        let position = self.slots.binary_search(&slot).ok()?;
        if self.as_of.is_some() && position != self.place.slot {
            return None;
        }
        let here = Place { slot: position, db, prefix: prefix_of(hash) };
        let key = |place: Place| (place.slot, place.db, place.prefix);
        Some(key(here) < key(self.place))
    }

    /// Takes note of what a command, expiry or eviction has changed; `ran` is the command.
    pub fn record(&mut self, engine: &Engine, noted: &Notes, ran: Option<&Ran<'_>>) {
        let notes = &noted.notes;
        for note in notes {
            match note {
                Note::Gone(key) => self.gone(key),
                Note::Flushed { slot, db } => self.flushed(*slot, *db),
                Note::Swapped { slot, a, b } => self.swapped(*slot, *a, *b),
                Note::Written(_) => {}
            }
        }
        let written: Vec<&NotedKey> = notes
            .iter()
            .filter_map(|note| match note {
                Note::Written(key) if self.is_sent(key.slot, key.db, key.hash) == Some(true) => Some(key),
                _ => None,
            })
            .collect();
        let Some(first) = written.first() else { return };
        if let Some(ran) = ran.filter(|ran| ran.is_repeatable)
            && self.is_repeatable(notes, ran.command, &ran.args, ran.db)
        {
            let db = ran.db;
            let mut payload = Vec::new();
            match &noted.instead {
                Some(words) => put_effect(engine.now(), words.iter().map(Vec::as_slice), &mut payload),
                None => put_effect(engine.now(), ran.args.iter(), &mut payload),
            }
            let in_progress = self.slots.get(self.place.slot) == Some(&first.slot);
            if !(in_progress && fault::planted("effect-dropped")) {
                self.push(Kind::Effect, db, first.slot, payload);
            }
            return;
        }
        let mut done: Vec<(DbIndex, &[u8])> = Vec::new();
        for key in written {
            if !done.contains(&(key.db, &key.key)) {
                done.push((key.db, &key.key));
                self.resend(engine, key);
            }
        }
    }

    /// Whether the target, which has the keys before the copy's place, gets the same by running the command.
    fn is_repeatable(&self, notes: &[Note], command: &Command, args: &Args<'_>, db: DbIndex) -> bool {
        let same_database = notes.iter().all(|note| !matches!(note, Note::Written(key) if key.db != db));
        let Ok(keys) = command::keys(command, args) else { return false };
        let mut slot = None;
        same_database
            && keys.positions().all(|position| {
                let key = Key::new(args.at(position));
                *slot.get_or_insert(key.slot) == key.slot
                    && self.is_sent(key.slot, db, key.hash) == Some(true)
            })
    }

    fn gone(&mut self, key: &NotedKey) {
        if self.is_sent(key.slot, key.db, key.hash) == Some(true) {
            let mut payload = Vec::new();
            put_bytes(&key.key, &mut payload);
            self.push(Kind::Deleted, key.db, key.slot, payload);
        }
    }

    fn flushed(&mut self, slot: Slot, db: DbIndex) {
        // The slot in progress may have sent some of it.
        if self.is_sent(slot, db, 0) == Some(true) {
            self.push(Kind::Flushed, db, slot, Vec::new());
        }
    }

    fn swapped(&mut self, slot: Slot, a: DbIndex, b: DbIndex) {
        let Ok(position) = self.slots.binary_search(&slot) else { return };
        if position < self.place.slot && self.as_of.is_none() {
            self.push(Kind::Swapped, 0, slot, vec![a as u8, b as u8]);
        } else if position == self.place.slot {
            // What has been sent is in no order any more: once more from the start.
            self.place = Place { slot: position, db: 0, prefix: 0 };
            self.begin_slot();
        }
    }

    /// Sends what a key holds by now.
    fn resend(&mut self, engine: &Engine, noted: &NotedKey) {
        let NotedKey { slot, db, hash, key } = noted;
        let key = Key { bytes: key, slot: *slot, hash: *hash };
        match engine.raw_record(*db, &key) {
            None => {
                let mut payload = Vec::new();
                put_bytes(key.bytes, &mut payload);
                self.push(Kind::Deleted, *db, *slot, payload);
            }
            Some(record) if record.heap_bytes() > PART => self.push_value(*db, *slot, frozen(record)),
            Some(record) => {
                let mut payload = Vec::new();
                let mut scratch = std::mem::take(&mut self.scratch);
                put_entry(&Head::of(record), &mut payload, &mut scratch, |out| {
                    rdb::encode(record, Compression::None, out)
                });
                self.scratch = scratch;
                self.push(Kind::Values, *db, *slot, payload);
            }
        }
    }

    fn push(&mut self, kind: Kind, db: DbIndex, slot: Slot, payload: Vec<u8>) {
        self.queued += payload.len() + crate::stream::HEADER;
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
                    self.queued -= payload.len() + crate::stream::HEADER;
                    self.put((kind, db, slot), &payload, out);
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
        let next = match record.value() {
            Some(object) => rdb::encode_part(object, from, PART, Compression::None, &mut value),
            None => {
                rdb::encode(&record, Compression::None, &mut value);
                None
            }
        };
        let mut payload = Vec::with_capacity(value.len() + 64);
        put_part(&Head::of(&record), number, &value, &mut payload);
        self.put((Kind::Part, db, slot), &payload, out);
        if let Some(from) = next {
            self.queued += PART;
            self.queue.push_front(Item::Value { db, slot, record, number: number + 1, from });
        }
    }

    fn put(&mut self, head: (Kind, DbIndex, Slot), payload: &[u8], out: &mut Vec<u8>) {
        self.sequence += 1;
        put_frame(head, self.sequence, payload, &mut self.digest, out);
    }

    /// The last frame of the batch, when its slots are parked and everything else has been sent: what the target must
    /// have by then.
    pub fn prepare(&mut self, engine: &Engine, out: &mut Vec<u8>) {
        let mut payload = self.digest.0.to_le_bytes().to_vec();
        put_number(self.slots.len() as u64, &mut payload);
        for slot in &self.slots {
            payload.extend_from_slice(&slot.to_le_bytes());
            engine.keys_by_database(*slot).iter().for_each(|keys| put_number(*keys, &mut payload));
        }
        self.put((Kind::Prepare, 0, 0), &payload, out);
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
