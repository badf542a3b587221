//! Lists, without the commands that wait for elements.

use slotway_common::command::wrong_arity;
use slotway_common::error::Error;
use slotway_common::number::parse_i64;

use super::bounds::clamp;
use super::items::{self, Check, at_least, element, optional};
use crate::call::{Call, DataCommand, reads, writes};
use crate::engine::{EventClass, Key};
use crate::types::List;
use crate::types::list::End;

pub(super) const HANDLERS: &[DataCommand] = &[
    writes("lpush", lpush),
    writes("rpush", rpush),
    writes("lpushx", lpushx),
    writes("rpushx", rpushx),
    writes("lpop", lpop),
    writes("rpop", rpop),
    reads("llen", llen),
    reads("lindex", lindex),
    writes("lset", lset),
    reads("lrange", lrange),
    writes("ltrim", ltrim),
    writes("lrem", lrem),
    writes("linsert", linsert),
    reads("lpos", lpos),
    writes("lmove", lmove),
    writes("rpoplpush", rpoplpush),
    writes("lmpop", lmpop),
];

fn lpush(call: &mut Call<'_>) -> Result<(), Error> {
    push(call, End::Head)
}

fn rpush(call: &mut Call<'_>) -> Result<(), Error> {
    push(call, End::Tail)
}

fn push(call: &mut Call<'_>, end: End) -> Result<(), Error> {
    let (key, values, limits) = (call.key(1), call.args.rest(2), call.engine.limits);
    let mut list = call.engine.edit_or_create::<List>(call.db, &key)?;
    for value in values.iter() {
        list.push(end, value, &limits);
    }
    let len = list.len();
    drop(list);
    pushed(call, &key, end);
    call.engine.dirty(values.len() as u64);
    call.reply.len(len);
    Ok(())
}

/// Tells of elements that were pushed.
fn pushed(call: &mut Call<'_>, key: &Key<'_>, end: End) {
    let event = match end {
        End::Head => "lpush",
        End::Tail => "rpush",
    };
    call.notify(EventClass::LIST, event, key);
}

/// Tells of elements that were popped.
fn popped_from(call: &mut Call<'_>, key: &Key<'_>, end: End) {
    let event = match end {
        End::Head => "lpop",
        End::Tail => "rpop",
    };
    call.notify(EventClass::LIST, event, key);
}

fn lpushx(call: &mut Call<'_>) -> Result<(), Error> {
    push_if_present(call, End::Head)
}

fn rpushx(call: &mut Call<'_>) -> Result<(), Error> {
    push_if_present(call, End::Tail)
}

fn push_if_present(call: &mut Call<'_>, end: End) -> Result<(), Error> {
    let key = call.key(1);
    if call.engine.exists(call.db, &key) {
        return push(call, end);
    }
    call.reply.int(0);
    Ok(())
}

fn lpop(call: &mut Call<'_>) -> Result<(), Error> {
    pop(call, End::Head)
}

fn rpop(call: &mut Call<'_>) -> Result<(), Error> {
    pop(call, End::Tail)
}

fn pop(call: &mut Call<'_>, end: End) -> Result<(), Error> {
    let count = match call.args.len() {
        2 => None,
        3 => Some(items::positive(call.args.at(2))?),
        _ => return Err(wrong_arity(call.command)),
    };
    let key = call.key(1);
    let Some(mut list) = call.engine.edit::<List>(call.db, &key)? else {
        match count {
            Some(_) => call.reply.null_array(),
            None => call.reply.null(),
        }
        return Ok(());
    };
    let popped = count.unwrap_or(1).min(list.len());
    if count.is_some() {
        call.reply.array(popped);
    }
    for value in from_end(&list, end).take(popped) {
        element(&mut call.reply, value);
    }
    list.drop_end(end, popped);
    drop(list);
    if popped > 0 {
        popped_from(call, &key, end);
    }
    call.engine.dirty(popped as u64);
    Ok(())
}

/// The elements of a list that is not empty from one end to the other.
fn from_end(list: &List, end: End) -> crate::types::list::Iter<'_> {
    match end {
        End::Head => list.iter_from(0, false),
        End::Tail => list.iter_from(list.len().saturating_sub(1), true),
    }
}

fn llen(call: &mut Call<'_>) -> Result<(), Error> {
    let key = call.key(1);
    let len = call.engine.read::<List>(call.db, &key)?.map_or(0, List::len);
    call.reply.len(len);
    Ok(())
}

/// The rank that an index means, which counts from the end if it is negative.
fn rank_of(index: i64, len: usize) -> Option<usize> {
    let rank = if index < 0 { index.checked_add_unsigned(len as u64)? } else { index };
    usize::try_from(rank).ok().filter(|rank| *rank < len)
}

fn lindex(call: &mut Call<'_>) -> Result<(), Error> {
    let (key, index) = (call.key(1), call.args.at(2));
    // An index that is no number is told only for a list that exists.
    let Some(list) = call.engine.read::<List>(call.db, &key)? else {
        call.reply.null();
        return Ok(());
    };
    let index = parse_i64(index).ok_or(Error::NotInteger)?;
    optional(&mut call.reply, rank_of(index, list.len()).and_then(|rank| list.get(rank)));
    Ok(())
}

fn lset(call: &mut Call<'_>) -> Result<(), Error> {
    let (key, index, limits) = (call.key(1), call.args.at(2), call.engine.limits);
    let mut list = call.engine.edit::<List>(call.db, &key)?.ok_or(Error::NoSuchKey)?;
    let index = parse_i64(index).ok_or(Error::NotInteger)?;
    let rank = rank_of(index, list.len()).ok_or(Error::IndexOutOfRange)?;
    list.set(rank, call.args.at(3), &limits);
    drop(list);
    call.notify(EventClass::LIST, "lset", &key);
    call.engine.dirty(1);
    call.reply.ok();
    Ok(())
}

fn lrange(call: &mut Call<'_>) -> Result<(), Error> {
    let (start, end) = (call.integer(2)?, call.integer(3)?);
    let key = call.key(1);
    let list = call.engine.read::<List>(call.db, &key)?;
    match list.and_then(|list| Some((list, clamp(start, end, list.len())?))) {
        Some((list, (from, to))) => {
            call.reply.array(to - from);
            for value in list.iter_from(from, false).take(to - from) {
                element(&mut call.reply, value);
            }
        }
        None => call.reply.array(0),
    }
    Ok(())
}

fn ltrim(call: &mut Call<'_>) -> Result<(), Error> {
    let (start, end) = (call.integer(2)?, call.integer(3)?);
    let key = call.key(1);
    let (mut removed, mut exists) = (0, false);
    if let Some(mut list) = call.engine.edit::<List>(call.db, &key)? {
        exists = true;
        let len = list.len();
        let (from, to) = clamp(start, end, len).unwrap_or((len, len));
        list.drop_end(End::Tail, len - to);
        list.drop_end(End::Head, from);
        removed = len - (to - from);
    }
    if exists {
        call.notify(EventClass::LIST, "ltrim", &key);
        call.engine.seem_changed(call.db, &key);
    }
    call.engine.dirty(removed as u64);
    call.reply.ok();
    Ok(())
}

fn lrem(call: &mut Call<'_>) -> Result<(), Error> {
    let count = call.integer(2)?;
    let key = call.key(1);
    let mut removed = 0;
    if let Some(mut list) = call.engine.edit::<List>(call.db, &key)? {
        let from = if count < 0 { End::Tail } else { End::Head };
        let most = if count == 0 { usize::MAX } else { count.unsigned_abs() as usize };
        removed = list.remove_equal(call.args.at(3), most, from);
    }
    if removed > 0 {
        call.notify(EventClass::LIST, "lrem", &key);
    }
    call.engine.dirty(removed as u64);
    call.reply.len(removed);
    Ok(())
}

fn linsert(call: &mut Call<'_>) -> Result<(), Error> {
    let after = if call.args.is(2, "AFTER") {
        true
    } else if call.args.is(2, "BEFORE") {
        false
    } else {
        return Err(Error::Syntax);
    };
    let (key, pivot, limits) = (call.key(1), call.args.at(3), call.engine.limits);
    let Some(mut list) = call.engine.edit::<List>(call.db, &key)? else {
        call.reply.int(0);
        return Ok(());
    };
    let Some(rank) = list.iter().position(|value| value.is(pivot)) else {
        call.reply.int(-1);
        return Ok(());
    };
    list.insert_before(rank + usize::from(after), call.args.at(4), &limits);
    let len = list.len();
    drop(list);
    call.notify(EventClass::LIST, "linsert", &key);
    call.engine.dirty(1);
    call.reply.len(len);
    Ok(())
}

fn lpos(call: &mut Call<'_>) -> Result<(), Error> {
    let (mut rank, mut count, mut most) = (1, None, 0);
    let mut index = 3;
    while index < call.args.len() {
        if index + 1 == call.args.len() {
            return Err(Error::Syntax);
        }
        let value = call.args.at(index + 1);
        if call.args.is(index, "RANK") {
            rank = parse_i64(value).ok_or(Error::NotInteger)?;
            if rank == 0 {
                return Err(Error::err(
                    "RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative \
                     to start from the end of the list",
                ));
            }
        } else if call.args.is(index, "COUNT") {
            count = Some(at_least(value, 0, "COUNT can't be negative")?);
        } else if call.args.is(index, "MAXLEN") {
            most = at_least(value, 0, "MAXLEN can't be negative")?;
        } else {
            return Err(Error::Syntax);
        }
        index += 2;
    }
    let (key, wanted) = (call.key(1), call.args.at(2));
    let list = call.engine.read::<List>(call.db, &key)?;
    let end = if rank < 0 { End::Tail } else { End::Head };
    let or_all = |number: usize| if number == 0 { usize::MAX } else { number };
    let mut matches = list
        .into_iter()
        .flat_map(|list| {
            let rank_of = move |step: usize| if rank < 0 { list.len() - 1 - step } else { step };
            from_end(list, end).enumerate().map(move |(step, value)| (rank_of(step), value))
        })
        .take(or_all(most))
        .filter(|(_, value)| value.is(wanted))
        .map(|(rank, _)| rank)
        // The least integer, whose sign cannot be turned, counts as -1.
        .skip(rank.checked_abs().map_or(0, |rank| rank as usize - 1));
    match count {
        None => match matches.next() {
            Some(rank) => call.reply.len(rank),
            None => call.reply.null(),
        },
        Some(count) => {
            let found: Vec<usize> = matches.take(or_all(count)).collect();
            call.reply.array(found.len());
            found.into_iter().for_each(|rank| call.reply.len(rank));
        }
    }
    Ok(())
}

/// The end that a word names.
pub(super) fn end_named(word: &[u8]) -> Result<End, Error> {
    if word.eq_ignore_ascii_case(b"LEFT") {
        Ok(End::Head)
    } else if word.eq_ignore_ascii_case(b"RIGHT") {
        Ok(End::Tail)
    } else {
        Err(Error::Syntax)
    }
}

fn lmove(call: &mut Call<'_>) -> Result<(), Error> {
    let (from, to) = (end_named(call.args.at(3))?, end_named(call.args.at(4))?);
    move_or_null(call, from, to)
}

fn rpoplpush(call: &mut Call<'_>) -> Result<(), Error> {
    move_or_null(call, End::Tail, End::Head)
}

fn move_or_null(call: &mut Call<'_>, from: End, to: End) -> Result<(), Error> {
    if !move_between(call, from, to)? {
        call.reply.null();
    }
    Ok(())
}

/// Moves an element and replies with it; false, without a reply, if there is none.
pub(super) fn move_between(call: &mut Call<'_>, from: End, to: End) -> Result<bool, Error> {
    let (source, target, db) = (call.key(1), call.key(2), call.db);
    let limits = call.engine.limits;
    if call.engine.edit::<List>(db, &source)?.is_none() {
        return Ok(false);
    }
    // The target's type is checked before anything is taken from the source.
    call.engine.edit::<List>(db, &target)?;
    let found = call.engine.peek::<List>(db, &source)?.and_then(|list| list.peek(from));
    let Some(value) = found.map(|value| value.to_vec()) else { return Ok(false) };
    // First the push: a list that is turned round is never empty in between, which would lose its expiry, and the events
    // have this order.
    call.engine.edit_or_create::<List>(db, &target)?.push(to, &value, &limits);
    pushed(call, &target, to);
    if let Some(mut list) = call.engine.edit::<List>(db, &source)? {
        match (source.bytes == target.bytes, from, to) {
            (true, End::Head, End::Head) => list.remove_range(1, 1),
            (true, End::Tail, End::Tail) => {
                let before_last = list.len().saturating_sub(2);
                list.remove_range(before_last, 1);
            }
            _ => list.drop_end(from, 1),
        }
    }
    popped_from(call, &source, from);
    // As Redis counts it: one change, of two keys.
    call.engine.dirty(1);
    call.reply.bulk(&value);
    Ok(true)
}

/// Pops one element of the key at an argument and replies with both; false, without a reply, if there is none.
pub(super) fn pop_with_key(call: &mut Call<'_>, index: usize, end: End) -> Result<bool, Error> {
    let key = call.key(index);
    let Some(mut list) = call.engine.edit::<List>(call.db, &key)? else { return Ok(false) };
    call.reply.array(2);
    call.reply.bulk(key.bytes);
    for value in from_end(&list, end).take(1) {
        element(&mut call.reply, value);
    }
    list.drop_end(end, 1);
    drop(list);
    popped_from(call, &key, end);
    call.engine.dirty(1);
    Ok(true)
}

fn lmpop(call: &mut Call<'_>) -> Result<(), Error> {
    if lmpop_at(call, 1, |_| Ok(()))?.is_some() {
        call.reply.null_array();
    }
    Ok(())
}

/// LMPOP whose number of keys stands at `numkeys`. Gives the places of the keys, without a reply, if none has anything.
pub(super) fn lmpop_at(
    call: &mut Call<'_>,
    numkeys: usize,
    check: Check,
) -> Result<Option<std::ops::Range<usize>>, Error> {
    let (keys, next) = items::numbered_keys(call, numkeys)?;
    let end = end_named(call.args.at(next))?;
    let count = items::pop_count(call, next + 1)?;
    check(call)?;
    for index in keys.clone() {
        let key: Key<'_> = call.key(index);
        let Some(mut list) = call.engine.edit::<List>(call.db, &key)? else { continue };
        let popped = count.min(list.len());
        call.reply.array(2);
        call.reply.bulk(key.bytes);
        call.reply.array(popped);
        for value in from_end(&list, end).take(popped) {
            element(&mut call.reply, value);
        }
        list.drop_end(end, popped);
        drop(list);
        popped_from(call, &key, end);
        call.engine.dirty(popped as u64);
        return Ok(None);
    }
    Ok(Some(keys))
}
