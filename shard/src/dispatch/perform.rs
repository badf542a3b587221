//! Runs one command: whether it may run, its function, and what follows from what it has changed.

use slotway_common::command::{self, Command, Flags, Group, Route, Support};
use slotway_common::error::{Error, QUOTED};
use slotway_common::number::parse_i64;
use slotway_common::platform::clock;
use slotway_common::resp::request::Span;
use slotway_common::resp::{Args, Reply};
use slotway_common::slot::Slot;

use super::accounting::{account, fail, is_refusal, refuse, show};
use super::slots::{check_all_slots, check_other_slots, check_slot};
use super::tracked::{note_script, remember, settle_touched};
use super::users::check_user;
use crate::call::{Arguments, Call, FirstKey};
use crate::changes::Executed;
use crate::engine::{Engine, Key};
use crate::node::{Function, Node, NodeCall};
use crate::pubsub::Publisher;
use crate::session::Session;

/// A request whose command and first key have been found, before it runs.
pub struct Prepared {
    pub(super) command: Result<&'static Command, Error>,
    pub(super) first_key: Option<FirstKey>,
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

/// What a script answers may read like a refusal of this shard: a proxy is told that it is none.
pub(super) fn quote_refusal(session: &mut Session, out: &mut Vec<u8>, start: usize) {
    const REFUSALS: [&[u8]; 6] = [b"-MOVED ", b"-PARKED ", b"-LATER ", b"-BUSY ", b"-QUOTED ", b"-ELSEWHERE"];
    if std::mem::take(&mut session.elsewhere) {
        // This is one.
        return;
    }
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
        Ok(command) => {
            let first_key = FirstKey::find(command, &args);
            nested_command(engine, node, session, (command, first_key), args, out)
        }
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

/// As [`nested`], of a command that has been found, and its first key.
pub fn nested_command(
    engine: &mut Engine,
    node: &mut Node,
    session: &mut Session,
    (command, first_key): (&'static Command, Option<FirstKey>),
    args: Args<'_>,
    out: &mut Vec<u8>,
) -> bool {
    let started = clock::monotonic();
    let (from, db) = (out.len(), session.db);
    let outer = std::mem::replace(&mut session.nested, true);
    let may_wait = std::mem::take(&mut session.may_wait);
    let handler = admit(engine, node, session, command, first_key, &args);
    let outcome = perform(engine, node, session, command, first_key, args, out, handler);
    if outcome != Outcome::Refused {
        account(engine, node, session, command, &args, clock::since(started), false);
    }
    if let Some(borrowed) = &session.borrowed
        && outcome == Outcome::Done
    {
        add_to_integer(borrowed.uncounted(command, &args, db), from, out);
    }
    session.may_wait = may_wait;
    session.nested = outer;
    outcome == Outcome::Done
}

/// Adds to the integer that a reply consists of, which begins there.
fn add_to_integer(more: u64, from: usize, out: &mut Vec<u8>) {
    let reply = out.get(from..).unwrap_or_default();
    let number = reply.strip_prefix(b":").and_then(|reply| reply.strip_suffix(b"\r\n")).and_then(parse_i64);
    if let Some(number) = number.filter(|_| more > 0) {
        out.truncate(from);
        out.extend_from_slice(format!(":{}\r\n", number + more as i64).as_bytes());
    }
}

/// Checks that no script is slow, or that the command runs all the same.
#[inline]
pub(super) fn check_busy(node: &Node, command: &Command) -> Result<(), Error> {
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
pub(super) enum Outcome {
    Done,
    /// With an error.
    Failed,
    /// It did not run, or its proxy sends it once more: it is no call.
    Refused,
}

/// Has a command that was admitted or refused run, pass on what it has changed, and reply.
pub(super) fn perform(
    engine: &mut Engine,
    node: &mut Node,
    session: &mut Session,
    command: &'static Command,
    first_key: Option<FirstKey>,
    args: Args<'_>,
    out: &mut Vec<u8>,
    function: Result<Function, Error>,
) -> Outcome {
    let start = out.len();
    let changes = engine.changes();
    let admitted = function.is_ok();
    if session.mark.is_some() {
        note_script(session, command, &args);
    }
    let result =
        function.and_then(|function| invoke(engine, node, session, command, first_key, args, out, function));
    engine.settle();
    if engine.has_notes() {
        // A command that failed may have changed something all the same.
        let is_repeatable = result.is_ok() && command.is_write();
        let slot = first_key.map(|key| key.slot);
        if !is_repeatable || !slot.is_some_and(|slot| node.changes.number_alone(engine, slot)) {
            let executed = Executed { command, args, db: session.db, slot, is_repeatable };
            session.slowed |= pass_on(engine, node, &executed);
        }
    }
    // The numbers of slots are far apart in memory: they are asked for only where one of them can matter.
    if node.changes.is_followed() && node.changes.sequence() > session.released {
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
    if engine.has_events() && session.borrowed.is_none() {
        announce(engine, node, session, out, start);
    }
    outcome
}

/// Gives whether those who copy slots are behind.
#[inline(never)]
fn pass_on(engine: &mut Engine, node: &mut Node, executed: &Executed<'_>) -> bool {
    node.note_changes(engine, Some(executed))
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
    node.announce(engine, Some(Publisher { client: &session.client, out: &mut own }));
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
    function: Function,
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
    let args = Arguments::new(args, first_key);
    let is_exceeded = match function {
        Function::Data(handler) => {
            let (db, in_script, may_wait) = (session.db, session.in_script, session.may_wait);
            let mut call = Call { engine, db, args, reply, command, in_script, may_wait, wants: None };
            handler(&mut call)?;
            if call.wants.is_some() {
                session.wants = call.wants;
            }
            call.reply.is_exceeded()
        }
        Function::Node(handler) => {
            let mut call = NodeCall { engine, node, session, args, reply, command };
            handler(&mut call)?;
            call.reply.is_exceeded()
        }
    };
    if is_exceeded {
        node.stats.closed_for_output += 1;
        session.client.kill();
        tracing::warn!("client {} closed: a reply is over its budget", session.client.address);
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
pub(super) fn admit(
    engine: &mut Engine,
    node: &mut Node,
    session: &mut Session,
    command: &'static Command,
    key: Option<FirstKey>,
    args: &Args<'_>,
) -> Result<Function, Error> {
    let function = match (node.handlers.get(command), command.support) {
        (Some(function), Support::Full) => function,
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
    } else if node.locks.is_any_held() || session.borrowed.is_some() {
        check_all_slots(node, session, command, args)?;
    }
    node.standing.admit(command)?;
    Ok(function)
}
