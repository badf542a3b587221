//! The commands: one function each, which reads its arguments, calls the engine and replies.
//!
//! Adding a command is one row in the command table of `common` and one function in its family's `HANDLERS`, under the row's
//! name. Whether every name is a row's, and every row that is said to work has a function, is checked when this is compiled.

mod acl;
mod across;
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
mod waiting;
mod zset;

use slotway_common::command::{COUNT, TABLE};

use crate::call::DataCommand;
use crate::node::{Function, Handlers, NodeHandler};

/// The families of commands on data.
const DATA: &[&[DataCommand]] = &[
    bitmap::HANDLERS,
    blocking::HANDLERS,
    dump::HANDLERS,
    expire::HANDLERS,
    generic::HANDLERS,
    geo::HANDLERS,
    geo::search::HANDLERS,
    hash::HANDLERS,
    hyperloglog::HANDLERS,
    list::HANDLERS,
    set::HANDLERS,
    set::algebra::HANDLERS,
    stream::HANDLERS,
    stream::claim::HANDLERS,
    stream::group::HANDLERS,
    stream::info::HANDLERS,
    stream::read::HANDLERS,
    string::HANDLERS,
    zset::HANDLERS,
    zset::algebra::HANDLERS,
    zset::range::HANDLERS,
];

/// The families that need the node.
const NODE: &[&[(&str, NodeHandler)]] = &[
    acl::HANDLERS,
    across::HANDLERS,
    alone::HANDLERS,
    client::HANDLERS,
    cluster::HANDLERS,
    config::HANDLERS,
    connection::HANDLERS,
    debug::HANDLERS,
    function::HANDLERS,
    info::HANDLERS,
    internal::HANDLERS,
    keyspace::HANDLERS,
    latency::HANDLERS,
    memory::HANDLERS,
    persistence::HANDLERS,
    pubsub::HANDLERS,
    script::HANDLERS,
    server::HANDLERS,
    slowlog::HANDLERS,
    sort::HANDLERS,
    transactions::HANDLERS,
    waiting::HANDLERS,
];

/// Writes among them: SORT travels as the list that it has stored, what empties or swaps databases as frames of that kind,
/// and libraries belong to the cluster's state.
const TRAVEL_APART: &[&str] = &[
    "sort",
    "flushall",
    "flushdb",
    "swapdb",
    "function|delete",
    "function|flush",
    "function|load",
    "function|restore",
];

/// The functions of all commands.
pub static HANDLERS: Handlers = collect();

/// Finds the row of each function. What does not fit does not compile.
#[allow(long_running_const_eval, reason = "every name is looked up in the whole table")]
const fn collect() -> Handlers {
    let mut handlers = Handlers { functions: [None; COUNT], data: [None; COUNT] };
    let mut family = 0;
    while family < DATA.len() {
        let mut at = 0;
        while at < DATA[family].len() {
            let DataCommand { name, handler, travels } = DATA[family][at];
            let row = row(name, &handlers);
            assert!(
                TABLE[row].is_write() == travels.is_some(),
                "a write does not say how its change travels"
            );
            handlers.functions[row] = Some(Function::Data(handler));
            handlers.data[row] = Some(handler);
            at += 1;
        }
        family += 1;
    }
    let mut family = 0;
    while family < NODE.len() {
        let mut at = 0;
        while at < NODE[family].len() {
            let (name, handler) = NODE[family][at];
            let row = row(name, &handlers);
            assert!(
                !TABLE[row].is_write() || is_among(name, TRAVEL_APART),
                "a write does not say how its change travels"
            );
            handlers.functions[row] = Some(Function::Node(handler));
            at += 1;
        }
        family += 1;
    }
    handlers
}

/// The row of a name, which has no function yet.
const fn row(name: &str, handlers: &Handlers) -> usize {
    let mut row = 0;
    while row < COUNT {
        if is_same(TABLE[row].name, name) {
            assert!(handlers.functions[row].is_none(), "a command has two functions");
            return row;
        }
        row += 1;
    }
    panic!("a function has the name of no command")
}

const fn is_among(name: &str, names: &[&str]) -> bool {
    let mut at = 0;
    while at < names.len() {
        if is_same(names[at], name) {
            return true;
        }
        at += 1;
    }
    false
}

const fn is_same(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    if one.len() != other.len() {
        return false;
    }
    let mut at = one.len();
    while at > 0 {
        at -= 1;
        if one[at] != other[at] {
            return false;
        }
    }
    true
}
