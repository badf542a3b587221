//! The command table: one row for every command and subcommand of Redis 7.0, and everything that follows from it.
//!
//! A row says the arity, the flags, the ACL categories, where the keys are, how the proxy routes the command and merges
//! the replies, what it blocks on, how MULTI treats it ([`Handling`]), whether it is supported, and its documentation. Arity errors, COMMAND and its subcommands, routing,
//! metrics labels ([`Group::name`]), ACL and the support table in the README all derive from it; there is no second
//! list. Adding a command is adding a row to its family's file.
//!
//! The life of a request uses [`resolve`] once and then [`keys`] (some 20 ns together, no allocation). Rows have dense ids,
//! so that handlers and statistics can be arrays of [`COUNT`] indexed by [`Command::id`].

mod answer;
mod arguments;
mod bits;
mod categories;
mod dispatch;
mod effects;
mod flags;
mod group;
mod handling;
mod index;
mod key_spec;
mod keys;
mod need;
mod route;
mod row;
mod support_table;
mod table;
mod window;

mod bitmap;
mod cluster;
mod connection;
mod generic;
mod geo;
mod hash;
mod hyperloglog;
mod internal;
mod later;
mod list;
mod pubsub;
mod scripting;
mod server;
mod set;
mod sorted_set;
mod stream;
mod string;
mod transactions;

pub use answer::{answer, help};
pub use arguments::{Argument, ArgumentKind, arguments, usage};
pub use categories::Categories;
pub use dispatch::{
    bad_subcommand_call, find, find_by_full_name, resolve, unknown_command, unknown_subcommand, unsupported,
    wrong_arity,
};
pub use effects::Effects;
pub use flags::Flags;
pub use group::Group;
pub use handling::{Blocks, Handling};
pub use index::lookup;
pub use key_spec::{Begin, Find, KeyFlags, KeySpec};
pub use keys::{DATABASES, KeyRange, Keys, UnclearKeys, channels, key_elsewhere, keys};
pub use need::{DbKey, Need, put_need, read_needs};
pub use route::{Merge, Route, Support};
pub use row::{Command, KeyFinder};
pub use support_table::{SUPPORT_TABLE_MARKS, support_table};
pub use table::{COUNT, TABLE};
pub use window::{Window, windows};

/// Every command, without the subcommands.
pub fn commands() -> impl Iterator<Item = &'static Command> {
    TABLE.iter().filter(|row| row.container.is_none())
}

/// Every command that COMMAND tells of, without the subcommands: those of Redis 7.0.
pub fn listed() -> impl Iterator<Item = &'static Command> {
    commands().filter(|row| !row.hidden)
}

#[cfg(test)]
mod tests;
