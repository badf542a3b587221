//! What clients and the machine's memory feel of a new base, and of redis-server's fork.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use slotway_tests::paced;
use slotway_tests::report::{Report, Row};

use crate::median;
use crate::store::{Log, Store};

/// How long the load is measured before.
const BEFORE: Duration = Duration::from_secs(5);
/// Turns of the data thread that take longer are noted, in milliseconds.
const LONG: u64 = 5;

/// Of one store.
struct Felt {
    rate: f64,
    before: f64,
    during: f64,
    slowest: f64,
    seconds: f64,
    /// Resident memory at most while it ran, to before.
    memory: f64,
    /// The longest turn of the data thread over [`LONG`] milliseconds, 0 if there was none.
    longest_turn: f64,
}

pub fn measure(report: &mut Report, keys: u64, rounds: usize) -> Result<()> {
    for is_redis in [false, true] {
        let log = Log::EverySecond;
        let store = if is_redis { Store::redis(log)? } else { Store::shard(log)? };
        store.fill(keys)?;
        wait_until_rewritten(&store)?;
        let felt: Vec<Felt> = (0..rounds).map(|_| compacted(&store, keys)).collect::<Result<_>>()?;
        let figure = |of: fn(&Felt) -> f64| median(felt.iter().map(of).collect());
        let who = store.name();
        report.add(Row::figure(
            &format!("compaction, {who}: half of the most requests a second"),
            figure(|felt| felt.rate),
            "1/s",
        ));
        report.add(Row::figure(&format!("compaction, {who}: time"), figure(|felt| felt.seconds), "s"));
        report.add(Row::figure(
            &format!("compaction, {who}: client p99 before"),
            figure(|felt| felt.before),
            "ms",
        ));
        report.add(Row::figure(
            &format!("compaction, {who}: client p99 during"),
            figure(|felt| felt.during),
            "ms",
        ));
        report.add(Row::figure(
            &format!("compaction, {who}: slowest request"),
            figure(|felt| felt.slowest),
            "ms",
        ));
        let (ratio, memory) = (figure(|felt| felt.during / felt.before), figure(|felt| felt.memory));
        let ratio_of = format!("compaction, {who}: client p99 during to before");
        let memory_of = format!("compaction, {who}: resident memory at most, to before");
        if is_redis {
            report.add(Row::figure(&ratio_of, ratio, ""));
            report.add(Row::figure(&memory_of, memory, ""));
        } else {
            report.add(Row::at_most(&ratio_of, ratio, 2.0, ""));
            report.add(Row::at_most(&memory_of, memory, 1.05, ""));
            let longest = felt.iter().map(|felt| felt.longest_turn).fold(0.0, f64::max);
            let what = format!("compaction, {who}: longest slice or command over {LONG} ms (0: none)");
            report.add(Row::at_most(&what, longest, 0.0, "ms"));
        }
    }
    Ok(())
}

fn wait_until_rewritten(store: &Store) -> Result<()> {
    while store.info("aof_rewrite_in_progress")? == "1" {
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

fn compacted(store: &Store, keys: u64) -> Result<Felt> {
    let rate = paced::most(store.address, keys, Duration::from_secs(3))? / 2.0;
    store.run(&format!("CONFIG SET latency-monitor-threshold {LONG}"))?;
    let before = paced::paced(store.address, keys, rate, || {
        std::thread::sleep(BEFORE);
        Ok(())
    })?;
    let resident = store.resident_bytes();
    let (stop, most) = (AtomicBool::new(false), AtomicU64::new(resident));
    store.run("LATENCY RESET")?;
    let mut seconds = 0.0;
    let during = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                most.fetch_max(store.resident_bytes(), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        let during = paced::paced(store.address, keys, rate, || {
            let started = Instant::now();
            store.run("BGREWRITEAOF")?;
            wait_until_rewritten(store)?;
            seconds = started.elapsed().as_secs_f64();
            Ok(())
        });
        stop.store(true, Ordering::Relaxed);
        during
    })?;
    Ok(Felt {
        rate,
        before: before.p99_milliseconds,
        during: during.p99_milliseconds,
        slowest: during.most_milliseconds,
        seconds,
        memory: most.load(Ordering::Relaxed) as f64 / resident as f64,
        longest_turn: longest_turn(store)?,
    })
}

/// The longest of the events that LATENCY LATEST tells.
fn longest_turn(store: &Store) -> Result<f64> {
    let events = store.client()?.run("LATENCY LATEST")?;
    let mut longest = 0;
    for event in events.as_array().unwrap_or_default() {
        // Name, time, latest, longest.
        let took = event.as_array().and_then(|fields| fields.get(3)?.as_int()).unwrap_or(0);
        if took > 0 {
            eprintln!("{}: {event}", store.name());
        }
        longest = longest.max(took);
    }
    Ok(longest as f64)
}
