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
        Plan { seed, commands: COMMANDS, resp3: true, through_proxy: shards > 1, families: Vec::new() };
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

/// What clients of several kinds get, replies and pushes in their order, that write what they have read themselves.
fn own_doing(address: SocketAddr) -> Vec<String> {
    const SETUP: [&str; 3] = ["SET {t}a 1", "DEL {t}l {t}m {t}w", "RPUSH {t}l 1 2 3"];
    const REQUESTS: [&[&str]; 9] = [
        &["GET {t}a", "SET {t}a 2"],
        &["LRANGE {t}l 0 -1", "BLPOP {t}l 0"],
        &["LRANGE {t}l 0 -1", "BLMOVE {t}l {t}m LEFT LEFT 0"],
        &["LRANGE {t}l 0 -1", "BLMPOP 0 1 {t}l LEFT"],
        &["GET {t}a", "MULTI", "SET {t}a 2", "SET {t}a 3", "EXEC"],
        &["MULTI", "GET {t}a", "SET {t}a 2", "GET {t}a", "SET {t}a 3", "EXEC"],
        &["LRANGE {t}l 0 -1", "MULTI", "BLPOP {t}l 0", "EXEC"],
        &["GET {t}a", "EVAL return(redis.call('set',KEYS[1],ARGV[1])) 1 {t}a 5"],
        &["GET {t}a", "DEL {t}a"],
    ];
    let mut writer = Client::connect(address).unwrap();
    let mut all = Vec::new();
    for mode in ["", " NOLOOP", " OPTIN"] {
        for requests in REQUESTS {
            SETUP.iter().for_each(|line| drop(call(&mut writer, line)));
            let mut client = Client::connect_resp3(address).unwrap();
            call(&mut client, &format!("CLIENT TRACKING ON{mode}"));
            if mode == " OPTIN" {
                call(&mut client, "CLIENT CACHING YES");
            }
            // All at once, and what the proxy answers itself right behind.
            let mut bytes = Vec::new();
            for line in requests.iter().chain(&["PING", "ECHO end"]) {
                let words: Vec<&str> = line.split(' ').collect();
                bytes.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
                for word in words {
                    bytes.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
                }
            }
            client.send_raw(&bytes).unwrap();
            let mut got = Vec::new();
            loop {
                let frame = client.receive().unwrap().to_string();
                let ends = frame == "\"end\"";
                got.push(frame);
                if ends {
                    break;
                }
            }
            all.push(format!("{mode} {requests:?}: {}", got.join(" ")));
        }
    }
    all
}

#[test]
fn what_a_client_changes_itself_it_is_told_right_behind_the_reply_as_by_redis() {
    let oracle = RedisServer::start().unwrap();
    let expected = own_doing(oracle.address());
    let cluster = Cluster::start().unwrap();
    assert_eq!(own_doing(cluster.endpoint()), expected);
    let cluster = Cluster::start_with(&Layout { shards: 1, ..Layout::default() }).unwrap();
    assert_eq!(own_doing(cluster.layout().nodes[0].address), expected);
}

/// How often a client is told to forget everything until the reply to what it asks last.
fn nulls_before_pong(client: &mut Client) -> usize {
    client.send(&["PING"]).unwrap();
    let frames = std::iter::repeat_with(|| client.receive().unwrap());
    frames
        .take_while(|frame| frame.to_string() != "+PONG")
        .filter(|frame| matches!(frame, Value::Push(_)))
        .count()
}

#[test]
fn a_client_is_told_once_to_forget_everything_however_many_shards_there_are() {
    let cluster = Cluster::start().unwrap();
    let mut writer = cluster.client().unwrap();
    let (mut client, mut prefixes) = (
        Client::connect_resp3(cluster.endpoint()).unwrap(),
        Client::connect_resp3(cluster.endpoint()).unwrap(),
    );
    call(&mut client, "CLIENT TRACKING ON");
    call(&mut prefixes, "CLIENT TRACKING ON BCAST");
    // Over other connections what one shard tells may come late, when the client has asked for something again. That is rare.
    let (mut rounds, mut told) = (0, 0);
    for line in ["FLUSHALL", "FLUSHDB"].iter().cycle().take(20) {
        for client in [&mut client, &mut prefixes] {
            client.send(&["GET", "k"]).unwrap();
            let frames = std::iter::repeat_with(|| client.receive().unwrap());
            told += frames.take_while(|frame| *frame != Value::Null).count();
        }
        call(&mut writer, line);
        for client in [&mut client, &mut prefixes] {
            rounds += 1;
            let mut now = 0;
            wait_until("the client is told to forget everything", || {
                now += nulls_before_pong(client);
                now > 0
            });
            told += now;
        }
    }
    assert!((rounds..2 * rounds).contains(&told), "told {told} times in {rounds} rounds");
    // Another client has nothing to hear of these.
    let mut client = Client::connect_resp3(cluster.endpoint()).unwrap();
    call(&mut client, "CLIENT TRACKING ON");
    call(&mut client, "GET k1");
    client.send(&["FLUSHALL"]).unwrap();
    assert_eq!(client.receive().unwrap().to_string(), "+OK");
    assert_eq!(nulls_before_pong(&mut client), 1, "behind its own");
    call(&mut client, "GET k1");
    for line in ["MULTI", "FLUSHALL", "GET k1"] {
        call(&mut client, line);
    }
    client.send(&["EXEC"]).unwrap();
    assert!(matches!(client.receive().unwrap(), Value::Array(_)));
    assert_eq!(nulls_before_pong(&mut client), 1, "behind its own transaction");
}

#[test]
fn a_limit_of_remembered_keys_that_is_lowered_holds_without_another_read() {
    let cluster = Cluster::start_with(&Layout { shards: 1, ..Layout::default() }).unwrap();
    let mut client = Client::connect_resp3(cluster.endpoint()).unwrap();
    call(&mut client, "CLIENT TRACKING ON");
    for number in 0..5 {
        call(&mut client, &format!("GET k{number}"));
    }
    let mut writer = cluster.client().unwrap();
    assert_eq!(call(&mut writer, "CONFIG SET tracking-table-max-keys 1").to_string(), "+OK");
    for _ in 0..4 {
        assert!(matches!(client.receive().unwrap(), Value::Push(_)));
    }
}
