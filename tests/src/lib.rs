#![forbid(unsafe_code)]
//! What the integration tests share: a RESP client and real servers to compare with.

pub mod client;
pub mod differential;
pub mod redis_server;

pub use client::Client;
pub use redis_server::RedisServer;
