//! MULTI: commands that are queued. [`crate::exec`] runs them.

use std::time::Instant;

use slotway_common::command::{Command, Effects};
use slotway_common::error::Error;
use slotway_common::resp::request::Parsed;
use slotway_common::resp::{Args, Limits, Parser};
use slotway_common::slot::{Slot, slot_of};

/// The commands that a client has queued.
#[derive(Debug, Default)]
pub struct Transaction {
    /// One request after the other, as they would come in.
    pub queued: Queued,
    /// One was refused: EXEC will run none.
    pub aborted: bool,
}

/// Commands that run as one.
#[derive(Debug, Default)]
pub struct Queued {
    frames: Vec<u8>,
    pub count: usize,
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

/// Commands that run as one, as requests that lie one after the other.
#[derive(Clone, Copy)]
pub struct Batch<'a> {
    pub frames: &'a [u8],
    pub count: usize,
    /// Some of them may need memory.
    pub needs_memory: bool,
}

/// Finds the first of the requests that lie one after the other; gives its length.
pub fn next(parser: &mut Parser, frames: &[u8]) -> Option<usize> {
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
    pub frames: Vec<u8>,
    /// The array of replies, up to the script's.
    pub replies: Vec<u8>,
    /// The database to go back to at the end.
    pub after: Option<usize>,
    /// An EXEC that counts when all has run, and when it began.
    pub exec: Option<Instant>,
}
