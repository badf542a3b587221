//! CLIENT PAUSE holds back what it does in redis-server: on a shard, and through the proxy.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;

use slotway_common::resp::Value;
use slotway_tests::differential::{self, Subject, pause};
use slotway_tests::wait::wait_for;
use slotway_tests::{Client, Cluster, Plan, RedisServer};

/// A library with a function that may write, and one that may not.
const LIBRARY: &str = "#!lua name=l\nredis.register_function('f',function() return 1 end)\n\
    redis.register_function{function_name='fr',callback=function() return 1 end,flags={'no-writes'}}";

/// What becomes of requests that one client sends one after the other while another one has paused.
#[derive(Debug, PartialEq)]
struct Outcome {
    /// The replies that came at once.
    replies: Vec<String>,
    /// The last one is held back.
    held: bool,
    /// What it is answered when the pause has ended.
    later: Option<String>,
}

/// The client of this number in CLIENT LIST waits.
fn waits(client: &mut Client, id: i64) -> bool {
    let line = client.run(&format!("CLIENT LIST ID {id}")).unwrap().to_string();
    line.split(' ').find_map(|field| field.strip_prefix("flags=")).is_some_and(|flags| flags.contains('b'))
}

fn blocked_clients(client: &mut Client) -> i64 {
    let info = client.run("INFO clients").unwrap().to_string();
    let (_, rest) = info.split_once("blocked_clients:").unwrap();
    rest.split("\\r").next().unwrap().parse().unwrap()
}

fn under_pause(address: SocketAddr, requests: &[&[&str]]) -> Outcome {
    let (mut pausing, mut held) = (Client::connect(address).unwrap(), Client::connect(address).unwrap());
    let id = held.run("CLIENT ID").unwrap().as_int().unwrap();
    assert_eq!(pausing.run("CLIENT PAUSE 100000 WRITE").unwrap().to_string(), "+OK");
    let mut outcome = Outcome { replies: Vec::new(), held: false, later: None };
    for request in requests {
        held.send(request).unwrap();
        outcome.held = wait_for("a reply, or that it is held back", || {
            let answered = held.has_reply().unwrap_or(true);
            (answered || waits(&mut pausing, id)).then_some(!answered)
        });
        assert_eq!(blocked_clients(&mut pausing), i64::from(outcome.held), "{request:?}");
        if outcome.held {
            break;
        }
        outcome.replies.push(held.receive().unwrap().to_string());
    }
    assert_eq!(pausing.run("CLIENT UNPAUSE").unwrap().to_string(), "+OK");
    if outcome.held {
        outcome.later = Some(held.receive().unwrap().to_string());
    }
    assert_eq!(blocked_clients(&mut pausing), 0);
    outcome
}

#[test]
fn what_writes_or_tells_others_is_held_back_and_nothing_else() {
    let redis = RedisServer::start().unwrap();
    let cluster = Cluster::start_with(&Plan { shards: 1, ..Plan::default() }).unwrap();
    let (shard, proxy) = (cluster.layout().nodes[0].address, cluster.endpoint());
    for address in [redis.address(), proxy] {
        let mut client = Client::connect(address).unwrap();
        assert_eq!(client.call(&["FUNCTION", "LOAD", LIBRARY]).unwrap().to_string(), "\"l\"");
    }
    for address in [redis.address(), shard] {
        let mut client = Client::connect(address).unwrap();
        client.call(&["SCRIPT", "LOAD", "#!lua flags=no-writes\nreturn 1"]).unwrap();
    }
    let known = "77f21361171213377cb083e2ffc2ae24ffdff8fb";
    let unknown = "0000000000000000000000000000000000000000";
    let cases: &[&[&[&str]]] = &[
        &[&["SET", "a", "b"]],
        &[&["GET", "a"]],
        &[&["EVAL", "return redis.call('set',KEYS[1],1)", "1", "a"]],
        &[&["EVAL", "return 1", "0"]],
        &[&["EVAL", "#!lua flags=no-writes\nreturn 1", "0"]],
        &[&["EVAL", "#!lua\nreturn 1", "0"]],
        &[&["EVAL", "no Lua", "0"]],
        &[&["EVAL_RO", "return 1", "0"]],
        &[&["EVAL_RO", "#!lua\nreturn 1", "0"]],
        &[&["EVALSHA", unknown, "0"]],
        &[&["EVALSHA_RO", unknown, "0"]],
        &[&["FCALL", "f", "0"]],
        &[&["FCALL", "none", "0"]],
        &[&["FCALL_RO", "fr", "0"]],
        &[&["FCALL_RO", "none", "0"]],
        &[&["PFCOUNT", "h"]],
        &[&["PUBLISH", "c", "m"]],
        &[&["SPUBLISH", "c", "m"]],
        &[&["SCRIPT", "LOAD", "return 1"]],
        &[&["SCRIPT", "FLUSH"]],
        &[&["FUNCTION", "DELETE", "none"]],
        &[&["FUNCTION", "LIST", "LIBRARYNAME", "none"]],
        &[&["FLUSHALL"]],
        &[&["SWAPDB", "0", "1"]],
        &[&["BLPOP", "none", "0.01"]],
        &[&["XREAD", "STREAMS", "none", "0"]],
        &[&["SORT", "none"]],
        &[&["GETEX", "none"]],
        &[&["SUBSCRIBE", "c"]],
        &[&["WATCH", "a"]],
        &[&["MULTI"], &["SET", "a", "b"]],
        &[&["MULTI"], &["PUBLISH", "c", "m"]],
        &[&["MULTI"], &["EVAL", "return 1", "0"]],
        &[&["MULTI"], &["GET", "a"], &["EXEC"]],
        &[&["MULTI"], &["EVAL", "#!lua flags=no-writes\nreturn 1", "0"], &["EXEC"]],
        &[&["MULTI"], &["EXEC"]],
        // What is refused is refused at once.
        &[&["SET", "a"]],
        &[&["NONE", "a"]],
        &[&["SUBSCRIBE", "c"], &["SET", "a", "b"]],
        &[&["SET", "a", "b", "c"]],
        &[&["EVAL", "return 1", "x"]],
    ];
    // What only a shard knows of scripts and functions, a proxy does not ask for.
    let of_shards: &[&[&[&str]]] =
        &[&[&["EVALSHA", known, "0"]], &[&["FCALL", "fr", "0"]], &[&["FCALL_RO", "f", "0"]]];
    for case in cases.iter().chain(of_shards) {
        let expected = under_pause(redis.address(), case);
        assert_eq!(under_pause(shard, case), expected, "shard: {case:?}");
        if !of_shards.contains(case) {
            assert_eq!(under_pause(proxy, case), expected, "proxy: {case:?}");
        }
    }
}

/// A transaction whose commands were queued before the pause.
#[test]
fn exec_is_held_back_if_something_in_it_would_be() {
    let redis = RedisServer::start().unwrap();
    let cluster = Cluster::start().unwrap();
    for address in [redis.address(), cluster.endpoint()] {
        for (queued, is_held) in [
            (&["SET", "a", "b"][..], true),
            (&["GET", "a"], false),
            (&["PUBLISH", "c", "m"], true),
            (&["EVAL", "return 1", "0"], true),
            (&["EVAL", "#!lua flags=no-writes\nreturn 1", "0"], false),
        ] {
            let mut pausing = Client::connect(address).unwrap();
            let mut client = Client::connect(address).unwrap();
            let id = client.run("CLIENT ID").unwrap().as_int().unwrap();
            client.run("MULTI").unwrap();
            assert_eq!(client.call(queued).unwrap().to_string(), "+QUEUED");
            pausing.run("CLIENT PAUSE 100000 WRITE").unwrap();
            client.send(&["EXEC"]).unwrap();
            let held = wait_for("a reply, or that it is held back", || {
                let answered = client.has_reply().unwrap();
                (answered || waits(&mut pausing, id)).then_some(!answered)
            });
            assert_eq!(held, is_held, "{address}: {queued:?}");
            pausing.run("CLIENT UNPAUSE").unwrap();
            assert!(client.receive().unwrap().as_array().is_some());
        }
    }
}

#[test]
fn a_client_that_goes_or_is_killed_while_it_is_held_back_writes_nothing() {
    let cluster = Cluster::start_with(&Plan { shards: 1, ..Plan::default() }).unwrap();
    for address in [cluster.layout().nodes[0].address, cluster.endpoint()] {
        let mut pausing = Client::connect(address).unwrap();
        pausing.run("CLIENT PAUSE 100000 WRITE").unwrap();
        for killed in [false, true] {
            let mut client = Client::connect(address).unwrap();
            let id = client.run("CLIENT ID").unwrap().as_int().unwrap();
            client.send(&["SET", "held", "1"]).unwrap();
            wait_for("it is held back", || waits(&mut pausing, id).then_some(()));
            assert_eq!(pausing.run(&format!("CLIENT UNBLOCK {id}")).unwrap(), Value::Int(0));
            if killed {
                assert_eq!(pausing.run(&format!("CLIENT KILL ID {id}")).unwrap(), Value::Int(1));
                assert!(client.receive().is_err());
            }
            drop(client);
            wait_for("it is gone", || (blocked_clients(&mut pausing) == 0).then_some(()));
        }
        pausing.run("CLIENT UNPAUSE").unwrap();
        assert_eq!(pausing.run("EXISTS held").unwrap(), Value::Int(0), "{address}");
    }
}

#[test]
fn a_pause_ends_by_itself() {
    let cluster = Cluster::start_with(&Plan { shards: 1, ..Plan::default() }).unwrap();
    for address in [cluster.layout().nodes[0].address, cluster.endpoint()] {
        let mut client = Client::connect(address).unwrap();
        client.run("CLIENT PAUSE 50 ALL").unwrap();
        assert_eq!(client.run("PING").unwrap().to_string(), "+PONG");
        client.run("CLIENT PAUSE 50 WRITE").unwrap();
        assert_eq!(client.run("PUBLISH c m").unwrap(), Value::Int(0));
    }
}

/// Requests in a row, in part queued before the pause, that are held back from the first that may not run on.
const COMMANDS: usize = 1_000;

#[test]
fn a_shard_holds_back_what_is_sent_in_a_row_as_redis_in_resp2() {
    differential::compare(Subject::Shard, false, COMMANDS, pause::run).unwrap();
}

#[test]
fn a_shard_holds_back_what_is_sent_in_a_row_as_redis_in_resp3() {
    differential::compare(Subject::Shard, true, COMMANDS, pause::run).unwrap();
}

#[test]
fn the_proxy_over_three_shards_holds_back_what_is_sent_in_a_row_as_redis_in_resp2() {
    differential::compare(Subject::Proxy, false, COMMANDS, pause::run).unwrap();
}

#[test]
fn the_proxy_over_three_shards_holds_back_what_is_sent_in_a_row_as_redis_in_resp3() {
    differential::compare(Subject::Proxy, true, COMMANDS, pause::run).unwrap();
}
