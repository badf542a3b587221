//! Transactions across shards: what a proxy that leads one says to a shard, and shards to one another. See [`crate::across`].

use std::rc::Rc;

use slotway_common::error::Error;
use slotway_common::number::parse_i64;
use slotway_common::resp::Args;
use slotway_common::slot::{Slot, slot_of};
use slotway_common::transaction_id::TransactionId;

use super::transactions::token;
use crate::across::{self, Request, Told};
use crate::engine::DATABASES;
use crate::node::{NodeCall, NodeHandler};
use crate::parts::{Decider, Values, Work};

pub(super) const HANDLERS: &[(&str, NodeHandler)] = &[
    ("slotway-prepare", prepare),
    ("slotway-decide", decide),
    ("slotway-commit", commit),
    ("slotway-abort", abort),
    ("slotway-alive", alive),
    ("slotway-forget", forget),
    ("slotway-run", run),
];

fn text(word: &[u8]) -> Result<&str, Error> {
    std::str::from_utf8(word).map_err(|_| Error::Syntax)
}

/// The transaction that a word names.
fn id(word: &[u8]) -> Result<TransactionId, Error> {
    text(word)?.parse().map_err(|error| Error::err(format!("{error}")))
}

/// `SLOTWAY-PREPARE <id> <decider> <watch> <database> <commands> <count> <how> <key>…`: from the watch on as `SLOTWAY-EXEC`.
fn prepare(call: &mut NodeCall<'_>) -> Result<(), Error> {
    let decider = Decider::Other(text(call.args.at(2))?.into());
    take(call, decider)
}

/// `SLOTWAY-DECIDE <id> <others> <watch> <database> <commands> <count> <how> <key>…`: the others are the names of shards, with
/// commas between them.
fn decide(call: &mut NodeCall<'_>) -> Result<(), Error> {
    let names = text(call.args.at(2))?.split(',').filter(|name| !name.is_empty());
    let decider = Decider::Here(names.map(|name| (Rc::from(name), Vec::new())).collect());
    take(call, decider)
}

fn take(call: &mut NodeCall<'_>, decider: Decider) -> Result<(), Error> {
    let args = call.args;
    let id = id(args.at(1))?;
    let watch = if args.at(3).is_empty() { None } else { Some(token(args.at(3))?) };
    let database = super::generic::database(args.at(4)).ok().filter(|db| *db < DATABASES);
    let count = parse_i64(args.at(6)).ok_or(Error::NotInteger)?;
    let work = Work {
        database: database.ok_or(Error::Syntax)?,
        frames: args.at(5).to_vec(),
        count: usize::try_from(count).map_err(|_| Error::NotPositive)?,
    };
    let has = |wanted: &[u8]| args.at(7).split(|byte| *byte == b' ').any(|word| word == wanted);
    let values = if has(b"lend") { Values::Lends(args.at(5).to_vec()) } else { Values::Own };
    let work = if has(b"lend") { Work { frames: Vec::new(), count: 0, ..work } } else { work };
    let (quiet, known) = (has(b"quiet"), has(b"known"));
    let request = Request { decider, watch, values, work, slots: slots(args.rest(8)), quiet, known };
    across::take(call.engine, call.node, call.session, id, request, call.reply.buffer())
}

/// The slots of some keys, ascending.
fn slots(keys: Args<'_>) -> Vec<Slot> {
    let mut slots: Vec<Slot> = keys.iter().map(slot_of).collect();
    slots.sort_unstable();
    slots.dedup();
    slots
}

/// `SLOTWAY-RUN <id> <watch> <database> <commands> <count> <how> <own> <lenders> {<name> <lent>}… <key>…`: as `SLOTWAY-DECIDE`, of commands
/// on keys of several shards, which all run here. Own is the list of keys of this shard, lent what the other shards have answered.
fn run(call: &mut NodeCall<'_>) -> Result<(), Error> {
    let args = call.args;
    let id = id(args.at(1))?;
    let watch = if args.at(2).is_empty() { None } else { Some(token(args.at(2))?) };
    let database = super::generic::database(args.at(3)).ok().filter(|db| *db < DATABASES);
    let number = |at: usize| {
        let number = parse_i64(args.at(at)).ok_or(Error::NotInteger)?;
        usize::try_from(number).map_err(|_| Error::NotPositive)
    };
    let work =
        Work { database: database.ok_or(Error::Syntax)?, frames: args.at(4).to_vec(), count: number(5)? };
    let has = |wanted: &[u8]| args.at(6).split(|byte| *byte == b' ').any(|word| word == wanted);
    let (quiet, known) = (has(b"quiet"), has(b"known"));
    let lenders = number(8)?;
    if args.len() < lenders.saturating_mul(2).saturating_add(9) {
        return Err(Error::Syntax);
    }
    let mut lent: Vec<(Rc<str>, Vec<u8>)> = Vec::new();
    for lender in 0..lenders {
        let at = 9 + 2 * lender;
        lent.push((text(args.at(at))?.into(), args.at(at + 1).to_vec()));
    }
    let others = lent.iter().map(|(name, _)| (name.clone(), Vec::new())).collect();
    let values = Values::Borrows { own: args.at(7).to_vec(), lent };
    let slots = slots(args.rest(9 + 2 * lenders));
    let request = Request { decider: Decider::Here(others), watch, values, work, slots, quiet, known };
    across::take(call.engine, call.node, call.session, id, request, call.reply.buffer())
}

/// `SLOTWAY-COMMIT <id> [<values>]`: what keys of the part have become, where it has lent some.
fn commit(call: &mut NodeCall<'_>) -> Result<(), Error> {
    let id = id(call.args.at(1))?;
    let values = call.args.get(2).unwrap_or_default();
    across::commit(call.engine, call.node, call.session, id, values, call.reply.buffer())
}

/// `SLOTWAY-ABORT <id>`
fn abort(call: &mut NodeCall<'_>) -> Result<(), Error> {
    across::abort(call.engine, call.node, id(call.args.at(1))?);
    call.reply.ok();
    Ok(())
}

/// `SLOTWAY-ALIVE <id>`
fn alive(call: &mut NodeCall<'_>) -> Result<(), Error> {
    across::heard_of(call.node, id(call.args.at(1))?);
    call.reply.ok();
    Ok(())
}

/// `SLOTWAY-FORGET <id>`
fn forget(call: &mut NodeCall<'_>) -> Result<(), Error> {
    across::forget(call.node, id(call.args.at(1))?, None);
    call.reply.ok();
    Ok(())
}

/// `SLOTWAY OUTCOME <id> <shard>`, of that shard: `OPEN`, `ABORTED`, or what the keys that it has lent have become, as a list. With
/// one more word, the shard knows of it.
pub(super) fn outcome(call: &mut NodeCall<'_>) -> Result<(), Error> {
    let (id, shard) = (id(call.args.at(2))?, text(call.args.at(3))?);
    if call.args.len() > 4 {
        across::forget(call.node, id, Some(shard));
        call.reply.ok();
        return Ok(());
    }
    // What has not been read yet is not unknown.
    call.node.check_serving(true)?;
    match across::tell_outcome(call.node, id, shard) {
        Some(Told::Committed(values)) => call.reply.bulk(&values),
        Some(Told::GivenUp) => call.reply.simple("ABORTED"),
        None => call.reply.simple("OPEN"),
    }
    Ok(())
}
