//! Commands about replicas, modules and clusters answer as on a redis-server that has none.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;

use slotway_tests::cluster::Plan as Layout;
use slotway_tests::wait::wait_until;
use slotway_tests::{Client, Cluster, RedisServer};

/// What proxies, shards and redis-server answer alike.
const EVERYWHERE: &[&str] = &[
    "ROLE",
    "ROLE x",
    "WAIT 0 10",
    "WAIT 1 20",
    "WAIT 1 0x",
    "WAIT x 0",
    "WAIT x y",
    "WAIT 1 -1",
    "WAIT -1 0",
    "WAIT 0 -5",
    "WAIT 0 0",
    "WAIT 1",
    "WAIT 9999999999999999999 1",
    "WAIT 0 9223372036854775807",
    "MODULE",
    "MODULE LIST",
    "MODULE LIST x",
    "MODULE LOAD /x.so",
    "MODULE LOAD",
    "MODULE LOADEX /x.so CONFIG a b",
    "MODULE UNLOAD x",
    "MODULE FOO",
    "REPLICAOF NO ONE",
    "slaveof no one",
    "REPLICAOF NO",
    "REPLICAOF 127.0.0.1 x",
    "REPLICAOF 127.0.0.1 99999",
    "SLAVEOF 127.0.0.1 -1",
    "READONLY x",
    "CLIENT NO-TOUCH ON",
    "CLIENT NO-TOUCH",
    "CLIENT MAINT_NOTIFICATIONS ON",
];

/// What a proxy answers as one server that is no cluster.
const NO_CLUSTER: &[&str] = &[
    "READONLY",
    "READWRITE",
    "ASKING",
    "CLUSTER INFO",
    "CLUSTER INFO x",
    "CLUSTER SLOTS",
    "CLUSTER SETSLOT 1 STABLE",
    "CLUSTER RESET",
    "CLUSTER ADDSLOTS 1",
    "CLUSTER FAILOVER",
    "CLUSTER MEET a 1",
    "CLUSTER FOO",
    "CLUSTER",
];

fn answers(address: SocketAddr, lines: &[&str], resp3: bool) -> Vec<String> {
    let mut client = Client::connect_with(address, resp3).unwrap();
    let mut all = Vec::new();
    for line in lines {
        all.push(format!("{line}: {}", client.run(line).unwrap()));
        let queued: Vec<_> =
            ["MULTI", *line, "EXEC"].iter().map(|line| client.run(line).unwrap().to_string()).collect();
        all.push(format!("{line} in MULTI: {queued:?}"));
    }
    all
}

#[test]
fn who_has_no_replicas_modules_or_cluster_says_so_as_redis_does() {
    let oracle = RedisServer::start().unwrap();
    let cluster = Cluster::start().unwrap();
    let shard = cluster.layout().nodes[0].address;
    for resp3 in [false, true] {
        let expected = answers(oracle.address(), EVERYWHERE, resp3);
        assert_eq!(answers(cluster.endpoint(), EVERYWHERE, resp3), expected);
        assert_eq!(answers(shard, EVERYWHERE, resp3), expected);
        let expected = answers(oracle.address(), NO_CLUSTER, resp3);
        assert_eq!(answers(cluster.endpoint(), NO_CLUSTER, resp3), expected);
    }
}

#[test]
fn a_wait_for_replicas_without_an_end_can_be_ended() {
    let cluster = Cluster::start_with(&Layout { shards: 1, ..Layout::default() }).unwrap();
    for address in [cluster.endpoint(), cluster.layout().nodes[0].address] {
        let mut client = Client::connect(address).unwrap();
        let id = client.run("CLIENT ID").unwrap().as_int().unwrap();
        let mut other = Client::connect(address).unwrap();
        for (how, reply) in [("TIMEOUT", ":0"), ("ERROR", "-UNBLOCKED client unblocked via CLIENT UNBLOCK")] {
            client.send(&["WAIT", "1", "0"]).unwrap();
            wait_until("the wait has ended", || {
                other.run(&format!("CLIENT UNBLOCK {id} {how}")).unwrap().to_string() == ":1"
            });
            assert_eq!(client.receive().unwrap().to_string(), reply);
        }
    }
}
