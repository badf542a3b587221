//! What has keys on several shards is one for everybody: commands, transactions and scripts, while slots move and shards die.
#![allow(clippy::unwrap_used)]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use slotway_common::resp::Value;
use slotway_tests::cluster::{Cluster, Plan as Layout};
use slotway_tests::wait::wait_until;
use slotway_tests::{Client, RedisServer, Site};

fn three_shards() -> Cluster {
    Cluster::start_with(&Layout { shards: 3, ..Layout::default() }).unwrap()
}

/// Requests whose keys lie on all of three shards, and what one Redis would hold before them.
const CALLS: &[&str] = &[
    "MSET a 1 b 2 c 3 d 4 e 5",
    "MSETNX a 1 f 2",
    "MSETNX f 1 g 2",
    "RENAME a h",
    "RENAME nothing h",
    "RENAMENX b c",
    "RENAMENX b i",
    "COPY c j",
    "COPY c j DB 2",
    "COPY c d REPLACE",
    "RPUSH l1 1 2 3",
    "LMOVE l1 l2 LEFT RIGHT",
    "LMOVE l1 a LEFT RIGHT",
    "LMOVE l1 h LEFT RIGHT",
    "RPOPLPUSH l1 l3",
    "BLMOVE l1 l3 LEFT LEFT 1",
    "LMPOP 3 l1 l2 l3 LEFT",
    "BLMOVE l1 l4 LEFT LEFT 0.01",
    "BRPOPLPUSH l2 l4 0.01",
    "SADD s1 a b c",
    "SADD s2 b c d",
    "SADD s3 c d e",
    "SMOVE s1 s2 a",
    "SMOVE s1 s4 x",
    "SINTER s1 s2 s3",
    "SINTERCARD 3 s1 s2 s3",
    "SUNIONSTORE s5 s1 s2 s3",
    "SDIFFSTORE s6 s5 s1",
    "SINTERSTORE s7 s1 nothing",
    "SCARD s5",
    "ZADD z1 1 a 2 b",
    "ZADD z2 3 b 4 c",
    "ZUNIONSTORE z3 2 z1 z2 WEIGHTS 1 2",
    "ZINTERSTORE z4 2 z1 z2",
    "ZUNION 2 z1 z2 WITHSCORES",
    "ZDIFF 2 z1 z2",
    "ZINTERCARD 2 z1 z2",
    "ZRANGESTORE z5 z1 0 -1",
    "ZMPOP 2 nothing z3 MIN",
    "ZRANGE z3 0 -1 WITHSCORES",
    "SET bits1 foo",
    "SET bits2 bar",
    "BITOP AND bits3 bits1 bits2",
    "BITOP NOT bits4 bits1",
    "GET bits3",
    "PFADD p1 a b c",
    "PFADD p2 c d",
    "PFCOUNT p1 p2",
    "PFMERGE p3 p1 p2",
    "PFCOUNT p3",
    "GEOADD g1 13.361389 38.115556 Palermo 15.087269 37.502669 Catania",
    "GEOSEARCHSTORE g2 g1 FROMLONLAT 15 37 BYRADIUS 200 km",
    "GEORADIUS g1 15 37 200 km STORE g3",
    "ZCARD g2",
    "RPUSH o 3 1 2",
    "MSET w_1 30 w_2 20 w_3 10 n_1 one n_2 two n_3 three",
    "SORT o BY w_* GET n_* GET #",
    "SORT o BY w_* GET n_* STORE sorted",
    "LRANGE sorted 0 -1",
    "XADD x1 1-1 f v",
    "XADD x2 1-1 f v",
    "XREAD STREAMS x1 x2 0 0",
    "XGROUP CREATE x1 g 0",
    "XGROUP CREATE x2 g 0",
    "XREADGROUP GROUP g me STREAMS x1 x2 > >",
    "LCS bits1 bits2",
    "SINTERSTORE s8 s1 l3",
    "BITOP AND bits5 s1 bits1",
    "RENAME h",
    "SINTERCARD 2 s1",
];

#[test]
fn every_command_takes_keys_of_several_shards_as_one_redis_does() {
    let (cluster, oracle) = (three_shards(), RedisServer::start().unwrap());
    let mut ours = cluster.client().unwrap();
    let mut theirs = Client::connect(oracle.address()).unwrap();
    for call in CALLS {
        let (expected, given) = (theirs.run(call).unwrap(), ours.run(call).unwrap());
        let unordered = ["SINTER ", "SUNION ", "SDIFF "].iter().any(|name| call.starts_with(name));
        let shown = |value: &Value| match value {
            Value::Array(items) if unordered => {
                let mut items: Vec<String> = items.iter().map(ToString::to_string).collect();
                items.sort();
                format!("{items:?}")
            }
            other => other.to_string(),
        };
        assert_eq!(shown(&given), shown(&expected), "{call}");
    }
}

#[test]
fn transactions_may_have_commands_on_keys_of_several_shards() {
    let cluster = three_shards();
    let mut client = cluster.client().unwrap();
    client.run("MULTI").unwrap();
    for call in [
        "RPUSH from 1 2",
        "LMOVE from to LEFT LEFT",
        "SET c 1",
        "LRANGE to 0 -1",
        "RENAME to other",
        "INCR c",
    ] {
        assert_eq!(client.run(call).unwrap().to_string(), "+QUEUED");
    }
    let replies = client.run("EXEC").unwrap().to_string();
    assert_eq!(replies, r#"[:2, "1", +OK, ["1"], +OK, :2]"#);
    assert_eq!(client.run("MGET c").unwrap().to_string(), r#"["2"]"#);
    assert_eq!(client.run("LLEN other").unwrap(), Value::Int(1));
}

#[test]
fn scripts_use_keys_of_several_shards_whether_they_name_them_or_not() {
    let cluster = three_shards();
    let mut client = cluster.client().unwrap();
    let named = "for i, key in ipairs(KEYS) do redis.call('incrby', key, i) end return redis.call('mget', unpack(KEYS))";
    let reply = client.call(&["EVAL", named, "5", "a", "b", "c", "d", "e"]).unwrap();
    assert_eq!(reply.to_string(), r#"["1", "2", "3", "4", "5"]"#);
    let unnamed = "local sum = 0 for i = 1, 20 do sum = sum + redis.call('incr', 'k' .. i) end return sum";
    for round in 1..=3 {
        assert_eq!(client.call(&["EVAL", unnamed, "0"]).unwrap(), Value::Int(20 * round));
    }
    let chained = "redis.call('set', 'next', 'n' .. ARGV[1]) local key = redis.call('get', 'next') \
                   return redis.call('rpush', key, redis.call('incr', KEYS[1]))";
    assert_eq!(client.call(&["EVAL", chained, "1", "a", "7"]).unwrap(), Value::Int(1));
    assert_eq!(client.run("LRANGE n7 0 -1").unwrap().to_string(), r#"["2"]"#);
    let digest = client.call(&["SCRIPT", "LOAD", named]).unwrap();
    let digest = String::from_utf8(digest.as_bytes().unwrap().to_vec()).unwrap();
    let reply = client.call(&["EVALSHA", &digest, "2", "a", "b"]).unwrap();
    assert_eq!(reply.to_string(), r#"["3", "4"]"#);
    let error =
        client.call(&["EVAL", "redis.call('incr', 'a') return redis.call('lpush', 'b', 1)", "0"]).unwrap();
    assert!(error.to_string().contains("WRONGTYPE"), "{error}");
    // As on one Redis, what it has done before stays.
    assert_eq!(client.run("GET a").unwrap().to_string(), "\"4\"");
}

#[test]
fn a_client_that_waits_gets_what_comes_to_another_shard() {
    let cluster = three_shards();
    for command in ["BLMOVE from to LEFT RIGHT 10", "BRPOPLPUSH from to 10"] {
        scope(|scope| {
            let mut waits = cluster.client().unwrap();
            let waiter = scope.spawn(move || waits.run(command).unwrap().to_string());
            let mut client = cluster.client().unwrap();
            wait_until("it waits", || {
                let clients = client.run("CLIENT LIST").unwrap().to_string();
                clients.contains("cmd=blmove") || clients.contains("cmd=brpoplpush")
            });
            client.run("RPUSH from x").unwrap();
            assert_eq!(waiter.join().unwrap(), "\"x\"");
        });
    }
}

/// Moves money between accounts on all shards, in three ways, and looks at all of them at once; gives how often.
fn transfers(
    endpoint: std::net::SocketAddr,
    done: &AtomicBool,
    seed: u64,
    tolerant: bool,
    transfers: &AtomicU64,
) {
    const ACCOUNTS: u64 = 12;
    const SCRIPT: &str = "redis.call('decr', KEYS[1]) return redis.call('incr', KEYS[2])";
    let mut random = seed;
    let mut draw = |below: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    let mut client = Client::connect(endpoint).unwrap();
    let all: Vec<String> = (0..ACCOUNTS).map(|account| format!("account:{account}")).collect();
    while !done.load(Ordering::Relaxed) {
        let (from, to) = (&all[draw(ACCOUNTS) as usize], &all[draw(ACCOUNTS) as usize]);
        let replies = match draw(3) {
            0 => {
                let _ = client.run("MULTI");
                let _ = client.call(&["DECR", from]);
                let _ = client.call(&["INCR", to]);
                client.run("EXEC")
            }
            1 => client.call(&["EVAL", SCRIPT, "2", from, to]),
            _ => {
                let _ = client.run("MULTI");
                let words: Vec<&str> = ["MGET"].into_iter().chain(all.iter().map(String::as_str)).collect();
                let _ = client.call(&words);
                client.run("EXEC")
            }
        };
        let Ok(reply) = replies else {
            assert!(tolerant, "{replies:?}");
            wait_until("the proxy is there", || {
                Client::connect(endpoint).map(|found| client = found).is_ok()
            });
            continue;
        };
        let text = reply.to_string();
        if text.contains("-ERR") || text.starts_with('-') {
            assert!(tolerant, "{text}");
            sleep(Duration::from_millis(5));
            continue;
        }
        if let Value::Array(outer) = &reply
            && let [Value::Array(balances)] = outer.as_slice()
        {
            let number = |value: &Value| match value.as_bytes() {
                Some(bytes) => std::str::from_utf8(bytes).unwrap().parse::<i64>().unwrap(),
                None => 0,
            };
            assert_eq!(balances.iter().map(number).sum::<i64>(), 0, "{text}");
        }
        transfers.fetch_add(1, Ordering::Relaxed);
    }
}

fn all_balanced(cluster: &Cluster) {
    let mut client = cluster.client().unwrap();
    let began = Instant::now();
    loop {
        client.run("MULTI").unwrap();
        client
            .run(&format!(
                "MGET {}",
                (0..12).map(|account| format!("account:{account} ")).collect::<String>()
            ))
            .unwrap();
        let reply = client.run("EXEC").unwrap();
        let Value::Array(outer) = &reply else {
            assert!(began.elapsed() < Duration::from_secs(30), "{reply}");
            sleep(Duration::from_millis(50));
            continue;
        };
        let [Value::Array(balances)] = outer.as_slice() else { panic!("{reply}") };
        let number = |value: &Value| {
            value.as_bytes().map_or(0, |bytes| std::str::from_utf8(bytes).unwrap().parse::<i64>().unwrap())
        };
        assert_eq!(balances.iter().map(number).sum::<i64>(), 0, "{reply}");
        return;
    }
}

#[test]
fn accounts_on_several_shards_keep_their_sum_while_slots_move() {
    let mut site = Site::start(&Layout::default(), "");
    let endpoint = site.cluster.endpoint();
    let (done, count) = (AtomicBool::new(false), AtomicU64::new(0));
    scope(|scope| {
        for seed in 0..4 {
            let (done, count) = (&done, &count);
            scope.spawn(move || transfers(endpoint, done, seed, false, count));
        }
        for round in 1..=3 {
            wait_until("transfers go on", || count.load(Ordering::Relaxed) >= 200 * round);
            let slots = site.slots_of("a", 2000);
            site.move_slots("a", "b", &slots);
            site.move_slots("b", "a", &slots);
        }
        done.store(true, Ordering::Relaxed);
    });
    all_balanced(&site.cluster);
}

#[test]
fn accounts_on_several_shards_keep_their_sum_when_shards_and_the_proxy_are_killed() {
    let cluster = three_shards();
    let endpoint = cluster.endpoint();
    let (done, count) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut started = Vec::new();
    scope(|scope| {
        for seed in 0..4 {
            let (done, count) = (&done, &count);
            scope.spawn(move || transfers(endpoint, done, seed, true, count));
        }
        for victim in ["a-0", "c-0", "proxy-0", "b-0"] {
            let before = count.load(Ordering::Relaxed);
            wait_until("transfers go on", || count.load(Ordering::Relaxed) > before + 50);
            cluster.kill(victim);
            started.push(cluster.start_missing().unwrap());
        }
        let before = count.load(Ordering::Relaxed);
        wait_until("transfers go on", || count.load(Ordering::Relaxed) > before + 50);
        done.store(true, Ordering::Relaxed);
    });
    all_balanced(&cluster);
}
