//! Clients that keep what they have read until they are told to forget it (CLIENT TRACKING), while others write: when the
//! writers rest, nobody may believe an old value.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use slotway_common::resp::Value;

use crate::client::Client;

const KEYS: usize = 60;
const WRITERS: usize = 2;
/// Reads on their way at once.
const PIPELINE: usize = 12;
/// A value whose reply takes long, so that replies behind it have to wait.
const LARGE: usize = 2_000_000;
/// How long what is to be forgotten may be on its way when nobody writes any more.
const PATIENCE: Duration = Duration::from_secs(20);

fn name(number: usize) -> String {
    format!("cached:{number}")
}

/// A client with a cache.
struct Cache {
    client: Client,
    values: HashMap<String, Vec<u8>>,
    random: StdRng,
    /// How often it was told to forget something.
    told: u64,
}

impl Cache {
    fn connect(address: SocketAddr, options: &str, seed: u64) -> Result<Self> {
        let client = Client::connect_resp3(address)?;
        let mut cache = Self { client, values: HashMap::new(), random: StdRng::seed_from_u64(seed), told: 0 };
        let line = format!("CLIENT TRACKING {options}");
        cache.client.send(&line.split(' ').collect::<Vec<_>>())?;
        let reply = cache.reply()?;
        if reply.is_error() {
            bail!("{line}: {reply}");
        }
        Ok(cache)
    }

    /// Takes what is no reply; gives what is.
    fn take(&mut self, frame: Value) -> Result<Option<Value>> {
        let Value::Push(parts) = frame else { return Ok(Some(frame)) };
        let keys = match parts.as_slice() {
            [what, keys] if what.as_bytes() == Some(b"invalidate") => keys,
            other => bail!("{other:?} is no invalidation"),
        };
        self.told += 1;
        match keys {
            Value::Array(keys) => {
                for key in keys.iter().filter_map(Value::as_bytes) {
                    self.values.remove(&*String::from_utf8_lossy(key));
                }
            }
            _ => self.values.clear(),
        }
        Ok(None)
    }

    /// The next reply; takes what comes before it.
    fn reply(&mut self) -> Result<Value> {
        loop {
            let frame = self.client.receive()?;
            if let Some(reply) = self.take(frame)? {
                return Ok(reply);
            }
        }
    }

    /// Reads some keys that it does not have, all at once, and keeps what it gets.
    fn read(&mut self) -> Result<()> {
        let mut wanted: Vec<String> = vec!["large".to_owned()];
        for _ in 0..PIPELINE {
            let key = name(self.random.random_range(0..KEYS));
            if !self.values.contains_key(&key) && !wanted.contains(&key) {
                wanted.push(key);
            }
        }
        for key in &wanted {
            self.client.send(&["GET", key])?;
        }
        for key in wanted {
            let reply = self.reply()?;
            // A shard may be down.
            if let Value::Bulk(value) = reply {
                if (value.len() == LARGE) != (key == "large") {
                    bail!("GET {key} was answered with {} bytes", value.len());
                }
                if key != "large" {
                    self.values.insert(key, value);
                }
            }
        }
        Ok(())
    }

    /// Takes what was pushed.
    fn listen(&mut self) -> Result<()> {
        self.client.send(&["PING"])?;
        self.reply().map(drop)
    }

    /// A key of which it has another value than the true one.
    fn stale(&self, truth: &HashMap<String, Vec<u8>>) -> Option<String> {
        let wrong = self.values.iter().find(|(key, value)| truth.get(*key) != Some(*value))?;
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        let is = truth.get(wrong.0).map_or_else(|| "gone".to_owned(), |value| text(value));
        Some(format!("{} is {is}, but a client believes it to be {}", wrong.0, text(wrong.1)))
    }
}

/// Whether the connection was closed.
fn is_closed(error: &anyhow::Error) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
    let broken =
        |error: &std::io::Error| matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset);
    error.downcast_ref().is_some_and(broken) || error.to_string().contains("closed the connection")
}

fn truth(address: SocketAddr) -> Result<HashMap<String, Vec<u8>>> {
    let mut client = Client::connect(address)?;
    let mut all = HashMap::new();
    for key in (0..KEYS).map(name) {
        match client.call(&["GET", &key])? {
            Value::Bulk(value) => drop(all.insert(key, value)),
            Value::Null | Value::NullBulk | Value::NullArray => {}
            other => bail!("GET {key}: {other}"),
        }
    }
    Ok(all)
}

fn writer(address: SocketAddr, seed: u64, stop: Arc<AtomicBool>, writes: Arc<AtomicU64>) -> Result<()> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut client = Client::connect(address)?;
    while !stop.load(Ordering::Relaxed) {
        let number = writes.fetch_add(1, Ordering::Relaxed).to_string();
        let key = name(random.random_range(0..KEYS));
        let line: Vec<&str> = match random.random_range(0..10) {
            0 => vec!["DEL", &key],
            1 => vec!["SET", &key, &number, "PX", "5"],
            2 => vec!["APPEND", &key, "x"],
            _ => vec!["SET", &key, &number],
        };
        client.call(&line)?;
    }
    Ok(())
}

/// Clients with caches read while others write and `meanwhile` runs, at least for so many rounds.
///
/// # Errors
/// What somebody believes that is not so, long after the last write.
///
/// # Panics
/// When a connection breaks.
pub fn check(address: SocketAddr, seed: u64, rounds: usize, meanwhile: impl FnOnce()) -> Result<(), String> {
    let run = || -> Result<Option<String>> {
        let mut setup = Client::connect(address)?;
        setup.call(&["SET", "large", &"x".repeat(LARGE)])?;
        let (stop, writes) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let writers: Vec<JoinHandle<Result<()>>> = (0..WRITERS as u64)
            .map(|number| {
                let (stop, writes) = (Arc::clone(&stop), Arc::clone(&writes));
                std::thread::spawn(move || writer(address, seed ^ number, stop, writes))
            })
            .collect();
        let done = Arc::new(AtomicBool::new(false));
        let kinds = ["ON", "ON", "ON NOLOOP", "ON BCAST", "ON BCAST PREFIX cached:"];
        let readers: Vec<JoinHandle<Result<Cache>>> = (0..kinds.len())
            .map(|number| {
                let (done, kind) = (Arc::clone(&done), kinds.get(number).copied().unwrap_or("ON"));
                std::thread::spawn(move || {
                    let mut cache = Cache::connect(address, kind, seed.wrapping_add(number as u64))?;
                    let mut round = 0;
                    let mut closed = 0;
                    while round < rounds || !done.load(Ordering::Relaxed) {
                        match cache.read() {
                            Ok(()) => round += 1,
                            // A shard was killed in the middle of a reply that had begun to come.
                            Err(error) if is_closed(&error) && closed == 0 => {
                                closed += 1;
                                let told = cache.told;
                                cache = Cache::connect(address, kind, seed ^ number as u64)?;
                                cache.told = told;
                            }
                            Err(error) => return Err(error.context(format!("a client with {kind}"))),
                        }
                    }
                    Ok(cache)
                })
            })
            .collect();
        meanwhile();
        done.store(true, Ordering::Relaxed);
        let mut caches = Vec::new();
        for reader in readers {
            caches.push(reader.join().map_err(|_| anyhow::anyhow!("a reader has panicked"))??);
        }
        stop.store(true, Ordering::Relaxed);
        for writer in writers {
            writer.join().map_err(|_| anyhow::anyhow!("a writer has panicked"))??;
        }
        let truth = truth(address)?;
        let give_up = Instant::now() + PATIENCE;
        loop {
            let mut wrong = None;
            for cache in &mut caches {
                cache.listen()?;
                wrong = wrong.or(cache.stale(&truth));
            }
            match wrong {
                None => break,
                Some(what) if Instant::now() > give_up => return Ok(Some(what)),
                Some(_) => std::thread::yield_now(),
            }
        }
        if let Some(cache) = caches.iter().find(|cache| cache.told == 0) {
            bail!("a client was told of nothing, and has {} values", cache.values.len());
        }
        Ok(None)
    };
    match run() {
        Ok(None) => Ok(()),
        Ok(Some(what)) => Err(format!("{what}, SLOTWAY_SEED={seed}")),
        Err(error) => panic!("{error:#}, SLOTWAY_SEED={seed}"),
    }
}
