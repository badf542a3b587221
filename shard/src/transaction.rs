//! MULTI: commands that are queued and then run as one.
//!
//! A client that speaks to the shard directly queues here; a proxy queues for its clients and sends the whole at once
//! (`SLOTWAY EXEC`). Either way everything that can refuse one of the commands without running it is asked before the first
//! runs, nothing else runs in between, and the log takes all of it or nothing.

use slotway_common::command::{Command, Flags};
use slotway_common::error::Error;
use slotway_common::resp::request::Parsed;
use slotway_common::resp::{Args, Limits, Parser, Reply};
use slotway_common::slot::{Slot, slot_of};

use crate::dispatch;
use crate::engine::Engine;
use crate::log::note_changes;
use crate::node::Node;
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
    /// Flags of all of them.
    flags: Flags,
    slots: Vec<Slot>,
}

/// What the error of EXEC says after a command was refused.
const ABORTED: Error =
    Error::ExecAbort(std::borrow::Cow::Borrowed("Transaction discarded because of previous errors."));

impl Queued {
    /// Adds a command.
    pub fn push(&mut self, command: &Command, args: &Args<'_>) {
        args.encode(&mut self.frames);
        self.count += 1;
        self.flags = self.flags.with(command.flags);
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

    /// Whether some command may change data.
    #[must_use]
    pub fn writes(&self) -> bool {
        self.flags.contains(Flags::WRITE)
    }

    #[must_use]
    pub fn batch(&self) -> Batch<'_> {
        let needs_memory = self.flags.contains(Flags::DENYOOM);
        Batch { frames: &self.frames, count: self.count, needs_memory }
    }
}

/// Whether a command is queued while its client is in a transaction. The others run at once.
#[must_use]
pub fn is_queued(command: &Command) -> bool {
    !matches!(command.name, "exec" | "discard" | "multi" | "watch" | "quit" | "reset")
}

/// Takes note that a command of a transaction was refused: EXEC will run none.
#[inline]
pub fn abort(session: &mut Session) {
    if let Some(transaction) = &mut session.transaction {
        transaction.aborted = true;
    }
}

/// Queues a command. A client that queues more than `most` bytes is closed.
pub fn queue(session: &mut Session, command: &Command, args: &Args<'_>, most: usize) {
    let Some(transaction) = &mut session.transaction else { return };
    if transaction.aborted {
        // Nothing of it will run.
        return;
    }
    transaction.queued.push(command, args);
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

/// Ends a transaction for EXEC: what is to run.
///
/// # Errors
/// When a command of it was refused.
pub fn take(session: &mut Session) -> Result<Queued, Error> {
    let Some(transaction) = session.transaction.take() else {
        return Err(Error::err("EXEC without MULTI"));
    };
    session.end_transaction();
    if transaction.aborted { Err(ABORTED) } else { Ok(transaction.queued) }
}

/// Commands that run as one, as requests that lie one after the other.
#[derive(Clone, Copy)]
pub struct Batch<'a> {
    pub frames: &'a [u8],
    pub count: usize,
    /// Some of them may need memory.
    pub needs_memory: bool,
}

/// Runs commands as one and appends the array of their replies.
///
/// # Errors
/// When there is no memory for them; none has run then.
pub fn run(
    engine: &mut Engine,
    node: &mut Node,
    session: &mut Session,
    batch: Batch<'_>,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    dispatch::make_room(engine, node, batch.needs_memory)
        .map_err(|error| Error::ExecAbort(format!("Transaction discarded because of: {error}").into()))?;
    if engine.has_notes() {
        // What was evicted, and what EXEC said of itself: the first command is not to be taken for it.
        note_changes(engine, node, None);
    }
    Reply::new(out, session.protocol).array(batch.count);
    node.log.begin_batch();
    let limits = Limits { max_bulk: usize::MAX, authenticated: true };
    let mut parser = Parser::new();
    let mut rest = batch.frames;
    while let Ok(Parsed::Frame(length)) = parser.parse(rest, &limits) {
        dispatch::nested(engine, node, session, parser.args(rest), out);
        rest = rest.get(length..).unwrap_or_default();
    }
    node.log.end_batch();
    Ok(())
}
