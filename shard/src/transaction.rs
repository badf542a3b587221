//! MULTI: commands that are queued. [`crate::exec`] runs them.

use std::time::Instant;

use slotway_common::command::{Command, Effects};
use slotway_common::error::Error;
use slotway_common::resp::request::{Parsed, Span};
use slotway_common::resp::{Args, Limits, Parser};
use slotway_common::slot::{Slot, slot_of};

use crate::call::FirstKey;

/// The commands that a client has queued.
#[derive(Debug, Default)]
pub struct Transaction {
    /// One request after the other, as they would come in.
    pub queued: Queued,
    /// One was refused: EXEC will run none.
    pub aborted: bool,
}

/// A command that is queued.
#[derive(Debug)]
struct Step {
    command: &'static Command,
    key: Option<FirstKey>,
    /// How many spans there are with its own.
    spans: usize,
}

/// Commands that run as one.
#[derive(Debug, Default)]
pub struct Queued {
    /// The arguments, one after the other, and where each is.
    bytes: Vec<u8>,
    spans: Vec<Span>,
    steps: Vec<Step>,
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
    pub fn push(
        &mut self,
        command: &'static Command,
        key: Option<FirstKey>,
        args: &Args<'_>,
        effects: Effects,
    ) {
        for arg in args.iter() {
            self.spans.push((self.bytes.len() as u32, arg.len() as u32));
            self.bytes.extend_from_slice(arg);
        }
        self.steps.push(Step { command, key, spans: self.spans.len() });
        self.effects = self.effects.with(effects);
        match key {
            None => {}
            Some(FirstKey { slot, has_more: false, .. }) => self.touch(slot),
            Some(_) => {
                let keys = slotway_common::command::keys(command, args);
                for position in keys.iter().flat_map(slotway_common::command::Keys::positions) {
                    self.touch(slot_of(args.at(position)));
                }
            }
        }
    }

    fn touch(&mut self, slot: Slot) {
        if !self.slots.contains(&slot) {
            self.slots.push(slot);
        }
    }

    /// Bytes of the arguments.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    #[must_use]
    pub fn count(&self) -> usize {
        self.steps.len()
    }

    /// The command of this number, its first key and its arguments.
    #[must_use]
    pub fn get(&self, number: usize) -> Option<(&'static Command, Option<FirstKey>, Args<'_>)> {
        let step = self.steps.get(number)?;
        let from =
            number.checked_sub(1).and_then(|before| self.steps.get(before)).map_or(0, |step| step.spans);
        let spans = self.spans.get(from..step.spans).unwrap_or_default();
        Some((step.command, step.key, Args::new(&self.bytes, spans)))
    }

    /// The commands from a number on, as requests that lie one after the other.
    #[must_use]
    pub fn frames_from(&self, number: usize) -> Vec<u8> {
        let mut frames = Vec::new();
        (number..).map_while(|number| self.get(number)).for_each(|(_, _, args)| args.encode(&mut frames));
        frames
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
