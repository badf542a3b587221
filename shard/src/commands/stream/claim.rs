//! Entries that were delivered and not acknowledged: XPENDING, XCLAIM and XAUTOCLAIM.

use slotway_common::error::Error;
use slotway_common::number::parse_i64;

use super::group::met;
use super::id::{bounds, exact, put_id, start};
use super::{no_group, put_entry};
use crate::call::{Call, DataCommand, reads, writes};
use crate::types::Stream;
use crate::types::stream::{Group, Id, Pending};

pub(in crate::commands) const HANDLERS: &[DataCommand] =
    &[reads("xpending", xpending), writes("xclaim", xclaim), writes("xautoclaim", xautoclaim)];

fn xpending(call: &mut Call<'_>) -> Result<(), Error> {
    let arguments = call.args.len();
    let (key, name, now) = (call.key(1), call.args.at(2), call.now());
    if arguments != 3 && !(6..=9).contains(&arguments) {
        return Err(Error::Syntax);
    }
    let (mut first, mut idle) = (3, 0);
    if arguments > 3 && call.args.is(3, "IDLE") {
        idle = call.integer(4)?;
        if arguments < 8 {
            return Err(Error::Syntax);
        }
        first = 5;
    }
    let wanted = if arguments == 3 {
        None
    } else {
        let count = usize::try_from(call.integer(first + 2)?).unwrap_or(0);
        Some((bounds(call, first, first + 1)?, count, call.args.get(first + 3)))
    };
    let stream = call.engine.read::<Stream>(call.db, &key)?;
    let group = stream.and_then(|stream| stream.group(name)).ok_or_else(|| no_group(key.bytes, name))?;
    let reply = &mut call.reply;
    let Some(((from, to), count, consumer)) = wanted else {
        reply.array(4);
        reply.len(group.pending().len());
        let (Some(lowest), Some(highest)) = (group.pending().first(), group.pending().last()) else {
            reply.null();
            reply.null();
            reply.null_array();
            return Ok(());
        };
        put_id(reply, lowest.id);
        put_id(reply, highest.id);
        let busy: Vec<_> = group.consumers().filter(|(_, consumer)| !consumer.pending().is_empty()).collect();
        reply.array(busy.len());
        for (name, consumer) in busy {
            reply.array(2);
            reply.bulk(name);
            reply.bulk_int(consumer.pending().len() as i64);
        }
        return Ok(());
    };
    let all: Box<dyn Iterator<Item = &Pending>> = match consumer {
        None => Box::new(group.pending().from(from)),
        Some(consumer) => match group.consumer(consumer) {
            Some(consumer) => {
                Box::new(consumer.pending().from(from).filter_map(|id| group.pending().get(*id)))
            }
            None => Box::new(std::iter::empty()),
        },
    };
    let is_idle = |pending: &&Pending| idle == 0 || now.wrapping_sub(pending.delivered_at) >= idle;
    let (at, mut written) = (reply.begin(), 0);
    for pending in all.take_while(|pending| pending.id <= to).filter(is_idle).take(count) {
        reply.array(4);
        put_id(reply, pending.id);
        reply.bulk(group.name(pending.consumer));
        reply.int(now.wrapping_sub(pending.delivered_at).max(0));
        reply.int(pending.deliveries as i64);
        written += 1;
    }
    reply.finish_array(at, written);
    Ok(())
}

/// The options of XCLAIM, after its ids.
struct Claiming {
    ids: Vec<Id>,
    force: bool,
    only_ids: bool,
    delivered_at: i64,
    deliveries: Option<u64>,
    last: Id,
}

impl Claiming {
    fn parse(call: &Call<'_>) -> Result<Self, Error> {
        let now = call.now();
        let ids: Vec<Id> = call.args.rest(5).iter().map_while(|text| exact(text).ok()).collect();
        let mut index = 5 + ids.len();
        let (mut delivered_at, mut deliveries) = (None, None);
        let mut claiming =
            Self { ids, force: false, only_ids: false, delivered_at: now, deliveries: None, last: Id::MIN };
        while index < call.args.len() {
            let value = call.args.get(index + 1);
            let number = |option: &str| {
                value
                    .and_then(parse_i64)
                    .ok_or_else(|| Error::err(format!("Invalid {option} option argument for XCLAIM")))
            };
            if call.args.is(index, "FORCE") {
                claiming.force = true;
                index += 1;
                continue;
            } else if call.args.is(index, "JUSTID") {
                claiming.only_ids = true;
                index += 1;
                continue;
            } else if value.is_some() && call.args.is(index, "IDLE") {
                delivered_at = Some(now.wrapping_sub(number("IDLE")?));
            } else if value.is_some() && call.args.is(index, "TIME") {
                delivered_at = Some(number("TIME")?);
            } else if value.is_some() && call.args.is(index, "RETRYCOUNT") {
                deliveries = Some(number("RETRYCOUNT")?);
            } else if value.is_some() && call.args.is(index, "LASTID") {
                claiming.last = exact(value.unwrap_or_default())?;
            } else {
                let option = call.args.at(index);
                return Err(Error::Bytes([b"Unrecognized XCLAIM option '", option, b"'"].concat()));
            }
            index += 2;
        }
        // A time that cannot be is taken as now: the client's clock may differ.
        claiming.delivered_at = delivered_at.filter(|at| (0..=now).contains(at)).unwrap_or(now);
        claiming.deliveries = deliveries.and_then(|deliveries| u64::try_from(deliveries).ok());
        Ok(claiming)
    }
}

/// The time that an entry must have been idle.
fn min_idle(call: &Call<'_>) -> Result<i64, Error> {
    let name = call.command.name.to_ascii_uppercase();
    let wrong = || Error::err(format!("Invalid min-idle-time argument for {name}"));
    Ok(parse_i64(call.args.at(4)).ok_or_else(wrong)?.max(0))
}

fn xclaim(call: &mut Call<'_>) -> Result<(), Error> {
    let (key, db, now) = (call.key(1), call.db, call.now());
    let (name, consumer) = (call.args.at(2), call.args.at(3));
    let stream = call.engine.read::<Stream>(db, &key)?;
    if stream.is_none_or(|stream| stream.group(name).is_none()) {
        return Err(no_group(key.bytes, name));
    }
    let idle = min_idle(call)?;
    let claiming = Claiming::parse(call)?;
    let Some(mut stream) = call.engine.edit::<Stream>(db, &key)? else { return Ok(()) };
    stream.edit_group(name, |group| group.last = group.last.max(claiming.last));
    let (at, mut written, mut changes, mut is_new) = (call.reply.begin(), 0, 0, false);
    for id in &claiming.ids {
        let known = stream.group(name).and_then(|group| group.pending().get(*id)).copied();
        let Some(entry) = stream.get(*id) else {
            // It was deleted: nobody can have it.
            if known.is_some() {
                stream.edit_group(name, |group| group.acknowledge(*id));
                changes += 1;
            }
            continue;
        };
        let before = match known {
            Some(pending) if idle > 0 && now.wrapping_sub(pending.delivered_at) < idle => continue,
            Some(pending) => pending.deliveries,
            None if claiming.force => 1,
            None => continue,
        };
        if claiming.only_ids {
            put_id(&mut call.reply, *id);
        } else {
            put_entry(&mut call.reply, &entry);
        }
        let again = before.wrapping_add(u64::from(!claiming.only_ids));
        let deliveries = claiming.deliveries.unwrap_or(again);
        let (id, delivered_at) = (*id, claiming.delivered_at);
        stream.edit_group(name, |group| {
            // Who claims nothing need not be known.
            let (consumer, unknown) = group.meet(consumer, now);
            is_new |= unknown;
            group.deliver(Pending { id, consumer, deliveries, delivered_at });
        });
        written += 1;
        changes += 1;
    }
    drop(stream);
    if is_new {
        met(call, &key);
    }
    call.reply.finish_array(at, written);
    call.engine.dirty_unseen(changes + u64::from(is_new));
    Ok(())
}

fn xautoclaim(call: &mut Call<'_>) -> Result<(), Error> {
    /// So many times the entries wanted are looked at.
    const LOOKED_AT: usize = 10;
    /// Redis asks for room for so many ids first, and is refused.
    const MOST: i64 = 1 << 42;
    let (key, db, now) = (call.key(1), call.db, call.now());
    let (name, consumer) = (call.args.at(2), call.args.at(3));
    // The key is looked up before the arguments are read, and its type checked behind them.
    call.engine.touch(db, &key);
    let idle = min_idle(call)?;
    let from = start(call.args.at(5))?;
    let (mut count, mut only_ids) = (100, false);
    let mut index = 6;
    while index < call.args.len() {
        if call.args.is(index, "COUNT") && index + 1 < call.args.len() {
            count = call.integer(index + 1)?;
            if !(1..=i64::MAX / 16).contains(&count) {
                return Err(Error::err("COUNT must be > 0"));
            }
            index += 2;
        } else if call.args.is(index, "JUSTID") {
            only_ids = true;
            index += 1;
        } else {
            return Err(Error::Syntax);
        }
    }
    let stream = call.engine.peek::<Stream>(db, &key)?;
    if stream.is_none_or(|stream| stream.group(name).is_none()) {
        return Err(no_group(key.bytes, name));
    }
    if count > MOST {
        return Err(Error::err("Insufficient memory, failed allocating transient memory, COUNT too high."));
    }
    let mut left = usize::try_from(count).unwrap_or(usize::MAX);
    let attempts = left.saturating_mul(LOOKED_AT);
    let Some(mut stream) = call.engine.edit::<Stream>(db, &key)? else { return Ok(()) };
    let (mut claimed, mut deleted, mut next) = (Vec::new(), Vec::new(), None);
    let pending = stream.group(name).into_iter().flat_map(|group| group.pending().from(from));
    for (looked_at, pending) in pending.enumerate() {
        if left == 0 || looked_at == attempts {
            next = Some(pending.id);
            break;
        }
        if stream.get(pending.id).is_none() {
            deleted.push(pending.id);
        } else if idle > 0 && now.wrapping_sub(pending.delivered_at) < idle {
            continue;
        } else {
            let deliveries = pending.deliveries.wrapping_add(u64::from(!only_ids));
            claimed.push(Pending { deliveries, delivered_at: now, ..*pending });
        }
        left -= 1;
    }
    let reply = &mut call.reply;
    reply.array(3);
    put_id(reply, next.unwrap_or_default());
    reply.array(claimed.len());
    for pending in &claimed {
        match stream.get(pending.id) {
            Some(entry) if !only_ids => put_entry(reply, &entry),
            _ => put_id(reply, pending.id),
        }
    }
    reply.array(deleted.len());
    deleted.iter().for_each(|id| put_id(reply, *id));
    let changes = claimed.len() + deleted.len();
    let mut is_new = false;
    stream.edit_group(name, |group: &mut Group| {
        for pending in claimed {
            let (consumer, unknown) = group.meet(consumer, now);
            is_new |= unknown;
            group.deliver(Pending { consumer, ..pending });
        }
        for id in deleted {
            group.acknowledge(id);
        }
    });
    drop(stream);
    if is_new {
        met(call, &key);
    }
    call.engine.dirty_unseen(changes as u64 + u64::from(is_new));
    Ok(())
}
