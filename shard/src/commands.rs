//! The commands: one function each, which reads its arguments, calls the engine and replies.
//!
//! Adding a command is one row in the command table of `common` and one function registered in
//! its family's `handler`.

mod acl;
mod alone;
mod bitfield;
mod bitmap;
mod blocking;
pub mod bounds;
mod client;
mod cluster;
mod config;
mod connection;
mod debug;
mod dump;
mod expire;
mod function;
mod generic;
mod geo;
mod hash;
mod hyperloglog;
mod info;
mod internal;
mod items;
mod keyspace;
mod latency;
mod lcs;
mod list;
mod memory;
mod persistence;
mod pubsub;
mod script;
mod server;
mod set;
mod settings;
mod slowlog;
mod sort;
mod stream;
mod string;
mod syntax;
mod transactions;
mod zset;

use slotway_common::command::{COUNT, Command, TABLE};
use slotway_common::error::Error;
use slotway_common::resp::{Args, Reply};

pub use client::describe;

use crate::blocked::Want;
use crate::engine::{DbIndex, Engine, EventClass, Key};
use crate::node::Node;
use crate::session::Session;

/// Runs a command. An error is written as the reply; whatever was written before it is taken back.
pub type Handler = fn(&mut Call<'_>) -> Result<(), Error>;

/// One command in progress.
pub struct Call<'a> {
    pub engine: &'a mut Engine,
    pub node: &'a mut Node,
    pub session: &'a mut Session,
    pub args: Args<'a>,
    pub reply: Reply<'a>,
    pub command: &'static Command,
    /// The first key and its position, as the dispatcher found it.
    pub first_key: Option<(usize, Key<'a>)>,
}

impl<'a> Call<'a> {
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

/// The function of every supported command, by the id of its row.
pub struct Handlers([Option<Handler>; COUNT]);

impl Handlers {
    #[must_use]
    pub fn new() -> Self {
        let mut handlers = [None; COUNT];
        for row in TABLE {
            if let Some(handler) = handlers.get_mut(usize::from(row.id)) {
                *handler = find(row.name);
            }
        }
        Self(handlers)
    }

    #[must_use]
    #[inline]
    pub fn get(&self, command: &Command) -> Option<Handler> {
        self.0.get(usize::from(command.id)).copied().flatten()
    }
}

impl Default for Handlers {
    fn default() -> Self {
        Self::new()
    }
}

fn find(name: &str) -> Option<Handler> {
    string::handler(name)
        .or_else(|| bitmap::handler(name))
        .or_else(|| hyperloglog::handler(name))
        .or_else(|| generic::handler(name))
        .or_else(|| sort::handler(name))
        .or_else(|| dump::handler(name))
        .or_else(|| expire::handler(name))
        .or_else(|| keyspace::handler(name))
        .or_else(|| hash::handler(name))
        .or_else(|| list::handler(name))
        .or_else(|| set::handler(name))
        .or_else(|| zset::handler(name))
        .or_else(|| geo::handler(name))
        .or_else(|| stream::handler(name))
        .or_else(|| connection::handler(name))
        .or_else(|| client::handler(name))
        .or_else(|| acl::handler(name))
        .or_else(|| alone::handler(name))
        .or_else(|| config::handler(name))
        .or_else(|| info::handler(name))
        .or_else(|| slowlog::handler(name))
        .or_else(|| latency::handler(name))
        .or_else(|| memory::handler(name))
        .or_else(|| persistence::handler(name))
        .or_else(|| cluster::handler(name))
        .or_else(|| debug::handler(name))
        .or_else(|| server::handler(name))
        .or_else(|| blocking::handler(name))
        .or_else(|| transactions::handler(name))
        .or_else(|| pubsub::handler(name))
        .or_else(|| script::handler(name))
        .or_else(|| function::handler(name))
        .or_else(|| internal::handler(name))
}
