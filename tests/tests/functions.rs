//! Libraries of functions answer as on a real redis-server, and belong to the cluster: every shard has them, also one that
//! starts anew.
#![allow(clippy::unwrap_used)]

use slotway_tests::cluster::{Cluster, Plan as Layout};
use slotway_tests::differential::scripts;
use slotway_tests::wait::wait_until;
use slotway_tests::{Client, RedisServer, Site};

fn compare(shards: usize, through_proxy: bool) {
    let cluster = Cluster::start_with(&Layout { shards, ..Layout::default() }).unwrap();
    let subject = if through_proxy { cluster.endpoint() } else { cluster.layout().nodes[0].address };
    for resp3 in [false, true] {
        let oracle = RedisServer::start().unwrap();
        scripts::run_functions(oracle.address(), subject, resp3).unwrap();
        Client::connect(subject).unwrap().run("FUNCTION FLUSH").unwrap();
    }
}

#[test]
fn a_shard_runs_functions_as_redis() {
    compare(1, false);
}

#[test]
fn the_proxy_over_three_shards_runs_functions_as_redis() {
    compare(3, true);
}

const LIBRARY: &str = "#!lua name=counter\nredis.register_function('count', function(keys, args) return redis.call('incrby', keys[1], args[1]) end)";

#[test]
fn every_shard_has_the_libraries_also_after_it_was_killed() {
    let mut site = Site::start(&Layout { shards: 3, ..Layout::default() }, "");
    let mut client = site.cluster.client().unwrap();
    assert_eq!(client.call(&["FUNCTION", "LOAD", LIBRARY]).unwrap().to_string(), "\"counter\"");
    for number in 0..30 {
        let key = format!("k{number}");
        assert_eq!(client.call(&["FCALL", "count", "1", &key, "7"]).unwrap().to_string(), ":7", "{key}");
    }
    let list = client.run("FUNCTION LIST WITHCODE").unwrap().to_string();
    site.kill("b-0");
    site.restart();
    for shard in 0..3 {
        let mut shard = site.cluster.shard_client(shard).unwrap();
        assert_eq!(shard.run("FUNCTION LIST WITHCODE").unwrap().to_string(), list);
    }
    wait_until("the proxy serves the shard that was started again", || {
        let keys = (0..30).map(|number| format!("k{number}"));
        let mut replies = keys.map(|key| client.call(&["FCALL", "count", "1", &key, "0"]).unwrap());
        replies.all(|reply| !reply.is_error())
    });
    assert_eq!(client.run("FUNCTION DELETE counter").unwrap().to_string(), "+OK");
    for shard in 0..3 {
        let mut shard = site.cluster.shard_client(shard).unwrap();
        assert_eq!(shard.run("FUNCTION LIST").unwrap().to_string(), "[]");
    }
}
