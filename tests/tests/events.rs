//! Keyspace events are those of a real redis-server, in its order, on a shard and through a proxy over three.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;

use slotway_common::resp::Value;
use slotway_common::slot::slot_of;
use slotway_tests::cluster::{Cluster, Plan as Layout};
use slotway_tests::differential::{self, Plan, events};
use slotway_tests::wait::wait_until;
use slotway_tests::{Client, RedisServer, Site};

const COMMANDS: usize = 20_000;

fn compare(shards: usize, through_proxy: bool, resp3: bool) {
    let seed = differential::seed();
    println!("SLOTWAY_SEED={seed}");
    let cluster = Cluster::start_with(&Layout { shards, ..Layout::default() }).unwrap();
    let subject = if through_proxy { cluster.endpoint() } else { cluster.layout().nodes[0].address };
    let oracle = RedisServer::start().unwrap();
    let plan = Plan { seed, commands: COMMANDS, resp3, through_proxy: shards > 1, families: Vec::new() };
    events::run(&plan, oracle.address(), subject).unwrap();
}

#[test]
fn a_shard_tells_of_keys_as_redis_in_resp2() {
    compare(1, false, false);
}

#[test]
fn a_shard_tells_of_keys_as_redis_in_resp3() {
    compare(1, false, true);
}

#[test]
fn the_proxy_over_three_shards_tells_of_keys_as_redis() {
    compare(3, true, true);
}

/// The payload and channel of the next message.
fn next_event(client: &mut Client) -> String {
    loop {
        if let Value::Array(parts) | Value::Push(parts) = client.receive().unwrap()
            && parts.first().and_then(Value::as_bytes).unwrap_or_default().ends_with(b"message")
        {
            let text = |part: &Value| String::from_utf8_lossy(part.as_bytes().unwrap()).into_owned();
            let [.., channel, payload] = parts.as_slice() else { panic!("{parts:?}") };
            return format!("{} {}", text(channel), text(payload));
        }
    }
}

fn call(client: &mut Client, line: &str) -> Value {
    client.run(line).unwrap()
}

fn want_events(client: &mut Client, classes: &str) {
    wait_until("the setting is in force", || {
        client
            .call(&["CONFIG", "SET", "notify-keyspace-events", classes])
            .is_ok_and(|reply| !reply.is_error())
    });
}

/// What happens without a command of the client that did it: those who wait are served, keys expire and are evicted.
fn told_of_what_happens_by_itself(address: SocketAddr) -> Vec<String> {
    let mut client = Client::connect(address).unwrap();
    want_events(&mut client, "KAn");
    let mut listener = Client::connect(address).unwrap();
    call(&mut listener, "PSUBSCRIBE __keyspace@0__:*");
    let mut events = Vec::new();
    let waits = [
        ("BLPOP {k}l 0", "RPUSH {k}l a b"),
        ("BRPOP {k}l 0", "RPUSH {k}l a"),
        ("BLMOVE {k}l {k}m LEFT RIGHT 0", "RPUSH {k}l c"),
        ("BLMPOP 0 2 {k}l {k}n RIGHT COUNT 2", "LPUSH {k}n 1 2 3"),
        ("BZPOPMIN {k}z 0", "ZADD {k}z 1 a 2 b"),
        ("BZMPOP 0 1 {k}y MAX COUNT 5", "ZADD {k}y 1 a 2 b"),
        ("XREAD BLOCK 0 STREAMS {k}x $", "XADD {k}x 1-1 a b"),
        ("XREADGROUP GROUP g c BLOCK 0 STREAMS {k}w >", "XADD {k}w 1-1 a b"),
    ];
    call(&mut client, "XGROUP CREATE {k}w g $ MKSTREAM");
    for (wait, write) in waits {
        let mut waiter = Client::connect(address).unwrap();
        call(&mut client, "DEL {k}l {k}m");
        waiter.send(&wait.split(' ').collect::<Vec<_>>()).unwrap();
        wait_until("a client to wait", || {
            let info = call(&mut client, "INFO clients");
            String::from_utf8_lossy(info.as_bytes().unwrap()).contains("blocked_clients:1\r\n")
        });
        call(&mut client, "MULTI");
        call(&mut client, write);
        call(&mut client, "SET {k}s in-between");
        call(&mut client, "EXEC");
        waiter.receive().unwrap();
    }
    for line in ["SET {k}e v PX 20", "SADD {k}f a", "PEXPIRE {k}f 20", "SET {k}end v", "DEL {k}end"] {
        call(&mut client, line);
    }
    let gone = |events: &[String], key: &str| {
        events.iter().any(|event| *event == format!("__keyspace@0__:{{k}}{key} expired"))
    };
    while !(gone(&events, "e") && gone(&events, "f")) {
        events.push(next_event(&mut listener));
    }
    // They expire in any order.
    let at = events.iter().position(|event| event.ends_with("expired")).unwrap();
    events[at..].sort();
    events
}

#[test]
fn clients_are_told_of_what_is_popped_for_those_who_wait_and_of_what_expires() {
    let cluster = Cluster::start().unwrap();
    let oracle = RedisServer::start().unwrap();
    let expected = told_of_what_happens_by_itself(oracle.address());
    assert_eq!(told_of_what_happens_by_itself(cluster.endpoint()), expected);
}

#[test]
fn a_key_that_is_evicted_is_told_of() {
    let cluster = Cluster::start_with(&Layout { shards: 1, ..Layout::default() }).unwrap();
    let mut client = cluster.client().unwrap();
    want_events(&mut client, "Ee");
    let mut listener = cluster.client().unwrap();
    call(&mut listener, "SUBSCRIBE __keyevent@0__:evicted");
    call(&mut client, "CONFIG SET maxmemory-policy allkeys-lru");
    let value = "x".repeat(100_000);
    for number in 0..50 {
        client.call(&["SET", &format!("k{number}"), &value]).unwrap();
    }
    call(&mut client, "CONFIG SET maxmemory 1mb");
    call(&mut client, "SET one more");
    assert!(next_event(&mut listener).starts_with("__keyevent@0__:evicted k"));
}

#[test]
fn channels_of_events_are_heard_from_every_shard_and_by_hand_once() {
    let cluster = Cluster::start_with(&Layout { proxies: 2, ..Layout::default() }).unwrap();
    let connect = |proxy: usize| Client::connect(cluster.layout().proxies[proxy].address).unwrap();
    let (mut client, mut listener, mut other) = (connect(0), connect(0), connect(1));
    want_events(&mut client, "KE$g");
    call(&mut listener, "SUBSCRIBE __keyevent@0__:set");
    call(&mut other, "PSUBSCRIBE __keyevent@*__:set");
    let direct: Vec<Client> = (0..3).map(|shard| cluster.shard_client(shard).unwrap()).collect();
    for number in 0..60 {
        call(&mut client, &format!("SET key{number} v"));
        let told = format!("__keyevent@0__:set key{number}");
        assert_eq!((next_event(&mut listener), next_event(&mut other)), (told.clone(), told));
    }
    assert_eq!(call(&mut client, "PUBLISH __keyevent@0__:set hand"), Value::Int(2));
    assert_eq!(next_event(&mut listener), "__keyevent@0__:set hand");
    assert_eq!(next_event(&mut other), "__keyevent@0__:set hand");
    call(&mut client, "SET last v");
    assert_eq!(next_event(&mut listener), "__keyevent@0__:set last", "once only");
    assert_eq!(
        call(&mut client, "PUBSUB NUMSUB __keyevent@0__:set").to_string(),
        "[\"__keyevent@0__:set\", :1]"
    );
    assert_eq!(call(&mut client, "PUBSUB CHANNELS").to_string(), "[\"__keyevent@0__:set\"]");
    // Patterns are counted once, whoever has them, those of clients of the shards themselves too.
    for mut shard in direct {
        call(&mut shard, "PSUBSCRIBE __keyevent@*__:set");
        call(&mut shard, "PSUBSCRIBE other*");
        assert_eq!(call(&mut client, "PUBSUB NUMPAT"), Value::Int(2));
    }
    call(&mut listener, "UNSUBSCRIBE");
    wait_until("the shards are told", || call(&mut client, "PUBLISH __keyevent@0__:set x") == Value::Int(1));
}

#[test]
fn what_moves_is_no_event_and_subscriptions_outlast_moves() {
    let mut site = Site::start(&Layout::default(), "");
    let mut client = site.cluster.client().unwrap();
    want_events(&mut client, "KEA");
    let slots = site.slots_of("a", 3000);
    let key = (0..)
        .map(|number| format!("key{number}"))
        .find(|key| slots.contains(slot_of(key.as_bytes())))
        .unwrap();
    let mut listener = site.cluster.client().unwrap();
    let channel = format!("__keyspace@0__:{key}");
    call(&mut listener, &format!("SUBSCRIBE {channel}"));
    call(&mut client, &format!("SET {key} v"));
    for (from, to) in [("a", "b"), ("b", "c"), ("c", "a")] {
        site.move_slots(from, to, &slots);
        call(&mut client, &format!("APPEND {key} v"));
    }
    let events: Vec<String> = (0..4).map(|_| next_event(&mut listener)).collect();
    let told = |event: &str| format!("{channel} {event}");
    assert_eq!(events, [told("set"), told("append"), told("append"), told("append")]);
}
