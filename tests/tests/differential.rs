//! Every command of the data families answers as a real redis-server does: on one shard, and through a proxy over
//! three. Together the runs send 400,000 commands; each prints its seed, and `SLOTWAY_SEED` repeats one.
#![allow(clippy::unwrap_used)]

use slotway_tests::RedisServer;
use slotway_tests::cluster::{Cluster, Plan as Layout};
use slotway_tests::differential::{self, Plan};

const COMMANDS: usize = 100_000;

fn compare(shards: usize, through_proxy: bool, resp3: bool) {
    let seed = differential::seed();
    println!("SLOTWAY_SEED={seed}");
    let cluster = Cluster::start_with(&Layout { shards, ..Layout::default() }).unwrap();
    let subject = if through_proxy { cluster.endpoint() } else { cluster.layout().nodes[0].address };
    let oracle = RedisServer::start().unwrap();
    let plan = Plan { seed, commands: COMMANDS, resp3, one_slot_calls: shards > 1, families: Vec::new() };
    differential::run(&plan, oracle.address(), subject).unwrap();
}

#[test]
fn a_shard_replies_as_redis_in_resp2() {
    compare(1, false, false);
}

#[test]
fn a_shard_replies_as_redis_in_resp3() {
    compare(1, false, true);
}

#[test]
fn the_proxy_over_three_shards_replies_as_redis_in_resp2() {
    compare(3, true, false);
}

#[test]
fn the_proxy_over_three_shards_replies_as_redis_in_resp3() {
    compare(3, true, true);
}
