//! Runs scripts and functions: the commands that they call are dispatched like any others.

pub mod slow;

use std::time::Duration;

use slotway_common::alone::no_cluster;
use slotway_common::command::{self, Flags, Group};
use slotway_common::error::Error;
use slotway_common::resp::{Args, Reply};
use slotway_common::script::ScriptFlags;
use slotway_common::slot::slot_of;

use crate::call::FirstKey;
use crate::dispatch::{check_script, make_room, nested_command, refuse_in_script};
use crate::engine::Engine;
use crate::node::{Node, NodeCall};
use crate::script::{Failure, Progress, Rights, Run, Verdict};
use crate::session::Session;

const NOT_HERE: &str = "Script attempted to access a non local key in a cluster node";

/// How far a run came.
pub enum Step {
    /// To its end, well or not: see [`finish`].
    Ended(Result<(), Failure>),
    /// It has run for longer than it should.
    Slow,
}

/// Refuses a script that has a first line and may need memory, while there is too little: before anything else is
/// looked at, as any command that may need memory. What runs inside EXEC comes after that question.
///
/// # Errors
/// `OOM`
pub fn refuse_over_limit(rights: Rights, call: &mut NodeCall<'_>) -> Result<(), Error> {
    if call.session.nested || !rights.may_need_memory() {
        return Ok(());
    }
    make_room(call.engine, call.node, true)
}

/// Refuses a script that could do what it may not.
///
/// # Errors
/// The error reply.
pub fn check_rights(rights: Rights, call: &mut NodeCall<'_>) -> Result<(), Error> {
    let Some(flags) = rights.flags else { return Ok(()) };
    let writes = !flags.contains(ScriptFlags::NO_WRITES);
    if writes && let Some(reason) = call.node.log.failure() {
        return Err(Error::Line(
            format!("MISCONF nothing is written any more, because the log cannot be: {reason}").into(),
        ));
    }
    if writes && rights.read_only {
        return Err(Error::err("Can not execute a script with write flag using *_ro command."));
    }
    if rights.may_need_memory() && make_room(call.engine, call.node, true).is_err() {
        return Err(Error::Line(
            "OOM allow-oom flag is not set on the script, can not run it when used memory > 'maxmemory'"
                .into(),
        ));
    }
    Ok(())
}

/// Begins a run; `threshold` is the time after which it is slow.
pub fn start(
    run: &mut Run,
    engine: &mut Engine,
    node: &mut Node,
    session: &mut Session,
    threshold: Option<Duration>,
) -> Step {
    if engine.has_notes() {
        // What was evicted, and what the command said of itself: nothing that the script calls is to be taken for it.
        node.note_changes(engine, None);
    }
    let group = node.changes.begin_group();
    let user = (!session.is_free()).then(|| session.user());
    let begun = run.begin(threshold, user, group);
    follow(run, begun, engine, node, session)
}

/// Goes on with a slow run, or ends it.
fn resume(run: &mut Run, kill: bool, engine: &mut Engine, node: &mut Node, session: &mut Session) -> Step {
    engine.set_now(run.now);
    let progress = run.resume(if kill { Verdict::Kill } else { Verdict::GoOn });
    follow(run, progress, engine, node, session)
}

fn follow(
    run: &mut Run,
    mut progress: Progress,
    engine: &mut Engine,
    node: &mut Node,
    session: &mut Session,
) -> Step {
    loop {
        match progress {
            Progress::Call => {
                call(run, engine, node, session);
                progress = run.resume(Verdict::GoOn);
            }
            Progress::Slow => return Step::Slow,
            Progress::Ended(outcome) => return Step::Ended(outcome),
        }
    }
}

/// Ends a run: writes its reply, and gives its machine back.
///
/// # Errors
/// The error that the script has raised or returned.
pub fn finish(
    run: Run,
    outcome: Result<(), Failure>,
    node: &mut Node,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    if run.group {
        node.changes.end_group();
    }
    let is_function = run.is_function;
    let (result, machine) = run.finish(outcome, reply);
    node.scripts.give_back(machine, is_function);
    result
}

/// Runs the command that the script has called.
fn call(run: &mut Run, engine: &mut Engine, node: &mut Node, session: &mut Session) {
    let (mut exchange, protocol) = run.take_exchange();
    let args = Args::new(&exchange.args, &exchange.spans);
    let before = std::mem::replace(&mut session.protocol, protocol);
    let in_script = std::mem::replace(&mut session.in_script, true);
    match check(run, engine, node, session, &args) {
        Ok(command) => {
            let first_key = FirstKey::find(command, &args);
            nested_command(engine, node, session, (command, first_key), args, &mut exchange.reply);
        }
        Err(error) => refuse_in_script(node, session, &args, &error, &mut exchange.reply),
    }
    session.in_script = in_script;
    session.protocol = before;
    run.put_exchange(exchange);
}

/// The checks that come before a command of a script, beside those of every command.
fn check(
    run: &mut Run,
    engine: &mut Engine,
    node: &mut Node,
    session: &mut Session,
    args: &Args<'_>,
) -> Result<&'static command::Command, Error> {
    if session.elsewhere {
        return Err(Error::err(NOT_HERE));
    }
    let command = command::find(args).filter(|command| command.route != command::Route::Internal);
    let command = command.ok_or(Error::err("Unknown Redis command called from script"))?;
    if !command.takes(args.len()) {
        return Err(Error::err("Wrong number of args calling Redis command from script"));
    }
    if command.flags.contains(Flags::NOSCRIPT) {
        return Err(Error::err("This Redis command is not allowed from script"));
    }
    if command.group == Group::Cluster && session.internal.is_some() {
        return Err(no_cluster());
    }
    check_script(node, session, command, args)?;
    // What is passed on to replicas, though it changes no data, counts as a write.
    if run.read_only && (command.is_write() || command.may_replicate) {
        return Err(Error::err("Write commands are not allowed from read-only scripts."));
    }
    if engine.memory.limit > 0 && !run.allow_oom && !run.wrote && command.flags.contains(Flags::DENYOOM) {
        make_room(engine, node, true)?;
        if engine.has_notes() {
            node.note_changes(engine, None);
        }
    }
    // What runs on copies of keys finds out which ones it needs.
    let borrows = session.borrowed.is_some();
    let is_elsewhere = |slot| !borrows && !node.serves(slot);
    let keys = command::keys(command, args).ok();
    let mut positions = keys.iter().flat_map(command::Keys::positions);
    let has_channel = |slot| if borrows { node.has_channel(slot) } else { node.serves(slot) };
    if command.publishes() && !has_channel(slot_of(args.at(1))) {
        return Err(Error::err(NOT_HERE));
    }
    if positions.any(|position| is_elsewhere(slot_of(args.at(position)))) {
        session.elsewhere = session.internal.is_some() && !run.wrote && !session.nested;
        return Err(Error::err(NOT_HERE));
    }
    run.wrote |= command.is_write();
    Ok(command)
}
