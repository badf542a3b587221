//! MULTI: commands that are queued and then run as one.
//!
//! A client that speaks to the shard directly queues here; a proxy queues for its clients and sends the whole at once
//! (`SLOTWAY EXEC`). Either way everything that can refuse one of the commands without running it is asked before the first
//! runs, nothing else runs in between, and the log takes all of it or nothing. A script that is slow suspends the whole; while
//! others are answered BUSY nothing of them runs in between either.

use std::time::Instant;

use slotway_common::command::{self, Command, Effects};
use slotway_common::error::Error;
use slotway_common::platform::clock;
use slotway_common::resp::request::Parsed;
use slotway_common::resp::{Args, Limits, Parser, Reply};
use slotway_common::slot::{Slot, slot_of};

use crate::dispatch;
use crate::engine::Engine;
use crate::node::Node;
use crate::script::Scripts;
use crate::session::Session;

/// The commands that a client has queued.
#[derive(Debug, Default)]
pub struct Transaction {
    /// One request after the other, as they would come in.
    pub queued: Queued,
    /// One was refused: EXEC will run none.
    aborted: bool,
}

/// Commands that run as one.
#[derive(Debug, Default)]
pub struct Queued {
    frames: Vec<u8>,
    count: usize,
    /// What all of them together may do.
    effects: Effects,
    slots: Vec<Slot>,
}

/// What the error of EXEC says after a command was refused.
const ABORTED: Error =
    Error::ExecAbort(std::borrow::Cow::Borrowed("Transaction discarded because of previous errors."));

impl Transaction {
    /// What is to run.
    ///
    /// # Errors
    /// If a command was refused.
    pub fn into_queued(self) -> Result<Queued, Error> {
        if self.aborted { Err(ABORTED) } else { Ok(self.queued) }
    }
}

impl Queued {
    /// Adds a command.
    pub fn push(&mut self, command: &Command, args: &Args<'_>, effects: Effects) {
        args.encode(&mut self.frames);
        self.count += 1;
        self.effects = self.effects.with(effects);
        let keys = slotway_common::command::keys(command, args);
        for position in keys.iter().flat_map(slotway_common::command::Keys::positions) {
            let slot = slot_of(args.at(position));
            if !self.slots.contains(&slot) {
                self.slots.push(slot);
            }
        }
    }

    #[must_use]
    pub fn bytes(&self) -> usize {
        self.frames.len()
    }

    /// The slots of all keys.
    #[must_use]
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// What the commands may do.
    #[must_use]
    pub fn effects(&self) -> Effects {
        self.effects
    }

    #[must_use]
    pub fn batch(&self) -> Batch<'_> {
        Batch { frames: &self.frames, count: self.count, needs_memory: self.effects.needs_memory }
    }
}

/// Whether a command is queued while its client is in a transaction. The others run at once.
#[must_use]
pub fn is_queued(command: &Command) -> bool {
    !matches!(command.name, "multi" | "watch") && !ends(command)
}

/// Whether a command ends a transaction, one way or the other.
#[must_use]
pub fn ends(command: &Command) -> bool {
    matches!(command.name, "exec" | "discard" | "quit" | "reset")
}

/// Takes note that a command of a transaction was refused: EXEC will run none.
#[inline]
pub fn abort(session: &mut Session) {
    if let Some(transaction) = &mut session.transaction {
        transaction.aborted = true;
    }
}

/// Queues a command. A client that queues more than `most` bytes is closed.
pub fn queue(session: &mut Session, command: &Command, args: &Args<'_>, effects: Effects, most: usize) {
    let Some(transaction) = &mut session.transaction else { return };
    if transaction.aborted {
        // Nothing of it will run.
        return;
    }
    transaction.queued.push(command, args, effects);
    let bytes = transaction.queued.bytes();
    session.client.queued_bytes.set(bytes);
    session.client.multi.set(transaction.queued.count as i64);
    if bytes > most {
        tracing::warn!(
            "client {} closed: its transaction is over client-query-buffer-limit",
            session.client.address
        );
        session.client.kill();
    }
}

/// Ends a transaction for EXEC. `None` without one.
pub fn take(session: &mut Session) -> Option<Transaction> {
    let transaction = session.transaction.take()?;
    session.end_transaction();
    Some(*transaction)
}

/// Commands that run as one, as requests that lie one after the other.
#[derive(Clone, Copy)]
pub struct Batch<'a> {
    pub frames: &'a [u8],
    pub count: usize,
    /// Some of them may need memory.
    pub needs_memory: bool,
}

impl Batch<'_> {
    /// What the commands may do, by what is known of their scripts here.
    #[must_use]
    pub fn effects(self, node: &Node) -> Effects {
        let mut effects = Effects::default();
        let mut parser = Parser::new();
        let mut rest = self.frames;
        while let Some(length) = next(&mut parser, rest) {
            let args = parser.args(rest);
            if let Ok(command) = command::resolve(&args, false) {
                effects = effects.with(dispatch::effects(node, command, &args));
            }
            rest = rest.get(length..).unwrap_or_default();
        }
        effects
    }

    /// The digests of scripts that it calls and that are not known.
    #[must_use]
    pub fn unknown_scripts(self, scripts: &Scripts) -> Vec<String> {
        let is_digest = |text: &[u8]| text.len() == 40 && text.iter().all(u8::is_ascii_hexdigit);
        let mut unknown = Vec::new();
        let mut parser = Parser::new();
        let mut rest = self.frames;
        while let Some(length) = next(&mut parser, rest) {
            let args = parser.args(rest);
            let digest = args.at(1);
            let calls = args.is(0, "evalsha") || args.is(0, "evalsha_ro");
            if calls && is_digest(digest) && scripts.of_digest(digest).is_none() {
                unknown.push(String::from_utf8_lossy(digest).into_owned());
            }
            rest = rest.get(length..).unwrap_or_default();
        }
        unknown
    }
}

/// Finds the first of the requests that lie one after the other; gives its length.
fn next(parser: &mut Parser, frames: &[u8]) -> Option<usize> {
    let limits = Limits { max_bulk: usize::MAX, authenticated: true };
    match parser.parse(frames, &limits) {
        Ok(Parsed::Frame(length)) => Some(length),
        _ => None,
    }
}

/// What is left of a batch while a script of it is slow.
#[derive(Debug)]
pub struct Rest {
    /// The commands behind the script's.
    frames: Vec<u8>,
    /// The array of replies, up to the script's.
    pub replies: Vec<u8>,
    /// The database to go back to at the end.
    pub after: Option<usize>,
    /// An EXEC that counts when all has run, and when it began.
    pub exec: Option<Instant>,
}

/// Runs commands as one and appends the array of their replies. With `database` they begin in that one, and it is left again
/// at the end. `counts` tells whether they are the whole of an EXEC. If one of them is a script that is slow, what is left goes on when that has ended (see [`go_on`]).
///
/// # Errors
/// When there is no memory for them; none has run then.
pub fn run(
    engine: &mut Engine,
    node: &mut Node,
    session: &mut Session,
    batch: Batch<'_>,
    database: Option<usize>,
    counts: bool,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    dispatch::make_room(engine, node, batch.needs_memory)
        .map_err(|error| Error::ExecAbort(format!("Transaction discarded because of: {error}").into()))?;
    if engine.has_notes() {
        // What was evicted, and what EXEC said of itself: the first command is not to be taken for it.
        node.note_changes(engine, None);
    }
    let start = out.len();
    if !session.reply_mode.is_muted() {
        Reply::new(out, session.protocol).array(batch.count);
    }
    node.changes.begin_group();
    let exec = counts.then(clock::monotonic);
    let after = database.map(|database| std::mem::replace(&mut session.db, database));
    match run_each(engine, node, session, batch.frames, out) {
        Some(left) => {
            let rest = Rest { frames: left.to_vec(), replies: out.split_off(start), after, exec };
            node.scripts.suspended.add_rest(rest);
        }
        None => end(node, session, after),
    }
    Ok(())
}

/// Runs what is left of a batch once its slow script has ended, whose reply is the last. Gives the array of replies, or nothing
/// when another script of it is slow.
pub fn go_on(engine: &mut Engine, node: &mut Node, session: &mut Session, rest: Rest) -> Option<Vec<u8>> {
    let Rest { frames, mut replies, after, exec } = rest;
    if let Some(left) = run_each(engine, node, session, &frames, &mut replies) {
        node.scripts.suspended.add_rest(Rest { frames: left.to_vec(), replies, after, exec });
        return None;
    }
    end(node, session, after);
    if let Some(began) = exec {
        dispatch::account_exec(engine, node, session, clock::since(began), None);
    }
    Some(replies)
}

fn end(node: &mut Node, session: &mut Session, after: Option<usize>) {
    node.changes.end_group();
    if let Some(after) = after {
        session.db = after;
    }
}

/// Runs commands one after the other; gives those that are left when one of them is a script that is slow.
fn run_each<'a>(
    engine: &mut Engine,
    node: &mut Node,
    session: &mut Session,
    frames: &'a [u8],
    out: &mut Vec<u8>,
) -> Option<&'a [u8]> {
    let mut parser = Parser::new();
    let mut rest = frames;
    while let Some(length) = next(&mut parser, rest) {
        let (start, mode) = (out.len(), session.reply_mode);
        dispatch::nested(engine, node, session, parser.args(rest), out);
        dispatch::end_nested_reply(session, mode, out, start);
        rest = rest.get(length..).unwrap_or_default();
        if node.scripts.suspended.is_any() {
            return Some(rest);
        }
    }
    None
}
