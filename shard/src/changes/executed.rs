//! A command that has run, as those who pass changes on see it.

use slotway_common::command::{self, Command};
use slotway_common::resp::Args;
use slotway_common::slot::Slot;

use crate::engine::{DbIndex, Key};

/// A command that has run.
#[derive(Clone, Copy)]
pub struct Executed<'a> {
    pub command: &'static Command,
    pub args: Args<'a>,
    /// The database that it ran on.
    pub db: DbIndex,
    /// The slot of its first key.
    pub slot: Option<Slot>,
    /// It writes, and did not end with an error. What others have changed travels as values: PFCOUNT keeps a count.
    pub is_repeatable: bool,
}

impl<'a> Executed<'a> {
    /// Its keys; none where they cannot be found.
    pub(super) fn keys(&self) -> impl Iterator<Item = Key<'a>> + use<'a> {
        let args = self.args;
        let keys = command::keys(self.command, &args).ok();
        keys.into_iter()
            .flat_map(|keys| keys.positions().collect::<Vec<_>>())
            .map(move |position| Key::new(args.at(position)))
    }
}
