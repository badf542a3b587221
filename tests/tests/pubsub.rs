//! SUBSCRIBE and PUBLISH do what a real redis-server does, while slots move and shards die, too.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use slotway_common::resp::Value;
use slotway_common::slot::slot_of;
use slotway_tests::cluster::{Cluster, Plan as Layout};
use slotway_tests::differential::{self, Subject, pubsub};
use slotway_tests::http;
use slotway_tests::wait::{wait_for, wait_until};
use slotway_tests::{Client, Site};

const STEPS: usize = 3_000;

fn compare(subject: Subject, resp3: bool) {
    differential::compare(subject, resp3, STEPS, pubsub::run).unwrap();
}

#[test]
fn a_shard_delivers_as_redis_in_resp2() {
    compare(Subject::Shard, false);
}

#[test]
fn a_shard_delivers_as_redis_in_resp3() {
    compare(Subject::Shard, true);
}

#[test]
fn the_proxy_over_three_shards_delivers_as_redis_in_resp2() {
    compare(Subject::Proxy, false);
}

#[test]
fn the_proxy_over_three_shards_delivers_as_redis_in_resp3() {
    compare(Subject::Proxy, true);
}

fn call(client: &mut Client, words: &[&str]) -> String {
    client.call(words).unwrap().to_string()
}

/// The payload of the next message.
fn next_message(client: &mut Client) -> String {
    loop {
        match client.receive().unwrap() {
            Value::Array(parts) | Value::Push(parts)
                if parts.first().and_then(Value::as_bytes).unwrap_or_default().ends_with(b"message") =>
            {
                let text = parts.last().and_then(Value::as_bytes).unwrap_or_default();
                return String::from_utf8_lossy(text).into_owned();
            }
            _ => {}
        }
    }
}

/// Publishes until so many clients get it, and until each has: subscriptions are being made again.
fn publish_until(publisher: &mut Client, channel: &str, receivers: i64, text: &str) {
    wait_until("all subscriptions are there again", || {
        publisher.call(&["PUBLISH", channel, text]).unwrap() == Value::Int(receivers)
    });
}

#[test]
fn two_proxies_count_clients_and_keep_the_order() {
    let cluster = Cluster::start_with(&Layout { proxies: 2, ..Layout::default() }).unwrap();
    let connect = |proxy: usize| Client::connect(cluster.layout().proxies[proxy].address).unwrap();
    let mut clients: Vec<Client> = (0..20).map(|number| connect(number % 2)).collect();
    for client in &mut clients {
        call(client, &["SUBSCRIBE", "c"]);
    }
    let mut patterned = connect(1);
    call(&mut patterned, &["PSUBSCRIBE", "c*"]);
    let mut publisher = connect(0);
    for number in 0..500 {
        assert_eq!(call(&mut publisher, &["PUBLISH", "c", &number.to_string()]), ":21");
    }
    clients.push(patterned);
    for client in &mut clients {
        for number in 0..500 {
            assert_eq!(next_message(client), number.to_string());
        }
    }
    drop(clients);
    wait_until("the proxies unsubscribe", || {
        call(&mut publisher, &["PUBLISH", "c", "x"]) == ":0"
            && call(&mut publisher, &["PUBSUB", "NUMPAT"]) == ":0"
    });
}

#[test]
fn subscriptions_follow_their_slots() {
    let mut site = Site::start(&Layout::default(), "");
    let mut client = site.cluster.client().unwrap();
    let mut sharded = site.cluster.client().unwrap();
    let mut publisher = site.cluster.client().unwrap();
    let slots = site.slots_of("a", 3000);
    let channel = (0..)
        .map(|number| format!("channel {number}"))
        .find(|name| slots.slots().any(|slot| slot == slot_of(name.as_bytes())))
        .unwrap();
    call(&mut client, &["SUBSCRIBE", &channel]);
    call(&mut sharded, &["SSUBSCRIBE", &channel]);
    let mut direct = site.cluster.shard_client(0).unwrap();
    call(&mut direct, &["SSUBSCRIBE", &channel]);
    for (from, to) in [("a", "b"), ("b", "c"), ("c", "a")] {
        site.move_slots(from, to, &slots);
        let text = format!("at {to}");
        publish_until(&mut publisher, &channel, 1, &text);
        assert_eq!(next_message(&mut client), text);
        wait_until("the shard channel is there again", || {
            call(&mut publisher, &["SPUBLISH", &channel, &text]) == ":1"
        });
        assert_eq!(next_message(&mut sharded), text);
    }
    assert_eq!(
        direct.receive().unwrap().to_string(),
        format!("[\"sunsubscribe\", {channel:?}, :0]").as_str()
    );
}

#[test]
fn subscriptions_are_made_again_when_a_shard_was_killed() {
    let cluster = Cluster::start().unwrap();
    let mut clients: Vec<Client> = (0..3).map(|_| cluster.client().unwrap()).collect();
    for client in &mut clients {
        call(client, &["SUBSCRIBE", "c"]);
    }
    let mut patterned = cluster.client().unwrap();
    call(&mut patterned, &["PSUBSCRIBE", "c"]);
    let mut publisher = cluster.client().unwrap();
    assert_eq!(call(&mut publisher, &["PUBLISH", "c", "before"]), ":4");
    let owner = cluster
        .layout()
        .nodes
        .iter()
        .find(|node| {
            let mut client = Client::connect(node.address).unwrap();
            call(&mut client, &["PUBSUB", "NUMSUB", "c"]).contains(":3")
        })
        .map(|node| node.id.clone())
        .unwrap();
    cluster.kill(&owner);
    let _up = cluster.start_missing().unwrap();
    publish_until(&mut publisher, "c", 4, "after");
    clients.push(patterned);
    for client in &mut clients {
        assert_eq!(next_message(client), "before");
        assert_eq!(next_message(client), "after");
    }
    let gaps = wait_for("the gap is counted", || {
        let (_, text) = http::get(cluster.layout().proxies[0].admin, "/metrics").unwrap();
        let line = text.lines().find(|line| line.starts_with("slotway_proxy_subscription_gaps_total"))?;
        line.rsplit(' ').next()?.parse::<f64>().ok().filter(|gaps| *gaps > 0.0)
    });
    assert!(gaps >= 2.0, "{gaps}");
}

/// A subscriber that does not read is closed; what is kept for it is bounded.
fn slow_subscriber(address: std::net::SocketAddr) {
    let mut slow = Client::connect(address).unwrap();
    call(&mut slow, &["SUBSCRIBE", "c"]);
    let mut quick = Client::connect(address).unwrap();
    call(&mut quick, &["SUBSCRIBE", "c"]);
    let mut publisher = Client::connect(address).unwrap();
    let text = "x".repeat(500_000);
    let start = Instant::now();
    while call(&mut publisher, &["PUBLISH", "c", &text]) == ":2" {
        assert_eq!(next_message(&mut quick).len(), text.len());
        assert!(start.elapsed() < Duration::from_secs(60), "it is never closed");
    }
    assert_eq!(next_message(&mut quick).len(), text.len());
    assert_eq!(call(&mut publisher, &["PUBLISH", "c", "x"]), ":1");
}

#[test]
fn a_slow_subscriber_is_cut_off() {
    let settings = vec![("client-output-buffer-limit".to_owned(), "pubsub 4mb 2mb 60".to_owned())];
    let cluster = Cluster::start_with(&Layout { shards: 1, settings, ..Layout::default() }).unwrap();
    slow_subscriber(cluster.endpoint());
    slow_subscriber(cluster.layout().nodes[0].address);
}

#[test]
fn a_client_may_have_a_hundred_thousand_subscriptions() {
    let cluster = Cluster::start().unwrap();
    let mut client = cluster.client().unwrap();
    for part in 0..10 {
        let names: Vec<String> = (0..10_000).map(|number| format!("channel {part} {number}")).collect();
        let words: Vec<&str> = std::iter::once("SUBSCRIBE").chain(names.iter().map(String::as_str)).collect();
        client.send(&words).unwrap();
        for _ in 0..names.len() {
            client.receive().unwrap();
        }
    }
    let mut publisher = cluster.client().unwrap();
    assert_eq!(call(&mut publisher, &["PUBLISH", "channel 7 77", "hi"]), ":1");
    assert_eq!(next_message(&mut client), "hi");
    for id in ["a-0", "b-0", "c-0", "proxy-0"] {
        let bytes = slotway_tests::process::resident_bytes(cluster.process_id(id));
        assert!(bytes < 256 << 20, "{id} has {bytes}");
    }
    drop(client);
    wait_until("all are ended", || call(&mut publisher, &["PUBSUB", "CHANNELS"]) == "[]");
}
