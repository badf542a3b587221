#![forbid(unsafe_code)]
//! Measures what the log costs and how long a restart takes, side by side with redis-server, on this machine.

mod compaction;
mod restart;
mod store;
mod writes;

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Parser;
use slotway_tests::report::Report;

/// Measures the log and restarts.
#[derive(Parser)]
#[command(name = "bench_durability")]
struct Arguments {
    /// Small data sets: a glance, not a result.
    #[arg(long)]
    quick: bool,
    /// Parts to measure: restart, everysec, always, compaction.
    #[arg(long, value_delimiter = ',', default_values = ["restart", "everysec", "always", "compaction"])]
    only: Vec<String>,
    /// How often each is measured; the medians count.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Where the figures go as JSON.
    #[arg(long, default_value = "target/bench-durability.json")]
    json: PathBuf,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let scale = if arguments.quick { 10 } else { 1 };
    let rounds = arguments.rounds.max(1);
    let mut report = Report::default();
    for part in &arguments.only {
        match part.as_str() {
            "restart" => restart::measure(&mut report, 5_000_000 / scale, rounds),
            "everysec" => writes::every_second(&mut report, 3_000_000 / scale, rounds),
            "always" => writes::always(&mut report, 60_000 / scale, rounds),
            "compaction" => compaction::measure(&mut report, 5_000_000 / scale, rounds),
            other => anyhow::bail!("there is no part {other}"),
        }
        .with_context(|| part.clone())?;
    }
    report.finish(&arguments.json)
}

/// The one in the middle.
fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}
