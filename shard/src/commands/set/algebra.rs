//! Intersections, unions and differences of sets.

use slotway_common::error::Error;

use super::store;
use crate::call::{Call, DataCommand, reads, writes};
use crate::commands::items::{at_least, element, read_all};
use crate::engine::{Key, Limits};
use crate::types::Set;
use crate::types::item::Item;

pub(in crate::commands) const HANDLERS: &[DataCommand] = &[
    reads("sinter", sinter),
    writes("sinterstore", sinterstore),
    reads("sintercard", sintercard),
    reads("sunion", sunion),
    writes("sunionstore", sunionstore),
    reads("sdiff", sdiff),
    writes("sdiffstore", sdiffstore),
];

/// The keys from one argument up to another.
fn keys<'a>(call: &Call<'a>, from: usize, to: usize) -> Vec<Key<'a>> {
    (from..to).map(|index| call.key(index)).collect()
}

/// The members that all sets have; absent ones have none.
fn intersect<'s>(mut sets: Vec<Option<&'s Set>>, mut each: impl FnMut(Item<'s>) -> bool) {
    sets.sort_by_key(|set| set.map_or(0, Set::len));
    let Some((Some(smallest), others)) = sets.split_first() else { return };
    for member in smallest.iter() {
        if others.iter().flatten().all(|set| set.contains_item(member)) && !each(member) {
            return;
        }
    }
}

fn unite(sets: &[Option<&Set>], limits: &Limits) -> Set {
    let mut all = Set::new();
    for member in sets.iter().flatten().flat_map(|set| set.iter()) {
        all.insert_item(member, limits);
    }
    all
}

/// The members that the first set has and no other.
fn subtract(sets: &[Option<&Set>], limits: &Limits) -> Set {
    let Some((Some(first), others)) = sets.split_first() else { return Set::new() };
    let mut rest = Set::new();
    let mut others: Vec<&Set> = others.iter().flatten().copied().collect();
    // Looking members up in the others costs the first one's length for each set; taking the others' members away costs
    // their length. Redis weighs them like this, which shows in the encoding of what SDIFFSTORE stores.
    let total: usize = first.len() + others.iter().map(|set| set.len()).sum::<usize>();
    if first.len().saturating_mul(others.len() + 1) / 2 <= total {
        // Large sets are the likeliest to have a member.
        others.sort_by_key(|set| std::cmp::Reverse(set.len()));
        for member in first.iter().filter(|member| !others.iter().any(|set| set.contains_item(*member))) {
            rest.insert_item(member, limits);
        }
    } else {
        for member in first.iter() {
            rest.insert_item(member, limits);
        }
        for member in others.iter().flat_map(|set| set.iter()) {
            rest.remove_item(member);
        }
    }
    rest
}

fn reply_set(call: &mut Call<'_>, set: &Set) {
    call.reply.set(set.len());
    set.iter().for_each(|member| element(&mut call.reply, member));
}

fn sinter(call: &mut Call<'_>) -> Result<(), Error> {
    let keys = keys(call, 1, call.args.len());
    let sets = read_all::<Set>(call.engine, call.db, &keys)?;
    let (at, mut count) = (call.reply.begin(), 0);
    intersect(sets, |member| {
        element(&mut call.reply, member);
        count += 1;
        true
    });
    call.reply.finish_set(at, count);
    Ok(())
}

fn sinterstore(call: &mut Call<'_>) -> Result<(), Error> {
    let (keys, limits) = (keys(call, 2, call.args.len()), call.engine.limits);
    let mut result = Set::new();
    intersect(read_all::<Set>(call.engine, call.db, &keys)?, |member| {
        result.insert_item(member, &limits);
        true
    });
    store(call, 1, result, "sinterstore");
    Ok(())
}

fn sintercard(call: &mut Call<'_>) -> Result<(), Error> {
    let count = at_least(call.args.at(1), 1, "numkeys should be greater than 0")?;
    if count > call.args.len() - 2 {
        return Err(Error::err("Number of keys can't be greater than number of args"));
    }
    let mut most = 0;
    let mut index = 2 + count;
    while index < call.args.len() {
        if !call.args.is(index, "LIMIT") || index + 1 == call.args.len() {
            return Err(Error::Syntax);
        }
        most = at_least(call.args.at(index + 1), 0, "LIMIT can't be negative")?;
        index += 2;
    }
    let keys = keys(call, 2, 2 + count);
    let mut found = 0;
    intersect(read_all::<Set>(call.engine, call.db, &keys)?, |_| {
        found += 1;
        found != most
    });
    call.reply.len(found);
    Ok(())
}

fn sunion(call: &mut Call<'_>) -> Result<(), Error> {
    let (keys, limits) = (keys(call, 1, call.args.len()), call.engine.limits);
    let all = unite(&read_all::<Set>(call.engine, call.db, &keys)?, &limits);
    reply_set(call, &all);
    Ok(())
}

fn sunionstore(call: &mut Call<'_>) -> Result<(), Error> {
    let (keys, limits) = (keys(call, 2, call.args.len()), call.engine.limits);
    let all = unite(&read_all::<Set>(call.engine, call.db, &keys)?, &limits);
    store(call, 1, all, "sunionstore");
    Ok(())
}

fn sdiff(call: &mut Call<'_>) -> Result<(), Error> {
    let (keys, limits) = (keys(call, 1, call.args.len()), call.engine.limits);
    let rest = subtract(&read_all::<Set>(call.engine, call.db, &keys)?, &limits);
    reply_set(call, &rest);
    Ok(())
}

fn sdiffstore(call: &mut Call<'_>) -> Result<(), Error> {
    let (keys, limits) = (keys(call, 2, call.args.len()), call.engine.limits);
    let rest = subtract(&read_all::<Set>(call.engine, call.db, &keys)?, &limits);
    store(call, 1, rest, "sdiffstore");
    Ok(())
}
