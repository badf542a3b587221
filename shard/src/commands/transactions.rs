//! MULTI, EXEC, WATCH and what belongs to them.

use slotway_common::command;
use slotway_common::error::Error;
use slotway_common::number::parse_i64;
use slotway_common::platform::clock;

use crate::dispatch::{self, OwnedWords};
use crate::engine::{DATABASES, WatchId, WatchState};
use crate::exec;
use crate::locks::{Holder, try_again};
use crate::node::{NodeCall, NodeHandler};
use crate::transaction::Batch;

pub(super) const HANDLERS: &[(&str, NodeHandler)] = &[
    ("multi", multi),
    ("exec", exec),
    ("discard", discard),
    ("watch", watch),
    ("unwatch", unwatch),
    ("slotway-exec", exec_for_proxy),
    ("slotway-watch", watch_for_proxy),
    ("slotway-unwatch", unwatch_for_proxy),
];

fn multi(call: &mut NodeCall<'_>) -> Result<(), Error> {
    if call.session.transaction.is_some() {
        return Err(Error::err("MULTI calls can not be nested"));
    }
    call.session.begin_transaction();
    call.reply.ok();
    Ok(())
}

fn discard(call: &mut NodeCall<'_>) -> Result<(), Error> {
    if !call.session.end_transaction() {
        return Err(Error::err("DISCARD without MULTI"));
    }
    call.session.unwatch(call.engine);
    call.reply.ok();
    Ok(())
}

fn exec(call: &mut NodeCall<'_>) -> Result<(), Error> {
    let Some(transaction) = call.session.take_transaction() else {
        // What is watched stays watched.
        return Err(Error::err("EXEC without MULTI"));
    };
    let is_watching = call.session.watching;
    let watch = call.engine.end_watch(WatchId::Client(call.session.client.id));
    call.session.watching = false;
    // Redis looks at memory before it looks at what EXEC is to do.
    let needs_memory = transaction.queued.effects().needs_memory;
    dispatch::make_room(call.engine, call.node, needs_memory).map_err(|error| error.of_exec())?;
    let queued = transaction.into_queued()?;
    if is_watching && watch != WatchState::Whole {
        call.reply.null_array();
        return Ok(());
    }
    // Slots may have gone since the commands were queued.
    for slot in queued.slots() {
        if !call.node.serves(*slot) {
            return Err(match call.node.locks.holder(*slot) {
                Some(Holder::Leaving | Holder::Transaction(_)) => try_again(*slot),
                _ => call.node.moved(*slot),
            });
        }
    }
    exec::run_queued(call.engine, call.node, call.session, &queued, call.reply.buffer())
}

fn watch(call: &mut NodeCall<'_>) -> Result<(), Error> {
    if call.session.transaction.is_some() {
        return Err(Error::err("WATCH inside MULTI is not allowed"));
    }
    call.session.watching = true;
    watch_keys(call, WatchId::Client(call.session.client.id), 1);
    call.reply.ok();
    Ok(())
}

fn watch_keys(call: &mut NodeCall<'_>, id: WatchId, from: usize) {
    for index in from..call.args.len() {
        let key = call.key(index);
        call.engine.watch_key(id, call.session.db, &key);
    }
}

fn unwatch(call: &mut NodeCall<'_>) -> Result<(), Error> {
    call.session.unwatch(call.engine);
    call.reply.ok();
    Ok(())
}

/// The number that a proxy has given a watch or a wait.
pub(super) fn token(bytes: &[u8]) -> Result<u64, Error> {
    parse_i64(bytes).and_then(|number| u64::try_from(number).ok()).ok_or(Error::NotInteger)
}

/// `SLOTWAY-EXEC <watch> <database> <commands> <count> <how> <key>…`: the commands as requests that lie one after the
/// other, their number, and a key of each of their slots, so that all are checked before anything runs. The watch is empty
/// where there is none. How it is run is said by words:
///
/// - `known`: nothing runs if a script is called that is not here; the reply is `NOSCRIPT` with the digests, and the slots stay
///   refused (see [`super::script::refuse_slots`]).
/// - `part`: it is a part of an EXEC, which counts as a whole.
/// - `quiet`: it is no EXEC of a client, and nothing of it counts.
fn exec_for_proxy(call: &mut NodeCall<'_>) -> Result<(), Error> {
    let args = call.args;
    let has = |wanted: &[u8]| args.at(5).split(|byte| *byte == b' ').any(|word| word == wanted);
    let (is_part, is_quiet) = (has(b"part"), has(b"quiet"));
    let count = parse_i64(args.at(4)).ok_or(Error::NotInteger)?;
    let count = usize::try_from(count).map_err(|_| Error::NotPositive)?;
    let mut batch = Batch { frames: args.at(3), count, needs_memory: false };
    batch.needs_memory = call.engine.memory.is_over() && exec::effects_of(batch, call.node).needs_memory;
    if has(b"known") {
        let unknown = exec::unknown_scripts(batch, &call.node.scripts);
        if !unknown.is_empty() {
            super::script::refuse_slots(call.session, args.rest(6));
            return Err(Error::Line(format!("NOSCRIPT {}", unknown.join(" ")).into()));
        }
    }
    let started = clock::monotonic();
    let before = std::mem::replace(&mut call.session.quiet, is_quiet);
    let result = run_for_proxy(call, batch, !is_part && !is_quiet);
    call.session.quiet = before;
    if !is_part && !is_quiet {
        dispatch::account_exec(
            call.engine,
            call.node,
            call.session,
            clock::since(started),
            result.as_ref().err(),
        );
    }
    result
}

fn run_for_proxy(call: &mut NodeCall<'_>, batch: Batch<'_>, counts: bool) -> Result<(), Error> {
    let args = call.args;
    let db = super::generic::database(args.at(2)).ok().filter(|db| *db < DATABASES);
    if !args.at(1).is_empty() {
        let token = token(args.at(1))?;
        call.session.tokens.remove(&token);
        if call.engine.end_watch(WatchId::Token(token)) != WatchState::Whole {
            call.reply.null_array();
            return Ok(());
        }
    }
    let database = Some(db.ok_or(Error::Syntax)?);
    exec::run(call.engine, call.node, call.session, batch, database, counts, call.reply.buffer())
}

/// `SLOTWAY-WATCH <watch> <name> <key>…`: the name is the client's word for WATCH.
fn watch_for_proxy(call: &mut NodeCall<'_>) -> Result<(), Error> {
    let token = token(call.args.at(1))?;
    call.session.tokens.insert(token);
    let started = clock::monotonic();
    watch_keys(call, WatchId::Token(token), 3);
    call.reply.ok();
    let took = clock::since(started);
    if let Some(row) = command::find_by_full_name(b"watch") {
        let words: Vec<Vec<u8>> = call.args.rest(2).iter().map(<[u8]>::to_vec).collect();
        let words = OwnedWords::new(&words);
        dispatch::account(call.engine, call.node, call.session, row, &words.args(), took, false);
    }
    Ok(())
}

/// `SLOTWAY-UNWATCH <watch>`
fn unwatch_for_proxy(call: &mut NodeCall<'_>) -> Result<(), Error> {
    let token = token(call.args.at(1))?;
    call.session.tokens.remove(&token);
    call.engine.end_watch(WatchId::Token(token));
    call.reply.ok();
    Ok(())
}
