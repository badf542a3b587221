#![forbid(unsafe_code)]
//! The routing proxy: clients see one Redis, behind it shards own ranges of the hash slots.
//!
//! The README of this crate follows a request through these modules.

mod acceptor;
mod commands;
pub mod connect;
pub mod context;
pub mod control;
pub mod core;
pub mod counters;
pub mod fleet;
mod jobs;
mod merge;
mod owned;
mod places;
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
