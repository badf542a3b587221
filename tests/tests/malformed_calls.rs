//! Every row of the command table, called wrongly, gets redis-server's error: on a shard, and through the proxy, whose clients know
//! no slots and see no names of what it says to shards.
#![allow(clippy::unwrap_used)]

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use slotway_common::command::{Command, Flags, Group, Route, Support, TABLE};
use slotway_tests::{Client, Cluster, Plan, RedisServer};

/// Words that are options, numbers, or neither, in the hope that they stand where they should not.
const WORDS: &str = "a {t}b {u}c {t}d 0 1 2 -1 x 1.5 1e400 1e-400 1e5000 nan inf -inf 9223372036854775807 \
    -9223372036854775808 9223372036854775808 18446744073709551615 18446744073709551616 0x10 +1 01 -0 0.0 LEFT RIGHT MIN MAX \
    COUNT MATCH WITHSCORES BLOCK STREAMS $ 0-0 * + - [a (1 GET SET u8 i64 NX XX EX PX KEEPTTL WEIGHTS AGGREGATE SUM LIMIT \
    BYSCORE BYLEX REV STORE BYRADIUS BYBOX FROMMEMBER FROMLONLAT m km ASC DESC ANY WITHDIST AND NOT BEFORE AFTER GROUP MKSTREAM \
    RANK MAXLEN IDX LEN WITHMATCHLEN REPLACE DB FREQ ABSTTL IDLETIME TYPE string SYNC ASYNC ALPHA CH INCR GT LT BIT BYTE JUSTID \
    RETRYCOUNT TIME FORCE LASTID IDLE NOACK NOMKSTREAM ~ = MINID ENTRIESREAD FULL";

struct Calls {
    random: StdRng,
    rows: Vec<&'static Command>,
}

/// Rows that take keys: any call of them is harmless on an empty server.
fn takes_keys(row: &Command) -> bool {
    row.has_keys() && row.support == Support::Full && row.route != Route::Internal && !row.hidden
}

impl Calls {
    fn word(&mut self) -> String {
        let words: Vec<&str> = WORDS.split_whitespace().chain([""]).collect();
        (*words.choose(&mut self.random).unwrap()).to_owned()
    }

    /// A call with about as many arguments as it needs.
    fn any(&mut self) -> Vec<String> {
        let row = *self.rows.choose(&mut self.random).unwrap();
        let mut words: Vec<String> = row.name.split('|').map(str::to_owned).collect();
        let more = *[0, 0, 0, 1, 1, 2, 3, 4, 6].choose(&mut self.random).unwrap();
        let least = usize::from(row.arity.unsigned_abs());
        while words.len() < least + more {
            words.push(self.word());
        }
        if self.random.random_bool(0.2) {
            // An option given twice, with its value or without.
            let again = words.len().saturating_sub(self.random.random_range(1..=2)).max(1);
            words.extend_from_within(again..);
        }
        if row.flags.contains(Flags::BLOCKING) {
            hurry(row, &mut words);
        }
        words
    }
}

/// Has a call that may wait do so for a moment only.
fn hurry(row: &Command, words: &mut [String]) {
    let (at, moment) = match row.name {
        "blmpop" | "bzmpop" => (Some(1), "0.001"),
        "xread" | "xreadgroup" => {
            (words.iter().position(|word| word.eq_ignore_ascii_case("BLOCK")).map(|at| at + 1), "1")
        }
        _ => (words.len().checked_sub(1), "0.001"),
    };
    let Some(word) = at.and_then(|at| words.get_mut(at)) else { return };
    if word == "0x10" || word.parse::<f64>().is_ok_and(|number| (0.0..1e15).contains(&number)) {
        moment.clone_into(word);
    }
}

/// The error of a call, or nothing, on a server that is empty before and after.
fn error_of(client: &mut Client, words: &[String]) -> Option<String> {
    client.send(words).unwrap();
    client.send(&["FLUSHALL"]).unwrap();
    let reply = client.receive().unwrap();
    assert_eq!(client.receive().unwrap().to_string(), "+OK", "{words:?}");
    reply.is_error().then(|| reply.to_string())
}

/// Whether an error of the proxy is right where redis-server says something else: keys that are not together it cannot look at.
fn cannot_know(row: Option<&Command>, expected: Option<&str>, given: Option<&str>) -> bool {
    let is_script = row.is_some_and(|row| row.group == Group::Scripting);
    given.is_some_and(|given| given.starts_with("-CROSSSLOT"))
        && expected.is_none_or(|error| {
            is_script
                || error.starts_with("-WRONGTYPE")
                || error.starts_with("-ERR no such key")
                || error.starts_with("-NOGROUP")
        })
}

fn compare(
    redis: &mut Client,
    ours: &mut Client,
    through_proxy: bool,
    words: &[String],
    found: &mut Vec<String>,
) {
    let (expected, given) = (error_of(redis, words), error_of(ours, words));
    let row = slotway_common::command::lookup(words[0].as_bytes());
    if expected != given && !(through_proxy && cannot_know(row, expected.as_deref(), given.as_deref())) {
        found.push(format!("{words:?}\n  redis: {expected:?}\n  ours:  {given:?}"));
    }
    assert!(!given.unwrap_or_default().contains("slotway-"), "{words:?}");
}

fn servers(shards: usize) -> (RedisServer, Cluster) {
    let cluster = Cluster::start_with(&Plan { shards, ..Plan::default() }).unwrap();
    (RedisServer::start().unwrap(), cluster)
}

fn every_row(through_proxy: bool) {
    let (redis, cluster) = servers(if through_proxy { 3 } else { 1 });
    let mut ours = if through_proxy { cluster.client().unwrap() } else { cluster.shard_client(0).unwrap() };
    let mut redis = redis.client().unwrap();
    let mut found = Vec::new();
    // Too few arguments, and too many, of every command that there is.
    for row in TABLE.iter().filter(|row| row.route != Route::Internal && !row.hidden && !row.is_container()) {
        let name: Vec<String> = row.name.split('|').map(str::to_owned).collect();
        let takes = usize::from(row.arity.unsigned_abs());
        let more = (row.arity > 0).then_some(takes + 1);
        for count in (name.len()..takes).chain(more) {
            let mut words = name.clone();
            words.resize(count, "x".to_owned());
            compare(&mut redis, &mut ours, through_proxy, &words, &mut found);
        }
    }
    let seed = slotway_tests::differential::seed();
    println!("SLOTWAY_SEED={seed}");
    let rows = TABLE.iter().filter(|row| takes_keys(row)).collect();
    let mut calls = Calls { random: StdRng::seed_from_u64(seed), rows };
    for _ in 0..6_000 {
        let words = calls.any();
        compare(&mut redis, &mut ours, through_proxy, &words, &mut found);
    }
    assert!(found.is_empty(), "{} differ:\n{}", found.len(), found.join("\n"));
}

#[test]
fn a_shard_refuses_malformed_calls_as_redis() {
    every_row(false);
}

#[test]
fn the_proxy_refuses_malformed_calls_as_redis() {
    every_row(true);
}

/// The last one counts, the first one, or neither: as each command's own reading has it.
#[test]
fn options_given_twice_are_read_as_in_redis() {
    const CALLS: &str = "SET a b EX 10 EX 20|TTL a|SET a b EX x EX 20|SET a b EX 20 EX x|SET a b EX 10 PX 20|SET a b PX 9000 PX 8000
        SET a b KEEPTTL KEEPTTL|GETEX a PERSIST PERSIST|SET a b NX NX|SET a b GET GET|GETEX a EX 10 EX 30|TTL a|GETEX no EX - EX x
        GETEX a EXAT 99999999999 EXAT 99999999998|TTL a|GETEX a PXAT 1 PXAT 99999999999999|GETEX a EX 10 EXAT 10|EXPIRE a 10 NX NX
        EXPIRE a 10 GT GT|ZADD z NX NX 1 a|ZADD z CH CH 2 b|COPY a b REPLACE REPLACE|COPY a b DB 0 DB 1|LPUSH l 1 2 3
        LPOS l 1 RANK 1 RANK -1|LPOS l 1 COUNT 1 COUNT 0 MAXLEN 1 MAXLEN 0|ZSCAN z 0 COUNT 1 COUNT 99 MATCH a MATCH b
        SORT l LIMIT 0 1 LIMIT 1 2|SORT l BY x BY nosort|SORT l GET # GET # DESC ASC|XADD s * a b|XADD s MAXLEN 1 MAXLEN 2 * a b
        XTRIM s MAXLEN 1 MAXLEN 2|ZRANGE z 0 1 BYSCORE BYSCORE|ZRANGE z 0 5 BYSCORE LIMIT 0 1 LIMIT 0 2|ZRANGE z 0 1 REV REV
        ZUNION 1 z WITHSCORES WITHSCORES|ZUNION 1 z AGGREGATE SUM AGGREGATE MIN|ZUNION 1 z WEIGHTS 1 WEIGHTS 2|SINTERCARD 1 z LIMIT 1
        ZINTERCARD 1 z LIMIT 1 LIMIT 2|LMPOP 1 l LEFT COUNT 1 COUNT 2|ZMPOP 1 z MIN COUNT 1 COUNT 2|GEOADD g 1 1 m
        GEORADIUS g 1 1 1 m COUNT 1 COUNT 2|GEORADIUS g 1 1 1 m WITHDIST WITHDIST ASC DESC|GEOSEARCH g FROMMEMBER m BYRADIUS 1 m BYRADIUS 2 m
        GEOSEARCH g FROMMEMBER m FROMMEMBER m BYRADIUS 1 m|GEOADD g NX NX 1 1 m|XGROUP CREATE s h $ MKSTREAM MKSTREAM
        XGROUP CREATE s h $ ENTRIESREAD 1 ENTRIESREAD 2|XINFO STREAM s FULL COUNT 1 COUNT 2|XAUTOCLAIM s h c 0 0 COUNT 1 COUNT 2
        XCLAIM s h c 0 1-1 IDLE 1 IDLE 2 TIME 1|XPENDING s h IDLE 0 - + 1|LCS a b LEN LEN|LCS a b IDX IDX MINMATCHLEN 1 MINMATCHLEN 9
        BITPOS a 1 0 0 BIT BIT|BITFIELD a OVERFLOW SAT OVERFLOW FAIL INCRBY u8 0 255|ZRANGEBYSCORE z 0 5 LIMIT 0 1 LIMIT 0 2 WITHSCORES WITHSCORES
        HRANDFIELD h 1 WITHVALUES WITHVALUES|RESTORE q 0 x IDLETIME 1 IDLETIME 2|RESTORE q 0 x REPLACE REPLACE ABSTTL ABSTTL
        XREAD COUNT 1 COUNT 2 STREAMS s no|XREAD COUNT 5 COUNT 1 STREAMS s 0-0";
    let (redis, cluster) = servers(3);
    let (mut redis, mut ours) = (redis.client().unwrap(), cluster.client().unwrap());
    let mut found = Vec::new();
    for call in CALLS.split(['|', '\n']) {
        let words: Vec<&str> = call.split_whitespace().collect();
        let expected = redis.call(&words).unwrap().to_string();
        let given = ours.call(&words).unwrap().to_string();
        // Identifiers made of the time are nobody's business here.
        let is_comparable = expected.starts_with('-') || !words[0].starts_with('X');
        if is_comparable && expected != given {
            found.push(format!("{call}\n  redis: {expected}\n  ours:  {given}"));
        }
    }
    assert!(found.is_empty(), "{} differ:\n{}", found.len(), found.join("\n"));
}

/// Cursors and timeouts that C's functions read in their own way.
#[test]
fn odd_cursors_and_timeouts_are_read_as_in_redis() {
    let (redis, cluster) = servers(1);
    let odd = "-1 -0 +1 01 0x10 1e3 18446744073709551615 18446744073709551616 -18446744073709551615 x - 1x \
        9223372036854775807 9223372036854775808 -9223372036854775808 1e400 -1e400 1e5000 1e-400 1e-5000 inf -inf nan \
        9223372036854775 9223372036854776 1e16 -0.0001 +inf 1e";
    let odd: Vec<String> =
        odd.split_whitespace().chain(["", " 1", "1 ", "1\0", "\t1"]).map(str::to_owned).collect();
    let mut redis = redis.client().unwrap();
    let mut found = Vec::new();
    for (through_proxy, mut ours) in
        [(false, cluster.shard_client(0).unwrap()), (true, cluster.client().unwrap())]
    {
        for number in &odd {
            for line in [
                "SCAN ?",
                "SCAN 0 COUNT ?",
                "HSCAN k ?",
                "SSCAN k ?",
                "ZSCAN k ?",
                "HSCAN k 0 COUNT ?",
                "XREAD BLOCK ? STREAMS k x",
                "XREAD COUNT ? STREAMS k 0",
                "XREADGROUP GROUP g c BLOCK ? STREAMS k >",
                "CLIENT UNBLOCK ?",
                "CLIENT PAUSE ? NONE",
                "CLIENT LIST ID ?",
                "SLOWLOG GET ?",
            ] {
                let words: Vec<String> = line.split(' ').map(|word| word.replace('?', number)).collect();
                compare(&mut redis, &mut ours, through_proxy, &words, &mut found);
            }
            // A value of another type ends the wait.
            for line in [
                "BLPOP k ?",
                "BRPOP k ?",
                "BZPOPMIN k ?",
                "BLMOVE k k LEFT LEFT ?",
                "BRPOPLPUSH k k ?",
                "BLMPOP ? 1 k LEFT",
                "BZMPOP ? 1 k MIN",
            ] {
                let words: Vec<String> = line.split(' ').map(|word| word.replace('?', number)).collect();
                for client in [&mut redis, &mut ours] {
                    client.run("SET k v").unwrap();
                }
                compare(&mut redis, &mut ours, through_proxy, &words, &mut found);
            }
        }
    }
    assert!(found.is_empty(), "{} differ:\n{}", found.len(), found.join("\n"));
}

/// What the proxy says to shards has names that nobody else is to see.
#[test]
fn names_of_the_inside_are_shown_nowhere() {
    let (_, cluster) = servers(1);
    let mut client = cluster.client().unwrap();
    client.run("CONFIG SET slowlog-log-slower-than 0").unwrap();
    for line in [
        "MULTI",
        "SET a 1",
        "EXEC",
        "BLPOP none 0.01",
        "WATCH a",
        "UNWATCH",
        "SUBSCRIBE c",
        "UNSUBSCRIBE c",
        "BZMPOP 0 2 a b",
        "SORT a BY b",
        "KEYS *",
        "FLUSHALL",
    ] {
        client.run(line).unwrap();
    }
    for mut reader in [cluster.client().unwrap(), cluster.shard_client(0).unwrap()] {
        for line in [
            "INFO everything",
            "SLOWLOG GET -1",
            "CLIENT LIST",
            "LATENCY HISTOGRAM",
            "COMMAND LIST",
            "ACL CAT",
            "ACL LOG",
        ] {
            let reply = reader.run(line).unwrap().to_string();
            for row in TABLE.iter().filter(|row| row.route == Route::Internal && row.name != "slotway") {
                assert!(!reply.contains(row.name), "{line} shows {}: {reply}", row.name);
            }
            assert!(!reply.contains("cmdstat_slotway"), "{line}: {reply}");
        }
    }
}
