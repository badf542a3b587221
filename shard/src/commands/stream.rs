//! Streams, without waiting for entries.

pub(super) mod claim;
pub(super) mod group;
mod id;
pub(super) mod info;
pub(super) mod read;
mod trim;

use slotway_common::command::wrong_arity;
use slotway_common::error::Error;
use slotway_common::resp::Reply;

use super::items::element;
use crate::call::{Call, DataCommand, reads, writes};
use crate::engine::EventClass;
use crate::types::Stream;
use crate::types::stream::{Entry, Id, Refused};
use id::{bounds, exact, put_id};
use trim::{NewId, Trimming};

pub(super) const HANDLERS: &[DataCommand] = &[
    writes("xadd", xadd),
    writes("xtrim", xtrim),
    writes("xdel", xdel),
    reads("xlen", xlen),
    reads("xrange", |call| xrange(call, false)),
    reads("xrevrange", |call| xrange(call, true)),
    writes("xsetid", xsetid),
];

/// An error of a prefix of its own that quotes bytes; as in C, what is quoted ends at its first NUL.
fn quoting(parts: &[&[u8]]) -> Error {
    let cut = |part: &&[u8]| part.split(|byte| *byte == 0).next().unwrap_or_default().to_vec();
    Error::Whole(parts.iter().flat_map(cut).collect())
}

fn no_group(key: &[u8], group: &[u8]) -> Error {
    quoting(&[b"NOGROUP No such key '", key, b"' or consumer group '", group, b"'"])
}

/// Writes an entry: its id, and its fields and values in one array.
fn put_entry(reply: &mut Reply<'_>, entry: &Entry<'_>) {
    reply.array(2);
    put_id(reply, entry.id);
    reply.array(entry.len() * 2);
    for (field, value) in entry.fields() {
        element(reply, field);
        element(reply, value);
    }
}

/// Writes entries, at most `count` of them.
fn put_entries<'s>(reply: &mut Reply<'_>, entries: impl Iterator<Item = Entry<'s>>, count: usize) {
    let (at, mut written) = (reply.begin(), 0);
    for entry in entries.take(count) {
        put_entry(reply, &entry);
        written += 1;
        if reply.is_exceeded() {
            break;
        }
    }
    reply.finish_array(at, written);
}

fn xadd(call: &mut Call<'_>) -> Result<(), Error> {
    let (key, db, limits, now) = (call.key(1), call.db, call.engine.limits, call.now());
    let adding = Trimming::parse_adding(call)?;
    let pairs = call.args.rest((adding.id_at + 1).min(call.args.len()));
    if pairs.len() < 2 || !pairs.len().is_multiple_of(2) {
        return Err(wrong_arity(call.command));
    }
    if matches!(adding.id, NewId::Given(Id::MIN)) {
        return Err(Error::err("The ID specified in XADD must be greater than 0-0"));
    }
    let known = call.engine.peek::<Stream>(db, &key)?;
    if known.is_none() && adding.only_existing {
        call.reply.null();
        return Ok(());
    }
    let last = known.map_or(Id::MIN, |stream| stream.facts().last);
    if last == Id::MAX {
        return Err(Error::err("The stream has exhausted the last possible ID, unable to add more items"));
    }
    let id = match adding.id {
        NewId::Given(id) => Some(id),
        NewId::InMillisecond(ms) if ms == last.ms => last.seq.checked_add(1).map(|seq| Id { ms, seq }),
        NewId::InMillisecond(ms) => Some(Id { ms, seq: 0 }),
        NewId::Automatic => known.map_or_else(|| Stream::new().next_id(now), |stream| stream.next_id(now)),
    };
    let not_above =
        Error::err("The ID specified in XADD is equal or smaller than the target stream top item");
    let Some(id) = id.filter(|id| *id > last) else { return Err(not_above) };
    let pairs: Vec<&[u8]> = pairs.iter().collect();
    let mut stream = call.engine.edit_or_create::<Stream>(db, &key)?;
    stream.add(id, &pairs, &limits).map_err(|refused| match refused {
        Refused::NotAbove => not_above,
        Refused::TooLarge => Error::err("Elements are too large to be stored"),
    })?;
    let trimmed = adding.trimming.map_or(0, |trimming| trimming.run(&mut stream));
    drop(stream);
    call.notify(EventClass::STREAM, "xadd", &key);
    if trimmed > 0 {
        call.notify(EventClass::STREAM, "xtrim", &key);
    }
    call.engine.dirty(1);
    put_id(&mut call.reply, id);
    Ok(())
}

fn xtrim(call: &mut Call<'_>) -> Result<(), Error> {
    let trimming = Trimming::parse(call)?;
    let key = call.key(1);
    let gone = match call.engine.edit::<Stream>(call.db, &key)? {
        Some(mut stream) => trimming.run(&mut stream),
        None => 0,
    };
    if gone > 0 {
        call.notify(EventClass::STREAM, "xtrim", &key);
    }
    call.engine.dirty(gone as u64);
    call.reply.len(gone);
    Ok(())
}

fn xdel(call: &mut Call<'_>) -> Result<(), Error> {
    let (key, db) = (call.key(1), call.db);
    if call.engine.peek::<Stream>(db, &key)?.is_none() {
        call.reply.int(0);
        return Ok(());
    }
    let ids = call.args.rest(2).iter().map(exact).collect::<Result<Vec<Id>, Error>>()?;
    let mut gone = 0;
    if let Some(mut stream) = call.engine.edit::<Stream>(db, &key)? {
        gone = ids.iter().filter(|id| stream.delete(**id)).count();
    }
    if gone > 0 {
        call.notify(EventClass::STREAM, "xdel", &key);
    }
    call.engine.dirty(gone as u64);
    call.reply.len(gone);
    Ok(())
}

fn xlen(call: &mut Call<'_>) -> Result<(), Error> {
    let key = call.key(1);
    let len = call.engine.read::<Stream>(call.db, &key)?.map_or(0, Stream::len);
    call.reply.len(len);
    Ok(())
}

fn xrange(call: &mut Call<'_>, reverse: bool) -> Result<(), Error> {
    let (from, to) = if reverse { (3, 2) } else { (2, 3) };
    let (from, to) = bounds(call, from, to)?;
    let mut count = None;
    let mut index = 4;
    while index < call.args.len() {
        if !call.args.is(index, "COUNT") || index + 1 == call.args.len() {
            return Err(Error::Syntax);
        }
        count = Some(usize::try_from(call.integer(index + 1)?).unwrap_or(0));
        index += 2;
    }
    let key = call.key(1);
    let Some(stream) = call.engine.read::<Stream>(call.db, &key)? else {
        call.reply.array(0);
        return Ok(());
    };
    match count {
        Some(0) => call.reply.null_array(),
        // Redis takes -1 for no limit, but a client's negative count for none at all.
        _ if reverse => {
            put_entries(&mut call.reply, stream.range_back(to, from), count.unwrap_or(usize::MAX));
        }
        _ => put_entries(&mut call.reply, stream.range(from, to), count.unwrap_or(usize::MAX)),
    }
    Ok(())
}

fn xsetid(call: &mut Call<'_>) -> Result<(), Error> {
    let last = exact(call.args.at(2))?;
    let (mut added, mut max_deleted) = (None, Id::MIN);
    let mut index = 3;
    while index < call.args.len() {
        if index + 1 == call.args.len() {
            return Err(Error::Syntax);
        } else if call.args.is(index, "ENTRIESADDED") {
            let number = u64::try_from(call.integer(index + 1)?);
            added = Some(number.map_err(|_| Error::err("entries_added must be positive"))?);
        } else if call.args.is(index, "MAXDELETEDID") {
            max_deleted = exact(call.args.at(index + 1))?;
            if last < max_deleted {
                return Err(Error::err(
                    "The ID specified in XSETID is smaller than the provided max_deleted_entry_id",
                ));
            }
        } else {
            return Err(Error::Syntax);
        }
        index += 2;
    }
    let (key, db) = (call.key(1), call.db);
    let stream = call.engine.peek::<Stream>(db, &key)?.ok_or(Error::NoSuchKey)?;
    let mut facts = stream.facts();
    if let Some(top) = stream.last_id() {
        if last < top {
            return Err(Error::err("The ID specified in XSETID is smaller than the target stream top item"));
        }
        if added.is_some_and(|added| added < stream.len() as u64) {
            return Err(Error::err(
                "The entries_added specified in XSETID is smaller than the target stream length",
            ));
        }
    }
    facts.last = last;
    facts.added = added.unwrap_or(facts.added);
    if max_deleted != Id::MIN {
        facts.max_deleted = max_deleted;
    }
    if let Some(mut stream) = call.engine.edit::<Stream>(db, &key)? {
        stream.set_facts(facts);
    }
    call.notify(EventClass::STREAM, "xsetid", &key);
    call.engine.dirty_unseen(1);
    call.reply.ok();
    Ok(())
}
