//! From a framed request to its reply: the checks that come before every command, in Redis's order.

use std::time::{Duration, Instant};

use slotway_common::acl::{self, Context, Entry, Reason, is_secret};
use slotway_common::command::{self, Command, Flags, Route, Support};
use slotway_common::error::Error;
use slotway_common::fault;
use slotway_common::platform::clock;
use slotway_common::pubsub;
use slotway_common::resp::request::Span;
use slotway_common::resp::{Args, Protocol, Reply};
use slotway_common::slot::{Slot, slot_of};

use crate::blocked;
use crate::commands::{Call, Handler, describe};
use crate::engine::{Engine, Key};
use crate::log::{Ran, note_changes};
use crate::node::{Node, Shard};
use crate::pubsub::{self as channels, Publisher};
use crate::session::{ReplyMode, Session};
use crate::transaction;

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
    let start = out.len();
    let command = match &prepared.command {
        Ok(command) => *command,
        Err(error) => {
            transaction::abort(session);
            refuse(node, session, None, error, out);
            apply_reply_mode(session, out, start);
            return started;
        }
    };
    session.client.last_command.set(Some(command));
    if session.client.listens.get()
        && session.protocol == Protocol::Resp2
        && session.internal.is_none()
        && let Err(error) = pubsub::check_allowed(command)
    {
        let denied = if session.is_free() { Ok(()) } else { check_user(node, session, command, &args) };
        let error = deny(engine, session, command, denied.err().unwrap_or(error));
        refuse(node, session, Some(command), &error, out);
        apply_reply_mode(session, out, start);
        return started;
    }
    if node.scripts.suspended.is_any() && !command.flags.contains(Flags::ALLOW_BUSY) {
        transaction::abort(session);
        let mut error = node.scripts.suspended.error();
        if command.name == "exec" {
            session.end_transaction();
            session.unwatch(engine);
            error = Error::ExecAbort(format!("Transaction discarded because of: {error}").into());
        }
        refuse(node, session, Some(command), &error, out);
        apply_reply_mode(session, out, start);
        return started;
    }
    if session.transaction.is_some() && transaction::is_queued(command) {
        queue(engine, node, session, command, prepared.first_key, args, out);
        apply_reply_mode(session, out, start);
        return started;
    }
    let result = match admit(engine, node, session, command, prepared.first_key, &args) {
        Ok(handler) => make_room(engine, node, command.flags.contains(Flags::DENYOOM)).map(|()| handler),
        Err(error @ (Error::NoPerm(_) | Error::NoAuth)) => Err(deny(engine, session, command, error)),
        Err(error) => Err(error),
    };
    perform(engine, node, session, command, prepared.first_key, args, out, result);
    if let Some(mut want) = session.wants.take() {
        let words = want.args.take().unwrap_or_else(|| args.iter().map(<[u8]>::to_vec).collect());
        blocked::add(engine, node, session, blocked::Route::Direct, command, words, want);
    }
    // Who waits sees a script's changes when it has ended.
    if node.blocked.has_ready() && !node.scripts.suspended.is_any() {
        blocked::serve_ready(engine, node);
    }
    let ended = clock::monotonic();
    account(engine, node, session, command, &args, ended.duration_since(started));
    apply_reply_mode(session, out, start);
    ended
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
            refuse(node, session, None, &error, out);
            false
        }
    }
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
    let succeeded = perform(engine, node, session, command, first_key, args, out, handler);
    account(engine, node, session, command, &args, clock::since(started));
    session.may_wait = may_wait;
    session.nested = outer;
    succeeded
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

/// Runs a command for a client that has waited, or will if there is nothing, and appends its reply.
pub fn served(
    engine: &mut Engine,
    node: &mut Node,
    session: &mut Session,
    command: &'static Command,
    words: &[Vec<u8>],
    out: &mut Vec<u8>,
) {
    let words = OwnedWords::new(words);
    let args = words.args();
    let Prepared { first_key, .. } = Prepared::new(&args, false);
    let handler = admit(engine, node, session, command, first_key, &args);
    perform(engine, node, session, command, first_key, args, out, handler);
}

/// Has a command that was admitted or refused run, pass on what it has changed, and reply. Gives false for an error.
fn perform(
    engine: &mut Engine,
    node: &mut Node,
    session: &mut Session,
    command: &'static Command,
    first_key: Option<FirstKey>,
    args: Args<'_>,
    out: &mut Vec<u8>,
    handler: Result<Handler, Error>,
) -> bool {
    let start = out.len();
    let changes = engine.changes();
    let result =
        handler.and_then(|handler| invoke(engine, node, session, command, first_key, args, out, handler));
    engine.settle();
    if engine.has_notes() {
        // A command that failed may have changed something all the same.
        let ran = Ran {
            command,
            args,
            db: session.db,
            slot: first_key.map(|key| key.slot),
            is_repeatable: result.is_ok() && command.is_write(),
        };
        session.slowed |= note_changes(engine, node, Some(&ran));
    }
    if engine.has_touched() {
        for (db, key) in engine.settle_touched(changes) {
            node.blocked.touched(db, &key);
        }
    }
    if let Err(error) = &result {
        out.truncate(start);
        fail(node, session, command, error, out);
    }
    if engine.has_events() {
        announce(engine, node, session, out, start);
    }
    result.is_ok()
}

/// Tells those who listen what a command did to keys. The client itself is told before the reply, which begins at `start`.
#[cold]
fn announce(engine: &mut Engine, node: &mut Node, session: &Session, out: &mut Vec<u8>, start: usize) {
    let mut own = Vec::new();
    channels::announce(engine, node, Some(Publisher { client: &session.client, out: &mut own }));
    out.splice(start..start, own);
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
    Ok(handler)
}

/// The error of a command that its client may not run, or not now. What was queued will not run then; where it is EXEC that is denied,
/// nothing is left of it.
#[cold]
fn deny(engine: &mut Engine, session: &mut Session, command: &Command, error: Error) -> Error {
    if command.name == "exec" {
        session.end_transaction();
        session.unwatch(engine);
        return error.of_exec();
    }
    transaction::abort(session);
    error
}

/// Checks that a client has logged in, and that its user may run a command.
#[cold]
fn check_user(node: &mut Node, session: &Session, command: &Command, args: &Args<'_>) -> Result<(), Error> {
    let must_log_in = session.acting.is_none() && session.client.login.borrow().is_required(&node.users);
    if must_log_in && !command.flags.contains(Flags::NO_AUTH) {
        return Err(Error::NoAuth);
    }
    // What a script calls has been looked at before.
    if session.in_script || command.route == Route::Internal {
        return Ok(());
    }
    session.user().check(command, args).map_err(|denied| {
        note_denied(node, session, denied.into(), denied.object(command, args), None);
        if session.nested { denied.error_in_exec() } else { denied.error(command) }
    })
}

/// Checks that the user of a script may run a command that it calls.
///
/// # Errors
/// What the script is told.
pub fn check_script(
    node: &mut Node,
    session: &Session,
    command: &Command,
    args: &Args<'_>,
) -> Result<(), Error> {
    if session.is_free() {
        return Ok(());
    }
    session.user().check(command, args).map_err(|denied: acl::Denied| {
        note_denied(node, session, denied.into(), denied.object(command, args), None);
        denied.error_in_script()
    })
}

/// Counts what was denied, and notes it for ACL LOG. `name` is the user's if that is not the session's.
#[cold]
pub fn note_denied(node: &mut Node, session: &Session, reason: Reason, object: &[u8], name: Option<&[u8]>) {
    if let Some(count) = node.stats.denied.get_mut(reason as usize) {
        *count += 1;
    }
    let context = if session.in_script {
        Context::Script
    } else if session.nested || session.transaction.is_some() {
        Context::Multi
    } else {
        Context::TopLevel
    };
    let now = clock::now_us();
    let mut line = Vec::new();
    match &session.acting {
        Some(acting) => line.extend_from_slice(&acting.client),
        None => describe(&session.client, now / 1000, &mut line),
    }
    let user = session.user();
    let name = name.unwrap_or_else(|| user.name());
    let entry = Entry::new(reason, context, object, name, now, &line);
    node.acl_log.add(entry, node.hot.acl_log);
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
            .and_then(|_| make_room(engine, node, command.flags.contains(Flags::DENYOOM)))
    };
    // What a command on several slots said of itself is for the time at which it runs.
    engine.forget_several_slots();
    match admitted {
        Ok(()) => {
            transaction::queue(session, command, &args, node.hot.query_limit);
            Reply::new(out, session.protocol).simple("QUEUED");
        }
        Err(error) => {
            transaction::abort(session);
            refuse(node, session, Some(command), &error, out);
        }
    }
}

/// Checks that this shard owns the slots of all keys behind the first.
#[inline]
fn check_other_slots(
    engine: &mut Engine,
    node: &mut Node,
    session: &mut Session,
    first: Slot,
    command: &Command,
    args: &Args<'_>,
) -> Result<(), Error> {
    let Ok(keys) = command::keys(command, args) else { return Ok(()) };
    for position in keys.positions().skip(1) {
        let slot = slot_of(args.at(position));
        check_slot(node, session, slot, command, args)?;
        if slot != first {
            engine.expect_several_slots();
        }
    }
    Ok(())
}

/// Checks that this shard serves a slot, and that its connection has not been refused for it.
///
/// # Errors
/// Where else the command is to be sent, or that it is to be sent again later.
#[inline]
pub fn check_slot(
    node: &mut Node,
    session: &mut Session,
    slot: Slot,
    command: &Command,
    args: &Args<'_>,
) -> Result<(), Error> {
    if node.serves(slot) && (session.refused.is_empty() || !session.refused.contains(&slot)) {
        return Ok(());
    }
    redirect(node, session, slot, command, args)
}

#[cold]
fn redirect(
    node: &mut Node,
    session: &mut Session,
    slot: Slot,
    command: &Command,
    args: &Args<'_>,
) -> Result<(), Error> {
    node.check_serving(session.internal.is_some())?;
    let Some(address) = node.owner_address(slot).map(str::to_owned) else {
        return Err(Error::ClusterDown("Hash slot not served".into()));
    };
    let closed = node.moves.gate.closed(slot);
    if session.internal.is_some() {
        // All slots of the command: its proxy sends it again, perhaps in parts, and nothing that touches one of them may
        // overtake it.
        let positions = command::keys(command, args).map(|keys| keys.positions());
        let others = positions.into_iter().flatten().map(|position| slot_of(args.at(position)));
        for slot in others.chain([slot]) {
            if !session.refused.contains(&slot) && !fault::planted("refusal-does-not-stick") {
                session.refused.push(slot);
            }
        }
    } else if command::keys(command, args)
        .is_ok_and(|keys| keys.positions().any(|position| slot_of(args.at(position)) != slot))
    {
        return Err(Error::CrossSlot("Keys in request don't hash to the same slot".into()));
    }
    node.stats.redirects += 1;
    match closed {
        Some(_) if session.internal.is_some() => Err(Error::Parked { slot }),
        _ => Err(Error::Moved { slot, address }),
    }
}

/// Evicts until memory is under its limit.
///
/// # Errors
/// `OOM` when that does not succeed and the command may need memory.
#[inline]
pub fn make_room(engine: &mut Engine, node: &mut Node, needs_memory: bool) -> Result<(), Error> {
    if engine.memory.limit == 0 || !engine.memory.is_over() {
        return Ok(());
    }
    let started = clock::monotonic();
    let made = evict(engine, node, needs_memory);
    node.latency.event("eviction-cycle", clock::since(started), engine.now());
    made
}

#[cold]
fn evict(engine: &mut Engine, node: &mut Node, needs_memory: bool) -> Result<(), Error> {
    let made = evict_until_under(engine, node, needs_memory);
    if engine.has_events() {
        channels::announce(engine, node, None);
    }
    made
}

fn evict_until_under(engine: &mut Engine, node: &Node, needs_memory: bool) -> Result<(), Error> {
    while engine.memory.is_over() {
        if !engine.evict_one(node.hot.maxmemory_samples) {
            if engine.lazy_free_pending() > 0 {
                // What is on its way to be freed is not counted yet: look again.
                engine.memory.refresh();
                if !engine.memory.is_over() {
                    break;
                }
            }
            return if needs_memory { Err(Error::Oom) } else { Ok(()) };
        }
    }
    Ok(())
}

#[cold]
fn refuse(node: &mut Node, session: &Session, command: Option<&Command>, error: &Error, out: &mut Vec<u8>) {
    if let Some(stats) = command.and_then(|command| node.stats.by_command.get_mut(usize::from(command.id))) {
        stats.rejected += 1;
    }
    write_error(node, error, &mut Reply::new(out, session.protocol));
}

#[cold]
fn fail(node: &mut Node, session: &Session, command: &Command, error: &Error, out: &mut Vec<u8>) {
    if let Some(stats) = node.stats.by_command.get_mut(usize::from(command.id)) {
        stats.failed += 1;
    }
    write_error(node, error, &mut Reply::new(out, session.protocol));
}

/// Counts an error and writes it as a reply.
pub fn write_error(node: &mut Node, error: &Error, reply: &mut Reply<'_>) {
    let stats = &mut node.stats;
    stats.errors += 1;
    let line = error.wire();
    let prefix = line.split(|&byte| byte == b' ').next().unwrap_or_default();
    *stats.by_error.entry(String::from_utf8_lossy(prefix).into_owned()).or_default() += 1;
    reply.error(error);
}

#[inline]
fn account(
    engine: &Engine,
    node: &mut Node,
    session: &mut Session,
    command: &Command,
    args: &Args<'_>,
    took: Duration,
) {
    node.stats.commands += 1;
    if let Some(stats) = node.stats.by_command.get_mut(usize::from(command.id)) {
        stats.calls += 1;
        stats.microseconds += took.as_micros() as u64;
    }
    node.observe(command, took, engine.now());
    if node.slow_log.is_slow(took) && !command.flags.contains(Flags::SKIP_SLOWLOG) {
        let client = &session.client;
        node.slow_log.add(
            engine.now() / 1000,
            took,
            args,
            |index| is_secret(command, args, index),
            &client.address,
            &client.name.borrow(),
        );
    }
    if !node.monitors.is_empty() && command.route != Route::Internal {
        node.monitors.feed(clock::now_us(), session, command, args, session.db);
    }
    session.client.db.set(session.db);
}

/// Takes the reply back that CLIENT REPLY asked not to get.
#[inline]
fn apply_reply_mode(session: &mut Session, out: &mut Vec<u8>, start: usize) {
    if session.reply_mode == ReplyMode::On {
        return;
    }
    match session.reply_mode {
        ReplyMode::Off => out.truncate(start),
        ReplyMode::Skip => {
            out.truncate(start);
            session.reply_mode = ReplyMode::On;
        }
        ReplyMode::SkipNext => session.reply_mode = ReplyMode::Skip,
        ReplyMode::On => {}
    }
}
