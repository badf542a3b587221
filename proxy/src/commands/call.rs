//! A command that is answered at once.

use slotway_common::command::Command;
use slotway_common::error::Error;
use slotway_common::resp::{Args, Reply};

use crate::core::{Core, SessionId};
use crate::session::Session;

/// A command that is answered at once.
pub(crate) struct Call<'a> {
    pub core: &'a mut Core,
    pub id: SessionId,
    pub command: &'static Command,
    pub args: Args<'a>,
    pub reply: Reply<'a>,
}

impl Call<'_> {
    /// The client.
    pub fn session(&mut self) -> Result<&mut Session, Error> {
        self.core.sessions.get_mut(self.id).ok_or(Error::err("the client is gone"))
    }
}

/// An error is written as the reply; nothing may have been written before.
pub(crate) type Answer = fn(&mut Call<'_>) -> Result<(), Error>;
