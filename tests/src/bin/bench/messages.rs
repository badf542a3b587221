//! CPU time of a message to many subscribers: the proxy and its shards together, against one redis-server.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use serde::Serialize;
use slotway_common::resp::Value;

use crate::servers::{Options, Side};
use crate::throughput::median;
use crate::{Effort, cpu};

const SUBSCRIBERS: usize = 100;
const CHANNEL: &str = "bench:channel";
const PAYLOAD: &str = "0123456789abcdef0123456789abcdef";
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, Serialize)]
pub struct Messages {
    pub subscribers: usize,
    /// CPU microseconds per delivered message.
    pub ours: f64,
    pub theirs: f64,
    pub ratio: f64,
}

pub fn measure(options: &Options, effort: &Effort) -> Result<Messages> {
    let (ours, theirs) = (Side::proxy(options)?, Side::redis()?);
    let count = ((10_000.0 * effort.seconds) as usize).max(1000);
    let mut samples = [Vec::new(), Vec::new()];
    for round in 0..effort.rounds {
        let order = if round % 2 == 0 { [0, 1] } else { [1, 0] };
        for which in order {
            samples[which].push(sample(if which == 0 { &ours } else { &theirs }, count)?);
        }
    }
    let [ours, theirs] = samples.map(median);
    Ok(Messages { subscribers: SUBSCRIBERS, ours, theirs, ratio: ours / theirs })
}

/// CPU microseconds per delivered message.
fn sample(side: &Side, count: usize) -> Result<f64> {
    let message = format!(
        "*3\r\n$7\r\nmessage\r\n${}\r\n{CHANNEL}\r\n${}\r\n{PAYLOAD}\r\n",
        CHANNEL.len(),
        PAYLOAD.len()
    );
    let subscribers = (0..SUBSCRIBERS).map(|_| subscriber(side.endpoint, message.len() * count));
    let subscribers: Vec<JoinHandle<Result<()>>> = subscribers.collect::<Result<_>>()?;
    let mut publisher = side.client()?;
    cpu::settle(&side.process_ids())?;
    let used = || side.process_ids().into_iter().map(cpu::nanoseconds).sum::<Result<u64>>();
    let before = used()?;
    for _ in 0..count {
        let reached = publisher.call(&["PUBLISH", CHANNEL, PAYLOAD])?;
        ensure!(reached == Value::Int(SUBSCRIBERS as i64), "PUBLISH at {}: {reached}", side.name);
    }
    for subscriber in subscribers {
        subscriber.join().map_err(|_| anyhow!("a subscriber panicked"))??;
    }
    let spent = used()? - before;
    let start = Instant::now();
    while publisher.call(&["PUBLISH", CHANNEL, PAYLOAD])? != Value::Int(0) {
        ensure!(start.elapsed() < PATIENCE, "subscriptions outlive their connections at {}", side.name);
    }
    Ok(spent as f64 / 1000.0 / (count * SUBSCRIBERS) as f64)
}

/// Subscribes, then reads so many bytes of messages on a thread of its own.
fn subscriber(address: SocketAddr, bytes: usize) -> Result<JoinHandle<Result<()>>> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(format!("SUBSCRIBE {CHANNEL}\r\n").as_bytes())?;
    let mut confirmation = vec![0; format!("*3$9subscribe${}{CHANNEL}:1", CHANNEL.len()).len() + 12];
    stream.read_exact(&mut confirmation).context("the confirmation of SUBSCRIBE")?;
    Ok(std::thread::spawn(move || {
        let mut buffer = vec![0; 64 * 1024];
        let mut left = bytes;
        while left > 0 {
            let read = stream.read(&mut buffer)?;
            ensure!(read > 0, "a subscriber was closed");
            left = left.saturating_sub(read);
        }
        Ok(())
    }))
}
