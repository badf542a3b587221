//! Random command streams, sent to a real redis-server and to Slotway, their replies compared.
//!
//! The streams are generated from the command table's own argument grammar, so a command is covered as soon as it has
//! a row; what a grammar cannot say (pools of keys by type, edge cases of numbers, ranges) stands in [`generate`]. Which
//! replies may differ, and why, stands in [`compare`].

pub mod acl;
pub mod blocking;
pub mod compare;
pub mod contents;
pub mod events;
pub mod generate;
pub mod memory;
mod pair;
pub mod pause;
pub mod pubsub;
mod round;
pub mod scripts;
pub mod statistics;
pub mod touched;
pub mod tracking;
pub mod transactions;

use std::fmt::Write as _;
use std::net::SocketAddr;

use anyhow::{Context, Result, bail};
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::client::Client;
use crate::cluster::{self, Cluster};
use crate::redis_server::RedisServer;
use compare::Verdict;
use generate::Generator;

/// What a run is made of.
#[derive(Clone, Debug)]
pub struct Plan {
    pub seed: u64,
    pub commands: usize,
    pub resp3: bool,
    /// The subject is a proxy over several shards.
    pub through_proxy: bool,
    /// Families of commands to draw from; empty: all.
    pub families: Vec<String>,
}

/// Commands sent before their replies are read.
const BATCH: usize = 100;
/// Contents are compared after so many batches.
const CONTENTS_EVERY: usize = 50;
/// Differences told before a run ends.
const TOLD: usize = 12;

/// The seed of a run: from `SLOTWAY_SEED`, or a new one.
#[must_use]
pub fn seed() -> u64 {
    std::env::var("SLOTWAY_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or_else(rand::random)
}

/// Which of ours is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A shard that owns every slot, spoken to directly.
    Shard,
    /// A proxy over three shards.
    Proxy,
}

/// Starts both servers and has `run` compare them: first the real one, then ours. Prints the seed.
///
/// # Errors
/// When one of them does not start, or with what `run` has found.
pub fn compare(
    subject: Subject,
    resp3: bool,
    commands: usize,
    run: impl FnOnce(&Plan, SocketAddr, SocketAddr) -> Result<()>,
) -> Result<()> {
    let seed = seed();
    println!("SLOTWAY_SEED={seed}");
    let shards = if subject == Subject::Proxy { 3 } else { 1 };
    let mut cluster = Cluster::start_with(&cluster::Plan { shards, ..cluster::Plan::default() })?;
    let address = match subject {
        Subject::Shard => cluster.layout().nodes[0].address,
        Subject::Proxy => cluster.endpoint(),
    };
    let oracle = RedisServer::start()?;
    let through_proxy = subject == Subject::Proxy;
    let plan = Plan { seed, commands, resp3, through_proxy, families: Vec::new() };
    let result = run(&plan, oracle.address(), address);
    if result.is_err() {
        println!("slotway up printed:\n{}", cluster.up().lines().join("\n"));
    }
    result
}

/// Runs the stream on both servers.
///
/// # Errors
/// When a connection breaks, or with a report of the differences found.
pub fn run(plan: &Plan, oracle: SocketAddr, subject: SocketAddr) -> Result<()> {
    let connect = |address| Client::connect_with(address, plan.resp3);
    let (mut oracle, mut subject) = (connect(oracle)?, connect(subject)?);
    let mut generator = Generator::new(StdRng::seed_from_u64(plan.seed), false, &plan.families);
    let mut report = String::new();
    let mut differences = 0;
    let (mut sent, mut batches) = (0, 0);
    reset(&mut oracle, &mut subject)?;
    while sent < plan.commands && differences < TOLD {
        let batch = generator.batch(BATCH);
        for request in &batch {
            oracle.send(&request.args)?;
            subject.send(&request.args)?;
        }
        let mut differs = false;
        for (index, request) in batch.iter().enumerate() {
            let told = |who| move || format!("{who}, command {}: {request}", sent + index);
            let expected = oracle.receive().with_context(told("redis"))?;
            let given = subject.receive().with_context(told("slotway"))?;
            if let ("dump", Some(dump)) = (request.name(), expected.as_bytes()) {
                generator.learn(dump);
            }
            if let Verdict::Different = compare::verdict(request, &expected, &given) {
                differs = true;
                differences += 1;
                if differences <= TOLD {
                    writeln!(report, "\ncommand {}: {}", sent + index, request)?;
                    writeln!(report, "  redis:   {expected}\n  slotway: {given}")?;
                    for earlier in batch[..index].iter().filter(|earlier| earlier.shares_key(request)) {
                        writeln!(report, "    after {earlier}")?;
                    }
                }
            }
        }
        sent += batch.len();
        batches += 1;
        if (batches % CONTENTS_EVERY == 0 || sent >= plan.commands)
            && let Some(difference) = contents::difference(&mut oracle, &mut subject)?
        {
            differs = true;
            differences += 1;
            writeln!(report, "\ncontents after {sent} commands: {difference}")?;
        }
        if differs || batches % (CONTENTS_EVERY * 4) == 0 {
            // One difference makes others: both start from nothing again.
            reset(&mut oracle, &mut subject)?;
            generator.reset();
        }
    }
    if differences > 0 {
        bail!(
            "{differences} differences in {sent} commands, with SLOTWAY_SEED={} ({}):{report}",
            plan.seed,
            if plan.resp3 { "RESP3" } else { "RESP2" }
        );
    }
    Ok(())
}

fn reset(oracle: &mut Client, subject: &mut Client) -> Result<()> {
    for client in [oracle, subject] {
        client.run("SELECT 0")?;
        let reply = client.run("FLUSHALL")?;
        if reply.is_error() {
            bail!("FLUSHALL: {reply}");
        }
    }
    Ok(())
}
