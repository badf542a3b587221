//! One command on data, in progress: its arguments, the engine, and the reply.
//!
//! The functions of such commands know nothing of connections, users or the node around the engine, so a change that is
//! repeated (from the log, from another shard) runs them as a client's request does. What needs the node is a
//! [`crate::node::NodeCall`].

pub mod want;

use std::ops::Deref;

use slotway_common::command::{self, COUNT, Command};
use slotway_common::error::Error;
use slotway_common::resp::{Args, Reply};
use slotway_common::slot::Slot;

use crate::engine::{DbIndex, Engine, EventClass, Key};
use want::Want;

/// Runs a command. An error is written as the reply; whatever was written before it is taken back.
pub type Handler = fn(&mut Call<'_>) -> Result<(), Error>;

/// The arguments of a command in progress.
#[derive(Clone, Copy)]
pub struct Arguments<'a> {
    args: Args<'a>,
    /// The first key and its position, as the dispatcher found it.
    first_key: Option<(usize, Key<'a>)>,
}

impl<'a> Arguments<'a> {
    #[must_use]
    #[inline]
    pub fn new(args: Args<'a>, first_key: Option<(usize, Key<'a>)>) -> Self {
        Self { args, first_key }
    }

    /// Argument `index` as a key.
    #[must_use]
    #[inline]
    pub fn key(&self, index: usize) -> Key<'a> {
        match self.first_key {
            Some((position, key)) if position == index => key,
            _ => Key::new(self.args.at(index)),
        }
    }

    /// Argument `index` as an integer.
    ///
    /// # Errors
    /// `ERR value is not an integer or out of range`
    pub fn integer(&self, index: usize) -> Result<i64, Error> {
        slotway_common::number::parse_i64(self.args.at(index)).ok_or(Error::NotInteger)
    }
}

impl<'a> Deref for Arguments<'a> {
    type Target = Args<'a>;

    #[inline]
    fn deref(&self) -> &Args<'a> {
        &self.args
    }
}

/// One command on data in progress.
pub struct Call<'a> {
    pub engine: &'a mut Engine,
    /// The database that the command works on.
    pub db: DbIndex,
    pub args: Arguments<'a>,
    pub reply: Reply<'a>,
    pub command: &'static Command,
    /// It is called by a script.
    pub in_script: bool,
    /// It may wait for data that is not there.
    pub may_wait: bool,
    /// What it waits for.
    pub wants: Option<Want>,
}

impl<'a> Call<'a> {
    /// A command by itself, which cannot wait.
    #[must_use]
    pub fn new(
        engine: &'a mut Engine,
        db: DbIndex,
        command: &'static Command,
        args: Args<'a>,
        reply: Reply<'a>,
    ) -> Self {
        Self {
            engine,
            db,
            args: Arguments::new(args, None),
            reply,
            command,
            in_script: false,
            may_wait: false,
            wants: None,
        }
    }

    /// Milliseconds since 1970, the same throughout a command.
    #[must_use]
    #[inline]
    pub fn now(&self) -> i64 {
        self.engine.now()
    }

    /// Something has happened to a key of the command's database: a keyspace event.
    #[inline]
    pub fn notify(&mut self, class: EventClass, event: &'static str, key: &Key<'_>) {
        self.engine.notify(class, event, self.db, key.bytes);
    }

    /// Has the client wait for what was not found; one that may not is told that there is nothing.
    pub fn wait(&mut self, want: Want) {
        if self.may_wait {
            self.wants = Some(want);
        } else {
            self.reply.null_array();
        }
    }
}

/// Its arguments can be asked for as keys and numbers.
impl<'a> Deref for Call<'a> {
    type Target = Arguments<'a>;

    #[inline]
    fn deref(&self) -> &Arguments<'a> {
        &self.args
    }
}

/// The first key of a request.
#[derive(Clone, Copy, Debug)]
pub struct FirstKey {
    pub position: usize,
    pub slot: Slot,
    pub hash: u64,
    /// Whether there are others.
    pub has_more: bool,
}

impl FirstKey {
    #[inline]
    #[must_use]
    pub fn find(command: &Command, args: &Args<'_>) -> Option<Self> {
        // A call whose keys cannot be found fails in its own function, with its own text.
        let keys = if command.has_keys() { command::keys(command, args).ok()? } else { return None };
        let position = keys.first()?;
        let Key { slot, hash, .. } = Key::new(args.at(position));
        Some(Self { position, slot, hash, has_more: keys.len() > 1 })
    }
}

/// How the change of a command that writes travels: to the log, and to other shards. Where its keys lie in several slots it travels
/// as values whatever is said here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Travels {
    /// As it is: its words, run at the same time on the same contents of its slot, come to the same.
    AsItIs,
    /// As the words that it gives to [`Engine::repeat_as`], since its own would choose anew.
    Rewritten,
}

/// A command on data: its row's name, its function, and how its change travels.
#[derive(Clone, Copy)]
pub struct DataCommand {
    pub name: &'static str,
    pub handler: Handler,
    pub travels: Option<Travels>,
}

/// A command that only reads. What it changes all the same, such as a count that it keeps, travels as values.
pub(crate) const fn reads(name: &'static str, handler: Handler) -> DataCommand {
    DataCommand { name, handler, travels: None }
}

/// One that writes, and whose change travels as it is.
pub(crate) const fn writes(name: &'static str, handler: Handler) -> DataCommand {
    DataCommand { name, handler, travels: Some(Travels::AsItIs) }
}

/// One that writes, and whose change is rewritten.
pub(crate) const fn rewritten(name: &'static str, handler: Handler) -> DataCommand {
    DataCommand { name, handler, travels: Some(Travels::Rewritten) }
}

/// The function of every command on data, by the id of its row.
pub type Handlers = [Option<Handler>; COUNT];

/// The function of a command, if it is one on data.
#[must_use]
#[inline]
pub fn handler(handlers: &Handlers, command: &Command) -> Option<Handler> {
    handlers.get(usize::from(command.id)).copied().flatten()
}
