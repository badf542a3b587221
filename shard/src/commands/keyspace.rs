//! Commands on a whole database: walks, counts, flushes.
//!
//! Sent by a proxy through `SLOTWAY ON`, they cover only the slots that it names
//! ([`crate::session::Session::only`]); sent by any other client, all slots of this shard.

use slotway_common::cursor::parse_cursor;
use slotway_common::error::Error;
use slotway_common::glob;
use slotway_common::number::parse_i64;
use slotway_common::resp::Args;
use slotway_common::slot::Slot;

use crate::engine::{Cursor, DATABASES};
use crate::node::{NodeCall, NodeHandler};

pub(super) const HANDLERS: &[(&str, NodeHandler)] = &[
    ("keys", keys),
    ("scan", scan),
    ("dbsize", dbsize),
    ("randomkey", randomkey),
    ("flushdb", flushdb),
    ("flushall", flushall),
    ("swapdb", swapdb),
];

/// The slots that the command covers.
fn wanted<'c>(call: &'c NodeCall<'_>) -> impl Fn(Slot) -> bool + use<'c> {
    let only = call.session.only.as_ref();
    move |slot| only.is_none_or(|only| only.contains(slot))
}

fn keys(call: &mut NodeCall<'_>) -> Result<(), Error> {
    let pattern = call.args.at(1);
    let all = pattern == b"*";
    let at = call.reply.begin();
    let mut count = 0;
    let only = call.session.only.clone();
    let reply = &mut call.reply;
    call.engine.for_each_key(
        call.session.db,
        |slot| only.as_ref().is_none_or(|only| only.contains(slot)),
        |record| {
            if all || glob::matches(pattern, record.key()) {
                reply.bulk(record.key());
                count += 1;
            }
        },
    );
    call.reply.finish_array(at, count);
    Ok(())
}

/// The options of SCAN and of its kin for collections.
pub(super) struct ScanOptions<'a> {
    pub(super) pattern: Option<&'a [u8]>,
    pub(super) count: usize,
    pub(super) kind: Option<&'a [u8]>,
}

impl<'a> ScanOptions<'a> {
    /// Reads the options from argument `from` on; TYPE only where it is `allowed`.
    pub(super) fn parse(args: &Args<'a>, from: usize, type_allowed: bool) -> Result<Self, Error> {
        let mut options = Self { pattern: None, count: 10, kind: None };
        let mut index = from;
        while index < args.len() {
            let Some(value) = args.get(index + 1) else { return Err(Error::Syntax) };
            if args.is(index, "COUNT") {
                let count = parse_i64(value).ok_or(Error::NotInteger)?;
                options.count =
                    usize::try_from(count).ok().filter(|count| *count > 0).ok_or(Error::Syntax)?;
            } else if args.is(index, "MATCH") {
                options.pattern = (value != b"*").then_some(value);
            } else if type_allowed && args.is(index, "TYPE") {
                options.kind = Some(value);
            } else {
                return Err(Error::Syntax);
            }
            index += 2;
        }
        Ok(options)
    }

    pub(super) fn matches(&self, text: &[u8]) -> bool {
        self.pattern.is_none_or(|pattern| glob::matches(pattern, text))
    }
}

fn scan(call: &mut NodeCall<'_>) -> Result<(), Error> {
    let number = parse_cursor(call.args.at(1))?;
    let options = ScanOptions::parse(&call.args, 2, true)?;
    let mut found: Vec<Vec<u8>> = Vec::new();
    let next = Cursor::from_number(number).and_then(|from| {
        let is_wanted = wanted(call);
        call.engine.scan(call.session.db, from, options.count, is_wanted, |record| {
            let kind_fits =
                options.kind.is_none_or(|kind| kind.eq_ignore_ascii_case(record.type_name().as_bytes()));
            if kind_fits && options.matches(record.key()) {
                found.push(record.key().to_vec());
            }
        })
    });
    call.reply.array(2);
    call.reply.bulk(next.map_or(0, Cursor::to_number).to_string().as_bytes());
    call.reply.array(found.len());
    for key in &found {
        call.reply.bulk(key);
    }
    Ok(())
}

fn dbsize(call: &mut NodeCall<'_>) -> Result<(), Error> {
    let keys = match &call.session.only {
        None => call.engine.totals(call.session.db).keys(),
        Some(only) => call.engine.count_keys(call.session.db, |slot| only.contains(slot)),
    };
    call.reply.int(keys as i64);
    Ok(())
}

fn randomkey(call: &mut NodeCall<'_>) -> Result<(), Error> {
    let only = call.session.only.as_ref();
    let key = call.engine.random_key(call.session.db, |slot| only.is_none_or(|only| only.contains(slot)));
    call.reply.optional(key.as_deref());
    Ok(())
}

/// ASYNC or SYNC: both free on another thread, so there is nothing to choose.
fn flush_mode(call: &NodeCall<'_>) -> Result<(), Error> {
    match call.args.len() {
        1 => Ok(()),
        2 if call.args.is(1, "ASYNC") || call.args.is(1, "SYNC") => Ok(()),
        _ => Err(Error::Syntax),
    }
}

fn flushdb(call: &mut NodeCall<'_>) -> Result<(), Error> {
    flush_mode(call)?;
    flush(call, Some(call.session.db))
}

fn flushall(call: &mut NodeCall<'_>) -> Result<(), Error> {
    flush_mode(call)?;
    flush(call, None)
}

fn flush(call: &mut NodeCall<'_>, db: Option<usize>) -> Result<(), Error> {
    let only = call.session.only.as_ref();
    let removed = call.engine.flush(db, |slot| only.is_none_or(|only| only.contains(slot)));
    call.engine.dirty(removed.max(1));
    call.node.blocked.flushed(db);
    // A proxy asks with no slots at all whether it may.
    if only.is_none_or(|only| !only.is_empty()) {
        call.node.tell_flushed(call.engine);
    }
    call.reply.ok();
    Ok(())
}

fn swapdb(call: &mut NodeCall<'_>) -> Result<(), Error> {
    let index = |position: usize, text: &'static str| {
        parse_i64(call.args.at(position)).filter(|db| i32::try_from(*db).is_ok()).ok_or(Error::err(text))
    };
    let (first, second) = (index(1, "invalid first DB index")?, index(2, "invalid second DB index")?);
    let in_range = |db: i64| usize::try_from(db).ok().filter(|db| *db < DATABASES);
    let (Some(first), Some(second)) = (in_range(first), in_range(second)) else {
        return Err(Error::err("DB index is out of range"));
    };
    let only = call.session.only.as_ref();
    call.engine.swap(first, second, |slot| only.is_none_or(|only| only.contains(slot)));
    call.engine.dirty(1);
    call.node.blocked.swapped(first, second);
    call.reply.ok();
    Ok(())
}
