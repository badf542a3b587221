//! Commands that wait for data: who is served, when and with what, is as with a real redis-server.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use slotway_common::resp::Value;
use slotway_tests::cluster::{Cluster, Plan as Layout};
use slotway_tests::crowd::Crowd;
use slotway_tests::differential::{self, Plan, Subject, blocking};
use slotway_tests::history::tag_of;
use slotway_tests::process::resident_bytes;
use slotway_tests::wait::wait_until;
use slotway_tests::{Client, Site};

const COMMANDS: usize = 3_000;

fn compare(subject: Subject, resp3: bool, spread: bool) {
    differential::compare(subject, resp3, COMMANDS, |plan, oracle, subject| {
        blocking::run(&Plan { through_proxy: true, ..plan.clone() }, spread, oracle, subject)
    })
    .unwrap();
}

#[test]
fn a_shard_serves_those_who_wait_as_redis_in_resp2() {
    compare(Subject::Shard, false, false);
}

#[test]
fn a_shard_serves_those_who_wait_as_redis_in_resp3() {
    compare(Subject::Shard, true, false);
}

#[test]
fn the_proxy_over_three_shards_serves_those_who_wait_as_redis_in_resp2() {
    compare(Subject::Proxy, false, false);
}

#[test]
fn the_proxy_over_three_shards_serves_those_who_wait_as_redis_in_resp3() {
    compare(Subject::Proxy, true, false);
}

#[test]
fn keys_on_several_shards_are_waited_for_as_on_one_redis() {
    compare(Subject::Proxy, false, true);
}

fn list(values: &[&str]) -> Value {
    Value::Array(values.iter().map(|value| Value::Bulk(value.as_bytes().to_vec())).collect())
}

/// Waits until so many clients wait for data.
fn until_blocked(client: &mut Client, count: usize) {
    let field = format!("blocked_clients:{count}\r\n");
    wait_until("clients to wait", || {
        let info = client.run("INFO clients").unwrap();
        String::from_utf8_lossy(info.as_bytes().unwrap()).contains(&field)
    });
}

#[test]
fn what_waits_for_a_slot_that_moves_is_served_by_its_new_owner() {
    let mut site = Site::start(&Layout::default(), "");
    let slots = site.slots_of("a", 4);
    let tags: Vec<&str> = slots.slots().map(tag_of).collect();
    let mut client = site.cluster.client().unwrap();
    let mut waiting: Vec<Client> = (0..8).map(|_| site.cluster.client().unwrap()).collect();
    for (number, waiting) in waiting.iter_mut().enumerate() {
        let tag = tags[number % 4];
        if number < 4 {
            waiting.send(&["BLPOP", &format!("list{{{tag}}}"), "0"]).unwrap();
        } else {
            waiting.send(&["XREAD", "BLOCK", "0", "STREAMS", &format!("x{{{tag}}}"), "$"]).unwrap();
        }
    }
    until_blocked(&mut client, 8);
    site.move_slots("a", "b", &slots);
    for tag in &tags {
        client.call(&["RPUSH", &format!("list{{{tag}}}"), "v", "w"]).unwrap();
        client.call(&["XADD", &format!("x{{{tag}}}"), "1-1", "f", "v"]).unwrap();
    }
    for (number, waiting) in waiting.iter_mut().enumerate() {
        let reply = waiting.receive().unwrap();
        if number < 4 {
            assert_eq!(reply, list(&[&format!("list{{{}}}", tags[number]), "v"]));
        } else {
            assert!(reply.to_string().contains("1-1"), "{reply}");
        }
    }
    for tag in &tags {
        let left = client.call(&["LRANGE", &format!("list{{{tag}}}"), "0", "-1"]).unwrap();
        assert_eq!(left, list(&["w"]), "nothing is popped twice");
    }
    until_blocked(&mut client, 0);
}

#[test]
fn nothing_is_popped_for_a_client_that_has_gone() {
    for through_proxy in [false, true] {
        let cluster = Cluster::start_with(&Layout { shards: 1, ..Layout::default() }).unwrap();
        let address = if through_proxy { cluster.endpoint() } else { cluster.layout().nodes[0].address };
        let mut client = Client::connect(address).unwrap();
        let mut waiting = Client::connect(address).unwrap();
        waiting.send(&["BLPOP", "list", "0"]).unwrap();
        until_blocked(&mut client, 1);
        drop(waiting);
        until_blocked(&mut client, 0);
        client.run("RPUSH list v").unwrap();
        assert_eq!(client.run("LLEN list").unwrap(), Value::Int(1));
    }
}

#[test]
fn a_wait_ends_with_its_time_and_not_before() {
    for through_proxy in [false, true] {
        let cluster = Cluster::start_with(&Layout { shards: 2, ..Layout::default() }).unwrap();
        let address = if through_proxy { cluster.endpoint() } else { cluster.layout().nodes[0].address };
        let mut client = Client::connect(address).unwrap();
        let key = cluster_key(&mut client);
        for line in [format!("BLPOP {key} 0.2"), format!("XREAD BLOCK 200 STREAMS {key} $")] {
            let started = Instant::now();
            assert_eq!(client.run(&line).unwrap(), Value::NullArray, "{line}");
            assert!(started.elapsed() >= Duration::from_millis(195), "{line} ended early");
        }
        // Others of the same connection are answered in between and after.
        assert_eq!(client.run("PING").unwrap().to_string(), "+PONG");
    }
}

/// A key that the server at the other end serves.
fn cluster_key(client: &mut Client) -> String {
    (0..100)
        .map(|number| format!("key{number}"))
        .find(|key| !client.call(&["GET", key]).unwrap().is_error())
        .unwrap()
}

/// On a shard, and through a proxy, which has one connection a worker for all of them.
#[test]
fn ten_thousand_clients_wait_for_little_memory_and_are_served_in_their_order() {
    const MOST_BYTES: u64 = 20 * 1024;
    for through_proxy in [true, false] {
        let cluster = Cluster::start().unwrap();
        let key = "queue";
        let home = (0..3)
            .position(|shard| !cluster.shard_client(shard).unwrap().call(&["LLEN", key]).unwrap().is_error());
        let node = &cluster.layout().nodes[home.unwrap()];
        let (address, server) = match through_proxy {
            true => (cluster.endpoint(), cluster.process_id("proxy-0")),
            false => (node.address, cluster.process_id(&node.id)),
        };
        let before = resident_bytes(server);
        let mut crowd = Crowd::connect(address, 10_000).unwrap();
        crowd.wait_for(key).unwrap();
        let each = resident_bytes(server).saturating_sub(before) / crowd.len() as u64;
        println!("{each} bytes for each of {} clients, through the proxy: {through_proxy}", crowd.len());
        assert!(each < MOST_BYTES, "{each} bytes a client");
        crowd.serve(key).unwrap();
    }
}

#[test]
fn many_clients_wait_over_the_same_connections_and_each_is_served_once() {
    const CLIENTS: usize = 500;
    let cluster = Cluster::start_with(&Layout { shards: 3, ..Layout::default() }).unwrap();
    let mut client = cluster.client().unwrap();
    let mut waiting: Vec<Client> = (0..CLIENTS).map(|_| cluster.client().unwrap()).collect();
    for (number, waiting) in waiting.iter_mut().enumerate() {
        waiting.send(&["BRPOP", &format!("list{}", number % 10), "0"]).unwrap();
    }
    until_blocked(&mut client, CLIENTS);
    for number in 0..CLIENTS {
        client.call(&["LPUSH", &format!("list{}", number % 10), &number.to_string()]).unwrap();
    }
    let mut values: Vec<i64> = waiting
        .iter_mut()
        .map(|waiting| {
            let reply = waiting.receive().unwrap();
            let value = reply.as_array().unwrap()[1].as_bytes().unwrap();
            std::str::from_utf8(value).unwrap().parse().unwrap()
        })
        .collect();
    values.sort_unstable();
    assert_eq!(values, (0..CLIENTS as i64).collect::<Vec<_>>());
    assert_eq!(client.run("DBSIZE").unwrap(), Value::Int(0));
}
