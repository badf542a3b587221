//! What an idle client connection costs at the proxy.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use slotway_tests::Client;

use crate::servers::{Options, Server, Side};
use crate::{Effort, cpu};

#[derive(Debug, Serialize)]
pub struct Idle {
    pub connections: u64,
    pub ours: Cost,
    pub theirs: Cost,
}

/// Resident bytes that each connection adds to the process.
#[derive(Debug, Serialize)]
pub struct Cost {
    pub name: &'static str,
    /// Connected, and nothing sent yet.
    pub connected: f64,
    /// After one SET and one GET of 32 bytes each.
    pub used: f64,
}

/// A proxy takes connections in its own time.
const PATIENCE: Duration = Duration::from_secs(60);

pub fn measure(options: &Options, effort: &Effort) -> Result<Idle> {
    let connections = (10_000.0 * effort.scale) as u64;
    let ours = cost(&Side::proxy(options)?, connections)?;
    let theirs = cost(&Side::twemproxy()?, connections)?;
    Ok(Idle { connections, ours, theirs })
}

fn cost(side: &Side, connections: u64) -> Result<Cost> {
    let proxy = side.proxy.as_ref().context("a proxy")?;
    // Buffers that the first clients make the process allocate are not theirs.
    for _ in 0..100 {
        use_once(&mut side.client()?)?;
    }
    let before = resident(proxy)?;
    let mut clients = Vec::new();
    for number in 0..connections {
        clients.push(connect(side.endpoint).with_context(|| {
            format!("connection {number} of {connections}; are enough open files allowed (ulimit -n)?")
        })?);
    }
    // The last one is served once all before it have been accepted.
    use_once(clients.last_mut().context("a client")?)?;
    cpu::settle(&side.process_ids())?;
    let connected = resident(proxy)?;
    for client in &mut clients {
        use_once(client)?;
    }
    cpu::settle(&side.process_ids())?;
    let used = resident(proxy)?;
    let each = |now: u64| now.saturating_sub(before) as f64 / connections as f64;
    let cost = Cost { name: side.name, connected: each(connected), used: each(used) };
    eprintln!("{}: {:.0} bytes connected, {:.0} after use", cost.name, cost.connected, cost.used);
    Ok(cost)
}

/// The listen queue may be full for a moment.
fn connect(address: SocketAddr) -> Result<Client> {
    let start = Instant::now();
    loop {
        match Client::connect(address) {
            Ok(client) => return Ok(client),
            Err(error) if start.elapsed() > PATIENCE => return Err(error),
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

fn use_once(client: &mut Client) -> Result<()> {
    let value = "x".repeat(32);
    for words in [vec!["SET", "key:000000000001", &value], vec!["GET", "key:000000000001"]] {
        let reply = client.call(&words)?;
        ensure!(!reply.is_error(), "{words:?}: {reply}");
    }
    Ok(())
}

/// Resident memory of a process, in bytes.
fn resident(server: &Server) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.process_id()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
    let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse().context("VmRSS in kB")?;
    Ok(kibibytes * 1024)
}
