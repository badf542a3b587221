//! From a framed request to its reply: the checks that come before every command, in Redis's order.

mod accounting;
mod effects;
mod memory;
mod pause;
mod slots;
mod tracked;
mod users;

use std::time::Instant;

use slotway_common::command::{self, Command, Flags, Group, Route, Support};
use slotway_common::cross_protocol;
use slotway_common::error::{Error, QUOTED};
use slotway_common::platform::clock;
use slotway_common::pubsub;
use slotway_common::reply_mode::ReplyMode;
use slotway_common::resp::request::Span;
use slotway_common::resp::{Args, Protocol, Reply};
use slotway_common::slot::Slot;

use crate::blocked;
use crate::changes::Executed;
use crate::commands::{Call, Handler};
use crate::engine::{Engine, Key};
use crate::node::{Node, Shard};
use crate::pubsub::{self as channels, Publisher};
use crate::session::Session;
use crate::transaction;

pub use accounting::{account, account_exec, account_served, count, write_error};
pub use effects::effects;
pub use memory::{make_room, make_room_for, note_full};
pub use pause::is_paused;
pub use slots::check_slot;
pub use tracked::{marked, quietly};
pub use users::{check_script, note_denied};

use accounting::{fail, is_refusal, refuse, show};
use slots::check_other_slots;
use tracked::{end_own, note_script, remember, settle_touched, tell_own};
use users::{check_user, deny};

/// A request whose command and first key have been found, before it runs.
pub struct Prepared {
    command: Result<&'static Command, Error>,
    first_key: Option<FirstKey>,
}

/// The first key of a request.
#[derive(Clone, Copy)]
struct FirstKey {
    position: usize,
    slot: Slot,
    hash: u64,
    /// Whether there are others.
    has_more: bool,
}

impl FirstKey {
    #[inline]
    fn find(command: &Command, args: &Args<'_>) -> Option<Self> {
        // A call whose keys cannot be found fails in its own function, with its own text.
        let keys = if command.has_keys() { command::keys(command, args).ok()? } else { return None };
        let position = keys.first()?;
        let Key { slot, hash, .. } = Key::new(args.at(position));
        Some(Self { position, slot, hash, has_more: keys.len() > 1 })
    }
}

impl Prepared {
    /// Finds the command and the first key of a request.
    #[must_use]
    #[inline]
    pub fn new(args: &Args<'_>, internal: bool) -> Self {
        let command = command::resolve(args, internal || args.is(0, "slotway"));
        let first_key = command.as_ref().ok().and_then(|command| FirstKey::find(command, args));
        Self { command, first_key }
    }

    /// Slot and hash of the first key.
    #[must_use]
    #[inline]
    pub fn key(&self) -> Option<(Slot, u64)> {
        self.first_key.map(|key| (key.slot, key.hash))
    }

    /// The command, if there is one of that name and shape.
    #[must_use]
    pub fn command(&self) -> Option<&'static Command> {
        self.command.as_ref().ok().copied()
    }
}

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
            transaction::abort(session);
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
        transaction::abort(session);
        if command.name == "exec" {
            session.end_transaction();
            session.unwatch(engine);
        }
        refuse(node, session, Some(command), &error, out);
        end_reply(session, mode, out, start);
        return started;
    }
    if session.transaction.is_some() && transaction::is_queued(command) {
        queue(engine, node, session, command, prepared.first_key, args, out);
        end_reply(session, mode, out, start);
        return started;
    }
    let result = match admit(engine, node, session, command, prepared.first_key, &args) {
        Ok(handler) => make_room_for(engine, node, session, command, &args).map(|()| handler),
        Err(error) => Err(error),
    };
    let result = match result {
        Err(error @ (Error::NoPerm(_) | Error::NoAuth | Error::Oom)) => {
            Err(deny(engine, session, command, error))
        }
        other => other,
    };
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
        blocked::add(engine, node, session, blocked::Route::Direct, command, words, want);
    }
    let ended = clock::monotonic();
    if outcome != Outcome::Refused {
        account(engine, node, session, command, &args, ended.duration_since(started), waits);
    }
    // Who waits sees a script's changes when it has ended.
    if node.blocked.has_ready() && !node.scripts.suspended.is_any() {
        blocked::serve_ready(engine, node);
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

/// What a script answers may read like a refusal of this shard: a proxy is told that it is none.
fn quote_refusal(session: &Session, out: &mut Vec<u8>, start: usize) {
    const REFUSALS: [&[u8]; 5] = [b"-MOVED ", b"-PARKED ", b"-LATER ", b"-BUSY ", b"-QUOTED "];
    let is_refusal = |reply: &[u8]| REFUSALS.iter().any(|refusal| reply.starts_with(refusal));
    if session.internal.is_some() && out.get(start..).is_some_and(is_refusal) {
        out.splice(start + 1..=start, QUOTED.iter().copied());
    }
}

/// Runs a command as part of another one (EXEC, a script), which has made room for it, and appends its reply, which may
/// be an error. Gives false for an error.
pub fn nested(
    engine: &mut Engine,
    node: &mut Node,
    session: &mut Session,
    args: Args<'_>,
    out: &mut Vec<u8>,
) -> bool {
    match command::resolve(&args, false) {
        Ok(command) => nested_command(engine, node, session, command, args, out),
        Err(error) => {
            refuse(node, session, command::find(&args), &error, out);
            false
        }
    }
}

/// Refuses a command that a script has called, before it runs.
#[cold]
pub fn refuse_in_script(
    node: &mut Node,
    session: &Session,
    args: &Args<'_>,
    error: &Error,
    out: &mut Vec<u8>,
) {
    let row = command::find(args).filter(|row| row.route != Route::Internal);
    refuse(node, session, row, error, out);
}

/// As [`nested`], of a command that has been found.
pub fn nested_command(
    engine: &mut Engine,
    node: &mut Node,
    session: &mut Session,
    command: &'static Command,
    args: Args<'_>,
    out: &mut Vec<u8>,
) -> bool {
    let started = clock::monotonic();
    let outer = std::mem::replace(&mut session.nested, true);
    let may_wait = std::mem::take(&mut session.may_wait);
    let first_key = FirstKey::find(command, &args);
    let handler = admit(engine, node, session, command, first_key, &args);
    let outcome = perform(engine, node, session, command, first_key, args, out, handler);
    if outcome != Outcome::Refused {
        account(engine, node, session, command, &args, clock::since(started), false);
    }
    session.may_wait = may_wait;
    session.nested = outer;
    outcome == Outcome::Done
}

/// Checks that no script is slow, or that the command runs all the same.
#[inline]
fn check_busy(node: &Node, command: &Command) -> Result<(), Error> {
    let suspended = &node.scripts.suspended;
    if !suspended.is_any() || command.flags.contains(Flags::ALLOW_BUSY) {
        return Ok(());
    }
    let error = suspended.error();
    Err(match command.name {
        "exec" | "slotway-exec" => {
            Error::ExecAbort(format!("Transaction discarded because of: {error}").into())
        }
        _ => error,
    })
}

/// Words as arguments of a command.
pub struct OwnedWords {
    bytes: Vec<u8>,
    spans: Vec<Span>,
}

impl OwnedWords {
    #[must_use]
    pub fn new(words: &[Vec<u8>]) -> Self {
        let mut spans = Vec::with_capacity(words.len());
        let mut at = 0;
        for word in words {
            spans.push((at as u32, word.len() as u32));
            at += word.len();
        }
        Self { bytes: words.concat(), spans }
    }

    #[must_use]
    pub fn args(&self) -> Args<'_> {
        Args::new(&self.bytes, &self.spans)
    }
}

/// Runs a command for a client that has waited, or will if there is nothing, and appends its reply. Gives false when it was
/// refused.
pub fn served(
    engine: &mut Engine,
    node: &mut Node,
    session: &mut Session,
    command: &'static Command,
    words: &[Vec<u8>],
    out: &mut Vec<u8>,
) -> bool {
    let words = OwnedWords::new(words);
    let args = words.args();
    let Prepared { first_key, .. } = Prepared::new(&args, false);
    let handler = admit(engine, node, session, command, first_key, &args);
    perform(engine, node, session, command, first_key, args, out, handler) != Outcome::Refused
}

/// How a command has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Done,
    /// With an error.
    Failed,
    /// It did not run, or its proxy sends it once more: it is no call.
    Refused,
}

/// Has a command that was admitted or refused run, pass on what it has changed, and reply.
fn perform(
    engine: &mut Engine,
    node: &mut Node,
    session: &mut Session,
    command: &'static Command,
    first_key: Option<FirstKey>,
    args: Args<'_>,
    out: &mut Vec<u8>,
    handler: Result<Handler, Error>,
) -> Outcome {
    let start = out.len();
    let changes = engine.changes();
    let admitted = handler.is_ok();
    if session.mark.is_some() {
        note_script(session, command, &args);
    }
    let result =
        handler.and_then(|handler| invoke(engine, node, session, command, first_key, args, out, handler));
    engine.settle();
    if engine.has_notes() {
        // A command that failed may have changed something all the same.
        let executed = Executed {
            command,
            args,
            db: session.db,
            slot: first_key.map(|key| key.slot),
            is_repeatable: result.is_ok() && command.is_write(),
        };
        session.slowed |= node.note_changes(engine, Some(&executed));
    }
    if node.changes.is_followed() {
        session.tells_of = session.tells_of.max(told_of(node, command, first_key, &args));
    }
    if engine.has_touched() {
        settle_touched(engine, node, session, changes);
    }
    if session.mark.is_some() && admitted {
        remember(engine, node, session, command, &args);
    }
    let mut outcome = Outcome::Done;
    if let Err(error) = &result {
        out.truncate(start);
        outcome = Outcome::Refused;
        if admitted {
            if !is_refusal(session, error) {
                outcome = Outcome::Failed;
            }
            fail(node, session, command, error, out);
        } else {
            // What a transaction may not run any more does not count as refused, as in Redis.
            let counts = !session.nested || session.in_script;
            refuse(node, session, counts.then_some(command), error, out);
        }
    }
    if engine.has_events() {
        announce(engine, node, session, out, start);
    }
    outcome
}

/// The last change that a command's reply can tell of: the last one of its keys' slots. Without keys that is the node's.
#[inline]
fn told_of(node: &Node, command: &Command, key: Option<FirstKey>, args: &Args<'_>) -> u64 {
    match key {
        Some(FirstKey { slot, has_more: false, .. }) => node.changes.last_of(slot),
        Some(_) => command::keys(command, args).map_or(node.changes.visible(), |keys| {
            let slots = keys.positions().map(|position| Key::new(args.at(position)).slot);
            slots.map(|slot| node.changes.last_of(slot)).max().unwrap_or(0)
        }),
        // What the connection is told of itself.
        None if command.group == Group::Connection => 0,
        None => node.changes.visible(),
    }
}

/// Tells those who listen what a command did to keys. The client itself is told before the reply, which begins at `start`.
#[cold]
fn announce(engine: &mut Engine, node: &mut Node, session: &mut Session, out: &mut Vec<u8>, start: usize) {
    let mut own = Vec::new();
    channels::announce(engine, node, Some(Publisher { client: &session.client, out: &mut own }));
    if session.reply_mode.is_muted() {
        session.pushes.append(&mut own);
    } else {
        out.splice(start..start, own);
    }
}

/// Makes what a command needs to know of itself, and calls its function.
fn invoke(
    engine: &mut Engine,
    node: &mut Node,
    session: &mut Session,
    command: &'static Command,
    key: Option<FirstKey>,
    args: Args<'_>,
    out: &mut Vec<u8>,
    handler: Handler,
) -> Result<(), Error> {
    let first_key = key.map(|FirstKey { position, slot, hash, .. }| {
        engine.count_operation(slot);
        (position, Key { bytes: args.at(position), slot, hash })
    });
    if command.flags.contains(Flags::SKIP_MONITOR) && !node.monitors.is_empty() | session.shows {
        // What a script calls is shown behind it.
        show_script(node, session, command, &args);
    }
    let reply = Reply::new(out, session.protocol).with_budget(node.hot.reply_budget());
    let mut call = Call { engine, node, session, args, reply, command, first_key };
    handler(&mut call)?;
    if call.reply.is_exceeded() {
        call.node.stats.closed_for_output += 1;
        call.session.client.kill();
        tracing::warn!(
            "client {} closed: the reply to {} is over its budget",
            call.session.client.address,
            command.name
        );
    }
    Ok(())
}

#[cold]
fn show_script(node: &mut Node, session: &Session, command: &Command, args: &Args<'_>) {
    if command.group == Group::Scripting {
        show(node, session, command, args);
    }
}

/// The checks that come before a command, whether it runs now or is queued.
fn admit(
    engine: &mut Engine,
    node: &mut Node,
    session: &mut Session,
    command: &'static Command,
    key: Option<FirstKey>,
    args: &Args<'_>,
) -> Result<Handler, Error> {
    let handler = match (node.handlers.get(command), command.support) {
        (Some(handler), Support::Full) => handler,
        _ => return Err(command::unsupported(command)),
    };
    if !session.is_free() {
        check_user(node, session, command, args)?;
    }
    if let Some(FirstKey { slot, has_more, .. }) = key {
        check_slot(node, session, slot, command, args)?;
        if has_more {
            check_other_slots(engine, node, session, slot, command, args)?;
        }
    }
    node.standing.admit(command)?;
    Ok(handler)
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
            transaction::queue(session, command, &args, effects, node.hot.query_limit);
            Reply::new(out, session.protocol).simple("QUEUED");
        }
        Err(error) => {
            transaction::abort(session);
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
            out.append(&mut session.pushes);
        }
    }
}
