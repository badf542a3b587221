//! The shard: the engine that holds the data and the server in front of it.

pub mod blocked;
pub mod changes;
pub mod commands;
pub mod control;
pub mod dispatch;
pub mod engine;
pub mod figures;
pub mod log;
mod memory;
pub mod metrics;
pub mod migration;
pub mod monitor;
pub mod node;
pub mod pubsub;
pub mod rdb;
pub mod role;
pub mod script;
pub mod server;
pub mod session;
pub mod settings;
pub mod stream;
pub mod tracking;
pub mod transaction;
pub mod types;
