use std::sync::Arc;

use slotway_common::cluster_state;
use slotway_common::command::{self, Window, put_need, read_needs};
use slotway_common::resp::request::{Limits, Parsed, encode};
use slotway_common::resp::{Parser, Value};
use slotway_common::slot::{SLOTS, slot_of};
use slotway_common::topology::SlotRanges;

use super::*;
use crate::changes::frame;
use crate::dispatch::Prepared;
use crate::engine::Key;
use crate::node::Shard;
use crate::parts::Parts;
use crate::stream::Kind;

/// Connections of a proxy to a shard that serves all slots.
struct Bench {
    shard: Shard,
    sessions: Vec<Session>,
}

impl Bench {
    fn new() -> Self {
        let mut shard = crate::migration::tests::shard();
        let sessions = (1..=3)
            .map(|_| {
                let client = shard.node.clients.add(String::new(), String::new(), 0);
                Session { internal: Some("proxy".into()), ..Session::new(client) }
            })
            .collect();
        Self { shard, sessions }
    }

    fn send(&mut self, connection: usize, words: &[&str]) -> String {
        let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        String::from_utf8(self.send_bytes(connection, &words)).unwrap()
    }

    fn send_bytes(&mut self, connection: usize, words: &[&[u8]]) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode(words.iter().copied(), &mut bytes);
        let mut parser = Parser::new();
        let limits = Limits { max_bulk: usize::MAX, authenticated: true };
        assert!(matches!(parser.parse(&bytes, &limits), Ok(Parsed::Frame(_))));
        let args = parser.args(&bytes);
        let mut out = Vec::new();
        let prepared = Prepared::new(&args, true);
        let session = &mut self.sessions[connection];
        dispatch::execute(&mut self.shard, session, &prepared, args, &mut out, Instant::now());
        out
    }

    /// A request for a part that runs one command, or none, on the slots of some keys.
    fn part(&mut self, connection: usize, kind: &str, id: &str, command: &[&str], keys: &[&str]) -> String {
        self.watched(connection, (kind, id, ""), command, keys)
    }

    fn watched(
        &mut self,
        connection: usize,
        (kind, id, watch): (&str, &str, &str),
        command: &[&str],
        keys: &[&str],
    ) -> String {
        let mut frames = Vec::new();
        if !command.is_empty() {
            encode(command.iter().map(|word| word.as_bytes()), &mut frames);
        }
        let frames = String::from_utf8(frames).unwrap();
        let count = usize::from(!command.is_empty()).to_string();
        let head = [kind, id, "z", watch, "0", &frames, &count, "part"];
        let words: Vec<&str> = head.into_iter().chain(keys.iter().copied()).collect();
        self.send(connection, &words)
    }

    fn go_on(&mut self) {
        let Shard { engine, node } = &mut self.shard;
        go_on(engine, node);
    }

    /// What was sent to a connection since the last time beside replies.
    fn pushed(&mut self, connection: usize) -> String {
        let pushed = std::mem::take(&mut *self.sessions[connection].client.pushed.borrow_mut());
        String::from_utf8(pushed).unwrap()
    }
}

#[test]
fn a_prepared_part_holds_its_slots_and_runs_when_it_is_committed() {
    let mut bench = Bench::new();
    assert_eq!(bench.part(0, "slotway-prepare", "a-1", &["incr", "k"], &["k"]), "+PREPARED\r\n");
    let parked = format!("-PARKED {}\r\n", slot_of(b"k"));
    assert_eq!(bench.send(1, &["get", "k"]), parked);
    assert_eq!(bench.send(1, &["get", "other"]), "$-1\r\n");
    assert_eq!(bench.send(2, &["slotway-commit", "a-1"]), "*1\r\n:1\r\n");
    assert!(!bench.shard.node.locks.is_any_held() && bench.shard.node.parts.is_empty());
    assert_eq!(bench.send(1, &["slotway", "resume", &slot_of(b"k").to_string()]), "+OK\r\n");
    assert_eq!(bench.send(1, &["get", "k"]), "$1\r\n1\r\n");
    assert!(bench.send(2, &["slotway-commit", "a-1"]).starts_with("-NOTRANSACTION "));
}

#[test]
fn a_prepared_part_does_not_run_before_its_shard_serves_its_slots() {
    let mut bench = Bench::new();
    for (id, key) in [("1-1", "k"), ("1-2", "l")] {
        assert_eq!(bench.part(0, "slotway-prepare", id, &["incr", key], &[key]), "+PREPARED\r\n");
    }
    bench.shard.node.set_aside(true);
    assert!(bench.send(0, &["slotway-commit", "1-1"]).starts_with("-TXMOVED "));
    let id = "1-2".parse().unwrap();
    let Shard { engine, node } = &mut bench.shard;
    assert!(!resolve(engine, node, id, &Told::Committed(Vec::new())));
    node.set_aside(false);
    assert!(resolve(engine, node, id, &Told::Committed(Vec::new())));
    assert_eq!(bench.send(0, &["slotway-commit", "1-1"]), "*1\r\n:1\r\n");
    assert_eq!(bench.send(1, &["mget", "k", "l"]), "*2\r\n$1\r\n1\r\n$1\r\n1\r\n");
}

#[test]
fn a_part_that_is_given_up_has_changed_nothing() {
    let mut bench = Bench::new();
    assert_eq!(bench.part(0, "slotway-prepare", "a-1", &["incr", "k"], &["k"]), "+PREPARED\r\n");
    assert_eq!(bench.send(0, &["slotway-abort", "a-1"]), "+OK\r\n");
    assert_eq!(bench.send(0, &["slotway-abort", "a-1"]), "+OK\r\n");
    assert_eq!(bench.send(1, &["get", "k"]), "$-1\r\n");
}

#[test]
fn who_waits_for_slots_is_answered_later_in_the_order_of_coming() {
    let mut bench = Bench::new();
    assert_eq!(bench.part(0, "slotway-prepare", "a-1", &["append", "k", "1"], &["k"]), "+PREPARED\r\n");
    assert_eq!(bench.part(1, "slotway-decide", "b-1", &["append", "k", "2"], &["k", "l"]), "-LATER 1\r\n");
    assert_eq!(bench.part(2, "slotway-decide", "c-1", &["append", "k", "3"], &["k"]), "-LATER 2\r\n");
    bench.go_on();
    assert_eq!((bench.pushed(1), bench.pushed(2)), (String::new(), String::new()));
    assert_eq!(bench.send(0, &["slotway-commit", "a-1"]), "*1\r\n:1\r\n");
    bench.go_on();
    assert_eq!(bench.pushed(1), ">3\r\n$5\r\nlater\r\n$1\r\n1\r\n*1\r\n:2\r\n");
    bench.go_on();
    assert_eq!(bench.pushed(2), ">3\r\n$5\r\nlater\r\n$1\r\n2\r\n*1\r\n:3\r\n");
    assert_eq!(bench.send(0, &["get", "k"]), "$3\r\n123\r\n");
}

#[test]
fn a_shard_tells_how_what_it_decides_has_ended_and_gives_up_what_it_does_not_know() {
    let mut bench = Bench::new();
    assert_eq!(bench.part(0, "slotway-decide", "a-1", &["incr", "k"], &["k"]), "*1\r\n:1\r\n");
    assert_eq!(bench.send(1, &["slotway", "outcome", "a-1", "z"]), "$0\r\n\r\n");
    assert_eq!(bench.send(1, &["slotway", "outcome", "a-1", "other", "done"]), "+OK\r\n");
    assert_eq!(bench.send(1, &["slotway", "outcome", "a-1", "z"]), "$0\r\n\r\n", "z does not know yet");
    assert_eq!(bench.send(1, &["slotway", "outcome", "a-1", "z", "done"]), "+OK\r\n");
    assert_eq!(bench.shard.node.parts.outcome("a-1".parse().unwrap()), None);

    assert_eq!(bench.send(1, &["slotway", "outcome", "a-2", "z"]), "+ABORTED\r\n");
    assert!(bench.part(0, "slotway-decide", "a-2", &["incr", "k"], &["k"]).starts_with("-GIVENUP "));

    // While it waits for its slots nothing is decided.
    assert_eq!(bench.part(0, "slotway-prepare", "a-3", &["incr", "k"], &["k"]), "+PREPARED\r\n");
    assert_eq!(bench.part(0, "slotway-decide", "a-4", &["incr", "k"], &["k"]), "-LATER 1\r\n");
    assert_eq!(bench.send(1, &["slotway", "outcome", "a-4", "z"]), "+OPEN\r\n");
    assert_eq!(bench.send(0, &["get", "other"]), "$-1\r\n");
}

#[test]
fn what_is_watched_is_looked_at_when_all_slots_are_held() {
    let mut bench = Bench::new();
    bench.send(0, &["slotway-watch", "5", "watch", "k"]);
    bench.send(1, &["set", "k", "1"]);
    assert_eq!(bench.watched(0, ("slotway-prepare", "a-1", "5"), &[], &["k"]), "*-1\r\n");
    assert!(!bench.shard.node.locks.is_any_held());

    bench.send(0, &["slotway-watch", "6", "watch", "k"]);
    assert_eq!(bench.watched(0, ("slotway-prepare", "a-2", "6"), &[], &["k"]), "+PREPARED\r\n");
    assert_eq!(bench.send(0, &["slotway-commit", "a-2"]), "*0\r\n");
}

#[test]
fn a_slot_that_is_not_here_is_told_without_holding_anything() {
    let mut bench = Bench::new();
    let mut state = (*bench.shard.node.state).clone();
    let elsewhere = cluster_state::Shard {
        name: "b".to_owned(),
        epoch: 1,
        nodes: Vec::new(),
        slots: SlotRanges::from_slots([slot_of(b"gone")]),
    };
    state.shards[0].slots = SlotRanges::from_slots((0..SLOTS).filter(|slot| *slot != slot_of(b"gone")));
    state.shards.push(elsewhere);
    state.generation += 1;
    bench.shard.adopt(&Arc::new(state));
    let reply = bench.part(0, "slotway-prepare", "a-1", &["get", "k"], &["k", "gone"]);
    assert!(reply.starts_with(&format!("-TXMOVED {} ", slot_of(b"gone"))), "{reply}");
    assert!(!bench.shard.node.locks.is_any_held() && bench.sessions[0].refused.is_empty());
}

#[test]
fn a_lost_connection_gives_up_what_waits_and_leaves_what_is_prepared_in_doubt() {
    let mut bench = Bench::new();
    assert_eq!(bench.part(0, "slotway-prepare", "a-1", &["incr", "k"], &["k"]), "+PREPARED\r\n");
    assert_eq!(bench.part(1, "slotway-prepare", "a-2", &["incr", "k"], &["j", "k"]), "-LATER 1\r\n");
    let Shard { engine, node } = &mut bench.shard;
    assert_eq!(in_doubt(node, clock::monotonic()), []);
    assert_eq!(in_doubt(node, clock::monotonic() + SILENCE).len(), 1);
    lose_connection(engine, node, 2);
    assert!(node.parts.get("a-2".parse().unwrap()).is_none());
    lose_connection(engine, node, 1);
    let first = "a-1".parse().unwrap();
    assert_eq!(in_doubt(node, clock::monotonic()), [(first, "z".into())]);
    assert!(resolve(engine, node, first, &Told::Committed(Vec::new())));
    assert!(!node.locks.is_any_held() && node.locks.waiting() == 0);
    assert_eq!(bench.send(0, &["get", "k"]), "$1\r\n1\r\n");
}

#[test]
fn the_log_has_prepared_parts_and_outcomes() {
    let mut bench = Bench::new();
    assert_eq!(bench.part(0, "slotway-prepare", "a-1", &["incr", "k"], &["k", "l"]), "+PREPARED\r\n");
    let id = "a-1".parse().unwrap();
    let mut payload = Vec::new();
    put_prepared(id, bench.shard.node.parts.get(id).unwrap(), &mut payload);
    let mut read = Parts::default();
    read.read(Kind::Prepared, &payload, Instant::now()).unwrap();
    let (kept, part) = (bench.shard.node.parts.get(id).unwrap(), read.get(id).unwrap());
    assert_eq!((&kept.decider, &kept.slots, &kept.work), (&part.decider, &part.slots, &part.work));
    assert_eq!((part.phase, part.heard), (Phase::Prepared, None));
    for length in 0..payload.len() {
        assert!(
            Parts::default().read(Kind::Prepared, &payload[..length], Instant::now()).is_err(),
            "{length}"
        );
    }
    let mut outcome = Vec::new();
    let others = vec![("b".into(), b"values".to_vec()), ("c".into(), Vec::new())];
    put_outcome(id, true, &others, &mut outcome);
    read.read(Kind::Outcome, &outcome, Instant::now()).unwrap();
    assert!(read.is_empty());
    assert_eq!(read.outcome(id), Some(&Outcome::Committed(others)));
    let mut over = Vec::new();
    put_outcome(id, true, &Vec::new(), &mut over);
    read.read(Kind::Outcome, &over, Instant::now()).unwrap();
    assert_eq!(read.outcome(id), None);
}

#[test]
fn parts_wait_for_a_key_that_expires_and_find_it_gone() {
    let mut bench = Bench::new();
    bench.send(0, &["set", "k", "1", "px", "1"]);
    assert_eq!(bench.part(0, "slotway-prepare", "a-1", &["exists", "k"], &["k"]), "+PREPARED\r\n");
    let Shard { engine, .. } = &mut bench.shard;
    engine.set_now(engine.now() + 1000);
    engine.sweep_expired(Duration::from_secs(1));
    assert_eq!(engine.totals(0).keys(), 1, "nothing changes in a slot that is held");
    assert_eq!(engine.slot(Key::new(b"k").slot).keys(), 1);
    assert_eq!(bench.send(0, &["slotway-commit", "a-1"]), "*1\r\n:0\r\n");
}

#[test]
fn replies_of_a_part_can_be_read_one_by_one() {
    let mut bench = Bench::new();
    let reply = bench.part(0, "slotway-decide", "a-1", &["mset", "k", "1"], &["k"]);
    assert_eq!(Value::parse(reply.as_bytes()).unwrap().unwrap().0.to_string(), "[+OK]");
}

/// A list of the keys of a command, with as much of each as it needs, and of others.
fn keys(command: &[&str], names: &[&str]) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(command.iter().map(|word| word.as_bytes()), &mut bytes);
    let mut parser = Parser::new();
    let limits = Limits { max_bulk: usize::MAX, authenticated: true };
    assert!(matches!(parser.parse(&bytes, &limits), Ok(Parsed::Frame(_))));
    let args = parser.args(&bytes);
    let row = command::find(&args).unwrap();
    let needed: Vec<(usize, Window)> = command::windows(row, &args).collect();
    let mut list = Vec::new();
    for name in names {
        let window = needed.iter().find(|(position, _)| args.is(*position, name)).map(|(_, window)| window);
        put_need(0, name.as_bytes(), window.unwrap_or(&Window::Whole), &mut list);
    }
    list
}

/// A transaction that has one command, run by the second of two shards on keys of both.
struct Pair {
    lender: Bench,
    runner: Bench,
    number: u64,
}

impl Pair {
    fn new() -> Self {
        Self { lender: Bench::new(), runner: Bench::new(), number: 0 }
    }

    /// Gives the reply of the command; or the keys that it needs beside.
    fn run(&mut self, command: &[&str], theirs: &[&str], own: &[&str]) -> Result<Value, Vec<u8>> {
        self.run_on(command, &keys(command, theirs), theirs, own)
    }

    /// The same with a list of what is needed of the lender's keys.
    fn run_on(
        &mut self,
        command: &[&str],
        list: &[u8],
        theirs: &[&str],
        own: &[&str],
    ) -> Result<Value, Vec<u8>> {
        self.number += 1;
        let id = format!("a-{}", self.number);
        let mut frames = Vec::new();
        encode(command.iter().map(|word| word.as_bytes()), &mut frames);
        let head: [&[u8]; 8] = [b"slotway-prepare", id.as_bytes(), b"z", b"", b"0", list, b"0", b"part lend"];
        let words: Vec<&[u8]> = head.into_iter().chain(theirs.iter().map(|key| key.as_bytes())).collect();
        let lent = self.lender.send_bytes(0, &words);
        let Value::Bulk(lent) = Value::parse(&lent).unwrap().unwrap().0 else {
            panic!("{}", String::from_utf8_lossy(&lent))
        };
        let own_list = keys(command, own);
        let head: [&[u8]; 11] =
            [b"slotway-run", id.as_bytes(), b"", b"0", &frames, b"1", b"part", &own_list, b"1", b"y", &lent];
        let words: Vec<&[u8]> = head.into_iter().chain(own.iter().map(|key| key.as_bytes())).collect();
        let reply = self.runner.send_bytes(0, &words);
        let value = Value::parse(&reply).unwrap().unwrap().0;
        let Value::Array(parts) = &value else { panic!("{value}") };
        let [replies, Value::Bulk(values)] = parts.as_slice() else { panic!("{value}") };
        let Value::Array(replies) = replies else {
            self.lender.send(0, &["slotway-abort", &id]);
            return Err(values.clone());
        };
        let committed = self.lender.send_bytes(0, &[b"slotway-commit", id.as_bytes(), values]);
        assert_eq!(committed, b"*0\r\n");
        assert!(!self.lender.shard.node.locks.is_any_held() && !self.runner.shard.node.locks.is_any_held());
        Ok(replies[0].clone())
    }
}

#[test]
fn a_command_runs_on_keys_that_another_shard_lends_and_gives_back_what_they_have_become() {
    let mut pair = Pair::new();
    pair.lender.send(1, &["rpush", "there", "1", "2", "3"]);
    let moved = pair.run(&["lmove", "there", "here", "left", "right"], &["there"], &["here"]);
    assert_eq!(moved.unwrap().to_string(), "\"1\"");
    assert_eq!(pair.lender.send(1, &["lrange", "there", "0", "-1"]), "*2\r\n$1\r\n2\r\n$1\r\n3\r\n");
    assert_eq!(pair.runner.send(1, &["lrange", "here", "0", "-1"]), "*1\r\n$1\r\n1\r\n");
    assert_eq!(pair.runner.send(1, &["exists", "there"]), ":0\r\n");

    pair.lender.send(1, &["set", "k", "v", "ex", "1000"]);
    assert_eq!(pair.run(&["rename", "k", "here"], &["k"], &["here"]).unwrap().to_string(), "+OK");
    assert_eq!(pair.lender.send(1, &["exists", "k"]), ":0\r\n");
    assert_eq!(pair.runner.send(1, &["ttl", "here"]), ":1000\r\n");

    let error = pair.run(&["rename", "k", "here"], &["k"], &["here"]).unwrap().to_string();
    assert!(error.contains("no such key"), "{error}");
}

#[test]
fn what_is_given_back_breaks_watches_and_is_numbered() {
    let mut pair = Pair::new();
    pair.lender.send(1, &["sadd", "s", "1"]);
    pair.lender.send(1, &["slotway-watch", "5", "watch", "s"]);
    let before = pair.lender.shard.node.changes.last_of(slot_of(b"s"));
    assert_eq!(pair.run(&["smove", "s", "d", "1"], &["s"], &["d"]).unwrap().to_string(), ":1");
    assert!(pair.lender.shard.node.changes.last_of(slot_of(b"s")) > before);
    assert_eq!(pair.lender.watched(1, ("slotway-prepare", "b-1", "5"), &[], &["s"]), "*-1\r\n");
    assert_eq!(pair.runner.send(1, &["smembers", "d"]), "*1\r\n$1\r\n1\r\n");
}

#[test]
fn what_no_client_is_told_of_is_given_back_too() {
    let mut pair = Pair::new();
    pair.lender.send(1, &["pfadd", "h", "1"]);
    let script = "redis.call('set',KEYS[2],1) return redis.call('pfdebug','todense',KEYS[1])";
    assert_eq!(pair.run(&["eval", script, "2", "h", "here"], &["h"], &["here"]).unwrap().to_string(), ":1");
    assert_eq!(pair.lender.send(1, &["pfdebug", "encoding", "h"]), "+dense\r\n");
    pair.lender.send(1, &["xadd", "s", "1-1", "f", "v"]);
    pair.lender.send(1, &["xgroup", "create", "s", "g", "0"]);
    pair.runner.send(1, &["xadd", "here2", "1-1", "f", "v"]);
    pair.runner.send(1, &["xgroup", "create", "here2", "g", "0"]);
    let call = ["xreadgroup", "group", "g", "me", "streams", "s", "here2", ">", ">"];
    assert!(pair.run(&call, &["s"], &["here2"]).unwrap().to_string().contains("1-1"));
    for (bench, key) in [(&mut pair.lender, "s"), (&mut pair.runner, "here2")] {
        assert!(bench.send(1, &["xpending", key, "g"]).starts_with("*4\r\n:1\r\n"));
    }
}

#[test]
fn what_counts_as_no_change_is_given_back_if_it_is_one() {
    let mut pair = Pair::new();
    let script = "redis.call('set',KEYS[2],1) return redis.call('bitfield',KEYS[1],'overflow','fail','set','u10','#2','-9')";
    assert_eq!(
        pair.run(&["eval", script, "2", "b", "here"], &["b"], &["here"]).unwrap().to_string(),
        "[null]"
    );
    assert_eq!(pair.lender.send(1, &["strlen", "b"]), ":4\r\n");
}

#[test]
fn only_what_was_changed_breaks_watches() {
    let mut pair = Pair::new();
    pair.lender.send(1, &["sadd", "{s}read", "1"]);
    pair.lender.send(1, &["slotway-watch", "5", "watch", "{s}read"]);
    let call = ["sunionstore", "{s}written", "{s}read", "here"];
    assert_eq!(pair.run(&call, &["{s}written", "{s}read"], &["here"]).unwrap().to_string(), ":1");
    assert_eq!(pair.lender.send(1, &["scard", "{s}written"]), ":1\r\n");
    let part = pair.lender.watched(1, ("slotway-prepare", "b-1", "5"), &[], &["{s}read"]);
    assert_eq!(part, "+PREPARED\r\n");
}

#[test]
fn what_is_only_read_is_given_back_as_nothing() {
    let mut pair = Pair::new();
    pair.lender.send(1, &["sadd", "s", "1"]);
    let before = pair.lender.shard.engine.changes();
    assert_eq!(pair.run(&["sunion", "s", "d"], &["s"], &["d"]).unwrap().to_string(), "[\"1\"]");
    assert_eq!(pair.lender.shard.engine.changes(), before);
}

/// How many bytes the lender has lent last: what is asked for, and given, in one run.
fn lent_bytes(pair: &mut Pair, command: &[&str], theirs: &str) -> usize {
    values::lend(&pair.lender.shard.engine, &keys(command, &[theirs]), usize::MAX).unwrap().len()
}

#[test]
fn of_a_large_value_only_what_a_command_needs_is_lent() {
    let mut pair = Pair::new();
    let numbers: Vec<String> = (0..1000).map(|number| format!("element-{number}")).collect();
    let fill = |pair: &mut Pair, head: &[&str], scored: bool| {
        for (number, element) in numbers.iter().enumerate() {
            let number = number.to_string();
            let words: Vec<&str> = match scored {
                true => head.iter().copied().chain([number.as_str(), element]).collect(),
                false => head.iter().copied().chain([element.as_str()]).collect(),
            };
            pair.lender.send(1, &words);
        }
    };
    fill(&mut pair, &["rpush", "list"], false);
    fill(&mut pair, &["sadd", "set"], false);
    fill(&mut pair, &["zadd", "zset"], true);
    fill(&mut pair, &["hset", "hash"], true);
    pair.lender.send(1, &["expire", "list", "1000"]);
    for (command, key, reply, check, left) in [
        (
            &["lmove", "list", "d1", "left", "left"][..],
            "list",
            "\"element-0\"",
            &["llen", "list"][..],
            ":999",
        ),
        (&["rpoplpush", "list", "d1"], "list", "\"element-999\"", &["lindex", "list", "-1"], "$11"),
        (&["lmove", "d1", "list", "left", "right"], "list", "\"element-999\"", &["llen", "list"], ":999"),
        (
            &["lmpop", "2", "list", "none", "left", "count", "2"],
            "list",
            "[\"list\", [\"element-1\", \"element-2\"]]",
            &["llen", "list"],
            ":997",
        ),
        (&["lmove", "list", "set", "left", "left"], "list", "-WRONGTYPE", &["llen", "list"], ":997"),
        (&["smove", "set", "d2", "element-5"], "set", ":1", &["scard", "set"], ":999"),
        (&["smove", "set", "d2", "nobody"], "set", ":0", &["scard", "set"], ":999"),
        (&["smove", "d2", "set", "element-5"], "set", ":1", &["scard", "set"], ":1000"),
        (
            &["zmpop", "2", "zset", "none", "max"],
            "zset",
            "[\"zset\", [[\"element-999\", \"999\"]]]",
            &["zcard", "zset"],
            ":999",
        ),
        (&["smove", "hash", "d2", "x"], "hash", "-WRONGTYPE", &["hlen", "hash"], ":1000"),
        (&["msetnx", "hash", "1", "d4", "2"], "hash", ":0", &["hlen", "hash"], ":1000"),
        (&["copy", "d2", "hash"], "hash", ":0", &["hlen", "hash"], ":1000"),
        (&["mset", "d5", "1", "hash", "1"], "hash", "+OK", &["get", "hash"], "$1"),
    ] {
        assert!(lent_bytes(&mut pair, command, key) < 120, "{command:?}");
        let theirs = ["list", "set", "zset", "hash"];
        let (theirs, own): (Vec<&str>, Vec<&str>) = command[1..]
            .iter()
            .copied()
            .filter(|word| theirs.contains(word) || word.starts_with('d') || *word == "none")
            .partition(|word| theirs.contains(word));
        let given = pair.run(command, &theirs, &own).unwrap().to_string();
        assert!(given.starts_with(reply), "{command:?}: {given}");
        let found = pair.lender.send(1, check);
        assert!(found.starts_with(left), "{command:?}: {found}");
    }
    assert_eq!(pair.lender.send(1, &["ttl", "list"]), ":1000\r\n");
    assert_eq!(pair.runner.send(1, &["get", "d5"]), "$1\r\n1\r\n");
}

#[test]
fn a_script_finds_out_how_much_it_needs_of_a_large_value() {
    let mut pair = Pair::new();
    for number in 0..1000 {
        pair.lender.send(1, &["hset", "hash", &format!("field-{number}"), "1"]);
    }
    let script = "redis.call('incr',KEYS[2]) return redis.call('hincrby',KEYS[1],'field-7',5)";
    let call = ["eval", script, "2", "hash", "here"];
    let needs = pair.run(&call, &["hash"], &["here"]).unwrap_err();
    let needs = read_needs(&needs).unwrap();
    assert_eq!(needs, [((0, b"hash".to_vec()), Window::Members(vec![b"field-7".to_vec()]))]);
    assert_eq!(pair.runner.send(1, &["exists", "here"]), ":0\r\n");
}

#[test]
fn elements_that_are_not_lent_are_counted_all_the_same() {
    let mut pair = Pair::new();
    for number in 0..1000 {
        let element = format!("element-{number}");
        pair.lender.send(1, &["rpush", "list", &element]);
        pair.lender.send(1, &["zadd", "zset", &number.to_string(), &element]);
        pair.lender.send(1, &["sadd", "set", &element]);
        pair.lender.send(1, &["hset", "hash", &element, "1"]);
    }
    let mut run = |calls: &str, windows: &[(&str, Window)]| {
        let script = format!(
            "redis.call('set','here',1) local c = redis.call local r = {{}} {calls} return table.concat(r,' ')"
        );
        let names: Vec<&str> = windows.iter().map(|(name, _)| *name).collect();
        let mut list = Vec::new();
        windows.iter().for_each(|(name, window)| put_need(0, name.as_bytes(), window, &mut list));
        assert!(values::lend(&pair.lender.shard.engine, &list, usize::MAX).unwrap().len() < 400);
        pair.run_on(&["eval", &script, "1", "here"], &list, &names, &["here"]).unwrap().to_string()
    };
    let counts = "for i,k in ipairs({'list','zset','set','hash'}) do \
        r[i]=c(({'llen','zcard','scard','hlen'})[i],k) end";
    let all =
        [("list", Window::Count), ("zset", Window::Count), ("set", Window::Count), ("hash", Window::Count)];
    assert_eq!(run(counts, &all), "\"1000 1000 1000 1000\"");
    let calls = "r[1]=c('rpush','list','x','y') r[2]=c('rpop','list') r[3]=c('llen','list') r[4]=c('rpushx','list','z')";
    assert_eq!(run(calls, &[("list", Window::Tail(1))]), "\"1002 y 1001 1002\"");
    let calls = "r[1]=c('lpush','list','x') r[2]=c('llen','list') r[3]=c('lpushx','list','w')";
    assert_eq!(run(calls, &[("list", Window::Head(0))]), "\"1003 1003 1004\"");
    let calls = "r[1]=c('zpopmin','zset')[1] r[2]=c('zcard','zset')";
    assert_eq!(run(calls, &[("zset", Window::Lowest(1))]), "\"element-0 999\"");
    let calls = "r[1]=c('sadd','set','x','element-3') r[2]=c('scard','set')";
    assert_eq!(
        run(calls, &[("set", Window::Members(vec![b"x".to_vec(), b"element-3".to_vec()]))]),
        "\"1 1001\""
    );
    assert_eq!(pair.lender.send(1, &["llen", "list"]), ":1004\r\n");
    assert_eq!(pair.lender.send(1, &["lindex", "list", "0"]), "$1\r\nw\r\n");
    assert_eq!(pair.lender.send(1, &["lindex", "list", "-1"]), "$1\r\nz\r\n");
}

#[test]
fn what_becomes_of_a_part_of_a_large_value_is_logged_as_a_change_of_it() {
    let mut pair = Pair::new();
    for number in 0..1000 {
        pair.lender.send(1, &["rpush", "list", &format!("element-{number}")]);
    }
    pair.lender.shard.node.changes.follow(true);
    pair.run(&["lmove", "list", "here", "left", "right"], &["list"], &["here"]).unwrap();
    let (mut frames, _) = pair.lender.shard.node.changes.take().unwrap();
    frame::seal(&mut frames);
    assert!(frames.len() < 400, "{} bytes", frames.len());
}

#[test]
fn what_a_script_puts_back_as_it_was_stays() {
    let mut pair = Pair::new();
    for number in 0..1000 {
        pair.lender.send(1, &["hset", "hash", &format!("field-{number}"), "1"]);
    }
    let script = "redis.call('incr',KEYS[2]) redis.call('hdel',KEYS[1],'field-7') redis.call('hset',KEYS[1],'field-8','1') \
                  return redis.call('hset',KEYS[1],'field-7','1')";
    let call = ["eval", script, "2", "hash", "here"];
    let mut list = Vec::new();
    let members = ["field-7", "field-8"].map(|field| field.as_bytes().to_vec());
    put_need(0, b"hash", &Window::Members(members.into()), &mut list);
    assert_eq!(pair.run_on(&call, &list, &["hash"], &["here"]).unwrap().to_string(), ":1");
    assert_eq!(pair.lender.send(1, &["hlen", "hash"]), ":1000\r\n");
    assert_eq!(pair.lender.send(1, &["hget", "hash", "field-7"]), "$1\r\n1\r\n");
}

#[test]
fn a_large_stream_gets_entries_and_is_trimmed_without_being_lent() {
    for (trimming, length) in [
        ("", 1003),
        ("maxlen ~ 100", 103),
        ("maxlen 100", 100),
        ("maxlen = 2", 2),
        ("maxlen 0", 0),
        ("minid 5-0", 999),
    ] {
        let mut pair = Pair::new();
        for number in 1..=1000 {
            pair.lender.send(1, &["xadd", "stream", &format!("{number}-0"), "field", "value"]);
        }
        let add = |id: &str| {
            let words = ["xadd", "stream", trimming, id, "f", "v"].join(" ");
            words.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
        };
        let quoted = |id: &str| add(id).iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(",");
        let script = format!(
            "redis.call('incr','here') redis.call({}) redis.call({}) return redis.call({})",
            quoted("1001-*"),
            quoted("1001-*"),
            quoted("1002-5")
        );
        let call = ["eval", &script, "2", "stream", "here"];
        let mut list = Vec::new();
        let trimming: Vec<Vec<u8>> =
            trimming.split_whitespace().map(|word| word.as_bytes().to_vec()).collect();
        put_need(0, b"stream", &Window::Appended(trimming), &mut list);
        assert!(values::lend(&pair.lender.shard.engine, &list, usize::MAX).unwrap().len() < 200);
        assert_eq!(pair.run_on(&call, &list, &["stream"], &["here"]).unwrap().to_string(), "\"1002-5\"");
        assert_eq!(pair.lender.send(1, &["xlen", "stream"]), format!(":{length}\r\n"));
        let facts = pair.lender.send(1, &["xinfo", "stream", "stream"]);
        assert!(facts.contains("1002-5") && facts.contains("entries-added\r\n:1003"), "{facts}");
    }
}

#[test]
fn a_script_that_needs_other_keys_has_done_nothing() {
    let mut pair = Pair::new();
    let script = "redis.call('set',KEYS[1],1) redis.call('incr','x') return redis.call('incr','y'..ARGV[1])";
    let call = ["eval", script, "2", "here", "there", "z"];
    let needs = pair.run(&call, &["there"], &["here"]).unwrap_err();
    let needs = read_needs(&needs).unwrap();
    assert_eq!(needs, [((0, b"x".to_vec()), Window::Whole), ((0, b"yz".to_vec()), Window::Whole)]);
    assert_eq!(pair.runner.send(1, &["exists", "here"]), ":0\r\n");
    assert_eq!(pair.run(&call, &["there", "x"], &["here", "yz"]).unwrap().to_string(), ":1");
    assert_eq!(pair.runner.send(1, &["get", "here"]), "$1\r\n1\r\n");
    assert_eq!(pair.lender.send(1, &["get", "x"]), "$1\r\n1\r\n");
    assert_eq!(pair.runner.send(1, &["get", "yz"]), "$1\r\n1\r\n");
}

#[test]
fn what_covers_all_keys_cannot_borrow_some() {
    let mut pair = Pair::new();
    let call = ["eval", "redis.call('set',KEYS[1],1) return redis.call('dbsize')", "2", "here", "there"];
    let mut list = Vec::new();
    put_need(0, b"there", &Window::Whole, &mut list);
    let head: [&[u8]; 8] = [b"slotway-prepare", b"b-1", b"z", b"", b"0", &list, b"0", b"part lend"];
    assert!(pair.lender.send_bytes(0, &[&head[..], &[b"there"]].concat()).starts_with(b"$"));
    let mut frames = Vec::new();
    encode(call.iter().map(|word| word.as_bytes()), &mut frames);
    let own = keys(&call, &["here"]);
    let words: [&[u8]; 12] =
        [b"slotway-run", b"b-1", b"", b"0", &frames, b"1", b"part", &own, b"1", b"y", &list, b"here"];
    let reply = String::from_utf8(pair.runner.send_bytes(0, &words)).unwrap();
    assert!(reply.starts_with("-ERR 'dbsize' cannot be part of"), "{reply}");
    assert_eq!(pair.runner.send(1, &["exists", "here"]), ":0\r\n");
}

#[test]
fn an_outcome_and_what_it_has_changed_are_one_group_of_the_log() {
    let mut pair = Pair::new();
    pair.lender.send(1, &["set", "k", "v"]);
    pair.lender.shard.node.changes.follow(true);
    pair.runner.shard.node.changes.follow(true);
    assert_eq!(pair.run(&["rename", "k", "here"], &["k"], &["here"]).unwrap().to_string(), "+OK");
    for bench in [&mut pair.lender, &mut pair.runner] {
        let (mut frames, _) = bench.shard.node.changes.take().unwrap();
        frame::seal(&mut frames);
        let mut found = Vec::new();
        let mut at = 0;
        while let Ok(read) = frame::read(&frames[at..]) {
            found.push((read.kind, read.goes_on));
            at += read.length();
        }
        let outcome = found.iter().position(|(kind, _)| *kind == Kind::Outcome).unwrap();
        assert!(found[outcome].1 && found.len() == outcome + 2 && !found[outcome + 1].1, "{found:?}");
    }
}

#[test]
fn a_part_that_has_its_slots_while_a_script_is_slow_runs_when_that_has_ended() {
    let mut bench = Bench::new();
    assert_eq!(bench.part(0, "slotway-prepare", "a-1", &["incr", "k"], &["k"]), "+PREPARED\r\n");
    assert_eq!(bench.part(1, "slotway-decide", "a-2", &["incr", "k"], &["k"]), "-LATER 1\r\n");
    assert_eq!(bench.send(0, &["slotway-abort", "a-1"]), "+OK\r\n");
    // As if it had been kept from going on after it got the last slot.
    let Shard { engine, node } = &mut bench.shard;
    assert!(advance(engine, node, "a-2".parse().unwrap(), clock::monotonic()));
    bench.go_on();
    assert_eq!(bench.pushed(1), ">3\r\n$5\r\nlater\r\n$1\r\n1\r\n*1\r\n:1\r\n");
}
