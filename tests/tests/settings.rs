//! CONFIG GET and CONFIG SET answer as a real Redis 7.0 does.
#![allow(clippy::expect_used, clippy::unwrap_used)]

use slotway_common::resp::{Args, Limits, Parser, Protocol, Reply};
use slotway_common::settings::{Kind, Name, Settings, Support};
use slotway_tests::{Client, RedisServer};

fn with_args<T>(words: &[&[u8]], check: impl FnOnce(&Args<'_>) -> T) -> T {
    let mut buffer = Vec::new();
    slotway_common::resp::request::encode(words.iter().copied(), &mut buffer);
    let mut parser = Parser::new();
    parser.parse(&buffer, &Limits::default()).expect("a request");
    check(&parser.args(&buffer))
}

/// What Slotway answers to CONFIG SET.
fn set(settings: &mut Settings, words: &[&[u8]]) -> String {
    let mut out = Vec::new();
    let mut reply = Reply::new(&mut out, Protocol::Resp2);
    match with_args(words, |args| settings.config_set(args)) {
        Ok(changes) => {
            settings.apply(changes);
            reply.ok();
        }
        Err(error) => reply.error(&error),
    }
    out.escape_ascii().to_string()
}

/// What Slotway answers to CONFIG GET.
fn get(settings: &Settings, words: &[&[u8]], protocol: Protocol) -> String {
    let mut out = Vec::new();
    with_args(words, |args| settings.config_get(args, &mut Reply::new(&mut out, protocol)));
    out.escape_ascii().to_string()
}

fn theirs(client: &mut Client, command: &str, words: &[&[u8]]) -> String {
    let mut call: Vec<&[u8]> = vec![b"config", command.as_bytes()];
    call.extend(words);
    client.call_raw(&call).unwrap().escape_ascii().to_string()
}

/// Values that are right for some kind and wrong, or at the edge, for others.
const VALUES: &[&[u8]] = &[
    b"",
    b" ",
    b"yes",
    b"NO",
    b"yes ",
    b"0",
    b"1",
    b"-1",
    b"2",
    b"5",
    b"007",
    b"+3",
    b" 4",
    b"4 ",
    b"10",
    b"11",
    b"99",
    b"100",
    b"101",
    b"128",
    b"129",
    b"1000",
    b"1001",
    b"65535",
    b"65536",
    b"1048575",
    b"1048576",
    b"2147483647",
    b"2147483648",
    b"-2147483648",
    b"-2147483649",
    b"4294967295",
    b"4294967296",
    b"9223372036854775807",
    b"9223372036854775808",
    b"18446744073709551615",
    b"18446744073709551616",
    b"18446744073709551616gb",
    b"-9223372036854775808",
    b"1k",
    b"1KB",
    b"2m",
    b"3Mb",
    b"1g",
    b"1gB",
    b"1tb",
    b"1b",
    b"1.5m",
    b"0x10",
    b"10%",
    b"100%",
    b"101%",
    b"-5%",
    b"%",
    b"allkeys-LRU",
    b"volatile-ttl",
    b"always",
    b"everysec",
    b"debug",
    b"WARNING",
    b"local",
    b"ip",
    b"hostname",
    b"nosave force",
    b"force nosave",
    b"save nosave",
    b"default force",
    b"save  force",
    b"optional",
    b"50 99",
    b"50 50.123456 1e1",
    b"33.33333333",
    b"1e-9",
    b"50  1",
    b"nan",
    b"inf",
    b"0x10 5",
    b"1 2 3",
    b"-5 0 5",
    b"2001 0 0",
    b"1 2 3 4",
    b"normal 0 0 0",
    b"NORMAL 1 2 3",
    b"slave 1 2 3",
    b"replica 1mb 2kb 3",
    b"pubsub 1 2 3 normal 4 5 6",
    b"master 1 2 3",
    b"normal a 2 3",
    b"normal 1 2 -3",
    b"normal 1 2 3x",
    b"normal 1 2",
    b"normal 1 2 99999999999",
    b"normal -1 0 0",
    b"normal  1 2 3",
    b"900 1",
    b"a.b-c",
    b"under_score",
    b"@",
    b"\xff\xfe",
];

/// Redis changes what it listens to and how many files it may open when these are set; its backlog has a smallest size,
/// and the kernel may refuse it another OOM score.
const LEFT_ALONE: &[Name] =
    &[Name::Port, Name::TlsPort, Name::Bind, Name::Maxclients, Name::ReplBacklogSize, Name::OomScoreAdj];

#[test]
fn every_parameter_takes_and_shows_the_values_that_redis_takes() {
    let server = RedisServer::start().unwrap();
    let mut client = server.client().unwrap();
    let mut settings = Settings::new();
    settings.load("appendonly", b"no").unwrap();
    let mut compared = 0;
    for parameter in Name::all() {
        let row = parameter.parameter();
        if LEFT_ALONE.contains(&parameter) {
            continue;
        }
        // Passwords would lock this client out, and what is fixed is told in our own words.
        let values = if matches!(row.kind, Kind::Text) { &VALUES[..1] } else { VALUES };
        for name in [Some(row.name), row.alias].into_iter().flatten() {
            for value in values {
                let pair: &[&[u8]] = &[name.as_bytes(), value];
                let ours = set(&mut settings, pair);
                if let Support::Fixed(reason) = row.support
                    && ours.contains(reason)
                {
                    continue;
                }
                assert_eq!(theirs(&mut client, "set", pair), ours, "{name} {}", value.escape_ascii());
                if !matches!(row.support, Support::Constant | Support::Protected | Support::Fixed(_)) {
                    let pattern: &[&[u8]] = &[name.as_bytes()];
                    assert_eq!(
                        theirs(&mut client, "get", pattern),
                        get(&settings, pattern, Protocol::Resp2),
                        "after {name} {}",
                        value.escape_ascii()
                    );
                }
                compared += 1;
            }
        }
    }
    assert!(compared > 5000, "{compared}");
}

#[test]
fn every_parameter_of_redis_is_there_with_its_default() {
    let server = RedisServer::start().unwrap();
    let mut client = Client::connect_resp3(server.address()).unwrap();
    let slotway_common::resp::Value::Map(pairs) = client.run("config get *").unwrap() else {
        panic!("no map")
    };
    let settings = Settings::new();
    // What this server got from its command line, or what differs because it does not exist in Slotway; and here a log is
    // kept unless somebody says no.
    const OWN: &[&str] =
        &["port", "bind", "dir", "save", "protected-mode", "pidfile", "set-proc-title", "appendonly"];
    for (name, value) in &pairs {
        let name = String::from_utf8_lossy(name.as_bytes().unwrap()).into_owned();
        let ours = Name::find(name.as_bytes()).unwrap_or_else(|| panic!("there is no {name}"));
        if !OWN.contains(&name.as_str()) {
            let theirs = value.as_bytes().unwrap().escape_ascii().to_string();
            assert_eq!(theirs, settings.text(ours).escape_ascii().to_string(), "{name}");
        }
    }
    let names = Name::all().map(|name| 1 + usize::from(name.parameter().alias.is_some())).sum::<usize>();
    assert_eq!(names, pairs.len());
}

#[test]
fn calls_with_several_parameters_are_refused_for_the_first_mistake() {
    let server = RedisServer::start().unwrap();
    let mut client = server.client().unwrap();
    let mut settings = Settings::new();
    let calls: &[&[&[u8]]] = &[
        &[b"nosuch", b"1"],
        &[b"NoSuch", b"1", b"foo", b"2"],
        &[b"no\r\nsuch", b"1"],
        &[b"\xff", b"1"],
        &[b"", b""],
        &[b"timeout", b"1", b"timeout"],
        &[b"timeout", b"1", b"TIMEOUT", b"2"],
        &[b"timeout", b"1", b"nosuch", b"2"],
        &[b"databases", b"1", b"nosuch", b"2"],
        &[b"timeout", b"x", b"databases", b"2"],
        &[b"timeout", b"1", b"hz", b"x"],
        &[b"dbfilename", b"x"],
        &[b"dir", b"/"],
        &[b"DIR", b"/"],
        &[b"timeout", b"1", b"timeout", b"2", b"databases", b"2"],
        &[b"hash-max-ziplist-entries", b"1", b"hash-max-listpack-entries", b"2"],
        &[b"hash-max-listpack-entries", b"3", b"hash-max-ziplist-entries", b"4"],
        &[b"Lua-Time-Limit", b"x"],
        &[b"maxmemory", b"1mb", b"maxmemory-policy", b"AllKeys-LFU", b"maxmemory-samples", b"7"],
        &[b"maxmemory", b"0"],
    ];
    for call in calls {
        let ours = set(&mut settings, call);
        assert_eq!(theirs(&mut client, "set", call), ours);
        for pattern in [
            &[&b"timeout"[..]][..],
            &[b"hz"],
            &[b"hash-max-ziplist-entries"],
            &[b"HASH-MAX-listpack-entries"],
        ] {
            assert_eq!(
                theirs(&mut client, "get", pattern),
                get(&settings, pattern, Protocol::Resp2),
                "{ours}"
            );
        }
    }
}

#[test]
fn patterns_find_what_they_find_in_redis() {
    let server = RedisServer::start().unwrap();
    let settings = Settings::new();
    for (protocol, mut client) in [
        (Protocol::Resp2, server.client().unwrap()),
        (Protocol::Resp3, Client::connect_resp3(server.address()).unwrap()),
    ] {
        // Patterns with at most one name each: several come in no order.
        let calls: &[&[&[u8]]] = &[
            &[b"nosuch"],
            &[b"maxmem?ry"],
            &[b"MaxMemory", b"maxmemory", b"maxmem?ry"],
            &[b"MAXMEMORY-p*"],
            &[b"time\\out"],
            &[b"[T]imeout"],
            &[b"[^a]imeout", b"nosuch"],
            &[b""],
            &[b"*hz", b"HZ"],
        ];
        for call in calls {
            let (mut theirs, mut ours) = (theirs(&mut client, "get", call), get(&settings, call, protocol));
            if call == &[&b"*hz"[..], b"HZ"] {
                // `dynamic-hz` and `hz`.
                theirs = theirs.len().to_string();
                ours = ours.len().to_string();
            }
            assert_eq!(theirs, ours, "{}", call[0].escape_ascii());
        }
    }
}
