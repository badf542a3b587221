//! From a framed request to its reply: the checks that come before every command, in Redis's order.

mod accounting;
mod effects;
mod memory;
mod pause;
mod perform;
mod serving;
mod slots;
mod tracked;
mod users;
mod within;

use std::time::Instant;

use slotway_common::command::{self, Command, Flags, Group, Route};
use slotway_common::cross_protocol;
use slotway_common::error::Error;
use slotway_common::platform::clock;
use slotway_common::pubsub;
use slotway_common::reply_mode::ReplyMode;
use slotway_common::resp::{Args, Protocol, Reply};

use crate::blocked::Route as WaitRoute;
use crate::call::FirstKey;
use crate::engine::Engine;
use crate::node::{Node, Shard};
use crate::session::Session;

pub use accounting::{account, account_exec, account_served, count, write_error};
pub use effects::effects;
pub use memory::{make_room, make_room_for, note_full};
pub use pause::is_paused;
pub use perform::{OwnedWords, Prepared, nested, nested_command, refuse_in_script, served};
pub use serving::serve_ready;
pub use slots::check_slot;
pub use tracked::tell_touched;
pub use users::{check_script, note_denied};
pub use within::{marked, quietly};

use accounting::refuse;
use perform::{Outcome, admit, check_busy, perform, quote_refusal};
use tracked::{end_own, tell_own};
use users::{check_user, deny};

/// Runs one request and appends its reply to `out`. `started` is the time at which the request
/// before it ended, or at which the batch began; gives the time at which this one ended.
pub fn execute(
    shard: &mut Shard,
    session: &mut Session,
    prepared: &Prepared,
    args: Args<'_>,
    out: &mut Vec<u8>,
    started: Instant,
) -> Instant {
    execute_on(&mut shard.engine, &mut shard.node, session, prepared, args, out, started)
}

/// As [`execute`].
pub fn execute_on(
    engine: &mut Engine,
    node: &mut Node,
    session: &mut Session,
    prepared: &Prepared,
    args: Args<'_>,
    out: &mut Vec<u8>,
    started: Instant,
) -> Instant {
    let (start, mode) = (out.len(), session.reply_mode);
    session.muted = mode.is_muted();
    let command = match &prepared.command {
        Ok(command) => *command,
        Err(_) if session.internal.is_none() && cross_protocol::is_http(&args) => {
            cross_protocol::warn(&session.client.address);
            session.client.kill();
            session.closing = true;
            return started;
        }
        Err(error) => {
            session.abort_transaction();
            if args.is(0, "exec") {
                session.end_transaction();
                session.unwatch(engine);
            }
            let row = command::find(&args).filter(|row| row.route != Route::Internal);
            refuse(node, session, row, error, out);
            end_reply(session, mode, out, start);
            return started;
        }
    };
    if command.route != Route::Internal {
        session.client.last_command.set(Some(command));
    }
    if session.client.listens.get()
        && session.protocol == Protocol::Resp2
        && session.internal.is_none()
        && let Err(error) = pubsub::check_allowed(command)
    {
        let denied = if session.is_free() { Ok(()) } else { check_user(node, session, command, &args) };
        let error = deny(engine, session, command, denied.err().unwrap_or(error));
        refuse(node, session, Some(command), &error, out);
        end_reply(session, mode, out, start);
        return started;
    }
    if let Err(error) = check_busy(node, command) {
        session.abort_transaction();
        if command.name == "exec" {
            session.end_transaction();
            session.unwatch(engine);
        }
        refuse(node, session, Some(command), &error, out);
        end_reply(session, mode, out, start);
        return started;
    }
    if session.transaction.is_some() && command.is_queued() {
        queue(engine, node, session, command, prepared.first_key, args, out);
        end_reply(session, mode, out, start);
        return started;
    }
    let mut result = admit(engine, node, session, command, prepared.first_key, &args);
    if result.is_ok()
        && let Err(error) = make_room_for(engine, node, session, command, &args)
    {
        result = Err(error);
    }
    if matches!(result, Err(Error::NoPerm(_) | Error::NoAuth | Error::Oom)) {
        result = result.map_err(|error| deny(engine, session, command, error));
    }
    let admitted = result.is_ok();
    let may_tell = node.tracking.is_used();
    if may_tell {
        node.tracking.begin_own(session.client.id, session.internal.is_some());
    }
    let outcome = perform(engine, node, session, command, prepared.first_key, args, out, result);
    if command.group == Group::Scripting && admitted {
        quote_refusal(session, out, start);
    }
    let own = if may_tell { end_own(node, session, command) } else { Vec::new() };
    let wants = session.wants.take();
    let waits = wants.is_some();
    if let Some(mut want) = wants {
        let words = want.args.take().unwrap_or_else(|| args.iter().map(<[u8]>::to_vec).collect());
        node.blocked.add(engine, session, WaitRoute::Direct, command, words, want);
    }
    let ended = clock::monotonic();
    if outcome != Outcome::Refused {
        account(engine, node, session, command, &args, ended.duration_since(started), waits);
    }
    // Who waits sees a script's changes when it has ended.
    if node.blocked.has_ready() && !node.scripts.suspended.is_any() {
        serve_ready(engine, node);
    }
    note_full(engine, node);
    if !node.told.is_empty() {
        let told = std::mem::take(&mut node.told);
        out.splice(start..start, told);
    }
    end_reply(session, mode, out, start);
    if !own.is_empty() {
        tell_own(node, session, own, out, start);
    }
    ended
}

/// Takes a command into the transaction of its client.
#[cold]
fn queue(
    engine: &mut Engine,
    node: &mut Node,
    session: &mut Session,
    command: &'static Command,
    key: Option<FirstKey>,
    args: Args<'_>,
    out: &mut Vec<u8>,
) {
    let admitted = if command.flags.contains(Flags::NO_MULTI) {
        Err(Error::err("Command not allowed inside a transaction"))
    } else {
        admit(engine, node, session, command, key, &args)
            .and_then(|_| make_room_for(engine, node, session, command, &args))
    };
    // What a command on several slots said of itself is for the time at which it runs.
    engine.forget_several_slots();
    match admitted {
        Ok(()) => {
            let effects = effects(node, command, &args);
            session.queue(command, key, &args, effects, node.hot.query_limit);
            Reply::new(out, session.protocol).simple("QUEUED");
        }
        Err(error) => {
            session.abort_transaction();
            refuse(node, session, Some(command), &error, out);
        }
    }
}

/// Ends a command for CLIENT REPLY, whose `mode` was this when it began.
#[inline]
fn end_reply(session: &mut Session, mode: ReplyMode, out: &mut Vec<u8>, start: usize) {
    if mode != ReplyMode::ON || session.reply_mode != ReplyMode::ON {
        mute(session, mode, out, start);
        out.append(&mut session.pushes);
        session.reply_mode.end_command();
        session.client.muted.set(session.reply_mode.is_muted());
    }
}

/// Takes back what a command replied, from `start` on, where its client wanted no reply when it began, and wants none now. The
/// one that changes that is answered as Redis does it: from there on.
#[cold]
fn mute(session: &Session, mode: ReplyMode, out: &mut Vec<u8>, start: usize) {
    if mode.is_muted() && session.reply_mode == mode {
        out.truncate(start);
    }
}

/// The same of a command within EXEC.
#[inline]
pub fn end_nested_reply(session: &mut Session, mode: ReplyMode, out: &mut Vec<u8>, start: usize) {
    if mode != ReplyMode::ON || session.reply_mode != ReplyMode::ON {
        mute(session, mode, out, start);
        if !session.reply_mode.is_muted() {
            // They are of commands before this one, which has turned replies on again.
            out.splice(start..start, session.pushes.drain(..));
        }
    }
}
