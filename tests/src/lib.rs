#![forbid(unsafe_code)]
// A test that cannot go on panics.
#![allow(clippy::expect_used, clippy::unwrap_used)]
//! What the integration tests share: clusters started as a user starts them, real servers to compare with, and a
//! RESP client.

pub mod client;
pub mod cluster;
pub mod differential;
pub mod folder;
pub mod fuzzing;
pub mod http;
pub mod ports;
pub mod process;
pub mod programs;
pub mod redis_server;
pub mod wait;

pub use client::Client;
pub use cluster::{Cluster, Plan};
pub use redis_server::RedisServer;
pub use wait::wait_for;
