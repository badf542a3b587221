//! What a command has changed, as frames.
//!
//! A command that gives the same again, run at the same time on the same contents of its slot, is logged as it came. All
//! others, and those on several slots, are logged as the values and deletions that they came to, key by key.

use slotway_common::command::{self, Command};
use slotway_common::resp::Args;
use slotway_common::slot::{Slot, slot_of};

use super::frame;
use crate::engine::{DbIndex, Engine, Key, Note, Notes};
use crate::rdb::{self, Compression, PartCursor};
use crate::stream::{Head, Kind, put_bytes, put_effect, put_entry, put_part};

/// Values with more bytes than this are logged in parts of about this size.
const PART: usize = 64 * 1024;

/// A command that has run.
#[derive(Clone, Copy)]
pub struct Ran<'a> {
    pub command: &'static Command,
    pub args: Args<'a>,
    /// The database that it ran on.
    pub db: DbIndex,
    /// The slot of its first key.
    pub slot: Option<Slot>,
    /// It writes, and did not end with an error. What others have changed is logged as values: PFCOUNT keeps a count.
    pub is_repeatable: bool,
}

/// Frames that are to be written, in their order, without checksums.
#[derive(Default)]
pub(super) struct Frames {
    pub(super) bytes: Vec<u8>,
    /// The number of the last frame.
    pub(super) sequence: u64,
    scratch: Vec<u8>,
}

impl Frames {
    /// Adds a command that gives the same again.
    #[inline]
    pub(super) fn effect<'a>(
        &mut self,
        db: DbIndex,
        slot: Slot,
        now: i64,
        words: impl ExactSizeIterator<Item = &'a [u8]>,
    ) {
        self.sequence += 1;
        let start = frame::begin(Kind::Effect, db, slot, self.sequence, &mut self.bytes);
        put_effect(now, words, &mut self.bytes);
        frame::end(start, &mut self.bytes);
    }

    /// Adds a frame with a payload that is at hand; gives its place.
    pub(super) fn put(&mut self, kind: Kind, db: DbIndex, slot: Slot, payload: &[u8]) -> usize {
        self.sequence += 1;
        let start = self.bytes.len();
        frame::put(kind, db, slot, self.sequence, payload, &mut self.bytes);
        start
    }

    /// Adds all that `noted` has changed, to be applied whole or not at all.
    pub(super) fn changes(&mut self, engine: &Engine, noted: &Notes, ran: Option<&Ran<'_>>) {
        let mut places = Vec::new();
        for note in &noted.notes {
            match note {
                Note::Gone(key) => {
                    let mut payload = Vec::new();
                    put_bytes(&key.key, &mut payload);
                    places.push(self.put(Kind::Deleted, key.db, key.slot, &payload));
                }
                Note::Flushed { slot, db } => places.push(self.put(Kind::Flushed, *db, *slot, &[])),
                Note::Swapped { slot, a, b } => {
                    places.push(self.put(Kind::Swapped, 0, *slot, &[*a as u8, *b as u8]));
                }
                Note::Written(_) => {}
            }
        }
        if noted.written {
            match ran.and_then(|ran| Some((ran, repeatable_in(ran)?))) {
                Some((ran, slot)) => {
                    places.push(self.bytes.len());
                    match &noted.instead {
                        Some(words) => {
                            self.effect(ran.db, slot, engine.now(), words.iter().map(Vec::as_slice));
                        }
                        None => self.effect(ran.db, slot, engine.now(), ran.args.iter()),
                    }
                }
                None => self.values(engine, noted, ran, &mut places),
            }
        }
        places.pop();
        for start in places {
            frame::set_goes_on(start, &mut self.bytes);
        }
    }

    /// Adds what the keys hold by now that were, or may have been, written.
    fn values(&mut self, engine: &Engine, noted: &Notes, ran: Option<&Ran<'_>>, places: &mut Vec<usize>) {
        let mut keys: Vec<(DbIndex, &[u8])> = noted
            .notes
            .iter()
            .filter_map(|note| match note {
                Note::Written(key) => Some((key.db, &*key.key)),
                _ => None,
            })
            .collect();
        if let Some(ran) = ran.filter(|_| !noted.several_slots)
            && let Ok(found) = command::keys(ran.command, &ran.args)
        {
            keys.extend(found.positions().map(|position| (ran.db, ran.args.at(position))));
        }
        let mut seen = std::collections::HashSet::new();
        for (db, bytes) in keys {
            if seen.insert((db, bytes)) {
                self.value(engine, db, &Key::new(bytes), places);
            }
        }
    }

    fn value(&mut self, engine: &Engine, db: DbIndex, key: &Key<'_>, places: &mut Vec<usize>) {
        let mut payload = Vec::new();
        let Some(record) = engine.raw_record(db, key) else {
            put_bytes(key.bytes, &mut payload);
            places.push(self.put(Kind::Deleted, db, key.slot, &payload));
            return;
        };
        let head = Head::of(record);
        let Some(object) = record.value().filter(|_| record.heap_bytes() > PART) else {
            let mut scratch = std::mem::take(&mut self.scratch);
            put_entry(&head, &mut payload, &mut scratch, |out| rdb::encode(record, Compression::None, out));
            self.scratch = scratch;
            places.push(self.put(Kind::Values, db, key.slot, &payload));
            return;
        };
        let mut from = Some(PartCursor::default());
        let mut number = 0;
        while let Some(cursor) = from {
            let mut value = Vec::with_capacity(PART + PART / 4);
            from = rdb::encode_part(object, cursor, PART, Compression::None, &mut value);
            payload.clear();
            put_part(&head, number, &value, &mut payload);
            places.push(self.put(Kind::Part, db, key.slot, &payload));
            number += 1;
        }
    }
}

/// The one slot of the command's keys, if running it again gives the same.
fn repeatable_in(ran: &Ran<'_>) -> Option<Slot> {
    let slot = ran.slot.filter(|_| ran.is_repeatable)?;
    let keys = command::keys(ran.command, &ran.args).ok()?;
    keys.positions().all(|position| slot_of(ran.args.at(position)) == slot).then_some(slot)
}
