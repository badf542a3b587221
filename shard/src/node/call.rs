//! One command in progress that needs more than the data: the node, or its client's session.

use slotway_common::command::{COUNT, Command};
use slotway_common::error::Error;
use slotway_common::resp::{Args, Reply};

use super::Node;
use crate::call;
use crate::call::want::Want;
use crate::engine::{DbIndex, Engine, EventClass, Key};
use crate::session::Session;

/// Runs a command. An error is written as the reply; whatever was written before it is taken back.
pub type NodeHandler = fn(&mut NodeCall<'_>) -> Result<(), Error>;

/// One command in progress, with the node and the session.
pub struct NodeCall<'a> {
    pub engine: &'a mut Engine,
    pub node: &'a mut Node,
    pub session: &'a mut Session,
    pub args: Args<'a>,
    pub reply: Reply<'a>,
    pub command: &'static Command,
    /// The first key and its position, as the dispatcher found it.
    pub first_key: Option<(usize, Key<'a>)>,
}

impl<'a> NodeCall<'a> {
    /// Argument `index` as a key.
    #[must_use]
    #[inline]
    pub fn key(&self, index: usize) -> Key<'a> {
        match self.first_key {
            Some((position, key)) if position == index => key,
            _ => Key::new(self.args.at(index)),
        }
    }

    /// The database that the command works on.
    #[must_use]
    #[inline]
    pub fn db(&self) -> DbIndex {
        self.session.db
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
        self.engine.notify(class, event, self.session.db, key.bytes);
    }

    /// Has the client wait for what was not found; one that may not is told that there is nothing.
    pub fn wait(&mut self, want: Want) {
        if self.session.may_wait {
            self.session.wants = Some(want);
        } else {
            self.reply.null_array();
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

/// The function of a command.
#[derive(Clone, Copy)]
pub enum Function {
    /// Of one on data.
    Data(call::Handler),
    Node(NodeHandler),
}

/// The functions of all commands, by the ids of their rows.
pub struct Handlers {
    pub functions: [Option<Function>; COUNT],
    /// Those on data once more: what a change can be repeated with.
    pub data: call::Handlers,
}

impl Handlers {
    #[must_use]
    #[inline]
    pub fn get(&self, command: &Command) -> Option<Function> {
        self.functions.get(usize::from(command.id)).copied().flatten()
    }
}
