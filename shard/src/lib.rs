//! The shard: the engine that holds the data and the server in front of it.

pub mod engine;
pub mod types;
