//! Client-side caching: clients are told what a real redis-server would tell them, and never believe an old value for long,
//! while slots move and shards die, too.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;

use slotway_common::resp::Value;
use slotway_common::slot::slot_of;
use slotway_tests::cluster::{Cluster, Plan as Layout};
use slotway_tests::differential::{self, Plan, tracking};
use slotway_tests::wait::wait_until;
use slotway_tests::{Client, RedisServer, Site, caching};

const COMMANDS: usize = 3_000;

fn compare(shards: usize, through_proxy: bool) {
    let seed = differential::seed();
    println!("SLOTWAY_SEED={seed}");
    let cluster = Cluster::start_with(&Layout { shards, ..Layout::default() }).unwrap();
    let subject = if through_proxy { cluster.endpoint() } else { cluster.layout().nodes[0].address };
    let oracle = RedisServer::start().unwrap();
    let plan =
        Plan { seed, commands: COMMANDS, resp3: true, one_slot_calls: shards > 1, families: Vec::new() };
    tracking::run(&plan, shards, oracle.address(), subject).unwrap();
}

#[test]
fn a_shard_tells_what_to_forget_as_redis() {
    compare(1, false);
}

#[test]
fn the_proxy_over_three_shards_tells_what_to_forget_as_redis() {
    compare(3, true);
}

fn call(client: &mut Client, line: &str) -> Value {
    client.run(line).unwrap()
}

/// Every reply and push of two clients, one of which is told in the place of the other until it goes.
fn options_and_errors(address: SocketAddr) -> Vec<String> {
    let mut client = Client::connect_resp3(address).unwrap();
    let mut all = Vec::new();
    let lines = [
        "CLIENT TRACKINGINFO",
        "CLIENT GETREDIR",
        "CLIENT CACHING YES",
        "CLIENT TRACKING maybe",
        "CLIENT TRACKING ON REDIRECT 123456",
        "CLIENT TRACKING ON REDIRECT x",
        "CLIENT TRACKING ON PREFIX a",
        "CLIENT TRACKING ON BCAST OPTIN",
        "CLIENT TRACKING ON OPTIN OPTOUT",
        "CLIENT TRACKING ON BCAST PREFIX a PREFIX ab",
        "CLIENT TRACKING ON BCAST PREFIX b PREFIX a",
        "CLIENT TRACKINGINFO",
        "CLIENT TRACKING ON BCAST PREFIX abc",
        "CLIENT TRACKING ON BCAST PREFIX c NOLOOP",
        "CLIENT TRACKINGINFO",
        "CLIENT TRACKING ON",
        "CLIENT CACHING YES",
        "CLIENT CACHING NO",
        "CLIENT CACHING perhaps",
        "CLIENT TRACKING OFF",
        "CLIENT TRACKING ON OPTIN",
        "CLIENT CACHING NO",
        "CLIENT CACHING YES",
        "CLIENT TRACKINGINFO",
        "PING",
        "CLIENT TRACKINGINFO",
        "CLIENT TRACKING ON OPTOUT",
        "CLIENT TRACKING OFF",
        "CLIENT TRACKING ON OPTOUT",
        "CLIENT CACHING NO",
        "CLIENT TRACKINGINFO",
        "CLIENT GETREDIR",
        "CLIENT TRACKING ON foo",
        "CLIENT TRACKING OFF",
        "CLIENT TRACKINGINFO",
    ];
    for line in lines {
        all.push(format!("{line}: {}", call(&mut client, line)));
    }
    let mut other = Client::connect_resp3(address).unwrap();
    let id = call(&mut other, "CLIENT ID").as_int().unwrap();
    assert_eq!(call(&mut client, &format!("CLIENT TRACKING ON REDIRECT {id}")).to_string(), "+OK");
    assert_eq!(call(&mut client, "CLIENT GETREDIR"), Value::Int(id));
    let mut writer = Client::connect(address).unwrap();
    for number in 0..3 {
        call(&mut client, "GET redirected");
        call(&mut writer, &format!("SET redirected {number}"));
        all.push(other.receive().unwrap().to_string());
    }
    drop(other);
    let info = String::from_utf8_lossy(call(&mut writer, "INFO clients").as_bytes().unwrap()).into_owned();
    all.extend(info.lines().find(|line| line.starts_with("tracking_clients")).map(str::to_owned));
    wait_until("the other client is gone", || {
        let list = call(&mut writer, "CLIENT LIST");
        !String::from_utf8_lossy(list.as_bytes().unwrap()).contains(&format!("id={id} "))
    });
    call(&mut client, "GET redirected");
    call(&mut writer, "SET redirected gone");
    let broken = client.receive().unwrap().to_string();
    all.push(broken.replace(&id.to_string(), "<id>"));
    let told = call(&mut client, "CLIENT TRACKINGINFO").to_string();
    all.push(told.replace(&id.to_string(), "<id>"));
    all
}

#[test]
fn options_are_checked_and_a_broken_redirection_is_told_of_as_by_redis() {
    let cluster = Cluster::start().unwrap();
    let oracle = RedisServer::start().unwrap();
    let expected = options_and_errors(oracle.address());
    assert_eq!(options_and_errors(cluster.endpoint()), expected);
    // The last shard has the key that is written.
    assert_eq!(options_and_errors(cluster.layout().nodes[2].address), expected);
}

#[test]
fn what_expires_is_told_of_and_so_is_what_there_is_no_room_to_remember() {
    let cluster = Cluster::start_with(&Layout { shards: 1, ..Layout::default() }).unwrap();
    let mut client = Client::connect_resp3(cluster.endpoint()).unwrap();
    call(&mut client, "CLIENT TRACKING ON");
    call(&mut client, "SET brief v PX 30");
    call(&mut client, "GET brief");
    assert_eq!(client.receive().unwrap().to_string(), ">[\"invalidate\", [\"brief\"]]");
    call(&mut client, "CONFIG SET tracking-table-max-keys 10");
    for number in 0..11 {
        call(&mut client, &format!("GET key{number}"));
    }
    assert!(client.receive().unwrap().to_string().starts_with(">[\"invalidate\", [\"key"));
    let info = call(&mut client, "INFO stats");
    let info = String::from_utf8_lossy(info.as_bytes().unwrap()).into_owned();
    assert!(
        info.contains("tracking_total_keys:10\r\n") && info.contains("tracking_total_items:10\r\n"),
        "{info}"
    );
}

#[test]
fn keys_of_slots_that_move_are_to_be_forgotten() {
    let mut site = Site::start(&Layout::default(), "");
    let slots = site.slots_of("a", 3000);
    let mut keys = (0..).map(|number| format!("key{number}"));
    let mut in_slots =
        |inside: bool| keys.find(|key| slots.contains(slot_of(key.as_bytes())) == inside).unwrap();
    let (moves, stays) = (in_slots(true), in_slots(false));
    let connect = || Client::connect_resp3(site.cluster.endpoint()).unwrap();
    let (mut client, mut broadcast) = (connect(), connect());
    call(&mut client, "CLIENT TRACKING ON");
    call(&mut broadcast, "CLIENT TRACKING ON BCAST");
    for key in [&moves, &stays] {
        call(&mut client, &format!("GET {key}"));
    }
    site.move_slots("a", "b", &slots);
    assert_eq!(client.receive().unwrap().to_string(), format!(">[\"invalidate\", [{moves:?}]]"));
    let all = ">[\"invalidate\", null]";
    assert_eq!(broadcast.receive().unwrap().to_string(), all);
    let mut writer = site.cluster.client().unwrap();
    call(&mut client, &format!("GET {moves}"));
    for key in [&stays, &moves] {
        call(&mut writer, &format!("SET {key} v"));
        assert_eq!(client.receive().unwrap().to_string(), format!(">[\"invalidate\", [{key:?}]]"));
        // It is told to forget everything for each batch of slots.
        let told = loop {
            let told = broadcast.receive().unwrap().to_string();
            if told != all {
                break told;
            }
        };
        assert_eq!(told, format!(">[\"invalidate\", [{key:?}]]"));
    }
}

#[test]
fn whoever_reads_by_scripts_and_transactions_is_told_too_whatever_the_user_may_do() {
    let cluster = Cluster::start().unwrap();
    let mut writer = cluster.client().unwrap();
    call(&mut writer, "ACL SETUSER reader on nopass ~{t}* +@read +@connection +@scripting +@transaction");
    let other_shard = cluster.layout().nodes.iter().find_map(|node| {
        let mut shard = Client::connect(node.address).unwrap();
        call(&mut shard, "GET {t}").is_error().then_some(shard)
    });
    let script = "return redis.call('GET', KEYS[1])";
    // Those who own the keys do not know it yet.
    let digest = other_shard.unwrap().call(&["SCRIPT", "LOAD", script]).unwrap();
    let digest = String::from_utf8_lossy(digest.as_bytes().unwrap()).into_owned();
    for user in ["reader", "default"] {
        let mut client = Client::connect_resp3(cluster.endpoint()).unwrap();
        assert_eq!(call(&mut client, &format!("AUTH {user} any")).to_string(), "+OK");
        call(&mut client, "CLIENT TRACKING ON");
        for (name, arguments) in [("EVALSHA", &*digest), ("EVAL", script), ("EVAL_RO", script)] {
            let key = format!("{{t}}{name}");
            assert!(client.call(&[name, arguments, "1", &key]).unwrap().is_null());
        }
        for line in
            ["GET {t}plain", "MULTI", "GET {t}queued", &format!("EVALSHA {digest} 1 {{t}}both"), "EXEC"]
        {
            assert!(!call(&mut client, line).is_error());
        }
        for name in ["EVALSHA", "EVAL", "EVAL_RO", "plain", "queued", "both"] {
            let key = format!("{{t}}{name}");
            call(&mut writer, &format!("SET {key} v"));
            let told = client.receive().unwrap().to_string();
            assert_eq!(told, format!(">[\"invalidate\", [{key:?}]]"), "{user}");
        }
        call(&mut writer, "FLUSHALL");
        call(&mut writer, "SCRIPT FLUSH");
        let mut shard = Client::connect(cluster.layout().nodes[0].address).unwrap();
        shard.call(&["SCRIPT", "LOAD", script]).unwrap();
    }
}

#[test]
fn nobody_believes_an_old_value_for_long_while_slots_move_and_a_shard_dies() {
    let seed = differential::seed();
    println!("SLOTWAY_SEED={seed}");
    let mut site = Site::start(&Layout::default(), "");
    let address = site.cluster.endpoint();
    let slots = site.slots_of("a", 4000);
    caching::check(address, seed, 50, || {
        for (from, to) in [("a", "b"), ("b", "c")] {
            site.move_slots(from, to, &slots);
        }
        site.kill("b-0");
        site.restart();
        site.move_slots("c", "a", &slots);
    })
    .unwrap();
}
