//! Commands on keys of any type.

use slotway_common::error::Error;
use slotway_common::number::parse_i64;

use crate::call::{Call, DataCommand, reads, writes};
use crate::engine::{DATABASES, EventClass, Key, Policy, Record};

pub(super) const HANDLERS: &[DataCommand] = &[
    writes("del", del),
    writes("unlink", del),
    reads("exists", exists),
    reads("touch", touch),
    reads("type", type_of),
    writes("rename", rename),
    writes("renamenx", renamenx),
    writes("move", move_key),
    writes("copy", copy),
    reads("object|encoding", object_encoding),
    reads("object|refcount", object_refcount),
    reads("object|idletime", object_idletime),
    reads("object|freq", object_freq),
];

/// DEL as well as UNLINK: large values are freed on another thread in either case.
fn del(call: &mut Call<'_>) -> Result<(), Error> {
    let mut removed = 0;
    for index in 1..call.args.len() {
        let key = call.key(index);
        if call.engine.remove(call.db, &key) {
            call.notify(EventClass::GENERIC, "del", &key);
            removed += 1;
        }
    }
    call.engine.dirty(removed);
    call.reply.int(removed as i64);
    Ok(())
}

fn exists(call: &mut Call<'_>) -> Result<(), Error> {
    count(call, |call, key| call.engine.look(call.db, key))
}

fn touch(call: &mut Call<'_>) -> Result<(), Error> {
    count(call, |call, key| call.engine.touch(call.db, key))
}

fn count(call: &mut Call<'_>, mut counts: impl FnMut(&mut Call<'_>, &Key<'_>) -> bool) -> Result<(), Error> {
    let mut found = 0;
    for index in 1..call.args.len() {
        let key = call.key(index);
        found += i64::from(counts(call, &key));
    }
    call.reply.int(found);
    Ok(())
}

fn type_of(call: &mut Call<'_>) -> Result<(), Error> {
    let key = call.key(1);
    // TYPE notes no access.
    let live = call.engine.look(call.db, &key);
    let name = if live { call.engine.peek_record(call.db, &key).map(Record::type_name) } else { None };
    call.reply.simple(name.unwrap_or("none"));
    Ok(())
}

fn rename(call: &mut Call<'_>) -> Result<(), Error> {
    rename_to(call, true)?;
    call.reply.ok();
    Ok(())
}

fn renamenx(call: &mut Call<'_>) -> Result<(), Error> {
    let moved = rename_to(call, false)?;
    call.reply.int(i64::from(moved));
    Ok(())
}

fn rename_to(call: &mut Call<'_>, overwrite: bool) -> Result<bool, Error> {
    let (from, to, db) = (call.key(1), call.key(2), call.db);
    if !call.engine.exists(db, &from) {
        return Err(Error::NoSuchKey);
    }
    if from.bytes == to.bytes {
        return Ok(overwrite);
    }
    if call.engine.exists(db, &to) {
        if !overwrite {
            return Ok(false);
        }
        // What was there is removed without a word, and the name is new.
        call.engine.remove(db, &to);
    }
    if let Some(record) = call.engine.take_live(db, &from) {
        call.engine.put(db, &to, record.renamed(to.bytes));
        call.notify(EventClass::GENERIC, "rename_from", &from);
        call.notify(EventClass::GENERIC, "rename_to", &to);
        call.engine.dirty(1);
    }
    Ok(true)
}

/// A database's number as SELECT, COPY and MOVE take it.
pub(super) fn database(text: &[u8]) -> Result<usize, Error> {
    let number = parse_i64(text).ok_or(Error::NotInteger)?;
    if i32::try_from(number).is_err() {
        return Err(Error::err("value is out of range, value must between -2147483648 and 2147483647"));
    }
    usize::try_from(number).ok().filter(|db| *db < DATABASES).ok_or(Error::err("DB index is out of range"))
}

fn move_key(call: &mut Call<'_>) -> Result<(), Error> {
    let (key, db) = (call.key(1), call.db);
    let target = database(call.args.at(2))?;
    if target == db {
        return Err(Error::err("source and destination objects are the same"));
    }
    let mut moved = false;
    if call.engine.exists(db, &key)
        && !call.engine.exists(target, &key)
        && let Some(record) = call.engine.take_live(db, &key)
    {
        call.engine.put(target, &key, record);
        call.engine.notify(EventClass::GENERIC, "move_from", db, key.bytes);
        call.engine.notify(EventClass::GENERIC, "move_to", target, key.bytes);
        call.engine.dirty(1);
        moved = true;
    }
    call.reply.int(i64::from(moved));
    Ok(())
}

fn copy(call: &mut Call<'_>) -> Result<(), Error> {
    let (from, to, db) = (call.key(1), call.key(2), call.db);
    let (mut target, mut replace) = (db, false);
    let mut index = 3;
    while index < call.args.len() {
        if call.args.is(index, "REPLACE") {
            replace = true;
        } else if call.args.is(index, "DB") && index + 1 < call.args.len() {
            target = database(call.args.at(index + 1))?;
            index += 1;
        } else {
            return Err(Error::Syntax);
        }
        index += 1;
    }
    if target == db && from.bytes == to.bytes {
        return Err(Error::err("source and destination objects are the same"));
    }
    let Some(copied) = call.engine.record(db, &from).map(|record| record.copied(to.bytes)) else {
        call.reply.int(0);
        return Ok(());
    };
    if call.engine.exists(target, &to) {
        if !replace {
            call.reply.int(0);
            return Ok(());
        }
        call.engine.remove(target, &to);
    }
    call.engine.put(target, &to, copied);
    call.engine.notify(EventClass::GENERIC, "copy_to", target, to.bytes);
    call.engine.dirty(1);
    call.reply.int(1);
    Ok(())
}

/// Replies with what `tell` makes of the key's record, or null without such a key.
fn of_record(
    call: &mut Call<'_>,
    tell: impl FnOnce(&mut Call<'_>, Option<&'static str>, u32, u32) -> Result<(), Error>,
) -> Result<(), Error> {
    let (key, db) = (call.key(2), call.db);
    if !call.engine.look_unseen(db, &key) {
        call.reply.null();
        return Ok(());
    }
    let clock = call.engine.clock;
    let Some(record) = call.engine.peek_record(db, &key) else { return Ok(()) };
    let (encoding, idle, frequency) =
        (record.encoding(), clock.idle_seconds(record), clock.frequency(record));
    tell(call, Some(encoding), idle, frequency)
}

fn object_encoding(call: &mut Call<'_>) -> Result<(), Error> {
    of_record(call, |call, encoding, _, _| {
        call.reply.bulk(encoding.unwrap_or_default().as_bytes());
        Ok(())
    })
}

/// Nothing is shared between keys.
fn object_refcount(call: &mut Call<'_>) -> Result<(), Error> {
    of_record(call, |call, _, _, _| {
        call.reply.int(1);
        Ok(())
    })
}

fn object_idletime(call: &mut Call<'_>) -> Result<(), Error> {
    of_record(call, |call, _, idle, _| {
        if call.engine.clock.policy.is_lfu() {
            return Err(Error::err(
                "An LFU maxmemory policy is selected, idle time not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.",
            ));
        }
        call.reply.int(i64::from(idle));
        Ok(())
    })
}

fn object_freq(call: &mut Call<'_>) -> Result<(), Error> {
    of_record(call, |call, _, _, frequency| {
        if !matches!(call.engine.clock.policy, Policy::AllKeysLfu | Policy::VolatileLfu) {
            return Err(Error::err(
                "An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.",
            ));
        }
        call.reply.int(i64::from(frequency));
        Ok(())
    })
}
