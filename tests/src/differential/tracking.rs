//! Several clients, tracked in various ways, that read and write at random, on a real redis-server and on Slotway: what each
//! of them gets is compared after every step.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;

use anyhow::{Context, Result, bail};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use slotway_common::resp::{Value, request};

use super::Plan;
use crate::client::Client;

/// How a client is tracked.
const KINDS: &[&str] = &[
    "",
    "ON",
    "ON NOLOOP",
    "ON OPTIN",
    "ON OPTOUT NOLOOP",
    "ON BCAST",
    "ON BCAST NOLOOP PREFIX {0}k PREFIX {1}",
    "ON REDIRECT",
];

/// The same client of each server.
struct Pair {
    oracle: Client,
    subject: Client,
}

impl Pair {
    fn connect(resp3: bool, oracle: SocketAddr, subject: SocketAddr) -> Result<Self> {
        let connect = |address| if resp3 { Client::connect_resp3(address) } else { Client::connect(address) };
        Ok(Self { oracle: connect(oracle)?, subject: connect(subject)? })
    }

    fn both(&mut self, words: &[String]) -> Result<(Value, Value)> {
        Ok((self.oracle.call(words)?, self.subject.call(words)?))
    }

    fn ok(&mut self, line: &str) -> Result<()> {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let (expected, given) = self.both(&words)?;
        if expected.is_error() || given.is_error() {
            bail!("{line}: {expected}, {given}");
        }
        Ok(())
    }
}

/// What a client got: replies in their order, and behind each what was to be forgotten, in no order.
#[derive(Debug, Default, PartialEq, Eq)]
struct Got {
    replies: Vec<String>,
    /// Key by key, with the number of replies that came before. Several nulls in a row are one.
    forgotten: Vec<(usize, String)>,
}

impl Got {
    fn take(&mut self, frame: &Value) {
        if let Some(keys) = keys_of(frame) {
            let before = self.replies.len();
            match keys {
                Value::Array(keys) => self.forgotten.extend(keys.iter().map(|key| (before, key.to_string()))),
                other => self.forgotten.push((before, other.to_string())),
            }
        } else {
            self.replies.push(frame.to_string());
        }
    }

    fn nulls(&self) -> usize {
        self.forgotten.iter().filter(|(_, key)| key == "null").count()
    }

    fn keys(&self) -> usize {
        let mut all = self.forgotten.clone();
        all.sort();
        all.dedup();
        all.len()
    }

    /// In an order that can be compared.
    fn settle(mut self) -> Self {
        self.forgotten.sort();
        self.forgotten.dedup();
        self
    }
}

/// Whether a client of several shards was told what one of a single server was: of the same keys, and of none sooner, where
/// what is told of prefixes has no place at all. Later is right as well: what one shard tells stays behind replies that
/// others have begun.
fn is_like(given: &Got, expected: &Got, has_places: bool) -> bool {
    let places = |got: &Got| {
        let mut places: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (before, key) in &got.forgotten {
            places.entry(key.clone()).or_default().push(*before);
        }
        places
    };
    let (there, mut here) = (places(expected), places(given));
    if !there.contains_key("null") {
        // What another shard tells of one FLUSHALL may come when the client has asked for something again.
        here.remove("null");
    }
    let not_sooner = |key: &String, given: &Vec<usize>| {
        there.get(key).is_some_and(|expected| !has_places || given.last() >= expected.last())
    };
    given.replies == expected.replies
        && there.len() == here.len()
        && here.iter().all(|(key, given)| not_sooner(key, given))
}

/// What a frame says is to be forgotten.
fn keys_of(frame: &Value) -> Option<&Value> {
    let parts = match frame {
        Value::Push(parts) | Value::Array(parts) => parts.as_slice(),
        _ => return None,
    };
    match parts {
        [what, keys] if what.as_bytes() == Some(b"invalidate") => Some(keys),
        [what, channel, keys]
            if what.as_bytes() == Some(b"message")
                && channel.as_bytes() == Some(slotway_common::tracking::CHANNEL) =>
        {
            Some(keys)
        }
        _ => None,
    }
}

fn is_pong(frame: &Value, mark: &str) -> bool {
    match frame {
        Value::Bulk(text) => text == mark.as_bytes(),
        Value::Array(parts) => parts.last().and_then(Value::as_bytes) == Some(mark.as_bytes()),
        _ => false,
    }
}

/// All that came before the answer to a PING, and at least `least`, with so many nulls.
fn got(client: &mut Client, least: &Got, nulls: usize, mark: &str) -> Result<Got> {
    let mut all = Got::default();
    while all.replies.len() < least.replies.len() || all.keys() < least.keys() || all.nulls() < nulls {
        let frame = client.receive().with_context(|| format!("{all:?}, but not all of {least:?}"))?;
        all.take(&frame);
    }
    client.send(&["PING", mark])?;
    loop {
        let frame = client.receive()?;
        if is_pong(&frame, mark) {
            return Ok(all);
        }
        all.take(&frame);
    }
}

fn words(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}

fn key(random: &mut StdRng, tag: usize) -> String {
    format!("{{{tag}}}{}{}", ["k", "l"].choose(random).unwrap_or(&"k"), random.random_range(0..3))
}

fn read(random: &mut StdRng, tag: usize) -> Vec<String> {
    let one = key(random, tag);
    let other_tag = random.random_range(0..3);
    let far = key(random, other_tag);
    let line = match random.random_range(0..9) {
        0..=3 => format!("GET {one}"),
        4 => format!("MGET {one} {far}"),
        5 => format!("EXISTS {one} {far}"),
        6 => format!("STRLEN {one}"),
        7 => format!("TTL {one}"),
        _ => format!("HGETALL {one}"),
    };
    words(&line)
}

fn write(random: &mut StdRng, tag: usize, number: usize) -> Vec<String> {
    let (one, two) = (key(random, tag), key(random, tag));
    let other_tag = random.random_range(0..3);
    let far = key(random, other_tag);
    let line = match random.random_range(0..12) {
        0..=2 => format!("SET {one} {number}"),
        3 => format!("DEL {one} {far}"),
        4 => format!("MSET {one} {number} {far} {number}"),
        5 => format!("APPEND {one} x"),
        6 => format!("RENAME {one} {two}"),
        7 => format!("EXPIRE {one} 1000"),
        8 => format!("GETDEL {one}"),
        9 => format!("HSET {one} f {number}"),
        10 => format!("PEXPIREAT {one} 1"),
        _ => format!("SETNX {one} {number}"),
    };
    words(&line)
}

/// Requests of one client that are answered before anybody else does something.
fn step(random: &mut StdRng, kind: &str, number: usize) -> Vec<Vec<String>> {
    let tag = random.random_range(0..3);
    let some = |random: &mut StdRng| {
        if random.random_bool(0.5) { read(random, tag) } else { write(random, tag, number) }
    };
    match random.random_range(0..20) {
        0..=7 => vec![read(random, tag)],
        8..=13 => vec![write(random, tag, number)],
        14 => {
            let mut lines = vec![words("MULTI")];
            // One shard only.
            for _ in 0..3 {
                let line = match random.random_range(0..3) {
                    0 => format!("SET {} {number}", key(random, tag)),
                    _ => format!("GET {}", key(random, tag)),
                };
                lines.push(words(&line));
            }
            lines.push(words("EXEC"));
            lines
        }
        15 => {
            let script = ["return redis.call('GET', KEYS[1])", "return redis.call('SET', KEYS[1], ARGV[1])"];
            let text = script.choose(random).copied().unwrap_or_default().to_owned();
            let mut line = vec!["EVAL".to_owned(), text];
            line.extend(["1".to_owned(), key(random, tag), number.to_string()]);
            vec![line]
        }
        16 if kind.contains("OPTIN") => vec![words("CLIENT CACHING YES"), read(random, tag)],
        16 if kind.contains("OPTOUT") => vec![words("CLIENT CACHING NO"), read(random, tag)],
        16 => vec![words("CLIENT CACHING YES")],
        17 if !kind.contains("REDIRECT") => vec![words("CLIENT TRACKINGINFO")],
        18 => vec![words(&format!("SELECT {}", random.random_range(0..2)))],
        19 if random.random_ratio(1, 8) => vec![words("FLUSHALL")],
        _ => vec![some(random), some(random)],
    }
}

/// Runs steps until about `plan.commands` commands were sent; `shards` are behind the subject.
///
/// # Errors
/// When a connection breaks, or with the last steps if something differs.
pub fn run(plan: &Plan, shards: usize, oracle: SocketAddr, subject: SocketAddr) -> Result<()> {
    let mut random = StdRng::seed_from_u64(plan.seed);
    let mut pairs: Vec<(Pair, &str)> = Vec::new();
    // One that is told in the place of another.
    let mut listener = Pair::connect(false, oracle, subject)?;
    let (there, here) = listener.both(&words("CLIENT ID"))?;
    listener.ok("SUBSCRIBE __redis__:invalidate")?;
    for kind in KINDS {
        let mut pair = Pair::connect(*kind != "ON REDIRECT", oracle, subject)?;
        if *kind == "ON REDIRECT" {
            for (client, id) in [(&mut pair.oracle, &there), (&mut pair.subject, &here)] {
                let id = id.as_int().context("a number")?.to_string();
                let reply = client.call(&["CLIENT", "TRACKING", "ON", "REDIRECT", &id])?;
                if reply.is_error() {
                    bail!("REDIRECT: {reply}");
                }
            }
        } else if !kind.is_empty() {
            pair.ok(&format!("CLIENT TRACKING {kind}"))?;
        }
        pairs.push((pair, kind));
    }
    pairs.push((listener, "listener"));
    let mut log: Vec<String> = Vec::new();
    let mut sent = 0;
    let mut forgotten = 0;
    while sent < plan.commands {
        let who = random.random_range(0..KINDS.len());
        let Some((pair, kind)) = pairs.get_mut(who) else { continue };
        let lines = step(&mut random, kind, sent);
        // In one piece: what is told of prefixes comes behind all that was read at once.
        let mut requests = Vec::new();
        for line in &lines {
            request::encode(line.iter().map(String::as_bytes), &mut requests);
        }
        pair.oracle.send_raw(&requests)?;
        pair.subject.send_raw(&requests)?;
        sent += lines.len();
        let text = lines.iter().map(|line| line.join(" ")).collect::<Vec<_>>().join("; ");
        log.push(format!("{sent}: client {who} ({kind}): {text}"));
        let order = std::iter::once(who).chain((0..pairs.len()).filter(|other| *other != who));
        for client in order {
            let mark = format!("mark {sent}");
            let Some((pair, kind)) = pairs.get_mut(client) else { continue };
            let told = |what: &str| {
                format!("client {client} ({kind}) {what}, SLOTWAY_SEED={}\n{}", plan.seed, tail(&log))
            };
            // What has prefixes is told behind all that was read at once: the PING must not be among it.
            let replies = if client == who { vec![String::new(); lines.len()] } else { Vec::new() };
            let expected = got(&mut pair.oracle, &Got { replies, ..Got::default() }, 0, &mark)?;
            // Of prefixes each shard tells when its own requests have run, that databases were emptied all together.
            let nulls = expected.nulls().min(1);
            let given =
                got(&mut pair.subject, &expected, nulls, &mark).with_context(|| told("is waiting"))?;
            forgotten += expected.forgotten.len();
            let (expected, given) = (expected.settle(), given.settle());
            let same = if shards == 1 {
                given == expected
            } else {
                is_like(&given, &expected, !kind.contains("BCAST"))
            };
            if !same {
                let mut report = told("got something else");
                writeln!(report, "\n  redis:   {expected:?}\n  slotway: {given:?}")?;
                bail!("{report}");
            }
        }
    }
    if forgotten < sent / 10 {
        bail!("only {forgotten} invalidations in {sent} commands");
    }
    Ok(())
}

fn tail(log: &[String]) -> String {
    log.iter().skip(log.len().saturating_sub(40)).cloned().collect::<Vec<_>>().join("\n")
}
