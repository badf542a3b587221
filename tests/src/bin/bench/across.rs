//! Transactions and commands with keys on several shards, through the proxy over three, beside the same on keys of one slot.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use slotway_common::resp::request;
use slotway_common::slot::{SLOTS, slot_of};
use slotway_tests::Client;

use crate::load::{CLIENTS, pipeline};
use crate::servers::{Options, Side};
use crate::{Effort, cpu};

/// One kind of request.
#[derive(Debug, Serialize)]
pub struct Across {
    pub name: &'static str,
    pub clients: u32,
    pub per_second: f64,
    /// Microseconds from the first request to the last reply.
    pub p50: f64,
    pub p999: f64,
    /// CPU microseconds of each, of all processes.
    pub cpu: f64,
}

/// Names, as the report's targets look for them.
pub const ONE_SLOT: &str = "MULTI, keys of one slot";
pub const TWO_SHARDS: &str = "MULTI, keys on two shards";
pub const SAME_KEYS: &str = "MULTI, the same two keys for all";
pub const SHORT_LIST: &str = "LMOVE to another shard and back, list of 10";
pub const LONG_LIST: &str = "LMOVE to another shard and back, list of 1,000,000";

/// Elements of the long list.
const LONG: usize = 1_000_000;

/// What a client sends over and over: lines of which each is sent when the one before is answered, and whose requests, separated by
/// `;`, are sent at once. `{S}` and `{L}` are words whose slots are on the first and the last shard, the client's own but in `shared`.
struct Kind {
    name: &'static str,
    clients: &'static [u32],
    shared: bool,
    lines: &'static [&'static str],
}

const KINDS: [Kind; 8] = [
    Kind { name: "SET", clients: &[1, CLIENTS], shared: false, lines: &["SET {S} 1"] },
    Kind {
        name: ONE_SLOT,
        clients: &[1, CLIENTS],
        shared: false,
        lines: &["MULTI;SET {{S}}a 1;SET {{S}}b 1;EXEC"],
    },
    Kind {
        name: TWO_SHARDS,
        clients: &[1, CLIENTS],
        shared: false,
        lines: &["MULTI;SET {S} 1;SET {L} 1;EXEC"],
    },
    Kind { name: SAME_KEYS, clients: &[CLIENTS], shared: true, lines: &["MULTI;SET {S} 1;SET {L} 1;EXEC"] },
    Kind { name: "MSET, keys on two shards", clients: &[1], shared: false, lines: &["MSET {S} 1 {L} 1"] },
    Kind {
        name: "EVAL, keys on two shards",
        clients: &[1],
        shared: false,
        lines: &["EVAL redis.call('incr',KEYS[1])return(redis.call('incr',KEYS[2])) 2 {S} {L}"],
    },
    Kind { name: SHORT_LIST, clients: &[1], shared: true, lines: LMOVE },
    Kind { name: LONG_LIST, clients: &[1], shared: true, lines: LMOVE },
];

const LMOVE: &[&str] = &["LMOVE {S} {L} LEFT RIGHT", "LMOVE {L} {S} RIGHT LEFT"];

pub fn measure(options: &Options, effort: &Effort) -> Result<Vec<Across>> {
    let side = Side::proxy(options)?;
    let mut all = Vec::new();
    for kind in &KINDS {
        for clients in kind.clients {
            side.flush()?;
            match kind.name {
                SHORT_LIST => fill(&side, 10)?,
                LONG_LIST => fill(&side, (LONG as f64 * effort.scale) as usize)?,
                _ => {}
            }
            let measured = load(&side, kind, *clients, effort.seconds)?;
            eprintln!("{measured:?}");
            all.push(measured);
        }
    }
    Ok(all)
}

/// Makes the list that elements are taken from.
fn fill(side: &Side, elements: usize) -> Result<()> {
    let (key, _) = keys(0);
    let commands = (0..elements).map(|n| vec!["RPUSH".to_owned(), key.clone(), format!("element-{n}")]);
    pipeline(&mut side.client()?, commands)
}

/// A word whose slot is on the first of three shards, and one on the last.
fn keys(number: u32) -> (String, String) {
    let found = |wanted: u16| {
        let mut words = (0..).map(|attempt: u32| format!("{number}-{attempt}"));
        words.find(|word| slot_of(word.as_bytes()) / (SLOTS / 3) == wanted).unwrap_or_default()
    };
    (found(0), found(2))
}

fn load(side: &Side, kind: &Kind, clients: u32, seconds: f64) -> Result<Across> {
    let used = || side.process_ids().into_iter().map(cpu::nanoseconds).sum::<Result<u64>>();
    let stop = AtomicBool::new(false);
    let (before, started) = (used()?, Instant::now());
    let results: Vec<Result<Vec<f64>>> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..clients)
            .map(|number| {
                let stop = &stop;
                scope.spawn(move || play(side, kind, if kind.shared { 0 } else { number }, stop))
            })
            .collect();
        std::thread::sleep(Duration::from_secs_f64(seconds));
        stop.store(true, Ordering::Relaxed);
        let joined = clients.into_iter().map(std::thread::ScopedJoinHandle::join);
        joined.map(|client| client.unwrap_or_else(|_| Err(anyhow::anyhow!("a client panicked")))).collect()
    });
    let (elapsed, after) = (started.elapsed().as_secs_f64(), used()?);
    let mut times: Vec<f64> = results.into_iter().collect::<Result<Vec<_>>>()?.concat();
    times.sort_unstable_by(f64::total_cmp);
    let at = |share: f64| times.get((times.len() as f64 * share) as usize).copied();
    Ok(Across {
        name: kind.name,
        clients,
        per_second: times.len() as f64 / elapsed,
        p50: at(0.5).context("nothing was answered")?,
        p999: at(0.999).context("nothing was answered")?,
        cpu: (after - before) as f64 / 1000.0 / times.len() as f64,
    })
}

/// The microseconds that each took.
fn play(side: &Side, kind: &Kind, number: u32, stop: &AtomicBool) -> Result<Vec<f64>> {
    let (first, last) = keys(number);
    let lines: Vec<(usize, Vec<u8>)> = kind.lines.iter().map(|line| encode(line, &first, &last)).collect();
    let mut client = side.client()?;
    let mut times = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        for (requests, bytes) in &lines {
            let began = Instant::now();
            answered(&mut client, *requests, bytes).context(kind.name)?;
            times.push(began.elapsed().as_secs_f64() * 1e6);
        }
    }
    Ok(times)
}

fn encode(line: &str, first: &str, last: &str) -> (usize, Vec<u8>) {
    let mut bytes = Vec::new();
    for request in line.split(';') {
        let words: Vec<String> =
            request.split(' ').map(|word| word.replace("{S}", first).replace("{L}", last)).collect();
        request::encode(words.iter().map(String::as_bytes), &mut bytes);
    }
    (line.split(';').count(), bytes)
}

fn answered(client: &mut Client, requests: usize, bytes: &[u8]) -> Result<()> {
    client.send_raw(bytes)?;
    for _ in 0..requests {
        let reply = client.receive()?;
        ensure!(!reply.is_error(), "{reply}");
    }
    Ok(())
}
