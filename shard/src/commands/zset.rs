//! Sorted sets, without the commands that wait for members.

pub(super) mod algebra;
mod bounds;
pub(super) mod range;

use rand::rngs::SmallRng;
use slotway_common::error::Error;
use slotway_common::number::parse_f64;
use slotway_common::resp::Reply;

use super::items::{self, Check, With, element, optional};
use crate::call::{Call, DataCommand, reads, writes};
use crate::engine::{EventClass, Key};
use crate::types::item::Item;
use crate::types::zset::integral;
use crate::types::{Kind, ZSet};

pub(super) const HANDLERS: &[DataCommand] = &[
    writes("zadd", zadd),
    writes("zincrby", zincrby),
    writes("zrem", zrem),
    reads("zscore", zscore),
    reads("zmscore", zmscore),
    reads("zcard", zcard),
    reads("zrank", zrank),
    reads("zrevrank", zrevrank),
    writes("zpopmin", zpopmin),
    writes("zpopmax", zpopmax),
    writes("zmpop", zmpop),
    reads("zrandmember", zrandmember),
    reads("zscan", zscan),
];

/// What ZADD's options say.
#[derive(Clone, Copy, Default)]
pub(super) struct Adding {
    pub if_absent: bool,
    pub if_present: bool,
    if_greater: bool,
    if_less: bool,
    increment: bool,
    pub count_changed: bool,
}

/// What became of one member.
enum Outcome {
    /// An option kept it from being touched.
    Kept,
    Added(f64),
    Changed(f64),
    /// It has this score already.
    Same(f64),
}

impl Adding {
    fn apply(
        self,
        zset: &mut ZSet,
        member: &[u8],
        score: f64,
        limits: &crate::engine::Limits,
    ) -> Result<Outcome, Error> {
        let Some(old) = zset.score(member) else {
            if self.if_present {
                return Ok(Outcome::Kept);
            }
            zset.set(member, score, limits);
            return Ok(Outcome::Added(score));
        };
        if self.if_absent {
            return Ok(Outcome::Kept);
        }
        let new = if self.increment { old + score } else { score };
        if new.is_nan() {
            return Err(Error::err("resulting score is not a number (NaN)"));
        }
        if (self.if_greater && new <= old) || (self.if_less && new >= old) {
            return Ok(Outcome::Kept);
        }
        if new == old {
            return Ok(Outcome::Same(new));
        }
        zset.set(member, new, limits);
        Ok(Outcome::Changed(new))
    }
}

fn zadd(call: &mut Call<'_>) -> Result<(), Error> {
    add(call, Adding::default())
}

fn zincrby(call: &mut Call<'_>) -> Result<(), Error> {
    add(call, Adding { increment: true, ..Adding::default() })
}

fn add(call: &mut Call<'_>, mut adding: Adding) -> Result<(), Error> {
    let mut first = 2;
    while let Some(word) = call.args.get(first) {
        let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
        if is("NX") {
            adding.if_absent = true;
        } else if is("XX") {
            adding.if_present = true;
        } else if is("GT") {
            adding.if_greater = true;
        } else if is("LT") {
            adding.if_less = true;
        } else if is("CH") {
            adding.count_changed = true;
        } else if is("INCR") {
            adding.increment = true;
        } else {
            break;
        }
        first += 1;
    }
    let pairs = call.args.rest(first);
    if pairs.is_empty() || !pairs.len().is_multiple_of(2) {
        return Err(Error::Syntax);
    }
    let Adding { if_absent, if_present, if_greater, if_less, increment, .. } = adding;
    if if_absent && if_present {
        return Err(Error::err("XX and NX options at the same time are not compatible"));
    }
    if [if_absent, if_greater, if_less].iter().filter(|given| **given).count() > 1 {
        return Err(Error::err("GT, LT, and/or NX options at the same time are not compatible"));
    }
    if increment && pairs.len() > 2 {
        return Err(Error::err("INCR option supports a single increment-element pair"));
    }
    // All scores are read before the first is used: the command runs whole or not at all.
    let mut few = [0.0; 8];
    let mut many = Vec::new();
    let scores = if pairs.len() / 2 <= few.len() {
        &mut few[..pairs.len() / 2]
    } else {
        many.resize(pairs.len() / 2, 0.0);
        &mut many[..]
    };
    for (index, score) in scores.iter_mut().enumerate() {
        *score = parse_f64(pairs.at(index * 2)).ok_or(Error::NotFloat)?;
    }
    put(call, adding, scores, |index| pairs.at(index * 2 + 1))
}

/// Adds members with their scores to the sorted set at argument 1, and replies as ZADD does.
pub(super) fn put<'a>(
    call: &mut Call<'_>,
    adding: Adding,
    scores: &[f64],
    member: impl Fn(usize) -> &'a [u8],
) -> Result<(), Error> {
    let Adding { if_present, increment, count_changed, .. } = adding;
    let (key, limits, db) = (call.key(1), call.engine.limits, call.db);
    let mut zset = if if_present {
        let Some(zset) = call.engine.edit::<ZSet>(db, &key)? else {
            if increment {
                call.reply.null();
            } else {
                call.reply.int(0);
            }
            return Ok(());
        };
        zset
    } else {
        call.engine.edit_or_create::<ZSet>(db, &key)?
    };
    let (mut added, mut changed, mut last) = (0, 0, None);
    let mut failed = None;
    for (index, score) in scores.iter().enumerate() {
        match adding.apply(&mut zset, member(index), *score, &limits) {
            Ok(Outcome::Kept) => {}
            Ok(Outcome::Added(score)) => {
                added += 1;
                last = Some(score);
            }
            Ok(Outcome::Changed(score)) => {
                changed += 1;
                last = Some(score);
            }
            Ok(Outcome::Same(score)) => last = Some(score),
            Err(error) => {
                failed = Some(error);
                break;
            }
        }
    }
    drop(zset);
    if added + changed > 0 {
        call.notify(EventClass::SORTED_SET, if increment { "zincr" } else { "zadd" }, &key);
    }
    call.engine.dirty(added + changed);
    if let Some(error) = failed {
        return Err(error);
    }
    match last {
        Some(score) if increment => call.reply.double(score),
        None if increment => call.reply.null(),
        _ => call.reply.int((if count_changed { added + changed } else { added }) as i64),
    }
    Ok(())
}

fn zrem(call: &mut Call<'_>) -> Result<(), Error> {
    let (key, members) = (call.key(1), call.args.rest(2));
    let mut removed = 0;
    if let Some(mut zset) = call.engine.edit::<ZSet>(call.db, &key)? {
        removed = members.iter().filter(|member| zset.remove(member).is_some()).count();
    }
    if removed > 0 {
        call.notify(EventClass::SORTED_SET, "zrem", &key);
    }
    call.engine.dirty(removed as u64);
    call.reply.len(removed);
    Ok(())
}

fn score_or_null(reply: &mut Reply<'_>, score: Option<f64>) {
    match score {
        Some(score) => reply.double(score),
        None => reply.null(),
    }
}

fn zscore(call: &mut Call<'_>) -> Result<(), Error> {
    let (key, member) = (call.key(1), call.args.at(2));
    let zset = call.engine.read::<ZSet>(call.db, &key)?;
    score_or_null(&mut call.reply, zset.and_then(|zset| zset.score(member)));
    Ok(())
}

fn zmscore(call: &mut Call<'_>) -> Result<(), Error> {
    let (key, members) = (call.key(1), call.args.rest(2));
    let zset = call.engine.read::<ZSet>(call.db, &key)?;
    call.reply.array(members.len());
    for member in members.iter() {
        score_or_null(&mut call.reply, zset.and_then(|zset| zset.score(member)));
    }
    Ok(())
}

fn zcard(call: &mut Call<'_>) -> Result<(), Error> {
    let key = call.key(1);
    let len = call.engine.read::<ZSet>(call.db, &key)?.map_or(0, ZSet::len);
    call.reply.len(len);
    Ok(())
}

fn zrank(call: &mut Call<'_>) -> Result<(), Error> {
    rank(call, false)
}

fn zrevrank(call: &mut Call<'_>) -> Result<(), Error> {
    rank(call, true)
}

fn rank(call: &mut Call<'_>, reverse: bool) -> Result<(), Error> {
    let (key, member) = (call.key(1), call.args.at(2));
    let zset = call.engine.read::<ZSet>(call.db, &key)?;
    match zset.and_then(|zset| Some((zset, zset.rank(member)?))) {
        Some((zset, (rank, _))) => call.reply.len(if reverse { zset.len() - 1 - rank } else { rank }),
        None => call.reply.null(),
    }
    Ok(())
}

fn zpopmin(call: &mut Call<'_>) -> Result<(), Error> {
    zpop(call, false)
}

fn zpopmax(call: &mut Call<'_>) -> Result<(), Error> {
    zpop(call, true)
}

fn zpop(call: &mut Call<'_>, highest: bool) -> Result<(), Error> {
    let count = match call.args.len() {
        2 => None,
        3 => Some(items::positive(call.args.at(2))?),
        _ => return Err(Error::Syntax),
    };
    // Pairs stand in arrays of their own only in RESP3 and only where a count was given.
    let nested = count.is_some() && call.reply.is_resp3();
    let key = call.key(1);
    let count = count.unwrap_or(1);
    let header = |popped: usize| if nested { popped } else { popped * 2 };
    if !take(call, &key, highest, count, nested, |reply, popped| reply.array(header(popped)))? {
        call.reply.array(0);
    }
    Ok(())
}

fn zmpop(call: &mut Call<'_>) -> Result<(), Error> {
    if zmpop_at(call, 1, |_| Ok(()))?.is_some() {
        call.reply.null_array();
    }
    Ok(())
}

/// Pops one member of the key at an argument and replies with all three; false, without a reply, if there is none.
pub(super) fn pop_with_key(call: &mut Call<'_>, index: usize, highest: bool) -> Result<bool, Error> {
    let key = call.key(index);
    take(call, &key, highest, 1, false, |reply, _| {
        reply.array(3);
        reply.bulk(key.bytes);
    })
}

/// ZMPOP whose number of keys stands at `numkeys`. Gives the places of the keys, without a reply, if none has anything.
pub(super) fn zmpop_at(
    call: &mut Call<'_>,
    numkeys: usize,
    check: Check,
) -> Result<Option<std::ops::Range<usize>>, Error> {
    let (keys, next) = items::numbered_keys(call, numkeys)?;
    let highest = match call.args.get(next) {
        Some(word) if word.eq_ignore_ascii_case(b"MIN") => false,
        Some(word) if word.eq_ignore_ascii_case(b"MAX") => true,
        _ => return Err(Error::Syntax),
    };
    let count = items::pop_count(call, next + 1)?;
    check(call)?;
    for index in keys.clone() {
        let key = call.key(index);
        let header = |reply: &mut Reply<'_>, popped| {
            reply.array(2);
            reply.bulk(key.bytes);
            reply.array(popped);
        };
        if take(call, &key, highest, count, true, header)? {
            return Ok(None);
        }
    }
    Ok(Some(keys))
}

/// Pops up to `count` members with the lowest or highest scores and replies them after a `header`. Says whether there
/// is such a key.
fn take(
    call: &mut Call<'_>,
    key: &Key<'_>,
    highest: bool,
    count: usize,
    nested: bool,
    header: impl FnOnce(&mut Reply<'_>, usize),
) -> Result<bool, Error> {
    let Some(mut zset) = call.engine.edit::<ZSet>(call.db, key)? else { return Ok(false) };
    let (len, popped) = (zset.len(), count.min(zset.len()));
    header(&mut call.reply, popped);
    let from = if highest { len - 1 } else { 0 };
    for (member, score) in zset.iter_from(from, highest).take(popped) {
        if nested {
            call.reply.array(2);
        }
        element(&mut call.reply, member);
        call.reply.double(score);
    }
    zset.remove_range(if highest { len - popped } else { 0 }, popped);
    drop(zset);
    if popped > 0 {
        call.notify(EventClass::SORTED_SET, if highest { "zpopmax" } else { "zpopmin" }, key);
    }
    call.engine.dirty(popped as u64);
    Ok(true)
}

fn zrandmember(call: &mut Call<'_>) -> Result<(), Error> {
    let key = call.key(1);
    let mut rng = items::generator(call.engine);
    if call.args.len() == 2 {
        let zset = call.engine.read::<ZSet>(call.db, &key)?;
        optional(&mut call.reply, zset.and_then(|zset| zset.random(&mut rng)).map(|(member, _)| member));
        return Ok(());
    }
    let (count, scores) = items::sample_size(call, "WITHSCORES")?;
    let Some(zset) = call.engine.read::<ZSet>(call.db, &key)? else {
        call.reply.array(0);
        return Ok(());
    };
    let draw = |rng: &mut SmallRng| zset.random(rng);
    let value = scores.then_some((|reply, score| reply.double(score)) as fn(&mut Reply<'_>, f64));
    items::reply_sample(&mut call.reply, zset.len(), count, &mut rng, zset.iter(), draw, value);
    Ok(())
}

fn zscan(call: &mut Call<'_>) -> Result<(), Error> {
    items::scan::<ZSet>(call, |zset, cursor, count, found| {
        // Redis tells the scores of a small sorted set as it stores them: large integers without an exponent.
        let packed = zset.encoding() == "listpack";
        zset.scan(cursor, count, |member, score| {
            let integer = if packed { integral(score) } else { None };
            found.push((member, integer.map_or(With::Score(score), |score| With::Value(Item::Int(score)))));
        })
    })
}

/// Stores a result under a key, or removes the key if the result is empty, and replies its size. Tells of it as `event`.
pub(super) fn store(call: &mut Call<'_>, index: usize, result: ZSet, event: &'static str) {
    let (target, len) = (call.key(index), result.len());
    if len > 0 {
        call.engine.set(call.db, &target, result.into_object());
        call.notify(EventClass::SORTED_SET, event, &target);
        call.engine.dirty(1);
    } else if call.engine.remove(call.db, &target) {
        call.notify(EventClass::GENERIC, "del", &target);
        call.engine.dirty(1);
    }
    call.reply.len(len);
}

/// Writes members with or without their scores: in RESP2 one flat array, in RESP3 an array of pairs if there are scores.
fn reply_members<'z>(
    reply: &mut Reply<'_>,
    count: usize,
    scores: bool,
    members: impl Iterator<Item = (Item<'z>, f64)>,
) {
    let nested = scores && reply.is_resp3();
    reply.array(if scores && !nested { count * 2 } else { count });
    for (member, score) in members.take(count) {
        if nested {
            reply.array(2);
        }
        element(reply, member);
        if scores {
            reply.double(score);
        }
    }
}
