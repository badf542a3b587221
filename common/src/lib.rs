#![forbid(unsafe_code)]
//! What the proxy, the shard and the operator command share: the wire protocol, hash slots, the
//! command table, cluster types, metrics and everything that is taken from the operating system.

pub mod acl;
pub mod admin;
pub mod alone;
pub mod cluster_file;
pub mod cluster_state;
pub mod command;
pub mod command_line;
pub mod cross_protocol;
pub mod cursor;
pub mod error;
pub mod fault;
pub mod fields;
pub mod glob;
pub mod handshake;
pub mod info;
pub mod internal;
pub mod latency;
pub mod logs;
pub mod metrics;
pub mod monitor;
pub mod number;
pub mod platform;
pub mod pubsub;
pub mod reply_mode;
pub mod resp;
pub mod script;
pub mod secret;
pub mod settings;
pub mod shutdown;
pub mod slot;
pub mod slow_log;
pub mod statistics;
pub mod timeout;
pub mod topology;
pub mod tracking;
pub mod transaction_id;
