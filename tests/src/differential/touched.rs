//! Which keys commands touch: who watches one, and who has read it, is told on Slotway when redis-server tells, and only then.
//! So are those who listen to keyspace events, and the counter of changes grows alike.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::SocketAddr;

use anyhow::{Context, Result, bail};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use slotway_common::resp::Value;

use super::{Plan, TOLD};
use crate::client::Client;

const KEYS: [&str; 6] = ["{t}a", "{t}b", "{t}c", "{t}d", "{t}e", "{t}f"];

/// Commands by families: `k` stands for a key, `v` for a value, `m` for a member, `n` for a number. Times to live are so long, or so
/// long over, that none ends meanwhile.
const FAMILIES: &[&[&str]] = &[
    &[
        "SET k v",
        "SET k v NX",
        "SET k v XX",
        "SET k v GET",
        "SET k v KEEPTTL",
        "SET k v EX 1000",
        "SET k v PXAT 1",
        "GETSET k v",
        "GETDEL k",
        "GETEX k",
        "GETEX k PERSIST",
        "GETEX k EX 1000",
        "GETEX k PXAT 1",
        "SETNX k v",
        "APPEND k v",
        "INCR k",
        "INCRBY k 0",
        "DECRBY k n",
        "INCRBYFLOAT k 0",
        "SETRANGE k 0 v",
        "SETRANGE k 3 v",
        "SETBIT k 7 1",
        "SETBIT k 7 0",
        "BITFIELD k GET u8 0",
        "BITFIELD k SET u8 0 1",
        "BITFIELD k INCRBY u8 0 0",
        "BITFIELD k OVERFLOW FAIL INCRBY u8 0 300",
        "BITOP AND k k k",
        "MSET k v k v",
        "MSETNX k v k v",
    ],
    &[
        "LPUSH k v v",
        "RPUSH k v",
        "LPUSHX k v",
        "LPOP k",
        "LPOP k 0",
        "RPOP k 2",
        "LREM k 0 v",
        "LSET k 0 v",
        "LSET k 9 v",
        "LTRIM k n n",
        "LTRIM k 0 -1",
        "LINSERT k BEFORE v v",
        "LMOVE k k LEFT RIGHT",
        "LMOVE k k LEFT LEFT",
        "RPOPLPUSH k k",
        "LMPOP 2 k k LEFT",
        "BLPOP k k 0.001",
        "BLMOVE k k LEFT RIGHT 0.001",
        "BLMPOP 0.001 1 k LEFT",
    ],
    &[
        "SADD k m m",
        "SADD k m",
        "SREM k m m",
        "SMOVE k k m",
        "SMOVE k k m",
        "SPOP k 0",
        "SPOP k 100",
        "SINTERSTORE k k k",
        "SUNIONSTORE k k k",
        "SDIFFSTORE k k k",
    ],
    &["HSET k m v", "HSETNX k m v", "HDEL k m m", "HINCRBY k m 0", "HINCRBYFLOAT k m 0", "HMSET k m v m v"],
    &[
        "ZADD k n m",
        "ZADD k NX n m n m",
        "ZADD k XX n m",
        "ZADD k GT CH n m",
        "ZADD k XX INCR 0 m",
        "ZINCRBY k 0 m",
        "ZREM k m m",
        "ZPOPMIN k",
        "ZPOPMAX k 0",
        "ZMPOP 2 k k MAX",
        "BZPOPMIN k 0.001",
        "ZREMRANGEBYRANK k 0 0",
        "ZREMRANGEBYSCORE k 5 6",
        "ZREMRANGEBYLEX k - +",
        "ZRANGESTORE k k 0 -1",
        "ZUNIONSTORE k 2 k k",
        "ZINTERSTORE k 2 k k",
        "ZDIFFSTORE k 2 k k",
        "GEOADD k 1 1 m",
        "GEOADD k NX 1 2 m",
        "GEOSEARCHSTORE k k FROMLONLAT 1 1 BYRADIUS 1000 km",
    ],
    &["PFADD k", "PFADD k m", "PFMERGE k k", "PFCOUNT k", "PFCOUNT k k", "SET k v", "GET k"],
    &[
        "XADD k 5-1 a 1",
        "XADD k 6-1 a 1",
        "XADD k NOMKSTREAM MAXLEN 0 7-1 a 1",
        "XADD k MAXLEN 1 8-1 a 1",
        "XTRIM k MAXLEN 1",
        "XDEL k 5-1",
        "XGROUP CREATE k g 0",
        "XGROUP CREATE k g $ MKSTREAM",
        "XGROUP DESTROY k g",
        "XGROUP CREATECONSUMER k g c",
        "XGROUP DELCONSUMER k g c",
        "XGROUP SETID k g 0",
        "XREADGROUP GROUP g c STREAMS k >",
        "XREADGROUP GROUP g d NOACK STREAMS k >",
        "XREADGROUP GROUP g e STREAMS k 0",
        "XACK k g 5-1",
        "XAUTOCLAIM k g c2 0 0",
        "XCLAIM k g c3 0 5-1",
        "XCLAIM k g c3 0 5-1 JUSTID",
        "XSETID k 9-5",
    ],
];

/// Drawn with every family.
const GENERIC: &[&str] = &[
    "DEL k k",
    "UNLINK k",
    "EXPIRE k 1000",
    "EXPIRE k -1",
    "EXPIRE k 1000 NX",
    "EXPIRE k 2000 GT",
    "PERSIST k",
    "RENAME k k",
    "RENAMENX k k",
    "COPY k k",
    "COPY k k REPLACE",
    "TOUCH k",
    "MOVE k 3",
    "SORT k ALPHA STORE k",
    "SORT k BY nosort STORE k",
];

/// Commands of a family before the next one begins with nothing.
const IN_A_ROW: usize = 60;

/// What others notice of a command.
#[derive(Debug, Default, PartialEq, Eq)]
struct Noticed {
    /// Keys whose watches break.
    watched: Vec<String>,
    /// Keys that those who have read them are to forget.
    read: BTreeSet<String>,
    /// Keyspace events, in their order.
    events: Vec<String>,
    changes: i64,
}

/// The clients of one server.
struct Server {
    writer: Client,
    reader: Client,
    listener: Client,
    watchers: Vec<Client>,
}

impl Server {
    fn connect(address: SocketAddr) -> Result<Self> {
        let mut server = Self {
            writer: Client::connect(address)?,
            reader: Client::connect_resp3(address)?,
            listener: Client::connect_resp3(address)?,
            watchers: KEYS.iter().map(|_| Client::connect(address)).collect::<Result<_>>()?,
        };
        server.writer.run("FLUSHALL")?;
        server.writer.run("CONFIG SET notify-keyspace-events KEA")?;
        server.reader.run("CLIENT TRACKING ON")?;
        server.listener.run("PSUBSCRIBE __keyevent@0__:*")?;
        Ok(server)
    }

    fn changes(&mut self) -> Result<i64> {
        let info = self.writer.run("INFO persistence")?;
        let info = String::from_utf8_lossy(info.as_bytes().context("INFO")?).into_owned();
        let line = info.lines().find_map(|line| line.strip_prefix("rdb_changes_since_last_save:"));
        Ok(line.context("changes")?.trim().parse()?)
    }

    /// Runs a command, and finds out who is told of it.
    fn notice(&mut self, line: &str) -> Result<(Value, Noticed)> {
        for (watcher, key) in self.watchers.iter_mut().zip(KEYS) {
            watcher.call(&["WATCH", key])?;
            // As a client does that keeps what it reads.
            self.reader.send(&["EXISTS", key])?;
            while matches!(self.reader.receive()?, Value::Push(_)) {}
        }
        let before = self.changes()?;
        let reply = self.writer.run(line)?;
        let mut noticed = Noticed { changes: self.changes()? - before, ..Noticed::default() };
        for (watcher, key) in self.watchers.iter_mut().zip(KEYS) {
            watcher.run("MULTI")?;
            watcher.run("PING")?;
            if watcher.run("EXEC")? == Value::Null {
                noticed.watched.push(key.to_owned());
            }
        }
        // Behind what the shard of the keys has told before.
        self.reader.send(&["TYPE", KEYS[0]])?;
        while let Value::Push(push) = self.reader.receive()? {
            if let Some(Value::Array(keys)) = push.get(1) {
                noticed.read.extend(keys.iter().map(ToString::to_string));
            }
        }
        self.writer.call(&["SET", "{t}end", line])?;
        loop {
            let Value::Push(message) = self.listener.receive()? else { continue };
            let words: Vec<String> = message.iter().skip(2).map(ToString::to_string).collect();
            if words.last().is_some_and(|key| key == "\"{t}end\"") {
                break;
            }
            // When it is noticed that a time to live is over is each server's own.
            if !words.iter().any(|word| word.contains(":expired")) {
                noticed.events.push(words.join(" "));
            }
        }
        self.writer.call(&["DEL", "{t}end"])?;
        while !self.listener.receive()?.to_string().contains("__:del") {}
        Ok((reply, noticed))
    }
}

/// Runs random commands on both servers.
///
/// # Errors
/// When a connection breaks, or with a report of the differences found.
pub fn run(plan: &Plan, oracle: SocketAddr, subject: SocketAddr) -> Result<()> {
    let (mut oracle, mut subject) = (Server::connect(oracle)?, Server::connect(subject)?);
    let mut random = StdRng::seed_from_u64(plan.seed);
    let (mut report, mut differences, mut family) = (String::new(), 0, FAMILIES[0]);
    for number in 0..plan.commands {
        if number % IN_A_ROW == 0 {
            family = FAMILIES.choose(&mut random).copied().unwrap_or_default();
            for server in [&mut oracle, &mut subject] {
                for key in KEYS {
                    server.notice(&format!("DEL {key}"))?;
                }
            }
        }
        let line = command(&mut random, family);
        let (expected, there) = oracle.notice(&line).with_context(|| format!("redis: {line}"))?;
        let (given, here) = subject.notice(&line).with_context(|| format!("slotway: {line}"))?;
        // What SPOP takes is drawn, and in no order; what is noticed is not.
        if there != here || expected.is_error() != given.is_error() {
            differences += 1;
            writeln!(report, "\n{line}\n  redis:   {expected} {there:?}\n  slotway: {given} {here:?}")?;
            if differences >= TOLD {
                break;
            }
        }
    }
    for server in [&mut oracle, &mut subject] {
        server.writer.call(&["CONFIG", "SET", "notify-keyspace-events", ""])?;
    }
    if differences > 0 {
        bail!("{differences} differences, with SLOTWAY_SEED={}:{report}", plan.seed);
    }
    Ok(())
}

fn command(random: &mut StdRng, family: &[&'static str]) -> String {
    let from = if random.random_ratio(1, 3) { GENERIC } else { family };
    let template = from.choose(random).copied().unwrap_or("PING");
    let mut pick = |words: &[&'static str]| words.choose(random).copied().unwrap_or_default();
    let words = template.split(' ').enumerate().map(|(index, word)| match word {
        _ if index == 0 => word,
        "k" => pick(&KEYS),
        "v" => pick(&["1", "2", "x", "10", "-3"]),
        "m" => pick(&["1", "2", "3", "a", "b"]),
        "n" => pick(&["0", "1", "-1", "2", "5"]),
        word => word,
    });
    words.collect::<Vec<_>>().join(" ")
}
