//! CLIENT REPLY OFF and SKIP: byte for byte what redis-server sends, from a shard and through the proxy.
#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use slotway_common::resp::request;
use slotway_tests::wait::{PATIENCE, wait_for};
use slotway_tests::{Client, Cluster, Plan, RedisServer};

/// What is behind everything else that a client is sent.
const END: &[u8] = b"$3\r\nend\r\n";

/// A step of the one client, or of another one.
enum Step {
    /// It sends a line, whose words blanks separate.
    Sends(&'static str),
    /// Something more comes in, a message or a confirmation.
    Hears,
    /// It waits for data.
    Waits,
    Other(&'static str),
}
use Step::{Hears, Other, Sends, Waits};

struct Listener {
    stream: TcpStream,
    heard: Vec<u8>,
}

impl Listener {
    fn send(&mut self, line: &str) {
        let mut bytes = Vec::new();
        request::encode(line.split(' ').map(str::as_bytes).collect::<Vec<_>>().into_iter(), &mut bytes);
        self.stream.write_all(&bytes).unwrap();
    }

    fn hear(&mut self) {
        let mut chunk = [0; 4096];
        let length = self.stream.read(&mut chunk).unwrap();
        assert!(length > 0, "closed after {}", self.heard.escape_ascii());
        self.heard.extend_from_slice(&chunk[..length]);
    }

    fn hear_until(&mut self, end: &[u8]) {
        while !self.heard.ends_with(end) {
            self.hear();
        }
    }
}

fn connect(address: SocketAddr, resp3: bool) -> (Listener, i64) {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut client = Listener { stream, heard: Vec::new() };
    if resp3 {
        client.send("HELLO 3");
        client.send("ECHO end");
        client.hear_until(END);
        client.heard.clear();
    }
    client.send("CLIENT ID");
    client.hear_until(b"\r\n");
    let id = String::from_utf8_lossy(&client.heard).trim().trim_start_matches(':').parse().unwrap();
    client.heard.clear();
    (client, id)
}

/// All that the client is sent up to the end.
fn play(address: SocketAddr, resp3: bool, steps: &[Step]) -> String {
    let mut other = Client::connect(address).unwrap();
    assert_eq!(other.run("FLUSHALL").unwrap().to_string(), "+OK");
    let (mut client, id) = connect(address, resp3);
    let mut heard = 0;
    for step in steps {
        match step {
            Sends(line) => client.send(line),
            Hears => {
                while client.heard.len() <= heard {
                    client.hear();
                }
            }
            Waits => wait_for("it waits", || {
                let line = other.run(&format!("CLIENT LIST ID {id}")).unwrap().to_string();
                line.contains(" flags=b ").then_some(())
            }),
            Other(line) => {
                other.run(line).unwrap();
            }
        }
        heard = client.heard.len();
    }
    client.send("CLIENT REPLY ON");
    client.send("ECHO end");
    client.hear_until(END);
    client.heard.escape_ascii().to_string()
}

fn servers() -> (RedisServer, [Cluster; 2]) {
    let one = Cluster::start_with(&Plan { shards: 1, ..Plan::default() }).unwrap();
    (RedisServer::start().unwrap(), [one, Cluster::start().unwrap()])
}

/// A shard, a proxy over it, and one over three.
fn subjects([one, three]: &[Cluster; 2]) -> [SocketAddr; 3] {
    [one.layout().nodes[0].address, one.endpoint(), three.endpoint()]
}

#[test]
fn what_waits_subscribes_or_is_pushed_is_muted_as_in_redis() {
    let (redis, clusters) = servers();
    let both: &[&[Step]] = &[
        &[Sends("CLIENT REPLY OFF"), Sends("BLPOP k 0"), Waits, Other("RPUSH k v"), Sends("PING")],
        &[Sends("CLIENT REPLY SKIP"), Sends("BLPOP k 0"), Waits, Other("RPUSH k v"), Sends("PING")],
        &[Sends("CLIENT REPLY OFF"), Sends("BLPOP k 0.01"), Sends("PING")],
        &[
            Sends("CLIENT REPLY SKIP"),
            Sends("XREAD BLOCK 0 STREAMS s $"),
            Waits,
            Other("XADD s 1-1 a b"),
            Sends("PING"),
        ],
        &[
            Sends("CLIENT REPLY OFF"),
            Sends("SUBSCRIBE c"),
            Hears,
            Other("PUBLISH c m"),
            Hears,
            Sends("UNSUBSCRIBE"),
        ],
        &[
            Sends("CLIENT REPLY OFF"),
            Sends("SSUBSCRIBE c"),
            Hears,
            Other("SPUBLISH c m"),
            Hears,
            Sends("SUNSUBSCRIBE"),
        ],
        &[
            Sends("CLIENT REPLY OFF"),
            Sends("PSUBSCRIBE c*"),
            Hears,
            Other("PUBLISH c m"),
            Hears,
            Sends("PUNSUBSCRIBE"),
        ],
        &[Sends("CLIENT REPLY SKIP"), Sends("SUBSCRIBE a b"), Sends("PING"), Sends("UNSUBSCRIBE a b")],
        &[Sends("CLIENT REPLY OFF"), Sends("UNSUBSCRIBE"), Sends("PUNSUBSCRIBE")],
        &[
            Sends("CLIENT REPLY OFF"),
            Sends("MULTI"),
            Sends("SUBSCRIBE c"),
            Sends("PING"),
            Sends("EXEC"),
            Sends("UNSUBSCRIBE"),
        ],
        &[
            Sends("CLIENT REPLY OFF"),
            Sends("MULTI"),
            Sends("CLIENT REPLY ON"),
            Sends("PING"),
            Sends("CLIENT REPLY OFF"),
            Sends("PING"),
            Sends("EXEC"),
        ],
        &[
            Sends("CLIENT REPLY OFF"),
            Sends("MULTI"),
            Sends("PSUBSCRIBE c*"),
            Sends("CLIENT REPLY ON"),
            Sends("UNSUBSCRIBE"),
            Sends("EXEC"),
            Sends("PUNSUBSCRIBE"),
        ],
        &[
            Sends("MULTI"),
            Sends("CLIENT REPLY SKIP"),
            Sends("CLIENT REPLY ON"),
            Sends("EXEC"),
            Sends("ECHO skipped"),
            Sends("PING"),
        ],
    ];
    let resp3: &[&[Step]] = &[
        &[Sends("SUBSCRIBE c"), Sends("CLIENT REPLY OFF"), Sends("PUBLISH c m"), Sends("PING")],
        &[
            Sends("CLIENT TRACKING ON"),
            Sends("GET t"),
            Sends("CLIENT REPLY OFF"),
            Sends("SET t 1"),
            Hears,
            Sends("GET t"),
            Sends("SET t 2"),
            Hears,
        ],
        &[
            Sends("CLIENT TRACKING ON OPTIN"),
            Sends("CLIENT REPLY SKIP"),
            Sends("CLIENT CACHING YES"),
            Sends("GET a"),
        ],
    ];
    for (is_resp3, cases) in [(false, both), (true, both), (true, resp3)] {
        for (number, steps) in cases.iter().enumerate() {
            let expected = play(redis.address(), is_resp3, steps);
            for address in subjects(&clusters) {
                assert_eq!(
                    play(address, is_resp3, steps),
                    expected,
                    "case {number}, RESP3: {is_resp3}, {address}"
                );
            }
        }
    }
}

/// A client that wants no replies sees no lines of MONITOR either.
#[test]
fn monitor_shows_nothing_to_who_wants_no_replies() {
    let (redis, clusters) = servers();
    for address in [redis.address()].into_iter().chain(subjects(&clusters)) {
        let (mut client, _) = connect(address, false);
        let mut other = Client::connect(address).unwrap();
        client.send("MONITOR");
        client.hear_until(b"+OK\r\n");
        client.send("CLIENT REPLY OFF");
        client.send("CLIENT SETNAME muted");
        wait_for("it is muted", || {
            other.run("CLIENT LIST").unwrap().to_string().contains("name=muted").then_some(())
        });
        other.run("SET hidden 1").unwrap();
        client.send("CLIENT REPLY ON");
        client.hear_until(b"\"ON\"\r\n");
        other.run("SET seen 1").unwrap();
        client.hear_until(b"\"SET\" \"seen\" \"1\"\r\n");
        assert!(!client.heard.windows(6).any(|part| part == b"hidden"), "{}", client.heard.escape_ascii());
    }
}

/// Requests of all kinds, with CLIENT REPLY at random places between them, also within transactions.
#[test]
fn random_requests_are_answered_or_not_as_in_redis() {
    let (redis, clusters) = servers();
    let seed = slotway_tests::differential::seed();
    println!("SLOTWAY_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    for round in 0..150 {
        let resp3 = random.random();
        let mut lines: Vec<&str> =
            (0..random.random_range(1..25)).map(|_| any_line(&mut random, resp3)).collect();
        leave_out_own_messages_in_exec(&mut lines);
        let answer = |address| {
            let mut other = Client::connect(address).unwrap();
            other.run("FLUSHALL").unwrap();
            let (mut client, _) = connect(address, resp3);
            lines.iter().for_each(|line| client.send(line));
            // Whatever state they leave.
            ["DISCARD", "CLIENT REPLY ON", "ECHO end"].iter().for_each(|line| client.send(line));
            client.hear_until(END);
            client.heard.escape_ascii().to_string()
        };
        let expected = answer(redis.address());
        for address in subjects(&clusters) {
            assert_eq!(
                answer(address),
                expected,
                "SLOTWAY_SEED={seed}, round {round}, {address}: {lines:#?}"
            );
        }
    }
}

/// What a transaction publishes to its own client stands, through the proxy, not within the replies of EXEC.
fn leave_out_own_messages_in_exec(lines: &mut [&str]) {
    let mut queues = false;
    for line in lines {
        match *line {
            "MULTI" => queues = true,
            "EXEC" | "DISCARD" => queues = false,
            "PUBLISH c m" if queues => *line = "PING",
            _ => {}
        }
    }
}

fn any_line(random: &mut StdRng, resp3: bool) -> &'static str {
    let modes =
        ["CLIENT REPLY OFF", "CLIENT REPLY SKIP", "CLIENT REPLY SKIP", "CLIENT REPLY ON", "CLIENT REPLY x"];
    let pushes =
        ["SUBSCRIBE c", "UNSUBSCRIBE", "PUBLISH c m", "PSUBSCRIBE c*", "PUNSUBSCRIBE", "UNSUBSCRIBE c"];
    let others = [
        "PING",
        "ECHO x",
        "SET {k}a 1",
        "GET {k}a",
        "INCR {k}n",
        "LPUSH {k}l a b",
        "LRANGE {k}l 0 -1",
        "LPUSH {k}a x",
        "MGET {k}a {k}b",
        "MSET {k}b 1 {k}c 2",
        "DEL {k}a {k}b {k}c",
        "BLPOP {k}none 0.001",
        "BLMOVE {k}none {k}none LEFT LEFT 0.001",
        "LPOP {k}l",
        "EVAL return{1,2} 0",
        "EVAL return#KEYS 1 {k}a",
        "DBSIZE",
        "NONE x",
        "GET",
        "SELECT 0",
        "CONFIG GET maxmemory",
        "SCRIPT EXISTS x",
        "WATCH {k}a",
        "UNWATCH",
        "CLIENT GETNAME",
    ];
    let transactions = ["MULTI", "EXEC", "EXEC", "DISCARD"];
    let choose = |random: &mut StdRng, lines: &[&'static str]| *lines.choose(random).unwrap();
    match random.random_range(0..10) {
        0..3 => choose(random, &modes),
        3 | 4 => choose(random, &transactions),
        5 if resp3 => choose(random, &pushes),
        _ => choose(random, &others),
    }
}
