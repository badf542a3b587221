#![forbid(unsafe_code)]
//! Compares Slotway with redis-server and twemproxy on this machine, in one run.
//!
//! Both sides of a comparison run at the same time and are loaded in turns, so that what else the machine does hits
//! both. CPU time is the measure that matters: it is what a core is worth, and it is far less noisy than throughput.

mod across;
mod cpu;
mod idle;
mod load;
mod memory;
mod messages;
mod queues;
mod report;
mod sequences;
mod servers;
mod throughput;
mod waiting;

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};

use report::Report;

/// Compares Slotway with redis-server and twemproxy.
#[derive(Parser)]
#[command(name = "bench")]
struct Arguments {
    /// What to measure: everything if not given.
    #[arg(long, value_delimiter = ',')]
    only: Vec<Part>,
    /// Commands of the throughput parts, for example GET,ZADD: all if not given.
    #[arg(long, value_delimiter = ',')]
    commands: Vec<String>,
    /// How often each measurement is repeated; the median counts.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// About how long each load lasts.
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// One round of short loads and small data sets: a glance, not a result.
    #[arg(long)]
    quick: bool,
    /// Worker threads of the proxy: its own default if not given.
    #[arg(long)]
    proxy_workers: Option<u16>,
    /// The other side's program in place of Slotway's shard or proxy, to see what the measurement itself gives.
    #[arg(long)]
    placebo: bool,
    /// Where the figures go as JSON.
    #[arg(long, default_value = "target/bench.json")]
    json: PathBuf,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// One shard against redis-server.
    Shard,
    /// The proxy with three shards against twemproxy with three redis-servers.
    Proxy,
    /// Transactions and the like, on a shard and through the proxy, against redis-server.
    Sequences,
    /// Bytes per key.
    Memory,
    /// Memory of idle connections at the proxy.
    Idle,
    /// PUBLISH to 100 subscribers, through the proxy with three shards and at redis-server.
    Messages,
    /// Clients that wait in BLPOP: memory, and CPU meanwhile.
    Waiting,
    /// Transactions and commands with keys on several shards, through the proxy.
    Across,
    /// Jobs of task queues, through the proxy.
    Queues,
}

/// How much is measured.
#[derive(Clone)]
struct Effort {
    rounds: usize,
    seconds: f64,
    /// Factor on the sizes of data sets.
    scale: f64,
    commands: Vec<String>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let effort = Effort {
        rounds: if arguments.quick { 1 } else { arguments.rounds.max(1) },
        seconds: if arguments.quick { 0.3 } else { arguments.seconds },
        scale: if arguments.quick { 0.2 } else { 1.0 },
        commands: arguments.commands.iter().map(|name| name.to_ascii_uppercase()).collect(),
    };
    let options = servers::Options { proxy_workers: arguments.proxy_workers, placebo: arguments.placebo };
    let wanted = |part: Part| arguments.only.is_empty() || arguments.only.contains(&part);

    let mut report = Report::new();
    if wanted(Part::Shard) {
        report.shard = throughput::shard(&options, &effort).context("one shard against redis-server")?;
    }
    if wanted(Part::Proxy) {
        report.proxy = throughput::proxy(&options, &effort).context("proxy against twemproxy")?;
    }
    if wanted(Part::Sequences) {
        report.sequences = sequences::measure(&options, &effort).context("sequences against redis-server")?;
    }
    if wanted(Part::Memory) {
        report.memory = memory::measure(&options, &effort).context("bytes per key")?;
    }
    if wanted(Part::Idle) {
        report.idle = Some(idle::measure(&options, &effort).context("idle connections")?);
    }
    if wanted(Part::Messages) {
        report.messages = Some(messages::measure(&options, &effort).context("PUBLISH to many subscribers")?);
    }
    if wanted(Part::Waiting) {
        report.waiting = waiting::measure(&options, &effort).context("clients that wait")?;
    }
    if wanted(Part::Across) {
        report.across = across::measure(&options, &effort).context("keys on several shards")?;
    }
    if wanted(Part::Queues) {
        report.queues = queues::measure(&options, &effort).context("task queues")?;
    }
    println!("{}", report.text());
    if let Some(folder) = arguments.json.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(&arguments.json, serde_json::to_string_pretty(&report)? + "\n")?;
    println!("figures as JSON: {}", arguments.json.display());
    Ok(())
}
