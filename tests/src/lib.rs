#![forbid(unsafe_code)]
// A test that cannot go on panics.
#![allow(clippy::expect_used, clippy::unwrap_used)]
//! What the integration tests share: clusters started as a user starts them, real servers to compare with, and a
//! RESP client.

pub mod caching;
pub mod client;
pub mod client_scripts;
pub mod cluster;
pub mod control;
pub mod crowd;
pub mod differential;
pub mod dumps;
pub mod folder;
pub mod fuzzing;
pub mod history;
pub mod http;
pub mod paced;
pub mod ports;
pub mod power;
pub mod process;
pub mod programs;
pub mod redis_server;
pub mod relay;
pub mod report;
pub mod site;
pub mod wait;

pub use client::Client;
pub use cluster::{Cluster, Plan};
pub use control::ControlPort;
pub use redis_server::RedisServer;
pub use relay::{Cut, Relays};
pub use site::Site;
pub use wait::wait_for;
