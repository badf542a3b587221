//! Keyspace events of a random stream of commands, as a client that listens gets them from a real redis-server and from
//! Slotway.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use anyhow::{Context, Result, bail};
use rand::SeedableRng;
use rand::rngs::StdRng;
use slotway_common::command;
use slotway_common::resp::{Args, Value};

use super::Plan;
use super::generate::{Generator, Request};
use crate::client::Client;
use crate::wait::wait_until;

/// Commands sent before the events are compared.
const BATCH: usize = 40;
/// Differences told before a run ends.
const TOLD: usize = 3;

/// Who sends commands, and who listens.
struct Server {
    sender: Client,
    listener: Client,
}

impl Server {
    fn connect(plan: &Plan, address: SocketAddr) -> Result<Self> {
        let connect = || Client::connect_with(address, plan.resp3);
        let (mut sender, mut listener) = (connect()?, connect()?);
        wait_until("the setting is in force", || {
            sender.run("CONFIG SET notify-keyspace-events KEAnm").is_ok_and(|reply| !reply.is_error())
        });
        let reply = sender.run("FLUSHALL")?;
        if reply.is_error() {
            bail!("FLUSHALL: {reply}");
        }
        listener.call(&["PSUBSCRIBE", "__key*@*__:*"])?;
        Ok(Self { sender, listener })
    }

    /// Sends requests as one transaction, as scripts or as they are.
    fn send(&mut self, requests: &[Request], form: Form) -> Result<()> {
        if form == Form::Transaction {
            self.sender.send(&["MULTI"])?;
        }
        for request in requests {
            match form {
                Form::Script => self.sender.send(&scripted(request))?,
                _ => self.sender.send(&request.args)?,
            }
        }
        let mut replies = requests.len();
        if form == Form::Transaction {
            self.sender.send(&["EXEC"])?;
            replies += 2;
        }
        for number in 0..replies {
            self.sender.receive().with_context(|| format!("reply {number}"))?;
        }
        Ok(())
    }

    /// The events up to the answer to a PING, but at least so many.
    fn events(&mut self, least: usize, mark: &str) -> Result<Vec<Event>> {
        let mut events = Vec::new();
        while events.len() < least {
            let Some(event) = Event::of(&self.listener.receive()?) else { bail!("no event") };
            events.push(event);
        }
        self.listener.send(&["PING", mark])?;
        loop {
            match Event::of(&self.listener.receive()?) {
                Some(event) => events.push(event),
                None => return Ok(events),
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Plain,
    Transaction,
    Script,
}

/// SORT that looks keys up for the elements of a set, which have an order of each server's own.
fn looks_up_by_element(request: &Request) -> bool {
    let has = |word: &[u8]| request.args.iter().any(|arg| arg.eq_ignore_ascii_case(word));
    request.name().starts_with("sort") && (has(b"by") || has(b"get"))
}

/// A script that runs a request.
fn scripted(request: &Request) -> Vec<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut spans = Vec::new();
    for arg in &request.args {
        spans.push((bytes.len() as u32, arg.len() as u32));
        bytes.extend_from_slice(arg);
    }
    let args = Args::new(&bytes, &spans);
    let keys = request.command.and_then(|command| command::keys(command, &args).ok());
    let keys: Vec<Vec<u8>> =
        keys.iter().flat_map(command::Keys::positions).map(|at| args.at(at).to_vec()).collect();
    let mut words = vec![b"EVAL".to_vec(), b"return redis.pcall(unpack(ARGV))".to_vec()];
    words.push(keys.len().to_string().into_bytes());
    words.extend(keys);
    words.extend(request.args.iter().cloned());
    words
}

/// A message about a key.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Event {
    key: Vec<u8>,
    told: String,
}

impl Event {
    fn of(frame: &Value) -> Option<Self> {
        let (Value::Push(parts) | Value::Array(parts)) = frame else { return None };
        let [what, _, channel, payload] = parts.as_slice() else { return None };
        let (channel, payload) = (channel.as_bytes()?, payload.as_bytes()?);
        if what.as_bytes()? != b"pmessage" {
            return None;
        }
        let by_key = channel.starts_with(b"__keyspace@");
        let at = channel.windows(3).position(|three| three == b"__:").map(|at| at + 3)?;
        let key = if by_key { channel.get(at..)? } else { payload };
        Some(Self {
            key: key.to_vec(),
            told: format!("{} {}", channel.escape_ascii(), payload.escape_ascii()),
        })
    }
}

/// The events of each key, in their order.
fn by_key(events: &[Event]) -> BTreeMap<String, Vec<&str>> {
    let mut all: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for event in events {
        all.entry(event.key.escape_ascii().to_string()).or_default().push(&event.told);
    }
    all
}

/// Runs the stream on both servers. Of one shard the events must come in the very order, of several in that order key by
/// key.
///
/// # Errors
/// When a connection breaks, or with a report of the differences found.
pub fn run(plan: &Plan, oracle: SocketAddr, subject: SocketAddr) -> Result<()> {
    let mut generator = Generator::new(StdRng::seed_from_u64(plan.seed), plan.through_proxy, &plan.families);
    let (mut oracle, mut subject) = (Server::connect(plan, oracle)?, Server::connect(plan, subject)?);
    let (mut sent, mut seen, mut report) = (0, 0, Vec::new());
    while sent < plan.commands {
        let form = match generator.below(8) {
            // Keys on several shards cannot be in one.
            0 if !plan.through_proxy => Form::Transaction,
            1 if !plan.through_proxy => Form::Script,
            _ => Form::Plain,
        };
        let size = if generator.once_in(2) { 1 } else { BATCH };
        let mut batch = generator.batch(size);
        batch.retain(|request| !looks_up_by_element(request));
        oracle.send(&batch, form).context("redis")?;
        subject.send(&batch, form).context("slotway")?;
        sent += batch.len();
        let told = || {
            let lines: Vec<String> = batch.iter().map(ToString::to_string).collect();
            format!("{form:?}, SLOTWAY_SEED={}:\n{}", plan.seed, lines.join("\n"))
        };
        let expected = oracle.events(0, "mark")?;
        seen += expected.len();
        let given = subject.events(expected.len(), "mark").with_context(|| {
            format!("redis: {:?}\n{}", expected.iter().map(|event| &event.told).collect::<Vec<_>>(), told())
        })?;
        let same = if plan.through_proxy { by_key(&expected) == by_key(&given) } else { expected == given };
        if !same {
            let list = |events: &[Event]| {
                events.iter().map(|event| event.told.as_str()).collect::<Vec<_>>().join("\n    ")
            };
            report.push(format!(
                "{}\n  redis:\n    {}\n  slotway:\n    {}",
                told(),
                list(&expected),
                list(&given)
            ));
            if report.len() == TOLD {
                break;
            }
        }
    }
    if !report.is_empty() {
        bail!("other events:\n{}", report.join("\n\n"));
    }
    if seen < plan.commands / 10 {
        bail!("only {seen} events of {sent} commands");
    }
    Ok(())
}
