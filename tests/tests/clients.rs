//! Ordinary clients through the proxy see what they see on one Redis: the commands of the usual tutorials.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::net::SocketAddr;
use std::process::{Command, Stdio};

use slotway_tests::client_scripts::{self, python};
use slotway_tests::{Cluster, Plan, RedisServer};

fn redis_py(address: SocketAddr, protocol: u8) {
    python("tutorial.py", address, &[&protocol.to_string()]);
}

fn node(address: SocketAddr) {
    client_scripts::node("tutorial.mjs", address);
}

/// Locks, rate limiters and the like, as redis-py and others write them with scripts.
fn lua_scripts(address: SocketAddr, protocol: &str) {
    python("lua_scripts.py", address, &[protocol]);
}

#[test]
fn lua_scripts_of_redis_py_work() {
    lua_scripts(RedisServer::start().unwrap().address(), "2");
    let cluster = Cluster::start().unwrap();
    lua_scripts(cluster.endpoint(), "2");
    lua_scripts(cluster.endpoint(), "3");
}

/// The scripts say what Redis does.
#[test]
fn scripts_hold_on_a_real_redis() {
    let redis = RedisServer::start().unwrap();
    redis_py(redis.address(), 2);
    redis_py(redis.address(), 3);
    node(redis.address());
}

#[test]
fn redis_py_works_with_resp2() {
    redis_py(Cluster::start().unwrap().endpoint(), 2);
}

#[test]
fn redis_py_works_with_resp3() {
    redis_py(Cluster::start().unwrap().endpoint(), 3);
}

/// On the shards themselves, without a proxy.
#[test]
fn redis_py_s_cluster_client_works_on_the_shards() {
    let cluster = Cluster::start_with(&Plan { proxies: 0, ..Plan::default() }).unwrap();
    let seed = cluster.layout().nodes[1].address;
    for protocol in ["2", "3"] {
        python("cluster.py", seed, &[protocol]);
        for shard in 0..3 {
            cluster.shard_client(shard).unwrap().run("FLUSHALL").unwrap();
        }
    }
}

#[test]
fn node_clients_work() {
    node(Cluster::start().unwrap().endpoint());
}

/// One command with redis-cli, as somebody types it.
fn redis_cli(address: SocketAddr, options: &[&str], line: &str) -> String {
    let output = Command::new("redis-cli")
        .args(["-h", &address.ip().to_string(), "-p", &address.port().to_string()])
        .args(options)
        .args(line.split(' '))
        .stdin(Stdio::null())
        .output()
        .expect("redis-cli is installed: tests/setup.sh");
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

/// Commands whose replies are the same on every Redis with the same data.
const TUTORIAL: &[&str] = &[
    "PING",
    "PING hello",
    "FLUSHALL",
    "SET name ada",
    "GET name",
    "GET nobody",
    "SET name bob NX",
    "SET name bob XX GET",
    "EXISTS name nobody",
    "DEL name nobody",
    "SETEX session 100 x",
    "TTL session",
    "EXPIRE session 50",
    "TTL session",
    "EXPIRE nobody 5",
    "TTL nobody",
    "LPUSH list a",
    "RPUSH list b c",
    "LRANGE list 0 -1",
    "LPOP list",
    "RPOP list",
    "LPOP list 2",
    "LPOP list",
    "SADD set x",
    "SADD set x y z",
    "SMEMBERS set",
    "SREM set x nobody",
    "HSET hash a 1 b 2",
    "HGET hash a",
    "HGET hash nobody",
    "HGETALL hash",
    "HEXISTS hash b",
    "HDEL hash a nobody",
    "ZADD board 3 ada 1 bob 2.5 eve",
    "ZRANGE board 0 -1",
    "ZRANGE board 0 -1 WITHSCORES",
    "ZRANGE board (1 +inf BYSCORE LIMIT 0 1",
    "MSET a 1 b 2 c 3",
    "MGET a b nobody c",
    "INCR a",
    "INCR name:of:nobody",
    "KEYS *",
    "DBSIZE",
    "SELECT 3",
    "LPUSH a x",
    "INCR session",
    "GET",
    "GET a b",
    "NOSUCH a b",
    "SET a 1 EX 0",
    "SET a 1 EX x",
    "ZADD board nan x",
    "EXPIRE a x",
    "CONFIG SET maxmemory 100mb",
    "CONFIG GET maxmemory",
    "CONFIG SET maxmemory 0",
    "CONFIG SET nosuch 1",
    // What asks every shard can take longer than the default on a busy machine.
    "CONFIG SET slowlog-log-slower-than 10000000",
    "SLOWLOG RESET",
    "SLOWLOG LEN",
    "AUTH secret",
    "TYPE board",
    "TYPE nobody",
    "RENAME {t}a {t}b",
    "FLUSHDB",
    "DBSIZE",
];

/// Replies without an order of their own.
const UNORDERED: &[&str] = &["KEYS", "SMEMBERS", "HGETALL"];

#[test]
fn redis_cli_shows_the_same_lines() {
    let cluster = Cluster::start().unwrap();
    let redis = RedisServer::start().unwrap();
    for options in [&[][..], &["-3"]] {
        for line in TUTORIAL {
            let mut ours = redis_cli(cluster.endpoint(), options, line);
            let mut theirs = redis_cli(redis.address(), options, line);
            let word = line.split(' ').next().unwrap();
            if UNORDERED.contains(&word) {
                for text in [&mut ours, &mut theirs] {
                    let mut lines: Vec<&str> = text.lines().collect();
                    lines.sort_unstable();
                    *text = lines.join("\n");
                }
            }
            assert_eq!(ours, theirs, "redis-cli {options:?} {line}");
        }
    }
}

#[test]
fn redis_cli_shows_what_the_server_does() {
    let cluster = Cluster::start().unwrap();
    let cli = |line: &str| redis_cli(cluster.endpoint(), &[], line);
    let info = cli("INFO");
    for wanted in ["redis_version:7.0.15", "# Memory", "used_memory:", "# Clients", "# Stats", "# Keyspace"] {
        assert!(info.contains(wanted), "INFO has no {wanted}: {info}");
    }
    assert!(cli("MEMORY STATS").contains("keys.count"));
    cli("CONFIG SET slowlog-log-slower-than 0");
    cli("SET seen 1");
    cli("CONFIG SET slowlog-log-slower-than 10000");
    assert!(cli("SLOWLOG GET 128").contains("seen"));
    assert_eq!(cli("CONFIG SET requirepass secret"), "OK\n");
    assert_eq!(cli("GET seen"), "NOAUTH Authentication required.\n\n");
    assert_eq!(redis_cli(cluster.endpoint(), &["-a", "secret", "--no-auth-warning"], "GET seen"), "1\n");
    let wrong = redis_cli(cluster.endpoint(), &["-a", "wrong"], "GET seen");
    assert!(wrong.contains("WRONGPASS invalid username-password pair or user is disabled."), "{wrong}");
    let reset =
        redis_cli(cluster.endpoint(), &["-a", "secret", "--no-auth-warning"], "CONFIG SET requirepass");
    assert!(reset.contains("wrong number of arguments"), "{reset}");
}

/// Every default test of redis-benchmark runs without an error, unpipelined and pipelined.
#[test]
fn redis_benchmark_runs_its_default_tests() {
    let cluster = Cluster::start().unwrap();
    let endpoint = cluster.endpoint();
    for depth in ["1", "16"] {
        let output = Command::new("redis-benchmark")
            .args(["-h", &endpoint.ip().to_string(), "-p", &endpoint.port().to_string()])
            .args(["-n", "2000", "-c", "20", "-r", "1000", "-P", depth, "--csv"])
            .output()
            .expect("redis-benchmark is installed: tests/setup.sh");
        let text = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "depth {depth}: {text}{errors}");
        assert!(!errors.contains("rror"), "depth {depth}: {errors}");
        for test in [
            "PING_INLINE",
            "PING_MBULK",
            "SET",
            "GET",
            "INCR",
            "LPUSH",
            "SPOP",
            "ZPOPMIN",
            "LRANGE_600",
            "MSET",
        ] {
            assert!(text.contains(test), "depth {depth}: no {test} in {text}");
        }
    }
}
