//! One command in progress that needs more than the data: the node, or its client's session.

use std::ops::Deref;

use slotway_common::command::{COUNT, Command};
use slotway_common::error::Error;
use slotway_common::resp::Reply;

use super::Node;
use crate::call::{self, Arguments};
use crate::engine::Engine;
use crate::session::Session;

/// Runs a command. An error is written as the reply; whatever was written before it is taken back.
pub type NodeHandler = fn(&mut NodeCall<'_>) -> Result<(), Error>;

/// One command in progress, with the node and the session.
pub struct NodeCall<'a> {
    pub engine: &'a mut Engine,
    pub node: &'a mut Node,
    pub session: &'a mut Session,
    pub args: Arguments<'a>,
    pub reply: Reply<'a>,
    pub command: &'static Command,
}

/// Its arguments can be asked for as keys and numbers.
impl<'a> Deref for NodeCall<'a> {
    type Target = Arguments<'a>;

    #[inline]
    fn deref(&self) -> &Arguments<'a> {
        &self.args
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
