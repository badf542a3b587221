//! CPU time per request, throughput and latency of two sides under the same load, in turns.

use anyhow::{Context, Result};
use serde::Serialize;

use crate::Effort;
use crate::cpu;
use crate::load::{BASIC, MULTI_KEY, Outcome, Workload};
use crate::servers::{Options, Side};

/// Requests in flight on each connection.
pub const DEPTHS: [u32; 2] = [1, 16];

/// One command at one depth, on both sides.
#[derive(Debug, Serialize)]
pub struct Comparison {
    pub command: &'static str,
    pub depth: u32,
    /// Requests of each load.
    pub requests: u64,
    pub ours: Figures,
    pub theirs: Figures,
    /// CPU time of what is compared (shard or proxy), ours divided by theirs.
    pub cpu_ratio: f64,
}

/// Medians over the rounds.
#[derive(Debug, Serialize)]
pub struct Figures {
    pub name: &'static str,
    /// CPU microseconds per request of each process: the proxy first, if there is one, then the stores.
    pub cpu_microseconds: Vec<f64>,
    pub requests_per_second: f64,
    pub p50_milliseconds: f64,
    pub p99_milliseconds: f64,
}

/// One load of one side.
struct Sample {
    outcome: Outcome,
    cpu_microseconds: Vec<f64>,
}

/// One shard against one redis-server.
pub fn shard(options: &Options, effort: &Effort) -> Result<Vec<Comparison>> {
    compare(&Side::shard(options)?, &Side::redis()?, &BASIC, effort)
}

/// The proxy with three shards against twemproxy with three redis-servers.
pub fn proxy(options: &Options, effort: &Effort) -> Result<Vec<Comparison>> {
    let workloads: Vec<Workload> = BASIC.into_iter().chain(MULTI_KEY).collect();
    compare(&Side::proxy(options)?, &Side::twemproxy()?, &workloads, effort)
}

fn compare(ours: &Side, theirs: &Side, workloads: &[Workload], effort: &Effort) -> Result<Vec<Comparison>> {
    let mut comparisons = Vec::new();
    for workload in workloads {
        if !effort.commands.is_empty() && !effort.commands.iter().any(|name| workload.name.starts_with(name))
        {
            continue;
        }
        for side in [ours, theirs] {
            prepare(side, workload)?;
        }
        for depth in DEPTHS {
            let comparison = compare_at(ours, theirs, workload, depth, effort)
                .with_context(|| format!("{} at depth {depth}", workload.name))?;
            eprintln!(
                "{} {:>10} depth {depth:>2}: {:>6.2} µs, {} {:>6.2} µs, ratio {:.2}",
                ours.name,
                workload.name,
                comparison.ours.cpu_microseconds.first().copied().unwrap_or_default(),
                theirs.name,
                comparison.theirs.cpu_microseconds.first().copied().unwrap_or_default(),
                comparison.cpu_ratio
            );
            comparisons.push(comparison);
        }
    }
    Ok(comparisons)
}

fn prepare(side: &Side, workload: &Workload) -> Result<()> {
    side.flush()?;
    workload
        .fill(&mut side.client()?)
        .with_context(|| format!("data for {} at {}", workload.name, side.name))?;
    cpu::settle(&side.process_ids())
}

fn compare_at(
    ours: &Side,
    theirs: &Side,
    workload: &Workload,
    depth: u32,
    effort: &Effort,
) -> Result<Comparison> {
    // As many requests as the other side does in the time wanted, for both.
    let trial = 4_000 * u64::from(depth).min(8);
    let rate = workload.run(theirs.endpoint, trial, depth)?.requests_per_second;
    let requests = ((rate * effort.seconds) as u64).max(trial);

    let mut samples: [Vec<Sample>; 2] = [Vec::new(), Vec::new()];
    for round in 0..effort.rounds {
        // Each side goes first in turn.
        let order = if round % 2 == 0 { [0, 1] } else { [1, 0] };
        for which in order {
            let side = if which == 0 { ours } else { theirs };
            if workload.grows() {
                prepare(side, workload)?;
            }
            if let Some(samples) = samples.get_mut(which) {
                samples.push(sample(side, workload, requests, depth)?);
            }
        }
    }
    let [ours_samples, theirs_samples] = samples;
    let ours = figures(ours, &ours_samples);
    let theirs = figures(theirs, &theirs_samples);
    let first = |figures: &Figures| figures.cpu_microseconds.first().copied().unwrap_or(f64::NAN);
    let cpu_ratio = first(&ours) / first(&theirs);
    Ok(Comparison { command: workload.name, depth, requests, ours, theirs, cpu_ratio })
}

fn sample(side: &Side, workload: &Workload, requests: u64, depth: u32) -> Result<Sample> {
    let used = || side.process_ids().into_iter().map(cpu::nanoseconds).collect::<Result<Vec<u64>>>();
    let before = used()?;
    let outcome = workload.run(side.endpoint, requests, depth)?;
    let after = used()?;
    let cpu_microseconds = after
        .iter()
        .zip(&before)
        .map(|(after, before)| (after - before) as f64 / 1000.0 / requests as f64)
        .collect();
    Ok(Sample { outcome, cpu_microseconds })
}

fn figures(side: &Side, samples: &[Sample]) -> Figures {
    let over = |figure: &dyn Fn(&Sample) -> f64| median(samples.iter().map(figure).collect());
    let processes = side.process_ids().len();
    Figures {
        name: side.name,
        cpu_microseconds: (0..processes)
            .map(|process| over(&|sample| sample.cpu_microseconds.get(process).copied().unwrap_or(f64::NAN)))
            .collect(),
        requests_per_second: over(&|sample| sample.outcome.requests_per_second),
        p50_milliseconds: over(&|sample| sample.outcome.p50_milliseconds),
        p99_milliseconds: over(&|sample| sample.outcome.p99_milliseconds),
    }
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
    if values.len().is_multiple_of(2) && middle > 0 {
        (at(middle - 1) + at(middle)) / 2.0
    } else {
        at(middle)
    }
}
