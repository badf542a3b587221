//! Sets.

pub(super) mod algebra;

use rand::rngs::SmallRng;
use slotway_common::error::Error;

use super::items::{self, With, element, optional};
use crate::call::{Call, DataCommand, reads, rewritten, writes};
use crate::engine::EventClass;
use crate::types::item::Item;
use crate::types::{Kind, Set};

pub(super) const HANDLERS: &[DataCommand] = &[
    writes("sadd", sadd),
    writes("srem", srem),
    reads("sismember", sismember),
    reads("smismember", smismember),
    reads("scard", scard),
    rewritten("spop", spop),
    reads("srandmember", srandmember),
    reads("smembers", smembers),
    writes("smove", smove),
    reads("sscan", sscan),
];

fn sadd(call: &mut Call<'_>) -> Result<(), Error> {
    let (key, members, limits) = (call.key(1), call.args.rest(2), call.engine.limits);
    let mut set = call.engine.edit_or_create::<Set>(call.db, &key)?;
    let added = members.iter().filter(|member| set.insert(member, &limits)).count();
    drop(set);
    if added > 0 {
        call.notify(EventClass::SET, "sadd", &key);
    }
    call.engine.dirty(added as u64);
    call.reply.len(added);
    Ok(())
}

fn srem(call: &mut Call<'_>) -> Result<(), Error> {
    let (key, members) = (call.key(1), call.args.rest(2));
    let mut removed = 0;
    if let Some(mut set) = call.engine.edit::<Set>(call.db, &key)? {
        removed = members.iter().filter(|member| set.remove(member)).count();
    }
    if removed > 0 {
        call.notify(EventClass::SET, "srem", &key);
    }
    call.engine.dirty(removed as u64);
    call.reply.len(removed);
    Ok(())
}

fn sismember(call: &mut Call<'_>) -> Result<(), Error> {
    let (key, member) = (call.key(1), call.args.at(2));
    let is_member = call.engine.read::<Set>(call.db, &key)?.is_some_and(|set| set.contains(member));
    call.reply.int(i64::from(is_member));
    Ok(())
}

fn smismember(call: &mut Call<'_>) -> Result<(), Error> {
    let (key, members) = (call.key(1), call.args.rest(2));
    let set = call.engine.read::<Set>(call.db, &key)?;
    call.reply.array(members.len());
    for member in members.iter() {
        call.reply.int(i64::from(set.is_some_and(|set| set.contains(member))));
    }
    Ok(())
}

fn scard(call: &mut Call<'_>) -> Result<(), Error> {
    let key = call.key(1);
    let len = call.engine.read::<Set>(call.db, &key)?.map_or(0, Set::len);
    call.reply.len(len);
    Ok(())
}

fn smembers(call: &mut Call<'_>) -> Result<(), Error> {
    let key = call.key(1);
    let set = call.engine.read::<Set>(call.db, &key)?;
    call.reply.set(set.map_or(0, Set::len));
    for member in set.into_iter().flat_map(Set::iter) {
        element(&mut call.reply, member);
    }
    Ok(())
}

fn smove(call: &mut Call<'_>) -> Result<(), Error> {
    let (source, target, member, db) = (call.key(1), call.key(2), call.args.at(3), call.db);
    let limits = call.engine.limits;
    let contains = match call.engine.edit::<Set>(db, &source)? {
        None => {
            call.reply.int(0);
            return Ok(());
        }
        Some(set) => set.contains(member),
    };
    call.engine.peek::<Set>(db, &target)?;
    if contains && source.bytes != target.bytes {
        if let Some(mut set) = call.engine.edit::<Set>(db, &source)? {
            set.remove(member);
        }
        call.notify(EventClass::SET, "srem", &source);
        // A target that has it already does not change, and nobody who watches or has read it is told.
        let new = !call.engine.peek::<Set>(db, &target)?.is_some_and(|set| set.contains(member));
        if new {
            call.engine.edit_or_create::<Set>(db, &target)?.insert(member, &limits);
            call.notify(EventClass::SET, "sadd", &target);
        }
        call.engine.dirty(1 + u64::from(new));
    }
    call.reply.int(i64::from(contains));
    Ok(())
}

/// Past this many times more members popped than left, the left ones are collected instead of the popped ones.
const POPPED_FOR_ONE_LEFT: usize = 5;

/// SPOP chooses at random: who repeats it must remove the same members.
fn repeat_as_removal(call: &mut Call<'_>, members: &[Vec<u8>]) {
    let key = call.key(1);
    call.engine.repeat_as(key.slot, || {
        let head = [b"SREM".to_vec(), key.bytes.to_vec()];
        head.into_iter().chain(members.iter().cloned()).collect()
    });
}

fn spop(call: &mut Call<'_>) -> Result<(), Error> {
    if call.args.len() > 3 {
        return Err(Error::Syntax);
    }
    let count = if call.args.len() == 3 { Some(items::positive(call.args.at(2))?) } else { None };
    let (key, limits) = (call.key(1), call.engine.limits);
    let mut rng = items::generator(call.engine);
    let is_watched = call.engine.is_watched(key.slot);
    let Some(mut set) = call.engine.edit::<Set>(call.db, &key)? else {
        match count {
            Some(_) => call.reply.set(0),
            None => call.reply.null(),
        }
        return Ok(());
    };
    let Some(count) = count else {
        let member = set.random(&mut rng).map(Item::to_vec).unwrap_or_default();
        set.remove(&member);
        drop(set);
        call.notify(EventClass::SET, "spop", &key);
        repeat_as_removal(call, std::slice::from_ref(&member));
        call.engine.dirty(1);
        call.reply.bulk(&member);
        return Ok(());
    };
    let popped = count.min(set.len());
    call.reply.set(popped);
    let left = set.len() - popped;
    let mut removed = Vec::new();
    if !is_watched && popped >= left.saturating_mul(POPPED_FOR_ONE_LEFT) {
        let mut kept = Set::new();
        while kept.len() < left
            && let Some(member) = set.random(&mut rng).map(Item::to_vec)
        {
            set.remove(&member);
            kept.insert(&member, &limits);
        }
        set.iter().for_each(|member| element(&mut call.reply, member));
        *set = kept;
    } else {
        for _ in 0..popped {
            let Some(member) = set.random(&mut rng).map(Item::to_vec) else { break };
            set.remove(&member);
            call.reply.bulk(&member);
            if is_watched {
                removed.push(member);
            }
        }
    }
    drop(set);
    if popped > 0 {
        call.notify(EventClass::SET, "spop", &key);
    }
    if !removed.is_empty() {
        repeat_as_removal(call, &removed);
    }
    call.engine.dirty(popped as u64);
    Ok(())
}

fn srandmember(call: &mut Call<'_>) -> Result<(), Error> {
    let key = call.key(1);
    let mut rng = items::generator(call.engine);
    let count = match call.args.len() {
        2 => {
            let set = call.engine.read::<Set>(call.db, &key)?;
            optional(&mut call.reply, set.and_then(|set| set.random(&mut rng)));
            return Ok(());
        }
        3 => items::signed(call.args.at(2))?,
        _ => return Err(Error::Syntax),
    };
    let Some(set) = call.engine.read::<Set>(call.db, &key)? else {
        call.reply.array(0);
        return Ok(());
    };
    let draw = |rng: &mut SmallRng| Some((set.random(rng)?, ()));
    let all = set.iter().map(|member| (member, ()));
    items::reply_sample(&mut call.reply, set.len(), count, &mut rng, all, draw, None);
    Ok(())
}

fn sscan(call: &mut Call<'_>) -> Result<(), Error> {
    items::scan::<Set>(call, |set, cursor, count, found| {
        set.scan(cursor, count, |member| found.push((member, With::Nothing)))
    })
}

/// Stores a result under a key, or removes the key if the result is empty, and replies its size. Tells of it as `event`.
fn store(call: &mut Call<'_>, index: usize, result: Set, event: &'static str) {
    let (target, len) = (call.key(index), result.len());
    if len > 0 {
        call.engine.set(call.db, &target, result.into_object());
        call.notify(EventClass::SET, event, &target);
        call.engine.dirty(1);
    } else if call.engine.remove(call.db, &target) {
        call.notify(EventClass::GENERIC, "del", &target);
        call.engine.dirty(1);
    }
    call.reply.len(len);
}
