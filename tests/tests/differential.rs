//! Every command of the data families answers as a real redis-server does: on one shard, and through a proxy over
//! three. Together the runs send 400,000 commands; each prints its seed, and `SLOTWAY_SEED` repeats one.
#![allow(clippy::unwrap_used)]

use slotway_tests::differential::{self, Subject};

const COMMANDS: usize = 100_000;

fn compare(subject: Subject, resp3: bool) {
    differential::compare(subject, resp3, COMMANDS, differential::run).unwrap();
}

#[test]
fn a_shard_replies_as_redis_in_resp2() {
    compare(Subject::Shard, false);
}

#[test]
fn a_shard_replies_as_redis_in_resp3() {
    compare(Subject::Shard, true);
}

#[test]
fn the_proxy_over_three_shards_replies_as_redis_in_resp2() {
    compare(Subject::Proxy, false);
}

#[test]
fn the_proxy_over_three_shards_replies_as_redis_in_resp3() {
    compare(Subject::Proxy, true);
}
