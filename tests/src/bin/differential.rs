//! Sends random command streams to a running Slotway and to a redis-server of its own, and tells where their replies
//! differ: `differential ADDRESS [COMMANDS [FAMILY …]] [--resp3]
//! [--through-proxy]`. The seed is printed, and read from
//! `SLOTWAY_SEED`.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use slotway_tests::RedisServer;
use slotway_tests::differential::{self, Plan};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let mut plain = arguments.iter().filter(|argument| !argument.starts_with("--"));
    let subject: SocketAddr = plain.next().context("which address?")?.parse()?;
    let commands = plain.next().map_or(Ok(100_000), |number| number.parse())?;
    let plan = Plan {
        seed: differential::seed(),
        commands,
        resp3: has("--resp3"),
        through_proxy: has("--through-proxy"),
        families: plain.cloned().collect(),
    };
    println!("SLOTWAY_SEED={} {commands} commands", plan.seed);
    let oracle = RedisServer::start()?;
    differential::run(&plan, oracle.address(), subject)?;
    println!("no difference");
    Ok(())
}
