//! What clients cost that wait for data: memory, and time while nothing happens.

use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;
use slotway_tests::crowd::Crowd;
use slotway_tests::process::resident_bytes;

use crate::servers::{Options, Side};
use crate::{Effort, cpu};

const KEY: &str = "bench:waiting";
/// How long they are watched waiting.
const WATCHED: Duration = Duration::from_secs(5);

/// Of clients that wait in BLPOP.
#[derive(Debug, Serialize)]
pub struct Waiting {
    pub name: &'static str,
    pub clients: usize,
    /// Resident bytes that each adds to the process that it is connected to.
    pub bytes: f64,
    /// The same of the shards behind a proxy.
    pub bytes_behind: f64,
    /// CPU milliseconds a second of all processes, before the clients came and while they wait.
    pub idle_cpu: f64,
    pub waiting_cpu: f64,
    /// Seconds until all were served.
    pub served: f64,
}

pub fn measure(options: &Options, effort: &Effort) -> Result<Vec<Waiting>> {
    let count = (10_000.0 * effort.scale) as usize;
    let sides = [Side::proxy, Side::shard, |_: &Options| Side::redis()];
    sides.into_iter().map(|side| wait(&side(options)?, count)).collect()
}

fn wait(side: &Side, count: usize) -> Result<Waiting> {
    // Buffers that the first clients make the processes allocate are not theirs.
    let mut first = Crowd::connect(side.endpoint, 100)?;
    first.wait_for(KEY)?;
    first.serve(KEY)?;
    drop(first);
    let idle_cpu = cpu_over(side)?;
    let front = side.proxy.as_ref().or(side.stores.first()).context("a server")?.process_id();
    let behind = || side.process_ids().into_iter().filter(|id| *id != front).map(resident_bytes).sum::<u64>();
    let before = (resident_bytes(front), behind());
    let mut crowd = Crowd::connect(side.endpoint, count)?;
    crowd.wait_for(KEY)?;
    cpu::settle(&side.process_ids())?;
    let after = (resident_bytes(front), behind());
    let waiting_cpu = cpu_over(side)?;
    let served = crowd.serve(KEY).with_context(|| side.name)?.as_secs_f64();
    let each = |before: u64, after: u64| after.saturating_sub(before) as f64 / crowd.len() as f64;
    Ok(Waiting {
        name: side.name,
        clients: crowd.len(),
        bytes: each(before.0, after.0),
        bytes_behind: each(before.1, after.1),
        idle_cpu,
        waiting_cpu,
        served,
    })
}

/// CPU milliseconds a second that the processes use while nobody asks for anything.
fn cpu_over(side: &Side) -> Result<f64> {
    let used = || side.process_ids().into_iter().map(cpu::nanoseconds).sum::<Result<u64>>();
    cpu::settle(&side.process_ids())?;
    let before = used()?;
    std::thread::sleep(WATCHED);
    Ok((used()? - before) as f64 / 1e6 / WATCHED.as_secs_f64())
}
