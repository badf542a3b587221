#![forbid(unsafe_code)]
//! Measures moves of slots between two shards behind a proxy, on this machine: how fast they are, what clients feel of
//! them, and what memory they take.

mod cluster;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;

use cluster::{Moved, TwoShards};
use slotway_tests::paced as load;
use slotway_tests::report::{Report, Row};

/// Measures moves of slots.
#[derive(Parser)]
#[command(name = "bench_reshard")]
struct Arguments {
    /// Small data sets: a glance, not a result.
    #[arg(long)]
    quick: bool,
    /// One part alone.
    #[arg(long)]
    only: Option<Part>,
    /// Where the figures go as JSON.
    #[arg(long, default_value = "target/bench-reshard.json")]
    json: PathBuf,
}

/// What can be measured alone.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Moves while nobody writes.
    Idle,
    /// Moves while clients write.
    Load,
    /// A move of one large list while clients use other keys.
    LargeValue,
}

/// Bytes of the values of the large shape.
const LARGE: usize = 16 * 1024;
/// Bytes of the elements of the one large list.
const ELEMENT: usize = 1000;
/// Requests a second beside the move of that list.
const FEW: f64 = 2000.0;
/// Keys that the loads use.
const KEYS: u64 = 200_000;

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let scale = if arguments.quick { 10 } else { 1 };
    let mut report = Report::default();
    let wants = |part| arguments.only.is_none_or(|only| only == part);
    if wants(Part::Idle) {
        without_traffic(&mut report, 1_000_000 / scale, 40_000 / scale).context("moves without traffic")?;
    }
    if wants(Part::Load) {
        under_load(&mut report, if arguments.quick { 2.0 } else { 8.0 }).context("moves under load")?;
    }
    if wants(Part::LargeValue) {
        one_large_value(&mut report, 1_000_000 / scale).context("a move of one large value")?;
    }
    report.finish(&arguments.json)
}

/// Beyond the data that moves, source and target may take so many bytes.
const EXTRA: f64 = 64.0 * 1024.0 * 1024.0;

/// What a move took beyond the data itself.
fn memory(report: &mut Report, what: &str, moved: &Moved) {
    let beyond = moved.extra as f64 - moved.dataset as f64;
    let what = format!("memory of source and target beyond the data that moved, {what}");
    report.add(Row::at_most(&what, beyond.max(0.0) / 1e6, EXTRA / 1e6, "MB"));
}

/// All slots of one shard move to the other, small values and large ones, while nobody writes.
fn without_traffic(report: &mut Report, small: u64, large: u64) -> Result<()> {
    let mut cluster = TwoShards::start()?;
    load::fill(cluster.endpoint(), small, 16)?;
    let moved = cluster.move_all()?;
    report.add(Row::at_least(
        "small keys a second, no traffic",
        small as f64 / moved.seconds,
        200_000.0,
        "keys/s",
    ));
    report.add(Row::figure("bytes of keys and values of that", moved.dataset as f64 / 1e6, "MB"));
    memory(report, "small keys", &moved);
    cluster.flush()?;
    load::fill(cluster.endpoint(), large, LARGE)?;
    let moved = cluster.move_all()?;
    let megabytes = (large * LARGE as u64) as f64 / 1e6;
    report.add(Row::at_least("values of 16 KiB, no traffic", megabytes / moved.seconds, 400.0, "MB/s"));
    memory(report, "values of 16 KiB", &moved);
    Ok(())
}

/// Moves there and back while clients write, at half of what the proxy can take and at all of it.
fn under_load(report: &mut Report, seconds: f64) -> Result<()> {
    let mut cluster = TwoShards::start()?;
    load::fill(cluster.endpoint(), KEYS, 32)?;
    let most = load::most(cluster.endpoint(), KEYS, Duration::from_secs_f64(seconds / 2.0))?;
    report.add(Row::figure("most requests a second (SET and GET, depth 1)", most, "1/s"));
    let before = load::paced(cluster.endpoint(), KEYS, most / 2.0, || {
        std::thread::sleep(Duration::from_secs_f64(seconds));
        Ok(())
    })?;
    let mut moves = 0;
    let during = load::paced(cluster.endpoint(), KEYS, most / 2.0, || {
        let started = std::time::Instant::now();
        while started.elapsed().as_secs_f64() < seconds {
            cluster.move_all()?;
            moves += 1;
        }
        Ok(())
    })?;
    report.add(Row::figure(
        "moves of all slots in that time, at half the maximum rate",
        f64::from(moves),
        "",
    ));
    report.add(Row::figure("client p99 before", before.p99_milliseconds, "ms"));
    report.add(Row::figure("client p99 during moves", during.p99_milliseconds, "ms"));
    report.add(Row::at_most(
        "client p99 during moves to before",
        during.p99_milliseconds / before.p99_milliseconds,
        3.0,
        "",
    ));
    report.add(Row::at_most("error replies", (before.errors + during.errors) as f64, 0.0, ""));
    report.add(Row::at_most(
        "slots parked, 99th percentile (upper bound of its bucket)",
        cluster.park_p99()?,
        10.0,
        "ms",
    ));
    let seconds =
        load::under_heaviest(cluster.endpoint(), KEYS, || cluster.move_all().map(|moved| moved.seconds))?;
    report.add(Row::figure("a move of all slots under SETs at depth 16 of 50 clients", seconds, "s"));
    report.add(Row::figure("slots parked by then, 99th percentile", cluster.park_p99()?, "ms"));
    Ok(())
}

/// A list of a gigabyte moves with everything else, while clients use other keys: what they feel of it.
fn one_large_value(report: &mut Report, elements: u64) -> Result<()> {
    let mut cluster = TwoShards::start()?;
    load::fill(cluster.endpoint(), KEYS, 32)?;
    load::fill_list(cluster.endpoint(), "list", elements, ELEMENT)?;
    let before = load::paced(cluster.endpoint(), KEYS, FEW, || {
        std::thread::sleep(Duration::from_secs(2));
        Ok(())
    })?;
    let mut moved = None;
    let during = load::paced(cluster.endpoint(), KEYS, FEW, || {
        moved = Some(cluster.move_all()?);
        Ok(())
    })?;
    let moved = moved.context("the move")?;
    let length = slotway_tests::Client::connect(cluster.endpoint())?.run("LLEN list")?.as_int();
    anyhow::ensure!(
        length.is_some_and(|length| length as u64 >= elements),
        "the list has {length:?} elements"
    );
    let gigabytes = (elements * ELEMENT as u64) as f64 / 1e9;
    report.add(Row::figure(
        &format!("a move of all slots, one with a list of {gigabytes} GB"),
        moved.seconds,
        "s",
    ));
    memory(report, "that list", &moved);
    for (when, felt) in [("before", before), ("during", during)] {
        report.add(Row::figure(
            &format!("client p99 {when} it, {FEW} requests/s"),
            felt.p99_milliseconds,
            "ms",
        ));
        report.add(Row::figure(&format!("slowest request {when} it"), felt.most_milliseconds, "ms"));
        report.add(Row::at_most(&format!("error replies {when} it"), felt.errors as f64, 0.0, ""));
    }
    Ok(())
}
