//! A key is touched when a command changes it, and only then: whoever watches, has read or listens to it is told as by a real
//! redis-server.
#![allow(clippy::unwrap_used)]

use slotway_tests::differential::{self, Subject, touched};

const COMMANDS: usize = 1_500;

#[test]
fn a_shard_tells_of_the_keys_that_commands_change_as_redis() {
    differential::compare(Subject::Shard, false, COMMANDS, touched::run).unwrap();
}

#[test]
fn the_proxy_over_three_shards_tells_of_the_keys_that_commands_change_as_redis() {
    differential::compare(Subject::Proxy, false, COMMANDS, touched::run).unwrap();
}
