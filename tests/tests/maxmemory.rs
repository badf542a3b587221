//! `maxmemory` with every policy, on a cluster, through the proxy.

use slotway_common::resp::Value;
use slotway_tests::differential::{self, Subject, memory};
use slotway_tests::wait::wait_until;
use slotway_tests::{Client, Cluster, RedisServer};

/// What each of the three shards may hold, in bytes: enough above what an empty one takes.
const LIMIT: i64 = 24 << 20;
/// Bytes of a value, and keys written for each policy: about twice what three shards may hold.
const VALUE: usize = 1_000;
const KEYS: usize = 150_000;
const BATCH: usize = 500;

/// What became of the writes.
#[derive(Default)]
struct Outcome {
    written: usize,
    refused: usize,
}

fn write(client: &mut Client, keys: std::ops::Range<usize>, expires: bool) -> Outcome {
    let value = vec![b'v'; VALUE];
    let mut outcome = Outcome::default();
    for start in keys.clone().step_by(BATCH) {
        let batch = start..keys.end.min(start + BATCH);
        for number in batch.clone() {
            let key = format!("{}:{number}", if expires { "expires" } else { "stays" });
            let key = key.as_bytes();
            if expires {
                client.send(&[b"SET", key, &value, b"EX", b"10000"]).unwrap();
            } else {
                client.send(&[b"SET", key, &value]).unwrap();
            }
        }
        for _ in batch {
            match client.receive().unwrap() {
                Value::Simple(_) => outcome.written += 1,
                Value::Error(text) if text == b"OOM command not allowed when used memory > 'maxmemory'." => {
                    outcome.refused += 1;
                }
                other => panic!("{other}"),
            }
        }
    }
    outcome
}

/// A worker of the proxy that found a shard not yet listening tries again a few milliseconds later.
fn answered_by_all(client: &mut Client) {
    wait_until("every shard answers", || !client.run("DBSIZE").unwrap().is_error());
}

fn info(client: &mut Client, field: &str) -> i64 {
    let reply = client.run("INFO").unwrap();
    let text = String::from_utf8_lossy(reply.as_bytes().unwrap()).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')).expect("the field");
    line.parse().expect("a number")
}

fn exist(client: &mut Client, prefix: &str, count: usize) -> usize {
    (0..count)
        .step_by(BATCH)
        .map(|start| {
            for number in start..start + BATCH {
                client.send(&["EXISTS", &format!("{prefix}:{number}")]).unwrap();
            }
            (0..BATCH).filter(|_| client.receive().unwrap().as_int() == Some(1)).count()
        })
        .sum()
}

#[test]
fn every_policy_keeps_memory_near_the_limit_and_keeps_its_promise() {
    let cluster = Cluster::start().unwrap();
    let mut client = cluster.client().unwrap();
    answered_by_all(&mut client);
    let mut shards: Vec<Client> = (0..3).map(|number| cluster.shard_client(number).unwrap()).collect();
    // The limit is the whole cluster's, each shard has its share.
    let limit = (3 * LIMIT).to_string();
    for policy in [
        "noeviction",
        "allkeys-lru",
        "allkeys-lfu",
        "allkeys-random",
        "volatile-lru",
        "volatile-lfu",
        "volatile-random",
        "volatile-ttl",
    ] {
        let words = ["CONFIG", "SET", "maxmemory", "0", "maxmemory-policy", policy];
        assert_eq!(client.call(&words).unwrap().to_string(), "+OK");
        assert_eq!(client.run("FLUSHALL SYNC").unwrap().to_string(), "+OK");
        assert_eq!(client.run("CONFIG RESETSTAT").unwrap().to_string(), "+OK");
        assert_eq!(client.call(&["CONFIG", "SET", "maxmemory", &limit]).unwrap().to_string(), "+OK");

        let volatile = policy.starts_with("volatile");
        let spared = 6_000;
        let stays = write(&mut client, 0..spared, false);
        assert_eq!(stays.written, spared, "{policy}");
        let outcome = write(&mut client, 0..KEYS, volatile);
        let evicted = info(&mut client, "evicted_keys");
        let used: Vec<i64> = shards.iter_mut().map(|shard| info(shard, "used_memory")).collect();
        let left = exist(&mut client, "stays", spared);
        eprintln!(
            "{policy}: written {}, refused {}, evicted {evicted}, used of the limit {:?} %, left of the first {spared}: {left}",
            outcome.written,
            outcome.refused,
            used.iter().map(|used| used * 100 / LIMIT).collect::<Vec<_>>(),
        );
        for used in &used {
            assert!(*used < LIMIT + LIMIT / 10, "{policy}: {used} of {LIMIT} bytes");
            assert!(*used > LIMIT * 3 / 4, "{policy}: {used} of {LIMIT} bytes");
        }
        if policy == "noeviction" {
            assert!(outcome.refused > 0 && evicted == 0, "{policy}");
        } else {
            assert!(outcome.refused == 0 && evicted > 0, "{policy}: {} refused", outcome.refused);
        }
        if volatile || policy == "noeviction" {
            assert_eq!(left, spared, "{policy}");
        }
        // What is read or deleted is never refused.
        assert!(!client.run("GET stays:0").unwrap().is_error(), "{policy}");
        assert!(!client.run("DEL stays:0").unwrap().is_error(), "{policy}");
    }

    // With a volatile policy and nothing that has an expiry, there is nothing to evict.
    assert_eq!(client.run("FLUSHALL SYNC").unwrap().to_string(), "+OK");
    let outcome = write(&mut client, 0..KEYS, false);
    assert!(outcome.refused > 0, "volatile-ttl without volatile keys");
}

/// What was handed to the thread that frees did not count as freed, so that one write evicted nearly everything.
#[test]
fn large_values_are_evicted_one_by_one() {
    let cluster = Cluster::start().unwrap();
    let mut client = cluster.client().unwrap();
    answered_by_all(&mut client);
    let limit = (3 * LIMIT).to_string();
    let words = ["CONFIG", "SET", "maxmemory", &limit, "maxmemory-policy", "allkeys-lru"];
    assert_eq!(client.call(&words).unwrap().to_string(), "+OK");
    let mut lowest = i64::MAX;
    // All in one slot; each list takes about 1 MiB in many pieces.
    for list in 0..60 {
        for _ in 0..16 {
            let mut words = vec![b"RPUSH".to_vec(), format!("{{key:0}}{list}").into_bytes()];
            words.extend((0..64).map(|_| vec![b'v'; 1_000]));
            let reply = client.call(&words).unwrap();
            assert!(reply.as_int().is_some(), "{reply}");
        }
        let of_slot = client.run("DBSIZE").unwrap().as_int().unwrap_or(0);
        if info(&mut client, "evicted_keys") > 0 {
            lowest = lowest.min(of_slot);
        }
    }
    eprintln!("fewest keys once there was eviction: {lowest}");
    assert!((12..60).contains(&lowest), "{lowest} of about 20 lists were left");
}

const LIBRARY: &str = "#!lua name=l\nredis.register_function('f',function(k) return redis.call('set',k[1],1) end)\n\
    redis.register_function{function_name='fr',callback=function() return 1 end,flags={'no-writes'}}\n\
    redis.register_function{function_name='fo',callback=function(k) return redis.call('set',k[1],1) end,\
    flags={'allow-oom'}}";

/// What commands do, and what is queued, while memory is over its limit and nothing may be evicted.
struct Full {
    client: Client,
    other: Client,
    limit: &'static str,
    said: String,
}

impl Full {
    fn say(&mut self, words: &[&[u8]]) {
        let text: Vec<String> = words.iter().map(|word| word.escape_ascii().to_string()).collect();
        let reply = self.client.call(words).unwrap().to_string();
        self.said.push_str(&format!("{}: {reply}\n", text.join(" ")));
    }

    fn limit(&mut self, on: bool) {
        let limit = if on { self.limit } else { "0" };
        assert_eq!(self.other.call(&["CONFIG", "SET", "maxmemory", limit]).unwrap().to_string(), "+OK");
    }
}

/// All that is replied by a server that has this limit, which is less than it uses when it is empty.
fn while_full(client: Client, other: Client, limit: &'static str) -> String {
    let mut full = Full { client, other, limit, said: String::new() };
    let calls: &[&[&[u8]]] = &[
        &[b"SET", b"{a}k", b"v"],
        &[b"GET", b"{a}k"],
        &[b"EVAL", b"return redis.call('set',KEYS[1],1)", b"1", b"{a}k"],
        &[b"EVAL", b"return redis.pcall('lpush',KEYS[1],1)", b"1", b"{a}k"],
        &[b"EVAL", b"return redis.call('del',KEYS[1])", b"1", b"{a}k"],
        &[b"EVAL", b"#!lua\nreturn 1", b"0"],
        &[b"EVAL", b"#!lua flags=allow-oom\nreturn redis.call('set',KEYS[1],1)", b"1", b"{a}k"],
        &[b"EVAL", b"#!lua flags=no-writes\nreturn 1", b"0"],
        &[b"EVAL_RO", b"#!lua\nreturn 1", b"0"],
        &[b"EVALSHA", b"cb70127618f0b0be70c53cf6bfcfa54a29d9b0c0", b"0"],
        &[b"EVALSHA", b"77f21361171213377cb083e2ffc2ae24ffdff8fb", b"0"],
        &[b"FCALL", b"f", b"1", b"{a}k"],
        &[b"FCALL", b"fr", b"1", b"{a}k"],
        &[b"FCALL", b"fo", b"1", b"{a}k"],
        &[b"FCALL_RO", b"f", b"1", b"{a}k"],
        &[b"FCALL", b"none", b"0"],
        &[b"FUNCTION", b"LOAD", b"REPLACE", LIBRARY.as_bytes()],
        &[b"FUNCTION", b"RESTORE", b"x"],
        &[b"FUNCTION", b"DELETE", b"none"],
        &[b"SCRIPT", b"EXISTS", b"x"],
        &[b"RESTORE", b"{a}r", b"0", b"x"],
        &[b"BLMOVE", b"{a}l", b"{a}m", b"LEFT", b"RIGHT", b"0.01"],
        &[b"BRPOPLPUSH", b"{a}l", b"{a}m", b"0.01"],
        &[b"BLPOP", b"{a}l", b"0.01"],
        &[b"SORT", b"{a}l"],
        &[b"MSET", b"{a}a", b"1", b"{a}b", b"2"],
        &[b"PUBLISH", b"c", b"m"],
        &[b"SWAPDB", b"0", b"0"],
        &[b"PING"],
        &[b"DBSIZE"],
    ];
    // What is queued is refused as it comes, even what needs no memory.
    full.say(&[b"FLUSHALL"]);
    full.limit(true);
    for call in calls {
        full.say(call);
    }
    for call in
        calls.iter().chain(&[&[&b"MULTI"[..]][..], &[b"WATCH", b"{a}a"], &[b"NONE"], &[b"SUBSCRIBE", b"c"]])
    {
        full.say(&[b"MULTI"]);
        full.say(call);
        full.say(&[b"EXEC"]);
    }
    full.say(&[b"MULTI"]);
    full.say(&[b"DISCARD"]);
    full.say(&[b"MULTI"]);
    full.say(&[b"EXEC"]);
    // EXEC is refused for what it runs.
    for call in calls {
        full.limit(false);
        full.say(&[b"MULTI"]);
        full.say(call);
        full.limit(true);
        full.say(&[b"EXEC"]);
    }
    // There is room again.
    full.limit(false);
    full.say(&[b"MULTI"]);
    full.say(&[b"SET", b"{a}k", b"v"]);
    full.say(&[b"EXEC"]);
    full.said
}

#[test]
fn what_needs_memory_and_what_is_queued_is_refused_as_in_redis() {
    let redis = RedisServer::start().unwrap();
    let clusters = [1, 3].map(|shards| {
        Cluster::start_with(&slotway_tests::Plan { shards, ..slotway_tests::Plan::default() }).unwrap()
    });
    let prepare = |mut client: Client| {
        for call in [
            &["SCRIPT", "LOAD", "#!lua\nreturn 1"][..],
            &["SCRIPT", "LOAD", "#!lua flags=no-writes\nreturn 1"],
            &["FUNCTION", "LOAD", LIBRARY],
        ] {
            let reply = client.call(call).unwrap();
            assert!(!reply.is_error(), "{reply}");
        }
        client
    };
    let expected = while_full(prepare(redis.client().unwrap()), redis.client().unwrap(), "100kb");
    for cluster in &clusters {
        let mut client = cluster.client().unwrap();
        answered_by_all(&mut client);
        let said = while_full(prepare(client), cluster.client().unwrap(), "100kb");
        assert_same_lines(&said, &expected, "through a proxy");
    }
    let shard = || clusters[0].shard_client(0).unwrap();
    // It has the scripts and functions that the proxy has been told.
    let mut client = shard();
    client.call(&["SCRIPT", "LOAD", "#!lua\nreturn 1"]).unwrap();
    assert_same_lines(&while_full(client, shard(), "100kb"), &expected, "on a shard");
}

/// Both texts must be the same; tells the lines that are not.
fn assert_same_lines(given: &str, expected: &str, who: &str) {
    let differences: Vec<String> = expected
        .lines()
        .zip(given.lines())
        .filter(|(expected, given)| expected != given)
        .map(|(expected, given)| format!("redis {expected}\nours  {given}"))
        .collect();
    assert!(differences.is_empty(), "{who}:\n{}", differences.join("\n"));
}

/// Random commands, transactions, scripts and functions, while the limit comes and goes.
const COMMANDS: usize = 4_000;

#[test]
fn a_shard_refuses_what_needs_memory_as_redis_in_resp2() {
    differential::compare(Subject::Shard, false, COMMANDS, memory::run).unwrap();
}

#[test]
fn a_shard_refuses_what_needs_memory_as_redis_in_resp3() {
    differential::compare(Subject::Shard, true, COMMANDS, memory::run).unwrap();
}

#[test]
fn the_proxy_over_three_shards_refuses_what_needs_memory_as_redis_in_resp2() {
    differential::compare(Subject::Proxy, false, COMMANDS, memory::run).unwrap();
}

#[test]
fn the_proxy_over_three_shards_refuses_what_needs_memory_as_redis_in_resp3() {
    differential::compare(Subject::Proxy, true, COMMANDS, memory::run).unwrap();
}
