#![forbid(unsafe_code)]
//! The routing proxy: clients see one Redis, behind it shards own ranges of the hash slots.
//!
//! The README of this crate follows a request through these modules.

mod acceptor;
mod budgets;
mod client_line;
mod commands;
pub mod connect;
pub mod context;
pub mod control;
mod coordinator;
pub mod core;
pub mod counters;
mod driver;
pub mod fleet;
mod foresight;
mod ids;
mod items;
mod jobs;
mod kept;
mod loan;
mod locked;
mod merge;
mod monitor_line;
mod owned;
mod parts;
mod places;
mod plan;
pub mod policy;
mod pubsub;
pub mod server;
mod session;
pub mod slab;
pub mod slow_log;
mod tracking;
pub mod transaction;
mod upstream;
mod users;
pub mod worker;

#[cfg(test)]
mod fixtures;
