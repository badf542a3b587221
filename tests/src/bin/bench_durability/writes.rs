//! What keeping a log costs those who write.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use slotway_tests::report::{Report, Row};

use crate::median;
use crate::store::{Log, Store};

/// Keys that are written.
const KEYS: u32 = 100_000;

/// Requests a second, and the 99th percentile of their latency in milliseconds.
struct Outcome {
    rate: f64,
    p99: f64,
}

/// SETs of 50 clients.
fn load(store: &Store, requests: u64, depth: u32) -> Result<Outcome> {
    let output = Command::new("redis-benchmark")
        .args(["-h", &store.address.ip().to_string(), "-p", &store.address.port().to_string()])
        .args(["-c", "50", "-n", &requests.to_string(), "-P", &depth.to_string(), "-r", &KEYS.to_string()])
        .args(["-t", "set", "-d", "32", "--csv"])
        .output()
        .context("redis-benchmark starts")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout);
    // Title, requests a second, average, minimum, p50, p95, p99, maximum.
    let line = text.lines().last().unwrap_or_default();
    let fields: Vec<f64> = line.split(',').filter_map(|field| field.trim_matches('"').parse().ok()).collect();
    let &[rate, _, _, _, _, p99, _] = fields.as_slice() else {
        anyhow::bail!("redis-benchmark printed {line:?}")
    };
    Ok(Outcome { rate, p99 })
}

/// Each in turns, after a round that does not count; the medians.
fn in_turns<const N: usize>(
    stores: &[Store; N],
    requests: u64,
    depth: u32,
    rounds: usize,
) -> Result<[Outcome; N]> {
    let mut rates = [const { Vec::new() }; N];
    let mut slowest = [const { Vec::new() }; N];
    for round in 0..=rounds {
        for (number, store) in stores.iter().enumerate() {
            let Outcome { rate, p99 } = load(store, if round == 0 { requests / 5 } else { requests }, depth)?;
            if round > 0 {
                rates[number].push(rate);
                slowest[number].push(p99);
            }
        }
    }
    let mut slowest = slowest.map(median).into_iter();
    Ok(rates.map(|rates| Outcome { rate: median(rates), p99: slowest.next().unwrap_or(f64::NAN) }))
}

pub fn every_second(report: &mut Report, requests: u64, rounds: usize) -> Result<()> {
    let stores = [
        Store::shard(Log::No)?,
        Store::shard(Log::EverySecond)?,
        Store::redis(Log::No)?,
        Store::redis(Log::EverySecond)?,
    ];
    let [without, with, their_without, their_with] = in_turns(&stores, requests, 16, rounds)?;
    report.add(Row::figure("SET at depth 16 without a log, slotway", without.rate, "1/s"));
    report.add(Row::figure("the same with everysec", with.rate, "1/s"));
    report.add(Row::figure("SET at depth 16 without a log, redis-server", their_without.rate, "1/s"));
    report.add(Row::figure("the same with everysec, redis-server", their_with.rate, "1/s"));
    report.add(Row::at_least("throughput with everysec to without a log", with.rate / without.rate, 0.8, ""));
    report.add(Row::figure("the same, redis-server", their_with.rate / their_without.rate, ""));
    Ok(())
}

pub fn always(report: &mut Report, requests: u64, rounds: usize) -> Result<()> {
    let stores = [Store::shard(Log::Always)?, Store::redis(Log::Always)?];
    let [ours, theirs] = in_turns(&stores, requests, 1, rounds)?;
    report.add(Row::figure("SET with always, 50 clients, slotway", ours.rate, "1/s"));
    report.add(Row::figure("SET with always, 50 clients, redis-server", theirs.rate, "1/s"));
    report.add(Row::at_least("throughput with always to redis-server's", ours.rate / theirs.rate, 1.0, ""));
    report.add(Row::figure("p99 with always, slotway", ours.p99, "ms"));
    report.add(Row::figure("p99 with always, redis-server", theirs.p99, "ms"));
    report.add(Row::at_most("p99 with always to redis-server's", ours.p99 / theirs.p99, 1.0, ""));
    Ok(())
}
