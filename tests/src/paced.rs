//! Loads for benchmarks: as fast as can be, or at a fixed rate, which tells what clients feel.

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::client::Client;
use anyhow::{Context, Result, bail, ensure};
use hdrhistogram::Histogram;
use rand::Rng;

/// Connections of the loads that are measured here, as many as redis-benchmark opens.
const CLIENTS: usize = 50;

/// What a load at a fixed rate felt.
pub struct Felt {
    pub p99_milliseconds: f64,
    /// The slowest request.
    pub most_milliseconds: f64,
    pub errors: u64,
}

fn key(number: u64) -> String {
    format!("key:{number:012}")
}

/// Sets so many keys to values of this size.
pub fn fill(endpoint: SocketAddr, keys: u64, size: usize) -> Result<()> {
    let mut client = Client::connect(endpoint)?;
    let value: String = {
        let mut random = rand::rng();
        (0..size).map(|_| char::from(random.random_range(b'!'..=b'~'))).collect()
    };
    let together = (256 * 1024 / (size + 64)).clamp(1, 500) as u64;
    let mut next = 0;
    while next < keys {
        let end = (next + together).min(keys);
        for number in next..end {
            client.send(&["SET", &key(number), &value])?;
        }
        for _ in next..end {
            let reply = client.receive()?;
            ensure!(!reply.is_error(), "filling failed: {reply}");
        }
        next = end;
    }
    Ok(())
}

/// Makes a list of so many elements of this size.
pub fn fill_list(endpoint: SocketAddr, key: &str, elements: u64, size: usize) -> Result<()> {
    const TOGETHER: u64 = 200;
    let mut client = Client::connect(endpoint)?;
    let element = "x".repeat(size);
    let mut request = vec!["RPUSH", key];
    request.extend((0..TOGETHER).map(|_| element.as_str()));
    for _ in 0..elements.div_ceil(TOGETHER) {
        let reply = client.call(&request)?;
        ensure!(!reply.is_error(), "filling failed: {reply}");
    }
    Ok(())
}

/// One SET or GET of a random key; true if it was answered with an error.
fn request(client: &mut Client, keys: u64) -> Result<bool> {
    let mut random = rand::rng();
    let key = key(random.random_range(0..keys));
    let reply = if random.random() {
        client.call(&["SET", &key, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"])?
    } else {
        client.call(&["GET", &key])?
    };
    Ok(reply.is_error())
}

/// Requests a second that the clients get through when each sends one after the other.
pub fn most(endpoint: SocketAddr, keys: u64, time: Duration) -> Result<f64> {
    let count = AtomicU64::new(0);
    let started = Instant::now();
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                scope.spawn(|| -> Result<()> {
                    let mut client = Client::connect(endpoint)?;
                    while started.elapsed() < time {
                        request(&mut client, keys)?;
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                    Ok(())
                })
            })
            .collect();
        clients.into_iter().try_for_each(|client| client.join().expect("a client"))
    })?;
    Ok(count.load(Ordering::Relaxed) as f64 / started.elapsed().as_secs_f64())
}

/// Sends requests at a fixed rate for as long as `meanwhile` takes. Each is due at a time of its own, and its latency
/// counts from there, so a stall is felt by all that were due in it.
pub fn paced(
    endpoint: SocketAddr,
    keys: u64,
    rate: f64,
    meanwhile: impl FnOnce() -> Result<()>,
) -> Result<Felt> {
    let stop = AtomicBool::new(false);
    let interval = Duration::from_secs_f64(CLIENTS as f64 / rate);
    let (histogram, errors) = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let stop = &stop;
                scope.spawn(move || -> Result<(Histogram<u64>, u64)> {
                    let mut client = Client::connect(endpoint)?;
                    let mut histogram = Histogram::new_with_bounds(1, 60_000_000, 3)?;
                    let mut errors = 0;
                    let mut due = Instant::now() + interval.mul_f64(number as f64 / CLIENTS as f64);
                    while !stop.load(Ordering::Relaxed) {
                        if let Some(early) = due.checked_duration_since(Instant::now()) {
                            std::thread::sleep(early);
                        }
                        errors += u64::from(request(&mut client, keys)?);
                        histogram.saturating_record(due.elapsed().as_micros() as u64);
                        due += interval;
                    }
                    Ok((histogram, errors))
                })
            })
            .collect();
        let result = meanwhile();
        stop.store(true, Ordering::Relaxed);
        let mut sum = (Histogram::new_with_bounds(1, 60_000_000, 3)?, 0);
        for client in clients {
            let (histogram, errors) = client.join().expect("a client")?;
            sum.0.add(histogram)?;
            sum.1 += errors;
        }
        result.map(|()| sum)
    })?;
    Ok(Felt {
        p99_milliseconds: histogram.value_at_quantile(0.99) as f64 / 1000.0,
        most_milliseconds: histogram.max() as f64 / 1000.0,
        errors,
    })
}

/// Runs something while redis-benchmark writes as fast as it can.
pub fn under_heaviest<T>(endpoint: SocketAddr, keys: u64, run: impl FnOnce() -> Result<T>) -> Result<T> {
    let mut child = Command::new("redis-benchmark")
        .args(["-h", &endpoint.ip().to_string(), "-p", &endpoint.port().to_string()])
        .args([
            "-c",
            "50",
            "-P",
            "16",
            "-n",
            "1000000000",
            "-r",
            &keys.to_string(),
            "-t",
            "set",
            "-d",
            "32",
            "-q",
        ])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("redis-benchmark starts")?;
    let result = run();
    let ended = child.try_wait()?;
    let _ = child.kill();
    let _ = child.wait();
    if let Some(status) = ended {
        bail!("redis-benchmark ended early with {status}: it saw an error");
    }
    result
}
