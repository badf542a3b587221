//! MONITOR, SLOWLOG and the statistics tell of random streams what a real redis-server tells: on a shard, and through a proxy
//! over three. Each run prints its seed, and `SLOTWAY_SEED` repeats one.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use slotway_common::info::{self, Merge};
use slotway_common::resp::Value;
use slotway_tests::cluster::Plan;
use slotway_tests::differential::{self, Subject, statistics};
use slotway_tests::{Client, Cluster, RedisServer};

const COMMANDS: usize = 6_000;

fn compare(subject: Subject, resp3: bool) {
    differential::compare(subject, resp3, COMMANDS, statistics::run).unwrap();
}

#[test]
fn a_shard_tells_of_commands_what_redis_tells_in_resp2() {
    compare(Subject::Shard, false);
}

#[test]
fn a_shard_tells_of_commands_what_redis_tells_in_resp3() {
    compare(Subject::Shard, true);
}

#[test]
fn the_proxy_over_three_shards_tells_of_commands_what_redis_tells_in_resp2() {
    compare(Subject::Proxy, false);
}

#[test]
fn the_proxy_over_three_shards_tells_of_commands_what_redis_tells_in_resp3() {
    compare(Subject::Proxy, true);
}

fn text(value: &Value) -> String {
    String::from_utf8_lossy(value.as_bytes().unwrap_or_default()).into_owned()
}

fn fields(client: &mut Client, sections: &str) -> BTreeMap<String, String> {
    let text = text(&client.run(&format!("info {sections}")).unwrap());
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn cluster() -> Cluster {
    Cluster::start_with(&Plan { shards: 3, ..Plan::default() }).unwrap()
}

#[test]
fn every_field_of_redis_s_info_has_a_rule_and_is_told_by_the_proxy_and_by_a_shard() {
    let (redis, cluster) = (RedisServer::start_with(&["--appendonly", "yes"]).unwrap(), cluster());
    let (mut theirs, mut proxy) = (redis.client().unwrap(), cluster.client().unwrap());
    let mut shards: Vec<Client> = (0..3).map(|number| cluster.shard_client(number).unwrap()).collect();
    for client in [&mut theirs, &mut proxy] {
        client.run("set a 1").unwrap();
        client.run("get a").unwrap();
        client.run("nosuch").unwrap();
    }
    let (expected, given) = (fields(&mut theirs, "everything"), fields(&mut proxy, "everything"));
    let of_shards: Vec<_> = shards.iter_mut().map(|shard| fields(shard, "everything")).collect();
    for name in expected.keys() {
        let rule = info::merge(name);
        assert!(rule.is_some(), "{name} has no rule");
        if rule == Some(Merge::Pairs) {
            continue;
        }
        assert!(given.contains_key(name), "the proxy lacks {name}");
        assert!(of_shards.iter().all(|shard| shard.contains_key(name)), "a shard lacks {name}");
    }
    for (name, value) in &given {
        let number = |text: &String| text.parse::<f64>().unwrap_or(f64::NAN);
        let values = || of_shards.iter().filter_map(|shard| shard.get(name));
        match info::merge(name) {
            Some(Merge::Any) => assert!(value == "0" || value == "1", "{name}:{value}"),
            Some(Merge::AllOk) => assert_eq!(value, "ok", "{name}"),
            // What does not change meanwhile.
            Some(Merge::Sum) if matches!(name.as_str(), "maxmemory" | "keyspace_hits" | "expired_keys") => {
                assert_eq!(number(value), values().map(number).sum::<f64>(), "{name}");
            }
            Some(Merge::Largest | Merge::First)
                if matches!(name.as_str(), "rdb_saves" | "maxmemory_policy") =>
            {
                assert!(values().all(|shard| shard == value), "{name}");
            }
            _ => {}
        }
    }
}

#[test]
fn the_endpoint_tells_of_scripts_prefixes_and_paused_clients_as_one_redis() {
    let (redis, cluster) = (RedisServer::start().unwrap(), cluster());
    let mut told = Vec::new();
    for address in [redis.address(), cluster.endpoint()] {
        let mut client = Client::connect_resp3(address).unwrap();
        client.run("script load return").unwrap();
        client.call(&["eval", "return 1", "0"]).unwrap();
        client.run("client tracking on bcast prefix a prefix b").unwrap();
        client.run("client pause 60000 write").unwrap();
        let mut paused = Client::connect(address).unwrap();
        paused.send(&["set", "k", "v"]).unwrap();
        slotway_tests::wait::wait_until("the client to be held", || {
            fields(&mut client, "clients")["blocked_clients"] == "1"
        });
        let list = text(&client.run("client list").unwrap());
        let flags = list.lines().filter(|line| line.contains(" flags=b ")).count();
        client.run("client unpause").unwrap();
        assert_eq!(paused.receive().unwrap(), Value::Simple(b"OK".to_vec()));
        let all = fields(&mut client, "everything");
        let names = ["number_of_cached_scripts", "tracking_total_prefixes", "tracking_clients"];
        let values: Vec<String> = names.iter().map(|name| all[*name].clone()).collect();
        told.push((flags, values));
    }
    assert_eq!(told[0], told[1]);
}

#[test]
fn the_slow_log_of_the_endpoint_is_one_and_has_the_entries_of_clients_of_shards() {
    let cluster = cluster();
    let (mut client, mut direct) = (cluster.client().unwrap(), cluster.shard_client(0).unwrap());
    client.run("config set slowlog-log-slower-than 0 slowlog-max-len 5").unwrap();
    client.run("client setname first").unwrap();
    client.run("mget {a}1 {b}2 {c}3 {d}4").unwrap();
    direct.run("client setname second").unwrap();
    client.run("ping").unwrap();
    let log = client.run("slowlog get").unwrap();
    let entry = |entry: &Value| {
        let [id, _, _, args, _, name] = entry.as_array().unwrap() else { panic!("{entry}") };
        let args: Vec<String> = args.as_array().unwrap().iter().map(text).collect();
        (id.as_int().unwrap(), args.join(" "), text(name))
    };
    let entries: Vec<_> = log.as_array().unwrap().iter().map(entry).collect();
    let shown: Vec<(&str, &str)> =
        entries.iter().map(|(_, args, name)| (args.as_str(), name.as_str())).collect();
    assert_eq!(
        shown[..4],
        [
            ("ping", "first"),
            ("client setname second", "second"),
            ("mget {a}1 {b}2 {c}3 {d}4", "first"),
            ("client setname first", "first"),
        ]
    );
    assert!(entries.windows(2).all(|pair| pair[0].0 == pair[1].0 + 1), "{entries:?}");
    for _ in 0..10 {
        client.run("ping").unwrap();
        direct.run("ping").unwrap();
    }
    assert_eq!(client.run("slowlog len").unwrap(), Value::Int(5));
    assert_eq!(client.run("slowlog reset").unwrap(), Value::Simple(b"OK".to_vec()));
    assert_eq!(direct.run("slowlog len").unwrap(), Value::Int(0), "a shard forgets with the others");
    let last = client.run("slowlog get").unwrap();
    let ids: Vec<i64> = last.as_array().unwrap().iter().map(|e| entry(e).0).collect();
    assert!(ids.iter().all(|id| *id > entries[0].0), "numbers are not given again: {ids:?}");
}

#[test]
fn what_waits_and_what_is_split_counts_once_and_resetstat_forgets_it() {
    let (redis, cluster) = (RedisServer::start().unwrap(), cluster());
    let mut told = Vec::new();
    for address in [redis.address(), cluster.endpoint()] {
        let mut client = Client::connect(address).unwrap();
        let mut waiter = Client::connect(address).unwrap();
        let waits = |client: &mut Client| {
            slotway_tests::wait::wait_until("the waiter to wait", || {
                fields(client, "clients")["blocked_clients"] == "1"
            });
        };
        client.run("config resetstat").unwrap();
        waiter.send(&["blpop", "l", "0"]).unwrap();
        waits(&mut client);
        client.run("rpush l x").unwrap();
        waiter.receive().unwrap();
        client.run("xgroup create s g $ mkstream").unwrap();
        waiter.send(&["xreadgroup", "group", "g", "c", "block", "0", "streams", "s", ">"]).unwrap();
        waits(&mut client);
        client.run("xgroup destroy s g").unwrap();
        assert!(waiter.receive().unwrap().is_error());
        client.run("mset {a}1 x {b}2 y {c}3 z").unwrap();
        client.run("mget {a}1 {b}2 {c}3 {d}4").unwrap();
        let counts = |client: &mut Client| {
            let all = fields(client, "commandstats errorstats");
            let untimed = |value: &str| {
                value.split(',').filter(|part| !part.starts_with("usec")).collect::<Vec<_>>().join(",")
            };
            let kept = all.iter().filter(|(name, _)| !name.starts_with("cmdstat_info"));
            kept.map(|(name, value)| (name.clone(), untimed(value))).collect::<BTreeMap<_, _>>()
        };
        let counted = counts(&mut client);
        client.run("config resetstat").unwrap();
        told.push((counted, counts(&mut client)));
    }
    assert_eq!(told[0], told[1]);
}

/// A connection to a shard is opened by the first request that needs it, here one in each database.
#[test]
fn what_the_first_script_over_a_connection_calls_is_shown() {
    let cluster = cluster();
    let mut watcher = cluster.client().unwrap();
    watcher.run("monitor").unwrap();
    for database in 1..16 {
        let mut client = Client::connect_resp3(cluster.endpoint()).unwrap();
        client.run(&format!("select {database}")).unwrap();
        client.call(&["eval", "return redis.call('get', KEYS[1])", "1", "k"]).unwrap();
        client.run("echo end").unwrap();
        let lines = std::iter::repeat_with(|| match watcher.receive().unwrap() {
            Value::Simple(line) => String::from_utf8_lossy(&line).into_owned(),
            other => panic!("{other}"),
        });
        let shown = format!("[{database} lua] \"get\" \"k\"");
        let lines: Vec<String> = lines.take_while(|line| !line.ends_with("\"echo\" \"end\"")).collect();
        assert!(lines.iter().any(|line| line.ends_with(&shown)), "{database}: {lines:#?}");
    }
}
