//! Keys and values that the parts of a transaction lend one another.
//!
//! A list is a sequence of keys: the database (LEB128), the key with its length, and one byte: 0 where there is no such key or it is not
//! said what it holds, 1 where its value follows, with its length, as an entry of the slot stream ([`crate::stream`]), 2 the same of a
//! value that is held in the form of a large one, whatever its size: OBJECT ENCODING tells.

use std::collections::BTreeMap;

use slotway_common::error::Error;
use slotway_common::slot::Slot;

use crate::engine::{DATABASES, Engine, Key};
use crate::rdb::{self, Compression};
use crate::stream::{Entries, Entry, Fields, Head, put_bytes, put_entry, put_number};

const ABSENT: u8 = 0;
const PRESENT: u8 = 1;
const LARGE: u8 = 2;

/// A key of a list.
pub struct Item<'a> {
    pub db: usize,
    pub key: Key<'a>,
    pub entry: Option<Entry<'a>>,
    /// It is held in the form of a large value.
    is_large: bool,
}

/// Reads a list.
///
/// # Errors
/// When it is none.
pub fn read(list: &[u8]) -> Result<Vec<Item<'_>>, Error> {
    let unreadable = || Error::err("a list of keys cannot be read");
    let mut fields = Fields::new(list);
    let mut items = Vec::new();
    while !fields.is_empty() {
        let db = fields.number().and_then(|db| usize::try_from(db).ok()).filter(|db| *db < DATABASES);
        let (db, bytes) = db.zip(fields.bytes()).ok_or_else(unreadable)?;
        let form = fields.byte().ok_or_else(unreadable)?;
        let entry = match form {
            ABSENT => None,
            _ => {
                let entry = fields.bytes().and_then(|bytes| Entries::new(bytes).next()).and_then(Result::ok);
                Some(entry.ok_or_else(unreadable)?)
            }
        };
        items.push(Item { db, key: Key::new(bytes), entry, is_large: form == LARGE });
    }
    Ok(items)
}

/// Appends a key, with what it holds if it is to be said.
fn put(engine: &Engine, db: usize, key: &Key<'_>, out: &mut Vec<u8>) {
    put_key(db, key.bytes, out);
    if let Some(record) = engine.raw_record(db, key) {
        out.pop();
        let is_large = matches!(record.encoding(), "hashtable" | "skiplist");
        out.push(if is_large { LARGE } else { PRESENT });
        let mut entry = Vec::new();
        put_entry(&Head::of(record), &mut entry, &mut Vec::new(), |out| {
            rdb::encode(record, Compression::None, out);
        });
        put_bytes(&entry, out);
    }
}

/// Appends a key without saying what it holds.
pub fn put_key(db: usize, key: &[u8], out: &mut Vec<u8>) {
    put_number(db as u64, out);
    put_bytes(key, out);
    out.push(ABSENT);
}

/// The keys of a list with what they hold here; the list itself where that is over `most` bytes: so many it is.
///
/// # Errors
/// When it is no list, or the values have more than `most` bytes.
pub fn lend(engine: &Engine, list: &[u8], most: usize) -> Result<Vec<u8>, Error> {
    let mut out = Vec::new();
    for item in read(list)? {
        let size = engine.raw_record(item.db, &item.key).map_or(0, crate::engine::Record::heap_bytes);
        if out.len() + size > most {
            let key = String::from_utf8_lossy(item.key.bytes).into_owned();
            return Err(Error::err(format!(
                "the values that shards lend to a transaction over several shards are over the limit of {most} bytes at \
                 key '{key}'; nothing was applied"
            )));
        }
        put(engine, item.db, &item.key, &mut out);
    }
    Ok(out)
}

/// Puts what was lent into an engine.
///
/// # Errors
/// When a value cannot be read.
pub fn load(engine: &mut Engine, list: &[u8]) -> Result<(), Error> {
    for item in read(list)? {
        if let Some(entry) = &item.entry {
            let record = record(engine, entry, item.is_large)?;
            engine.put_raw(item.db, &item.key, record);
        }
    }
    Ok(())
}

fn record(engine: &Engine, entry: &Entry<'_>, is_large: bool) -> Result<crate::engine::Record, Error> {
    let mut limits = engine.limits;
    if is_large {
        (limits.hash_max_listpack_entries, limits.zset_max_listpack_entries) = (0, 0);
        limits.set_max_intset_entries = 0;
    }
    let decoded = rdb::decode(entry.value, &limits);
    let (value, _) = decoded.map_err(|_| Error::err("a value that was lent cannot be read"))?;
    let mut record = value.into_record(entry.head.key, entry.head.expire_at);
    entry.head.finish(&mut record);
    Ok(record)
}

/// What the keys of a list have become that may have been changed, as a list.
///
/// # Errors
/// When it is no list.
pub fn changed(engine: &Engine, list: &[u8], is_changed: impl Fn(Slot) -> bool) -> Result<Vec<u8>, Error> {
    let mut out = Vec::new();
    let mut seen: BTreeMap<(usize, &[u8]), ()> = BTreeMap::new();
    for item in read(list)? {
        if is_changed(item.key.slot) && seen.insert((item.db, item.key.bytes), ()).is_none() {
            put(engine, item.db, &item.key, &mut out);
        }
    }
    Ok(out)
}

/// Gives keys the values that they have become elsewhere.
///
/// # Errors
/// When a value cannot be read.
pub fn take_back(engine: &mut Engine, list: &[u8]) -> Result<(), Error> {
    let wanted = engine.wanted_events();
    // Those who listen have been told where it ran.
    engine.want_events(Default::default());
    let result = put_all(engine, list);
    engine.settle();
    engine.want_events(wanted);
    result
}

fn put_all(engine: &mut Engine, list: &[u8]) -> Result<(), Error> {
    for item in read(list)? {
        engine.expect_several_slots();
        match &item.entry {
            Some(entry) => {
                let record = record(engine, entry, item.is_large)?;
                engine.put(item.db, &item.key, record);
                engine.dirty(1);
            }
            None => {
                if engine.remove(item.db, &item.key) {
                    engine.dirty(1);
                }
            }
        }
    }
    Ok(())
}
