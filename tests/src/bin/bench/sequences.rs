//! Requests that make sense only one after the other, or on two connections: transactions, hand-overs to a client that
//! waits, messages of a stream. Many connections, each of which sends when it has its replies.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde::Serialize;
use slotway_common::resp::request;
use slotway_tests::Client;

use crate::cpu;
use crate::load::CLIENTS;
use crate::servers::{Options, Side};
use crate::{Effort, throughput::median};

/// One sequence on both sides.
#[derive(Debug, Serialize)]
pub struct Sequence {
    pub name: &'static str,
    /// What stands before the stores on our side.
    pub through: &'static str,
    /// Sequences a second.
    pub ours_per_second: f64,
    pub theirs_per_second: f64,
    /// CPU microseconds a sequence, of all processes of a side.
    pub ours_cpu: f64,
    pub theirs_cpu: f64,
}

/// What a client does over and over: the requests that it sends at once over its first connection, and over its second.
struct Steps {
    name: &'static str,
    first: &'static [&'static str],
    second: &'static [&'static str],
    /// Once, before.
    before: &'static [&'static str],
}

const STEPS: [Steps; 4] = [
    Steps {
        name: "MULTI with 5 commands",
        before: &[],
        first: &[
            "MULTI",
            "SET {KEY}a 1",
            "INCR {KEY}b",
            "HSET {KEY}c f v",
            "GET {KEY}a",
            "EXPIRE {KEY}c 1000",
            "EXEC",
        ],
        second: &[],
    },
    Steps {
        name: "BLPOP that waits, and RPUSH",
        before: &[],
        first: &["BLPOP {KEY}l 0"],
        second: &["RPUSH {KEY}l v"],
    },
    Steps {
        name: "XADD and XREADGROUP",
        before: &["XGROUP CREATE {KEY}x g $ MKSTREAM"],
        first: &["XADD {KEY}x MAXLEN 100 * f value", "XREADGROUP GROUP g c COUNT 1 NOACK STREAMS {KEY}x >"],
        second: &[],
    },
    Steps {
        name: "EVAL of a GET",
        before: &["SET {KEY}s v"],
        first: &["EVAL return@redis.call('get',KEYS[1]) 1 {KEY}s"],
        second: &[],
    },
];

/// On a shard, and through the proxy over three, against one redis-server each.
pub fn measure(options: &Options, effort: &Effort) -> Result<Vec<Sequence>> {
    let theirs = Side::redis()?;
    let mut all = Vec::new();
    for (through, ours) in [("none", Side::shard(options)?), ("proxy", Side::proxy(options)?)] {
        for steps in &STEPS {
            let wanted = effort.commands.is_empty()
                || effort.commands.iter().any(|name| steps.name.starts_with(name.as_str()));
            if !wanted {
                continue;
            }
            let mut samples: [Vec<(f64, f64)>; 2] = [Vec::new(), Vec::new()];
            for round in 0..effort.rounds {
                for which in [round % 2, 1 - round % 2] {
                    let side = if which == 0 { &ours } else { &theirs };
                    side.flush()?;
                    samples[which].push(sample(side, steps, effort.seconds)?);
                }
            }
            let of = |which: usize, figure: fn(&(f64, f64)) -> f64| {
                median(samples[which].iter().map(figure).collect())
            };
            let sequence = Sequence {
                name: steps.name,
                through,
                ours_per_second: of(0, |sample| sample.0),
                theirs_per_second: of(1, |sample| sample.0),
                ours_cpu: of(0, |sample| sample.1),
                theirs_cpu: of(1, |sample| sample.1),
            };
            eprintln!("{sequence:?}");
            all.push(sequence);
        }
    }
    Ok(all)
}

/// Sequences a second, and CPU microseconds of each.
fn sample(side: &Side, steps: &Steps, seconds: f64) -> Result<(f64, f64)> {
    let (stop, done) = (AtomicBool::new(false), AtomicU64::new(0));
    let used = || side.process_ids().into_iter().map(cpu::nanoseconds).sum::<Result<u64>>();
    let (before, started) = (used()?, Instant::now());
    let results: Vec<Result<()>> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let (stop, done) = (&stop, &done);
                scope.spawn(move || play(side.endpoint, steps, number, stop, done))
            })
            .collect();
        std::thread::sleep(Duration::from_secs_f64(seconds.max(0.3)));
        stop.store(true, Ordering::Relaxed);
        clients
            .into_iter()
            .map(|client| client.join().unwrap_or_else(|_| Err(anyhow::anyhow!("a client panicked"))))
            .collect()
    });
    results.into_iter().collect::<Result<()>>()?;
    let (elapsed, after) = (started.elapsed().as_secs_f64(), used()?);
    let count = done.load(Ordering::Relaxed) as f64;
    Ok((count / elapsed, (after - before) as f64 / 1000.0 / count))
}

fn play(endpoint: SocketAddr, steps: &Steps, number: u32, stop: &AtomicBool, done: &AtomicU64) -> Result<()> {
    let encode = |lines: &[&str]| {
        let mut bytes = Vec::new();
        for line in lines {
            let words: Vec<String> = line
                .split(' ')
                .map(|word| word.replace("{KEY}", &format!("{{{number}}}")).replace('@', " "))
                .collect();
            request::encode(words.iter().map(String::as_bytes), &mut bytes);
        }
        bytes
    };
    let (mut one, mut two) = (Client::connect(endpoint)?, Client::connect(endpoint)?);
    let run = |client: &mut Client, bytes: &[u8]| client.send_raw(bytes);
    let take = |client: &mut Client, replies: usize| -> Result<()> {
        for _ in 0..replies {
            let reply = client.receive()?;
            ensure!(!reply.is_error(), "{}: {reply}", steps.name);
        }
        Ok(())
    };
    run(&mut one, &encode(steps.before))?;
    take(&mut one, steps.before.len())?;
    let (first, second) = (encode(steps.first), encode(steps.second));
    while !stop.load(Ordering::Relaxed) {
        run(&mut one, &first)?;
        run(&mut two, &second)?;
        take(&mut one, steps.first.len())?;
        take(&mut two, steps.second.len())?;
        done.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}
