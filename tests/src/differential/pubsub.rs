//! Several clients that subscribe, publish and unsubscribe at random, on a real redis-server and on Slotway: what each of
//! them gets is compared after every step.

use std::fmt::Write as _;
use std::net::SocketAddr;

use anyhow::{Context, Result, bail};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use slotway_common::resp::Value;

use super::Plan;
use crate::client::Client;

const CLIENTS: usize = 5;
const CHANNELS: &[&str] = &["a", "b", "ab", "news.1", "news.2", "{t}1", "{t}2", ""];
const PATTERNS: &[&str] = &["*", "a*", "?", "news.*", "[ab]", "{t}*", "none", ""];

/// A client of each server. The first publishes and runs transactions, but never subscribes.
struct Pair {
    oracle: Client,
    subject: Client,
    resp3: bool,
}

impl Pair {
    fn connect(plan: &Plan, oracle: SocketAddr, subject: SocketAddr) -> Result<Self> {
        let connect = |address| Client::connect_with(address, plan.resp3);
        Ok(Self { oracle: connect(oracle)?, subject: connect(subject)?, resp3: plan.resp3 })
    }

    /// What the real server has sent, up to the answer to a PING.
    fn expected(&mut self, mark: &str) -> Result<Vec<Value>> {
        self.oracle.call(&["PING", mark]).and_then(|first| {
            let mut frames = Vec::new();
            let mut next = first;
            while !is_pong(&next, mark) {
                frames.push(next);
                next = self.oracle.receive()?;
            }
            Ok(frames)
        })
    }

    /// As many frames of Slotway as the real server has sent, which may still be on their way, and what comes beyond.
    fn given(&mut self, mark: &str, count: usize) -> Result<Vec<Value>> {
        let mut frames = Vec::new();
        while frames.len() < count {
            frames.push(self.subject.receive().context("a frame that redis has sent")?);
        }
        self.subject.send(&["PING", mark])?;
        loop {
            let next = self.subject.receive()?;
            if is_pong(&next, mark) {
                return Ok(frames);
            }
            frames.push(next);
        }
    }
}

fn is_pong(value: &Value, mark: &str) -> bool {
    match value {
        Value::Bulk(text) => text == mark.as_bytes(),
        Value::Array(parts) => parts.len() == 2 && parts[1] == Value::Bulk(mark.as_bytes().to_vec()),
        _ => false,
    }
}

/// Frames in a form in which those can be compared whose order is not told: messages of several patterns, and what ends
/// all subscriptions at once. The order to replies is kept.
fn comparable(frames: &[Value], ends_all: bool) -> Vec<String> {
    let mut sorted = Vec::new();
    let mut pushes: Vec<String> = Vec::new();
    let flush = |pushes: &mut Vec<String>, sorted: &mut Vec<String>| {
        pushes.sort();
        sorted.append(pushes);
    };
    for frame in frames {
        match frame {
            Value::Push(parts) | Value::Array(parts) if is_push(parts) => match parts.as_slice() {
                [what, name, count @ Value::Int(_)] if ends_all => {
                    pushes.push(format!("{what} {name}"));
                    pushes.push(format!("{what} {count}"));
                }
                _ => pushes.push(frame.to_string()),
            },
            other => {
                flush(&mut pushes, &mut sorted);
                sorted.push(other.to_string());
            }
        }
    }
    flush(&mut pushes, &mut sorted);
    sorted
}

fn is_push(parts: &[Value]) -> bool {
    let word = parts.first().and_then(Value::as_bytes).unwrap_or_default();
    parts.len() >= 3 && (word.ends_with(b"message") || word.ends_with(b"subscribe"))
}

/// A command for one of the clients.
struct Step {
    who: usize,
    lines: Vec<Vec<String>>,
}

fn step(random: &mut StdRng, number: usize) -> Step {
    let some = |random: &mut StdRng, from: &[&str], least: usize| -> Vec<String> {
        (0..random.random_range(least..4))
            .filter_map(|_| from.choose(random).map(|name| (*name).to_owned()))
            .collect()
    };
    let words = |first: &str, rest: Vec<String>| [vec![first.to_owned()], rest].concat();
    let any = |random: &mut StdRng| CHANNELS.choose(random).copied().unwrap_or_default().to_owned();
    let publish = |random: &mut StdRng| {
        let name = if random.random_ratio(1, 4) { "SPUBLISH" } else { "PUBLISH" };
        vec![name.to_owned(), any(random), format!("message {number}")]
    };
    let mut who = random.random_range(0..CLIENTS);
    let choice = random.random_range(0..if who == 0 { 5 } else { 22 });
    let line = match choice {
        0 | 1 | 10..=13 => publish(random),
        2 => {
            let info = [
                words("PUBSUB NUMSUB", some(random, CHANNELS, 0)),
                words("PUBSUB SHARDNUMSUB", some(random, CHANNELS, 0)),
                words("PUBSUB NUMPAT", Vec::new()),
                words("GET", vec!["a".to_owned()]),
            ];
            let mut line = info.choose(random).cloned().unwrap_or_default();
            let first: Vec<String> = line.remove(0).split(' ').map(str::to_owned).collect();
            [first, line].concat()
        }
        3 => {
            who = 0;
            let mut lines = vec![vec!["MULTI".to_owned()]];
            for _ in 0..random.random_range(0..4) {
                lines.push(match random.random_range(0..3) {
                    0 => vec!["SET".to_owned(), "{t}key".to_owned(), number.to_string()],
                    _ => publish(random),
                });
            }
            lines.push(vec!["EXEC".to_owned()]);
            return Step { who, lines };
        }
        4 => words("PING", Vec::new()),
        5 | 6 => words("SUBSCRIBE", some(random, CHANNELS, 1)),
        7 => words("PSUBSCRIBE", some(random, PATTERNS, 1)),
        8 | 9 => words("SSUBSCRIBE", some(random, CHANNELS, 1)),
        14 | 15 => words("UNSUBSCRIBE", some(random, CHANNELS, 0)),
        16 | 17 => words("PUNSUBSCRIBE", some(random, PATTERNS, 0)),
        18 | 19 => words("SUNSUBSCRIBE", some(random, CHANNELS, 0)),
        20 => words("RESET", Vec::new()),
        _ => words("CLIENT", vec!["NO-EVICT".to_owned(), "off".to_owned()]),
    };
    Step { who, lines: vec![line] }
}

/// Runs steps until about `plan.commands` commands were sent.
///
/// # Errors
/// When a connection breaks, or with the last steps if something differs.
pub fn run(plan: &Plan, oracle: SocketAddr, subject: SocketAddr) -> Result<()> {
    let mut random = StdRng::seed_from_u64(plan.seed);
    let mut pairs = Vec::new();
    for _ in 0..CLIENTS {
        pairs.push(Pair::connect(plan, oracle, subject)?);
    }
    let mut log: Vec<String> = Vec::new();
    for number in 0..plan.commands {
        let step = step(&mut random, number);
        let pair = pairs.get_mut(step.who).context("a client")?;
        let mut sent = Vec::new();
        for line in &step.lines {
            pair.oracle.send(line)?;
            pair.subject.send(line)?;
            sent.push(line.join(" "));
        }
        let reset = step.lines.iter().any(|line| line.first().is_some_and(|word| word == "RESET"));
        if reset && pair.resp3 {
            for client in [&mut pair.oracle, &mut pair.subject] {
                client.send(&["HELLO", "3"])?;
            }
        }
        log.push(format!("{number}: client {}: {}", step.who, sent.join("; ")));
        let ends_all = step.lines.iter().any(|line| line.len() == 1);
        // The one that acted first: with its replies the others' messages are on their way.
        let order = std::iter::once(step.who).chain((0..CLIENTS).filter(|who| *who != step.who));
        for who in order {
            let mark = format!("mark {number}");
            let pair = pairs.get_mut(who).context("a client")?;
            let expected: Vec<Value> =
                pair.expected(&mark)?.into_iter().filter(|frame| !is_hello(frame)).collect();
            let hello = usize::from(reset && pair.resp3 && who == step.who);
            let told =
                |what: &str| format!("client {who} {what}, SLOTWAY_SEED={}\n{}", plan.seed, tail(&log));
            let given = pair.given(&mark, expected.len() + hello).with_context(|| told("is waiting"))?;
            let given: Vec<Value> = given.into_iter().filter(|frame| !is_hello(frame)).collect();
            let (expected, given) = (comparable(&expected, ends_all), comparable(&given, ends_all));
            if expected != given {
                let mut report = told("got something else");
                writeln!(report, "\n  redis:   {expected:?}\n  slotway: {given:?}")?;
                bail!("{report}");
            }
        }
    }
    Ok(())
}

/// The reply to HELLO tells of versions and ids.
fn is_hello(frame: &Value) -> bool {
    matches!(frame, Value::Map(_))
}

fn tail(log: &[String]) -> String {
    log.iter().skip(log.len().saturating_sub(40)).cloned().collect::<Vec<_>>().join("\n")
}
