//! Keys and values that the parts of a transaction lend one another; what they are asked for is a list of
//! [`needs`](slotway_common::command::Need).
//!
//! A list is a sequence of keys: the database (LEB128), the key with its length, and one byte, which says what follows.
//!
//! | byte | |
//! |---|---|
//! | 0 | nothing: there is no such key |
//! | 1 | its value, with its length, as an entry of the slot stream ([`crate::stream`]) |
//! | 2 | the same of a value that is held in the form of a large one, whatever its size: OBJECT ENCODING tells |
//! | 3 | the [`Window`], how many elements there are that are not seen through it, and what is, as an entry |
//! | 4 | what is to be done to its value: the number of commands, of each the number of words, and the words |

use std::collections::HashSet;

use slotway_common::command::{self, Window};
use slotway_common::error::Error;
use slotway_common::resp::{Protocol, Reply};

use super::window::{self, Words};
use crate::call::Call;
use crate::changes::Executed;
use crate::dispatch::OwnedWords;
use crate::engine::{DATABASES, Engine, Key, Record};
use crate::node::{Function, Node};
use crate::rdb::{self, Compression};
use crate::stream::{Entries, Entry, Fields, Head, put_bytes, put_entry, put_number};

const ABSENT: u8 = 0;
const PRESENT: u8 = 1;
const LARGE: u8 = 2;
const SHOWN: u8 = 3;
const EDITS: u8 = 4;

/// A key of a list.
pub struct Item<'a> {
    pub db: usize,
    pub key: Key<'a>,
    pub entry: Option<Entry<'a>>,
    /// It is held in the form of a large value.
    is_large: bool,
    /// How much of it the entry shows.
    pub window: Window,
    /// So many elements it has beside.
    pub hidden: u64,
    /// What is to be done to it.
    edits: Option<Vec<Words>>,
}

impl Item<'_> {
    /// It is a stream that is trimmed, of which nothing was there that could have been.
    fn is_trimmed(&self) -> bool {
        matches!(&self.window, Window::Appended(trimming) if !trimming.is_empty())
    }
}

fn unreadable() -> Error {
    Error::err("a list of keys cannot be read")
}

/// Reads a list.
///
/// # Errors
/// When it is none.
pub fn read(list: &[u8]) -> Result<Vec<Item<'_>>, Error> {
    let mut fields = Fields::new(list);
    let mut items = Vec::new();
    while !fields.is_empty() {
        let db = fields.number().and_then(|db| usize::try_from(db).ok()).filter(|db| *db < DATABASES);
        let (db, bytes) = db.zip(fields.bytes()).ok_or_else(unreadable)?;
        let form = fields.byte().ok_or_else(unreadable)?;
        let mut item = Item {
            db,
            key: Key::new(bytes),
            entry: None,
            is_large: form == LARGE,
            window: Window::Whole,
            hidden: 0,
            edits: None,
        };
        if form == SHOWN {
            item.window = Window::read(&mut fields).ok_or_else(unreadable)?;
            item.hidden = fields.number().ok_or_else(unreadable)?;
        }
        match form {
            ABSENT => {}
            PRESENT | LARGE | SHOWN => {
                let entry = fields.bytes().and_then(|bytes| Entries::new(bytes).next()).and_then(Result::ok);
                item.entry = Some(entry.ok_or_else(unreadable)?);
            }
            EDITS => item.edits = Some(read_edits(&mut fields).ok_or_else(unreadable)?),
            _ => return Err(unreadable()),
        }
        items.push(item);
    }
    Ok(items)
}

fn read_edits(fields: &mut Fields<'_>) -> Option<Vec<Words>> {
    let mut edits = Vec::new();
    for _ in 0..fields.number()? {
        let mut words = Vec::new();
        for _ in 0..fields.number()? {
            words.push(fields.bytes()?.to_vec());
        }
        edits.push(words);
    }
    Some(edits)
}

fn put_name(db: usize, key: &[u8], out: &mut Vec<u8>) {
    put_number(db as u64, out);
    put_bytes(key, out);
}

/// Appends a key, with what it holds.
fn put(engine: &Engine, db: usize, key: &Key<'_>, out: &mut Vec<u8>) {
    put_name(db, key.bytes, out);
    match engine.raw_record(db, key) {
        Some(record) => {
            let is_large = matches!(record.encoding(), "hashtable" | "skiplist");
            out.push(if is_large { LARGE } else { PRESENT });
            put_record(record, out);
        }
        None => out.push(ABSENT),
    }
}

fn put_record(record: &Record, out: &mut Vec<u8>) {
    let mut entry = Vec::new();
    put_entry(&Head::of(record), &mut entry, &mut Vec::new(), |out| {
        rdb::encode(record, Compression::None, out);
    });
    put_bytes(&entry, out);
}

/// The keys of a list with what they hold here, as far as it is asked for.
///
/// # Errors
/// When it is no list, or the values have more than `most` bytes.
pub fn lend(engine: &Engine, list: &[u8], most: usize) -> Result<Vec<u8>, Error> {
    let mut out = Vec::new();
    for ((db, key), window) in command::read_needs(list).ok_or_else(unreadable)? {
        let (db, key) = (db as usize, Key::new(&key));
        if db >= DATABASES {
            return Err(unreadable());
        }
        let record = engine.raw_record(db, &key);
        let shown = record.and_then(|record| window::cut(record, &window, &engine.limits));
        let size = shown.as_ref().or(record).map_or(0, Record::heap_bytes);
        if out.len() + size > most {
            let key = String::from_utf8_lossy(key.bytes).into_owned();
            return Err(Error::err(format!(
                "the values that shards lend to a transaction over several shards are over the limit of {most} bytes at \
                 key '{key}'; nothing was applied"
            )));
        }
        match (shown, record) {
            (Some(mut shown), Some(record)) => {
                shown.set_access(record.access());
                put_name(db, key.bytes, &mut out);
                out.push(SHOWN);
                window.put(&mut out);
                put_number(window::hidden(record, &shown), &mut out);
                put_record(&shown, &mut out);
            }
            _ => put(engine, db, &key, &mut out),
        }
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

fn record(engine: &Engine, entry: &Entry<'_>, is_large: bool) -> Result<Record, Error> {
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

/// Keys that commands have written.
pub struct Written {
    /// Those of which whoever watches them is told.
    pub counted: HashSet<(usize, Vec<u8>)>,
    /// Those that may be changed all the same.
    pub unseen: HashSet<(usize, Vec<u8>)>,
}

/// What the keys of a list have become that were changed, as a list.
///
/// # Errors
/// When it is no list.
pub fn changed(engine: &Engine, list: &[u8], written: &Written) -> Result<Vec<u8>, Error> {
    let mut out = Vec::new();
    let mut seen = HashSet::new();
    for item in read(list)? {
        let name = (item.db, item.key.bytes.to_vec());
        let is_changed = item.is_trimmed()
            || written.counted.contains(&name)
            || written.unseen.contains(&name) && !is_as_it_was(engine, &item);
        if !is_changed || !seen.insert(name) {
            continue;
        }
        match &item.entry {
            Some(entry) if item.window != Window::Whole => put_shown(engine, &item, entry, &mut out)?,
            _ => put(engine, item.db, &item.key, &mut out),
        }
    }
    Ok(out)
}

/// Whether a key holds what its entry says.
fn is_as_it_was(engine: &Engine, item: &Item<'_>) -> bool {
    match (engine.raw_record(item.db, &item.key), &item.entry) {
        (Some(record), Some(entry)) => {
            // Whoever has looked at it may have touched it.
            let head = Head { access: entry.head.access, ..Head::of(record) };
            head == entry.head && encoded(record) == entry.value
        }
        (record, entry) => record.is_none() && entry.is_none(),
    }
}

fn encoded(record: &Record) -> Vec<u8> {
    let mut bytes = Vec::new();
    rdb::encode(record, Compression::None, &mut bytes);
    bytes
}

/// Appends what has become of a key of which something was seen, if anything has.
fn put_shown(engine: &Engine, item: &Item<'_>, entry: &Entry<'_>, out: &mut Vec<u8>) -> Result<(), Error> {
    let before = record(engine, entry, false)?;
    let Some(after) = engine.raw_record(item.db, &item.key) else {
        put(engine, item.db, &item.key, out);
        return Ok(());
    };
    if is_as_it_was(engine, item) && !item.is_trimmed() {
        return Ok(());
    }
    let Some(edits) = window::edits(item.key.bytes, &item.window, &before, after) else {
        put(engine, item.db, &item.key, out);
        return Ok(());
    };
    put_name(item.db, item.key.bytes, out);
    out.push(EDITS);
    put_number(edits.len() as u64, out);
    for words in edits {
        put_number(words.len() as u64, out);
        words.iter().for_each(|word| put_bytes(word, out));
    }
    Ok(())
}

/// Gives keys the values that they have become elsewhere.
///
/// # Errors
/// When a value cannot be read.
pub fn take_back(engine: &mut Engine, node: &mut Node, list: &[u8]) -> Result<(), Error> {
    let wanted = engine.wanted_events();
    // Those who listen have been told where it ran.
    engine.want_events(Default::default());
    let result = put_all(engine, node, list);
    engine.settle();
    engine.want_events(wanted);
    result
}

fn put_all(engine: &mut Engine, node: &mut Node, list: &[u8]) -> Result<(), Error> {
    for item in read(list)? {
        if let Some(edits) = &item.edits {
            for words in edits {
                edit(engine, node, item.db, &item.key, words)?;
            }
            continue;
        }
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

/// Changes what a key holds by a command, which is also what the log gets of it.
fn edit(engine: &mut Engine, node: &mut Node, db: usize, key: &Key<'_>, words: &Words) -> Result<(), Error> {
    if engine.has_notes() {
        node.note_changes(engine, None);
    }
    let words = OwnedWords::new(words);
    let args = words.args();
    let command = command::resolve(&args, false)?;
    let Some(Function::Data(function)) = node.handlers.get(command) else {
        return Err(command::unsupported(command));
    };
    let mut reply = Vec::new();
    let mut call = Call::new(engine, db, command, args, Reply::new(&mut reply, Protocol::Resp2));
    function(&mut call)?;
    engine.settle();
    let executed = Executed { command, args, db, slot: Some(key.slot), is_repeatable: true };
    node.note_changes(engine, Some(&executed));
    Ok(())
}
