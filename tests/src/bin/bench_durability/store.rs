//! The two that are compared: one shard that owns every slot, and one redis-server. Each can be killed and started again.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use slotway_tests::cluster::{Layout, Plan};
use slotway_tests::folder::Folder;
use slotway_tests::ports::free_ports;
use slotway_tests::process;
use slotway_tests::programs::binary;
use slotway_tests::{Client, paced};

/// How a store keeps its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Log {
    No,
    EverySecond,
    Always,
}

enum Files {
    Shard(Layout),
    Redis(Folder),
}

/// A running process. It ends with this value.
pub struct Store {
    files: Files,
    log: Log,
    pub address: SocketAddr,
    child: Option<Child>,
}

/// Longer than reading any data set takes.
const PATIENCE: Duration = Duration::from_secs(300);

impl Store {
    pub fn shard(log: Log) -> Result<Store> {
        let settings = match log {
            Log::No => vec![("appendonly", "no")],
            Log::EverySecond => vec![("appendonly", "yes"), ("appendfsync", "everysec")],
            Log::Always => vec![("appendonly", "yes"), ("appendfsync", "always")],
        };
        // No new base but those that are asked for.
        let settings = settings.into_iter().chain([("auto-aof-rewrite-percentage", "0"), ("save", "")]);
        let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let layout = Layout::new(&Plan { shards: 1, proxies: 0, settings })?;
        let address = layout.nodes[0].address;
        Store { files: Files::Shard(layout), log, address, child: None }.started()
    }

    pub fn redis(log: Log) -> Result<Store> {
        let port = free_ports(1).first().copied().unwrap_or_default();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Store { files: Files::Redis(Folder::new()?), log, address, child: None }.started()
    }

    fn started(mut self) -> Result<Store> {
        self.start()?;
        Ok(self)
    }

    pub fn name(&self) -> &'static str {
        match self.files {
            Files::Shard(_) => "slotway-shard",
            Files::Redis(_) => "redis-server",
        }
    }

    fn command(&self) -> Command {
        match &self.files {
            Files::Shard(layout) => {
                let mut command = Command::new(binary("slotway-shard"));
                command
                    .args(["--cluster", "cluster.yaml", "--node", "a-0", "--exit-with-stdin"])
                    .current_dir(layout.directory());
                command
            }
            Files::Redis(folder) => {
                let mut command = Command::new("redis-server");
                command
                    .args(["--bind", "127.0.0.1", "--port", &self.address.port().to_string(), "--save", ""])
                    .args(["--auto-aof-rewrite-percentage", "0", "--dir"])
                    .arg(folder.path());
                match self.log {
                    Log::No => command.args(["--appendonly", "no"]),
                    Log::EverySecond => command.args(["--appendonly", "yes", "--appendfsync", "everysec"]),
                    Log::Always => command.args(["--appendonly", "yes", "--appendfsync", "always"]),
                };
                command
            }
        }
    }

    /// Starts the process and waits until it serves its keys; gives how long that took.
    pub fn start(&mut self) -> Result<Duration> {
        let started = Instant::now();
        let mut command = self.command();
        let null = || Stdio::null();
        let child = command.stdin(Stdio::piped()).stdout(null()).stderr(null()).spawn()?;
        let child = self.child.insert(child);
        loop {
            let answered = Client::connect(self.address).and_then(|mut client| client.run("GET nothing"));
            if answered.is_ok_and(|reply| !reply.is_error()) {
                return Ok(started.elapsed());
            }
            ensure!(child.try_wait()?.is_none(), "{command:?} has ended");
            ensure!(started.elapsed() < PATIENCE, "{command:?} does not serve");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    pub fn client(&self) -> Result<Client> {
        Client::connect(self.address)
    }

    pub fn run(&self, line: &str) -> Result<String> {
        let reply = self.client()?.run(line)?;
        if reply.is_error() {
            bail!("{}: {line}: {reply}", self.name());
        }
        Ok(reply.to_string())
    }

    /// A field of INFO.
    pub fn info(&self, field: &str) -> Result<String> {
        let text = self.client()?.run("INFO")?;
        let text = String::from_utf8_lossy(text.as_bytes().unwrap_or_default()).into_owned();
        let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        Ok(line.unwrap_or_default().to_owned())
    }

    /// Keys of 16 bytes with values of 16.
    pub fn fill(&self, keys: u64) -> Result<()> {
        paced::fill(self.address, keys, 16)
    }

    /// Memory in RAM, with that of children.
    pub fn resident_bytes(&self) -> u64 {
        let Some(own) = self.child.as_ref().map(Child::id) else { return 0 };
        let children =
            std::fs::read_to_string(format!("/proc/{own}/task/{own}/children")).unwrap_or_default();
        let children = children.split_whitespace().filter_map(|id| id.parse::<u32>().ok());
        process::resident_bytes(own) + children.map(private_bytes).sum::<u64>()
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Memory that a child does not share with its parent any more.
fn private_bytes(process_id: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{process_id}/smaps_rollup")).unwrap_or_default();
    let lines = text.lines().filter(|line| line.starts_with("Private_Dirty:"));
    lines.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).sum::<u64>() * 1024
}
