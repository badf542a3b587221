//! Hashes.

use rand::rngs::SmallRng;
use slotway_common::command::wrong_arity;
use slotway_common::error::Error;
use slotway_common::number::Extended;
use slotway_common::resp::Reply;

use super::items::{self, With, element, optional};
use crate::call::{Call, DataCommand, reads, writes};
use crate::engine::EventClass;
use crate::types::Hash;
use crate::types::item::Item;

pub(super) const HANDLERS: &[DataCommand] = &[
    writes("hset", hset),
    writes("hmset", hmset),
    writes("hsetnx", hsetnx),
    reads("hget", hget),
    reads("hmget", hmget),
    writes("hincrby", hincrby),
    writes("hincrbyfloat", hincrbyfloat),
    writes("hdel", hdel),
    reads("hlen", hlen),
    reads("hstrlen", hstrlen),
    reads("hkeys", hkeys),
    reads("hvals", hvals),
    reads("hgetall", hgetall),
    reads("hexists", hexists),
    reads("hrandfield", hrandfield),
    reads("hscan", hscan),
];

fn read<'c>(call: &'c mut Call<'_>) -> Result<Option<&'c Hash>, Error> {
    let key = call.key(1);
    call.engine.read(call.db, &key)
}

/// Sets all pairs from argument 2 on; gives the number of new fields.
fn set_pairs(call: &mut Call<'_>) -> Result<usize, Error> {
    if call.args.len() % 2 == 1 {
        return Err(wrong_arity(call.command));
    }
    let (key, limits) = (call.key(1), call.engine.limits);
    let mut hash = call.engine.edit_or_create::<Hash>(call.db, &key)?;
    let mut new = 0;
    for index in (2..call.args.len()).step_by(2) {
        new += usize::from(hash.set(call.args.at(index), call.args.at(index + 1), &limits));
    }
    drop(hash);
    call.notify(EventClass::HASH, "hset", &key);
    call.engine.dirty(call.args.len() as u64 / 2 - 1);
    Ok(new)
}

fn hset(call: &mut Call<'_>) -> Result<(), Error> {
    let new = set_pairs(call)?;
    call.reply.len(new);
    Ok(())
}

fn hmset(call: &mut Call<'_>) -> Result<(), Error> {
    set_pairs(call)?;
    call.reply.ok();
    Ok(())
}

fn hsetnx(call: &mut Call<'_>) -> Result<(), Error> {
    let (key, limits) = (call.key(1), call.engine.limits);
    let mut hash = call.engine.edit_or_create::<Hash>(call.db, &key)?;
    let absent = hash.get(call.args.at(2)).is_none();
    if absent {
        hash.set(call.args.at(2), call.args.at(3), &limits);
    }
    drop(hash);
    if absent {
        call.notify(EventClass::HASH, "hset", &key);
    }
    call.engine.dirty(u64::from(absent));
    call.reply.int(i64::from(absent));
    Ok(())
}

fn hget(call: &mut Call<'_>) -> Result<(), Error> {
    let (key, field) = (call.key(1), call.args.at(2));
    let hash = call.engine.read::<Hash>(call.db, &key)?;
    optional(&mut call.reply, hash.and_then(|hash| hash.get(field)));
    Ok(())
}

fn hmget(call: &mut Call<'_>) -> Result<(), Error> {
    let (key, fields) = (call.key(1), call.args.rest(2));
    let hash = call.engine.read::<Hash>(call.db, &key)?;
    call.reply.array(fields.len());
    for field in fields.iter() {
        optional(&mut call.reply, hash.and_then(|hash| hash.get(field)));
    }
    Ok(())
}

fn hincrby(call: &mut Call<'_>) -> Result<(), Error> {
    let by = call.integer(3)?;
    let (key, field, limits) = (call.key(1), call.args.at(2), call.engine.limits);
    let mut hash = call.engine.edit_or_create::<Hash>(call.db, &key)?;
    let old = match hash.get(field) {
        Some(value) => value.integer().ok_or(Error::err("hash value is not an integer"))?,
        None => 0,
    };
    let new = old.checked_add(by).ok_or(Error::Overflow)?;
    hash.set(field, itoa::Buffer::new().format(new).as_bytes(), &limits);
    drop(hash);
    call.notify(EventClass::HASH, "hincrby", &key);
    call.engine.dirty(1);
    call.reply.int(new);
    Ok(())
}

fn hincrbyfloat(call: &mut Call<'_>) -> Result<(), Error> {
    let by = Extended::parse(call.args.at(3)).ok_or(Error::NotFloat)?;
    if by.is_infinite() {
        return Err(Error::err("value is NaN or Infinity"));
    }
    let (key, field, limits) = (call.key(1), call.args.at(2), call.engine.limits);
    let mut hash = call.engine.edit_or_create::<Hash>(call.db, &key)?;
    let old = match hash.get(field) {
        Some(value) => Extended::parse(&value.to_vec()).ok_or(Error::err("hash value is not a float"))?,
        None => Extended::ZERO,
    };
    let new = old
        .plus(by)
        .filter(|sum| !sum.is_infinite())
        .ok_or(Error::err("increment would produce NaN or Infinity"))?
        .to_text();
    hash.set(field, new.as_bytes(), &limits);
    drop(hash);
    call.notify(EventClass::HASH, "hincrbyfloat", &key);
    call.engine.dirty(1);
    call.reply.bulk(new.as_bytes());
    Ok(())
}

fn hdel(call: &mut Call<'_>) -> Result<(), Error> {
    let (key, fields) = (call.key(1), call.args.rest(2));
    let mut removed = 0;
    if let Some(mut hash) = call.engine.edit::<Hash>(call.db, &key)? {
        removed = fields.iter().filter(|field| hash.remove(field)).count();
    }
    if removed > 0 {
        call.notify(EventClass::HASH, "hdel", &key);
    }
    call.engine.dirty(removed as u64);
    call.reply.len(removed);
    Ok(())
}

fn hlen(call: &mut Call<'_>) -> Result<(), Error> {
    let len = read(call)?.map_or(0, Hash::len);
    call.reply.len(len);
    Ok(())
}

fn hstrlen(call: &mut Call<'_>) -> Result<(), Error> {
    let field = call.args.at(2);
    let len = read(call)?.and_then(|hash| hash.get(field)).map_or(0, Item::text_len);
    call.reply.len(len);
    Ok(())
}

fn hexists(call: &mut Call<'_>) -> Result<(), Error> {
    let field = call.args.at(2);
    let exists = read(call)?.is_some_and(|hash| hash.get(field).is_some());
    call.reply.int(i64::from(exists));
    Ok(())
}

fn hkeys(call: &mut Call<'_>) -> Result<(), Error> {
    let key = call.key(1);
    let hash = call.engine.read::<Hash>(call.db, &key)?;
    call.reply.array(hash.map_or(0, Hash::len));
    for (field, _) in hash.into_iter().flat_map(Hash::iter) {
        element(&mut call.reply, field);
    }
    Ok(())
}

fn hvals(call: &mut Call<'_>) -> Result<(), Error> {
    let key = call.key(1);
    let hash = call.engine.read::<Hash>(call.db, &key)?;
    call.reply.array(hash.map_or(0, Hash::len));
    for (_, value) in hash.into_iter().flat_map(Hash::iter) {
        element(&mut call.reply, value);
    }
    Ok(())
}

fn hgetall(call: &mut Call<'_>) -> Result<(), Error> {
    let key = call.key(1);
    let hash = call.engine.read::<Hash>(call.db, &key)?;
    call.reply.map(hash.map_or(0, Hash::len));
    for (field, value) in hash.into_iter().flat_map(Hash::iter) {
        element(&mut call.reply, field);
        element(&mut call.reply, value);
    }
    Ok(())
}

fn hrandfield(call: &mut Call<'_>) -> Result<(), Error> {
    let key = call.key(1);
    let mut rng = items::generator(call.engine);
    if call.args.len() == 2 {
        let hash = call.engine.read::<Hash>(call.db, &key)?;
        optional(&mut call.reply, hash.and_then(|hash| hash.random(&mut rng)).map(|(field, _)| field));
        return Ok(());
    }
    let (count, values) = items::sample_size(call, "WITHVALUES")?;
    let Some(hash) = call.engine.read::<Hash>(call.db, &key)? else {
        call.reply.array(0);
        return Ok(());
    };
    let draw = |rng: &mut SmallRng| hash.random(rng);
    let value = values.then_some(element as fn(&mut Reply<'_>, Item<'_>));
    items::reply_sample(&mut call.reply, hash.len(), count, &mut rng, hash.iter(), draw, value);
    Ok(())
}

fn hscan(call: &mut Call<'_>) -> Result<(), Error> {
    items::scan::<Hash>(call, |hash, cursor, count, found| {
        hash.scan(cursor, count, |field, value| found.push((field, With::Value(value))))
    })
}
