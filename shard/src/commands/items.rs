//! What the commands on collections share: replies of elements, number arguments with texts of their own, samples.

use std::collections::HashSet;

use rand::rngs::SmallRng;
use rand::seq::index;
use rand::{Rng, SeedableRng};
use slotway_common::cursor::parse_cursor;
use slotway_common::error::Error;
use slotway_common::number::{format_f64, parse_i64};
use slotway_common::resp::Reply;

use super::keyspace::ScanOptions;
use crate::call::Call;
use crate::engine::{Engine, Key};
use crate::types::Kind;
use crate::types::item::{IntText, Item};

/// What is looked at when the other arguments are right, before anything is popped.
pub(super) type Check = fn(&Call<'_>) -> Result<(), Error>;

/// Writes an element as a bulk string.
#[inline]
pub(super) fn element(reply: &mut Reply<'_>, item: Item<'_>) {
    match item {
        Item::Bytes(bytes) => reply.bulk(bytes),
        Item::Int(number) => reply.bulk_int(number),
    }
}

/// Writes an element as a bulk string, or null.
#[inline]
pub(super) fn optional(reply: &mut Reply<'_>, item: Option<Item<'_>>) {
    match item {
        Some(item) => element(reply, item),
        None => reply.null(),
    }
}

/// A number of at least `least`, else the error with this text.
pub(super) fn at_least(text: &[u8], least: i64, message: &'static str) -> Result<usize, Error> {
    parse_i64(text)
        .filter(|number| *number >= least)
        .and_then(|number| usize::try_from(number).ok())
        .ok_or(Error::err(message))
}

/// A count that may not be negative, as LPOP, SPOP and ZPOPMIN take it.
pub(super) fn positive(text: &[u8]) -> Result<usize, Error> {
    at_least(text, 0, "value is out of range, must be positive")
}

/// A number between `-i64::MAX` and `i64::MAX`: one whose sign can be turned.
pub(super) fn signed(text: &[u8]) -> Result<i64, Error> {
    match parse_i64(text).ok_or(Error::NotInteger)? {
        i64::MIN => Err(Error::err(
            "value is out of range, value must between -9223372036854775807 and 9223372036854775807",
        )),
        number => Ok(number),
    }
}

/// The keys of a command that gives their number first, at `numkeys`; the argument after them is the second result.
pub(super) fn numbered_keys(
    call: &Call<'_>,
    numkeys: usize,
) -> Result<(std::ops::Range<usize>, usize), Error> {
    let count = at_least(call.args.at(numkeys), 1, "numkeys should be greater than 0")?;
    let next = (numkeys + 1).saturating_add(count);
    Ok((numkeys + 1..next, next))
}

/// The options of LMPOP and ZMPOP after the direction: `COUNT n`, 1 by default.
pub(super) fn pop_count(call: &Call<'_>, from: usize) -> Result<usize, Error> {
    match call.args.len().saturating_sub(from) {
        0 => Ok(1),
        _ if !call.args.is(from, "COUNT") || call.args.len() < from + 2 => Err(Error::Syntax),
        2 => at_least(call.args.at(from + 1), 1, "count should be greater than 0"),
        _ => {
            at_least(call.args.at(from + 1), 1, "count should be greater than 0")?;
            Err(Error::Syntax)
        }
    }
}

/// A generator of its own for a command, so that it can draw while it holds values of the engine.
pub(super) fn generator(engine: &mut Engine) -> SmallRng {
    SmallRng::seed_from_u64(engine.random().random())
}

/// `count` different elements of the `len` that a collection has, each as likely as any other. `all` walks them and
/// `draw` draws one; the element's name is the item.
pub(super) fn sample<'v, V: Copy>(
    len: usize,
    count: usize,
    rng: &mut SmallRng,
    all: impl Iterator<Item = (Item<'v>, V)>,
    mut draw: impl FnMut(&mut SmallRng) -> Option<(Item<'v>, V)>,
) -> Vec<(Item<'v>, V)> {
    if count >= len {
        return all.collect();
    }
    // Drawing again what was drawn before costs more than a walk when much of the collection is wanted.
    if len <= 512 || count > len / 3 {
        let mut wanted = index::sample(rng, len, count).into_vec();
        wanted.sort_unstable();
        let mut wanted = wanted.into_iter().peekable();
        return all
            .enumerate()
            .filter(|(at, _)| wanted.next_if_eq(at).is_some())
            .map(|(_, found)| found)
            .collect();
    }
    let mut names: HashSet<Vec<u8>> = HashSet::with_capacity(count);
    let mut found = Vec::with_capacity(count);
    while found.len() < count {
        let Some((name, value)) = draw(rng) else { break };
        if names.insert(name.to_vec()) {
            found.push((name, value));
        }
    }
    found
}

/// The arguments `count [WITH…]` of HRANDFIELD and ZRANDMEMBER from argument 2 on: the count, and whether values (scores)
/// are wanted, which `with` asks for.
pub(super) fn sample_size(call: &Call<'_>, with: &str) -> Result<(i64, bool), Error> {
    let count = signed(call.args.at(2))?;
    match call.args.len() {
        3 => Ok((count, false)),
        4 if call.args.is(3, with) => {
            if !(-i64::MAX / 2..=i64::MAX / 2).contains(&count) {
                return Err(Error::err("value is out of range"));
            }
            Ok((count, true))
        }
        _ => Err(Error::Syntax),
    }
}

/// Replies `count` elements of a collection, each perhaps with what belongs to it: different ones, or if `count` is
/// negative as many draws as it says. With values, RESP2 has one flat array and RESP3 an array of pairs.
pub(super) fn reply_sample<'v, V: Copy>(
    reply: &mut Reply<'_>,
    len: usize,
    count: i64,
    rng: &mut SmallRng,
    all: impl Iterator<Item = (Item<'v>, V)>,
    mut draw: impl FnMut(&mut SmallRng) -> Option<(Item<'v>, V)>,
    value: Option<fn(&mut Reply<'_>, V)>,
) {
    let nested = value.is_some() && reply.is_resp3();
    let header = |count: usize| if value.is_some() && !nested { count.saturating_mul(2) } else { count };
    let write = |reply: &mut Reply<'_>, (name, with): (Item<'v>, V)| {
        if nested {
            reply.array(2);
        }
        element(reply, name);
        if let Some(value) = value {
            value(reply, with);
        }
    };
    if let Ok(count) = usize::try_from(count) {
        let chosen = sample(len, count, rng, all, draw);
        reply.array(header(chosen.len()));
        chosen.into_iter().for_each(|pair| write(reply, pair));
        return;
    }
    reply.array(header(count.unsigned_abs() as usize));
    for _ in 0..count.unsigned_abs() {
        // Any client can ask for 2^63 draws.
        if reply.is_exceeded() {
            break;
        }
        let Some(pair) = draw(rng) else { break };
        write(reply, pair);
    }
}

/// What a scan replies after an element's name.
#[derive(Clone, Copy)]
pub(super) enum With<'v> {
    Nothing,
    Value(Item<'v>),
    Score(f64),
}

/// HSCAN, SSCAN and ZSCAN. `visit` scans the value from a cursor with a count, collects what it finds, and gives the
/// next cursor.
pub(super) fn scan<T: Kind>(
    call: &mut Call<'_>,
    visit: impl for<'v> FnOnce(&'v T, u64, usize, &mut Vec<(Item<'v>, With<'v>)>) -> u64,
) -> Result<(), Error> {
    let from = parse_cursor(call.args.at(2))?;
    // Wrong options are told only for a key that exists and has the right type.
    let options = ScanOptions::parse(&call.args, 3, false);
    let key = call.key(1);
    let Some(value) = call.engine.read::<T>(call.db, &key)? else {
        call.reply.array(2);
        call.reply.bulk(b"0");
        call.reply.array(0);
        return Ok(());
    };
    let options = options?;
    let mut found = Vec::new();
    let next = visit(value, from, options.count, &mut found);
    if options.pattern.is_some() {
        found.retain(|(name, _)| options.matches(name.text(&mut IntText::new())));
    }
    call.reply.array(2);
    call.reply.bulk(next.to_string().as_bytes());
    let each = found.first().map_or(1, |(_, with)| if matches!(with, With::Nothing) { 1 } else { 2 });
    call.reply.array(found.len() * each);
    for (name, with) in found {
        element(&mut call.reply, name);
        match with {
            With::Nothing => {}
            With::Value(value) => element(&mut call.reply, value),
            // A bulk string in both protocols.
            With::Score(score) => call.reply.bulk(format_f64(score).as_bytes()),
        }
    }
    Ok(())
}

/// The values of several keys, absent ones as `None`; all types are checked before any value is given. Nothing behind the
/// first key of another type is looked up.
pub(super) fn read_all<'e, T: Kind>(
    engine: &'e mut Engine,
    db: usize,
    keys: &[Key<'_>],
) -> Result<Vec<Option<&'e T>>, Error> {
    for key in keys {
        engine.read::<T>(db, key)?;
    }
    keys.iter().map(|key| engine.peek::<T>(db, key)).collect()
}
