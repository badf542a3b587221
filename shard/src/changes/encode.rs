//! What a command, expiry or eviction has changed, as frames: the one encoder of everything that follows changes.
//!
//! A command that gives the same again, run at the same time on the same contents of its slot, travels as its words. All
//! others, and those on several slots, travel as the values and deletions that they came to, key by key.

use std::collections::HashSet;

use slotway_common::slot::Slot;

use super::executed::Executed;
use crate::engine::{DbIndex, Engine, Key, Note, Notes, Record};
use crate::rdb::{self, Compression};
use crate::stream::{Head, Kind, put_bytes, put_effect, put_entry};

/// Values with more bytes than this travel in parts of about this size.
pub(super) const PART: usize = 64 * 1024;

/// Who is told of changes.
pub(super) trait Recipient {
    /// Whether it has what the key held before the change. Where it has not, it will get the key as a whole later.
    fn has(&self, slot: Slot, db: DbIndex, hash: u64) -> bool;

    /// Takes a change whose payload `write` appends.
    fn put(&mut self, kind: Kind, db: DbIndex, slot: Slot, write: impl FnOnce(&mut Vec<u8>));

    /// Takes a value that is sent in parts.
    fn put_large(&mut self, db: DbIndex, slot: Slot, record: &Record);

    /// All keys of a database were removed from a slot.
    fn flushed(&mut self, slot: Slot, db: DbIndex) {
        // A copy in progress may have some of it.
        if self.has(slot, db, 0) {
            self.put(Kind::Flushed, db, slot, |_| {});
        }
    }

    /// Two databases of a slot changed places.
    fn swapped(&mut self, slot: Slot, a: DbIndex, b: DbIndex);
}

/// Tells `to` of what `notes` say; `executed` is the command whose doing it was.
pub(super) fn encode(
    to: &mut impl Recipient,
    engine: &Engine,
    notes: &Notes,
    executed: Option<&Executed<'_>>,
) {
    for note in &notes.notes {
        match note {
            Note::Gone(key) if to.has(key.slot, key.db, key.hash) => {
                to.put(Kind::Deleted, key.db, key.slot, |out| put_bytes(&key.key, out));
            }
            Note::Flushed { slot, db } => to.flushed(*slot, *db),
            Note::Swapped { slot, a, b } => to.swapped(*slot, *a, *b),
            Note::Gone(_) | Note::Written(_) => {}
        }
    }
    if !notes.written {
        return;
    }
    let written = written(notes, executed);
    if !written.iter().any(|(db, key)| to.has(key.slot, *db, key.hash)) {
        return;
    }
    if let Some(executed) = executed
        && let Some(slot) = repeatable_in(to, executed, &written)
    {
        to.put(Kind::Effect, executed.db, slot, |out| match &notes.instead {
            Some(words) => put_effect(engine.now(), words.iter().map(Vec::as_slice), out),
            None => put_effect(engine.now(), executed.args.iter(), out),
        });
        return;
    }
    for (db, key) in written {
        if to.has(key.slot, db, key.hash) {
            put_value(to, engine, db, &key);
        }
    }
}

/// The keys that were, or may have been, written, each once.
fn written<'a>(notes: &'a Notes, executed: Option<&Executed<'a>>) -> Vec<(DbIndex, Key<'a>)> {
    let mut keys: Vec<(DbIndex, Key<'a>)> = notes
        .notes
        .iter()
        .filter_map(|note| match note {
            Note::Written(noted) => {
                Some((noted.db, Key { bytes: &noted.key, slot: noted.slot, hash: noted.hash }))
            }
            _ => None,
        })
        .collect();
    // Keys are noted where the slot is being copied or the command has several slots; elsewhere its arguments tell.
    if keys.is_empty()
        && let Some(executed) = executed
    {
        keys.extend(executed.keys().map(|key| (executed.db, key)));
    }
    let mut seen = HashSet::new();
    keys.retain(|(db, key)| seen.insert((*db, key.bytes)));
    keys
}

/// The one slot of the command's keys, if the recipient gets the same by running it.
fn repeatable_in(
    to: &impl Recipient,
    executed: &Executed<'_>,
    written: &[(DbIndex, Key<'_>)],
) -> Option<Slot> {
    let slot = executed.slot.filter(|_| executed.is_repeatable)?;
    let has = |db: DbIndex, key: &Key<'_>| key.slot == slot && to.has(slot, db, key.hash);
    let repeatable =
        executed.keys().all(|key| has(executed.db, &key)) && written.iter().all(|(db, key)| has(*db, key));
    repeatable.then_some(slot)
}

/// Tells what a key holds by now.
fn put_value(to: &mut impl Recipient, engine: &Engine, db: DbIndex, key: &Key<'_>) {
    match engine.raw_record(db, key) {
        None => to.put(Kind::Deleted, db, key.slot, |out| put_bytes(key.bytes, out)),
        Some(record) if is_large(record) => to.put_large(db, key.slot, record),
        Some(record) => to.put(Kind::Values, db, key.slot, |out| {
            put_record(record, &mut Vec::new(), out);
        }),
    }
}

/// Whether a value travels in parts.
pub(super) fn is_large(record: &Record) -> bool {
    record.value().is_some() && record.heap_bytes() > PART
}

/// Appends a whole record as an entry; `scratch` is room for its encoding.
pub(super) fn put_record(record: &Record, scratch: &mut Vec<u8>, out: &mut Vec<u8>) {
    put_entry(&Head::of(record), out, scratch, |out| rdb::encode(record, Compression::None, out));
}
