//! Commands that wait for data: who is served, when and with what, is as with a real redis-server.
#![allow(clippy::unwrap_used)]

use slotway_tests::RedisServer;
use slotway_tests::cluster::{Cluster, Plan as Layout};
use slotway_tests::differential::{self, Plan, blocking};

const COMMANDS: usize = 3_000;

fn compare(shards: usize, through_proxy: bool, resp3: bool, spread: bool) {
    let seed = differential::seed();
    println!("SLOTWAY_SEED={seed}");
    let cluster = Cluster::start_with(&Layout { shards, ..Layout::default() }).unwrap();
    let subject = if through_proxy { cluster.endpoint() } else { cluster.layout().nodes[0].address };
    let oracle = RedisServer::start().unwrap();
    let plan = Plan { seed, commands: COMMANDS, resp3, one_slot_calls: true, families: Vec::new() };
    blocking::run(&plan, spread, oracle.address(), subject).unwrap();
}

#[test]
fn a_shard_serves_those_who_wait_as_redis_in_resp2() {
    compare(1, false, false, false);
}

#[test]
fn a_shard_serves_those_who_wait_as_redis_in_resp3() {
    compare(1, false, true, false);
}

#[test]
fn the_proxy_over_three_shards_serves_those_who_wait_as_redis_in_resp2() {
    compare(3, true, false, false);
}

#[test]
fn the_proxy_over_three_shards_serves_those_who_wait_as_redis_in_resp3() {
    compare(3, true, true, false);
}
