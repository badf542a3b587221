//! The command table says of every command what a real Redis 7.0 says.
#![allow(clippy::expect_used, clippy::unwrap_used)]

use std::collections::BTreeMap;

use slotway_common::command::{self, Command, TABLE};
use slotway_common::resp::{Args, Protocol, Reply, Value};
use slotway_tests::{Client, RedisServer};

/// A reply without what Slotway words in its own way: maps as sorted lists, no documentation texts, no notes.
fn facts(value: &Value) -> Value {
    const TEXTS: [&[u8]; 5] = [b"summary", b"complexity", b"history", b"replaced_by", b"notes"];
    match value {
        Value::Map(pairs) => {
            let mut facts: Vec<_> = pairs
                .iter()
                .filter(|(name, _)| !name.as_bytes().is_some_and(|name| TEXTS.contains(&name)))
                .map(|(name, value)| (name.clone(), facts(value)))
                .collect();
            facts.sort_by_key(|(name, _)| format!("{name:?}"));
            Value::Map(facts)
        }
        Value::Array(items) => Value::Array(items.iter().map(facts).collect()),
        Value::Set(items) => Value::Set(items.iter().map(facts).collect()),
        other => other.clone(),
    }
}

/// What Slotway answers to a call of COMMAND.
fn ours<A: AsRef<[u8]>>(args: &[A], protocol: Protocol) -> Vec<u8> {
    let mut buffer = Vec::new();
    let mut spans = Vec::new();
    for arg in args {
        spans.push((buffer.len() as u32, arg.as_ref().len() as u32));
        buffer.extend_from_slice(arg.as_ref());
    }
    let args = Args::new(&buffer, &spans);
    let mut out = Vec::new();
    let mut reply = Reply::new(&mut out, protocol);
    let answered = command::resolve(&args, false).and_then(|row| command::answer(row, &args, &mut reply));
    if let Err(error) = answered {
        reply.error(&error);
    }
    out
}

fn our_value(line: &str) -> Value {
    let out = ours(&line.split(' ').collect::<Vec<_>>(), Protocol::Resp3);
    let (value, length) = Value::parse(&out).expect("a reply").expect("a whole reply");
    assert_eq!(length, out.len());
    value
}

/// The subcommands of a COMMAND INFO reply by name, and the reply without them: their order is of no importance.
fn split_subcommands(info: &Value) -> (Value, BTreeMap<String, Value>) {
    let mut items = info.as_array().expect("a command").to_vec();
    let subcommands = items.pop().expect("subcommands");
    let by_name = subcommands
        .as_array()
        .expect("subcommands")
        .iter()
        .map(|info| (format!("{:?}", info.as_array().expect("a command")[0]), info.clone()))
        .collect();
    (Value::Array(items), by_name)
}

#[test]
fn every_row_agrees_with_command_info() {
    let server = RedisServer::start().unwrap();
    let mut client = Client::connect_resp3(server.address()).unwrap();
    assert_eq!(client.run("COMMAND COUNT").unwrap(), our_value("COMMAND COUNT"));
    for row in TABLE.iter().filter(|row| !row.hidden) {
        let line = format!("COMMAND INFO {}", row.name);
        let (theirs, their_subcommands) =
            split_subcommands(&facts(&client.run(&line).unwrap().as_array().unwrap()[0]));
        let (ours, our_subcommands) = split_subcommands(&facts(&our_value(&line).as_array().unwrap()[0]));
        assert_eq!(theirs, ours, "{}", row.name);
        assert_eq!(their_subcommands, our_subcommands, "{}", row.name);
    }
}

#[test]
fn every_row_agrees_with_command_docs_but_in_words() {
    let server = RedisServer::start().unwrap();
    let mut client = Client::connect_resp3(server.address()).unwrap();
    let sorted = |value: &Value| {
        // Subcommands come in no order.
        let Value::Map(pairs) = facts(value) else { panic!("no map: {value:?}") };
        pairs
            .into_iter()
            .flat_map(|(name, docs)| match docs {
                Value::Map(fields) => {
                    fields.into_iter().map(|(field, v)| (format!("{name:?} {field:?}"), v)).collect()
                }
                other => vec![(format!("{name:?}"), other)],
            })
            .collect::<BTreeMap<_, _>>()
    };
    for row in TABLE.iter().filter(|row| !row.hidden) {
        let line = format!("COMMAND DOCS {}", row.name);
        assert_eq!(sorted(&client.run(&line).unwrap()), sorted(&our_value(&line)), "{}", row.name);
    }
}

#[test]
fn only_what_redis_does_not_have_is_hidden() {
    let hidden: Vec<&str> = TABLE.iter().filter(|row| row.hidden).map(|row: &Command| row.name).collect();
    assert_eq!(
        hidden,
        [
            "client|setinfo",
            "cluster|slot-stats",
            "slotway",
            "slotway-abort",
            "slotway-alive",
            "slotway-as",
            "slotway-block",
            "slotway-commit",
            "slotway-decide",
            "slotway-exec",
            "slotway-forget",
            "slotway-prepare",
            "slotway-quiet",
            "slotway-run",
            "slotway-subscribe",
            "slotway-track",
            "slotway-tracking",
            "slotway-unblock",
            "slotway-unwatch",
            "slotway-watch"
        ]
    );
}

#[test]
fn keys_of_calls_are_found_as_redis_finds_them() {
    const CALLS: &[&str] = &[
        "get a",
        "get",
        "get a b",
        "ping",
        "nosuch a",
        "config",
        "config nosuch",
        "config get x",
        "object encoding a",
        "object help",
        "mset a 1 b 2",
        "mset a 1 b",
        "msetnx a 1",
        "set a b",
        "set a b get",
        "set a b ex 1 GET",
        "set a get",
        "bitfield a",
        "bitfield a get u8 0",
        "bitfield a get u8 0 set u8 0 1",
        "bitfield a overflow wrap incrby u8 0 1",
        "bitfield a overflow sat get u8 0",
        "bitfield a nosuch",
        "bitfield_ro a get u8 0",
        "sort a",
        "sort a by b get c store d",
        "sort a store b store c",
        "sort a limit store 1 store d",
        "sort a by store store d",
        "sort a store",
        "sort a limit 0",
        "sort_ro a by x",
        "sintercard 2 a b",
        "sintercard 2 a b limit 3",
        "sintercard 0 a",
        "sintercard -1 a",
        "sintercard x a",
        "sintercard 3 a b",
        "zunionstore d 2 a b",
        "zunionstore d 3 a b",
        "zunionstore d 0 a",
        "zunionstore d 2 a b weights 1 2",
        "zunion 2 a b withscores",
        "zdiff 1 a",
        "zinterstore d 1 a aggregate max",
        "zdiffstore d 2 a b",
        "zintercard 1 a",
        "lmpop 2 a b left",
        "lmpop 2 a left",
        "lmpop 4 a left",
        "zmpop 1 a min",
        "blmpop 0 2 a b left",
        "bzmpop 0 1 a min",
        "xread streams a 0",
        "xread streams a b 0 0",
        "xread count 2 streams a b 0 0",
        "xread streams a b 0",
        "xread count 1 streams",
        "xread count 1 streams a",
        "xread block 0 count 1 a",
        "xreadgroup group streams c streams a >",
        "xreadgroup group g c count 1 noack streams a b > >",
        "georadius a 1 2 3 m",
        "georadius a 1 2 3 m store d",
        "georadius a 1 2 3 m storedist d",
        "georadius a 1 2 3 m store d storedist e",
        "georadius a 1 2 3 m store",
        "georadius_ro a 1 2 3 m",
        "georadiusbymember a b 3 m store d",
        "georadiusbymember a b 3 m storedist",
        "geosearchstore d a fromlonlat 1 2 byradius 3 m",
        "eval s 0",
        "eval s 1 a",
        "eval s 2 a",
        "eval s x a",
        "eval s -1 a",
        "evalsha s 2 a b c",
        "eval_ro s 1 a",
        "fcall f 1 a",
        "fcall_ro f 0",
        "migrate h 1 a 0 1",
        "migrate h 1 a 0 1 copy",
        "migrate h 1 a 0 1 keys b c",
        "migrate h 1 a 0 1 copy replace keys b c",
        "spublish a b",
        "ssubscribe a",
        "pfcount a b",
        "pfmerge a b c",
        "pfdebug getreg a",
        "bitop and d a b",
        "bitop not d",
        "blpop a b 0",
        "blpop a",
        "brpoplpush a b 0",
        "lmove a b left right",
        "copy a b",
        "rename a b",
        "smove a b c",
        "sdiffstore d a b",
        "memory usage a",
        "memory usage a samples 3",
        "xinfo stream a full",
        "xgroup create a g $",
        "xgroup help",
        "watch a b",
        "touch a",
        "lcs a b len",
        "zrangestore d a 0 1",
        "restore a 0 x",
        "dump a",
        "debug object a",
        "cluster keyslot a",
        "cluster countkeysinslot 1",
        "command getkeys get a",
        "getex a persist",
        "xadd a * b c",
        "wait 1 0",
        "swapdb 0 1",
        "slotway on 1",
    ];
    let server = RedisServer::start().unwrap();
    for (protocol, mut client) in [
        (Protocol::Resp2, Client::connect(server.address()).unwrap()),
        (Protocol::Resp3, Client::connect_resp3(server.address()).unwrap()),
    ] {
        for call in CALLS {
            for name in ["getkeys", "getkeysandflags"] {
                let line: Vec<String> =
                    format!("command {name} {call}").split(' ').map(str::to_owned).collect();
                let theirs = client.call_raw(&line).unwrap();
                let ours = ours(&line, protocol);
                assert_eq!(theirs.escape_ascii().to_string(), ours.escape_ascii().to_string(), "{line:?}");
            }
        }
        // The empty argument of MIGRATE that announces KEYS.
        for tail in [
            &["keys", "a", "b"][..],
            &["copy", "auth", "keys", "keys", "a"],
            &["auth2", "u", "keys", "keys", "a"],
        ] {
            let line = [&["command", "getkeys", "migrate", "h", "1", "", "0", "1"], tail].concat();
            assert_eq!(client.call_raw(&line).unwrap(), ours(&line, protocol), "{line:?}");
        }
    }
}

#[test]
fn command_list_and_bad_calls_answer_as_redis_does() {
    let server = RedisServer::start().unwrap();
    let mut client = Client::connect_resp3(server.address()).unwrap();
    let names = |value: Value| {
        let mut names: Vec<_> =
            value.as_array().expect("a list").iter().map(|name| format!("{name:?}")).collect();
        names.sort();
        names
    };
    for line in [
        "command list",
        "command list filterby module x",
        "command list filterby aclcat read",
        "command list filterby aclcat SortedSet",
        "command list filterby aclcat nosuch",
        "command list filterby pattern x*",
        "command list filterby pattern *|G*",
    ] {
        assert_eq!(names(client.run(line).unwrap()), names(our_value(line)), "{line}");
    }
    for line in [
        "command list x",
        "command list filterby",
        "command list filterby aclcat",
        "command list filterby foo bar",
        "command count x",
        "command nosuch",
        "command info nosuch x|y get|x config|nosuch config|get|x",
        "command docs nosuch",
        "command getkeys get",
        "command help x",
    ] {
        assert_eq!(client.run(line).unwrap(), our_value(line), "{line}");
    }
}

#[test]
fn the_dispatcher_words_its_errors_as_redis_does() {
    let server = RedisServer::start().unwrap();
    let mut client = server.client().unwrap();
    let long = [b'x'; 200];
    let half = [b'y'; 60];
    let calls: &[&[&[u8]]] = &[
        &[b"foo"],
        &[b"FoO", b"a", b""],
        &[b""],
        &[b"", b""],
        &[b"foo|bar"],
        &[b"config|get", b"x"],
        &[b"get"],
        &[b"GET", b"a", b"b"],
        &[b"config"],
        &[b"config", b"foo"],
        &[b"CONFIG", b"GeT"],
        &[b"Config", b"a\r\nb"],
        &[b"config", b"get|x"],
        &[&long],
        &[&long, &long],
        &[b"foo", &half, &half, &half, &half],
        &[b"foo", &half, b"abc", &half, b"d"],
        &[b"config", &long],
        &[b"a\0b", b"c\0d", b"\0", b"e"],
        &[b"config", b"a\0b"],
        &[b"a\rb\nc", b"\r\n"],
        &[b"\xff\xfe", b"\x80"],
        &[b"object", b"encoding"],
        &[b"object", b"nosuch", b"a"],
        &[b"memory", b""],
        &[b"xgroup"],
        &[b"debug"],
        &[b"slotway", b"on"],
    ];
    for call in calls {
        let theirs = client.call_raw(call).unwrap();
        let mut buffer = Vec::new();
        let mut spans = Vec::new();
        for arg in *call {
            spans.push((buffer.len() as u32, arg.len() as u32));
            buffer.extend_from_slice(arg);
        }
        let mut out = Vec::new();
        let error = command::resolve(&Args::new(&buffer, &spans), false).expect_err("an error");
        Reply::new(&mut out, Protocol::Resp2).error(&error);
        assert_eq!(theirs.escape_ascii().to_string(), out.escape_ascii().to_string());
    }
}
