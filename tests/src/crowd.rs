//! Many clients that wait for one list.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use slotway_common::resp::Value;

use crate::client::Client;
use crate::wait::PATIENCE;

/// Clients that begin to wait together: who of them is first is open.
const TOGETHER: usize = 250;
/// Open files that a process needs besides its clients.
const OTHER_FILES: usize = 500;

/// Clients of one server.
pub struct Crowd {
    address: SocketAddr,
    clients: Vec<Client>,
    observer: Client,
}

impl Crowd {
    /// Connects so many clients, or fewer where not so many files may be open (`ulimit -n`); then it says so.
    ///
    /// # Errors
    /// When the server takes no more.
    pub fn connect(address: SocketAddr, count: usize) -> Result<Self> {
        let most = open_files().saturating_sub(OTHER_FILES);
        if most < count {
            eprintln!("{most} clients instead of {count}: no more files may be open (ulimit -n)");
        }
        let mut observer = Client::connect(address)?;
        let limit = (count + OTHER_FILES).to_string();
        let set = observer.call(&["CONFIG", "SET", "maxclients", &limit])?;
        ensure!(!set.is_error(), "CONFIG SET maxclients: {set}");
        let mut clients = Vec::new();
        for number in 0..count.min(most) {
            clients.push(connect(address).with_context(|| format!("client {number} of {count}"))?);
        }
        // The last one is served once all before it have been accepted.
        if let Some(last) = clients.last_mut() {
            ensure!(last.run("PING")?.to_string() == "+PONG", "{address} does not answer PING");
        }
        Ok(Self { address, clients, observer })
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.clients.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.clients.is_empty()
    }

    /// Has every client wait for the list `key`.
    ///
    /// # Errors
    /// When they do not.
    pub fn wait_for(&mut self, key: &str) -> Result<()> {
        let mut waiting = 0;
        for some in self.clients.chunks_mut(TOGETHER) {
            some.iter_mut().try_for_each(|client| client.send(&["BLPOP", key, "0"]))?;
            waiting += some.len();
            until_waiting(&mut self.observer, waiting)?;
        }
        Ok(())
    }

    /// Pushes a value for every client, and checks that each gets one, those who came first the first ones. Gives how long that
    /// took.
    ///
    /// # Errors
    /// When one gets nothing or another's.
    pub fn serve(&mut self, key: &str) -> Result<Duration> {
        let mut pusher = Client::connect(self.address)?;
        let started = Instant::now();
        for number in 0..self.clients.len() {
            pusher.send(&["RPUSH", key, &number.to_string()])?;
        }
        let mut got = vec![false; self.clients.len()];
        for (number, client) in self.clients.iter_mut().enumerate() {
            let reply = client.receive().with_context(|| format!("client {number}"))?;
            let value = reply.as_array().and_then(|pair| pair.get(1)).and_then(Value::as_bytes);
            let value = std::str::from_utf8(value.unwrap_or_default())?;
            let value: usize = value.parse().with_context(|| format!("{reply}"))?;
            ensure!(value / TOGETHER == number / TOGETHER, "client {number} got {value}");
            ensure!(!std::mem::replace(&mut got[value], true), "{value} was given twice");
        }
        let took = started.elapsed();
        for _ in 0..self.clients.len() {
            let reply = pusher.receive()?;
            ensure!(reply == Value::Int(1), "RPUSH: {reply}");
        }
        until_waiting(&mut self.observer, 0)?;
        ensure!(pusher.call(&["EXISTS", key])? == Value::Int(0), "values are left over");
        Ok(took)
    }
}

/// How many files this process may have open.
fn open_files() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(1024)
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

fn until_waiting(observer: &mut Client, count: usize) -> Result<()> {
    let (field, start) = (format!("blocked_clients:{count}\r\n"), Instant::now());
    loop {
        let info = observer.run("INFO clients")?;
        if String::from_utf8_lossy(info.as_bytes().unwrap_or_default()).contains(&field) {
            return Ok(());
        }
        ensure!(start.elapsed() < PATIENCE, "there are not {count} clients that wait: {info}");
        std::thread::sleep(Duration::from_millis(1));
    }
}
