#![forbid(unsafe_code)]
//! What proxy, shard and the operator command share.
