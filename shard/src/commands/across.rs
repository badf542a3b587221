//! Transactions across shards: what a proxy that leads one says to a shard, and shards to one another. See [`crate::across`].

use std::rc::Rc;

use slotway_common::error::Error;
use slotway_common::number::parse_i64;
use slotway_common::slot::{Slot, slot_of};
use slotway_common::transaction_id::TransactionId;

use super::transactions::token;
use crate::across::{self, Decider, Request, Work};
use crate::engine::DATABASES;
use crate::node::{NodeCall, NodeHandler};

pub(super) const HANDLERS: &[(&str, NodeHandler)] = &[
    ("slotway-prepare", prepare),
    ("slotway-decide", decide),
    ("slotway-commit", commit),
    ("slotway-abort", abort),
    ("slotway-alive", alive),
    ("slotway-forget", forget),
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
    let decider = Decider::Here(names.map(Rc::from).collect());
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
    let known = args.at(7).split(|byte| *byte == b' ').any(|word| word == b"known");
    let mut slots: Vec<Slot> = args.rest(8).iter().map(slot_of).collect();
    slots.sort_unstable();
    slots.dedup();
    let request = Request { decider, watch, work, slots, known };
    across::take(call.engine, call.node, call.session, id, request, call.reply.buffer())
}

/// `SLOTWAY-COMMIT <id>`
fn commit(call: &mut NodeCall<'_>) -> Result<(), Error> {
    let id = id(call.args.at(1))?;
    across::commit(call.engine, call.node, call.session, id, call.reply.buffer())
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

/// `SLOTWAY OUTCOME <id>`: `COMMITTED`, `ABORTED`, or `OPEN`. With the name of a shard, that shard knows that it is committed.
pub(super) fn outcome(call: &mut NodeCall<'_>) -> Result<(), Error> {
    let id = id(call.args.at(2))?;
    if call.args.len() > 3 {
        across::forget(call.node, id, Some(text(call.args.at(3))?));
        call.reply.ok();
        return Ok(());
    }
    // What has not been read yet is not unknown.
    call.node.check_serving(true)?;
    call.reply.simple(match across::tell_outcome(call.node, id) {
        Some(true) => "COMMITTED",
        Some(false) => "ABORTED",
        None => "OPEN",
    });
    Ok(())
}
