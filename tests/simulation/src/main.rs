//! Simulates a cluster whose hosts and network fail at random, and says what must never have been.
//!
//! One process is one simulation: what the standard library and tokio draw at random is drawn once a process. So many
//! seeds are many processes, this program's own.

mod clients;
mod entropy;
mod faults;
mod invariants;
mod node;
mod operator;
mod proxy;
mod search;
mod shared;
mod world;

use std::process::ExitCode;

use clap::Parser;

/// Simulates clusters under faults; exits with 1 when something is wrong.
#[derive(Parser)]
pub struct Arguments {
    /// Simulates this seed alone.
    #[arg(long)]
    seed: Option<u64>,
    /// Shows everything that happens.
    #[arg(long, requires = "seed")]
    trace: bool,
    /// The first of many seeds; drawn at random if it is not given.
    #[arg(long, conflicts_with = "seed")]
    from: Option<u64>,
    /// How many seeds at most.
    #[arg(long, default_value_t = u64::MAX, hide_default_value = true)]
    count: u64,
    /// Seconds after which no more seeds are begun.
    #[arg(long, default_value_t = u64::MAX, hide_default_value = true)]
    seconds: u64,
    /// Simulations at once.
    #[arg(long, default_value_t = slotway_common::platform::threads::cores())]
    jobs: usize,
    /// A bug to plant, see the tests: must be found.
    #[arg(long)]
    planted: Option<String>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let Some(seed) = arguments.seed else { return search::run(&arguments) };
    if arguments.trace {
        tracing_subscriber::fmt()
            .with_max_level(tracing_subscriber::filter::LevelFilter::INFO)
            .without_time()
            .init();
    }
    // On a thread of its own: what is drawn once a thread has not been drawn there.
    let simulation = std::thread::spawn(move || {
        entropy::seed(seed);
        world::run(seed, arguments.trace)
    });
    match simulation.join().unwrap_or_else(|_| Err(anyhow::anyhow!("a part of it has panicked"))) {
        Ok(report) => {
            for what in &report.wrong {
                println!("{what}");
            }
            println!(
                "seed {seed}: {} after {:?}, {} commands answered, {} moves begun, {} finished, {} losses, {} events, digest {:016x}",
                if report.wrong.is_empty() { "well" } else { "WRONG" },
                report.elapsed,
                report.commands,
                report.moves,
                report.finished,
                report.losses,
                report.events,
                report.digest
            );
            ExitCode::from(u8::from(!report.wrong.is_empty()))
        }
        Err(error) => {
            println!("seed {seed}: {error:#}");
            ExitCode::from(1)
        }
    }
}
