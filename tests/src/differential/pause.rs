//! CLIENT PAUSE at random moments: what one client sends in a row, while another one has paused, is answered, held back and run
//! when the pause has ended as on redis-server.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use slotway_common::resp::request;

use super::{Plan, contents, reset};
use crate::client::Client;
use crate::wait::wait_for;

type Call = &'static [&'static str];

const LIBRARY: &str = "#!lua name=l\n\
    redis.register_function('f',function(k) return redis.call('incr',k[1]) end)\n\
    redis.register_function{function_name='fr',callback=function() return 1 end,flags={'no-writes'}}";

/// Scripts that EVALSHA calls: one that may write, and one that says it does not.
const SCRIPTS: [&str; 2] = ["return redis.call('incr',KEYS[1])", "#!lua flags=no-writes\nreturn 1"];
const WRITING: &str = "6f5ade10a69975e903c6d07b10ea44c6382381a5";
const READING: &str = "77f21361171213377cb083e2ffc2ae24ffdff8fb";
const UNKNOWN: &str = "0000000000000000000000000000000000000000";

const READS: &[Call] = &[
    &["GET", "{p}n"],
    &["GET", "{p}l"],
    &["MGET", "{p}a", "{p}n"],
    &["LRANGE", "{p}l", "0", "-1"],
    &["LLEN", "{p}l"],
    &["EXISTS", "{p}a", "{p}n"],
    &["TYPE", "{p}n"],
    &["TTL", "{p}a"],
    &["DBSIZE"],
    &["PING"],
    &["ECHO", "x"],
    &["SELECT", "0"],
    &["XREAD", "STREAMS", "{p}none", "0"],
    &["SORT_RO", "{p}l"],
    &["BITCOUNT", "{p}n"],
    &["GETRANGE", "{p}n", "0", "-1"],
    &["OBJECT", "ENCODING", "{p}n"],
    &["UNWATCH"],
    &["SCRIPT", "EXISTS", UNKNOWN],
    &["FUNCTION", "LIST", "LIBRARYNAME", "none"],
    &["CLIENT", "GETNAME"],
    &["SCRIPT", "LOAD", "return 1"],
    &["CONFIG", "GET", "maxmemory"],
    &["PUBSUB", "NUMSUB", "c"],
    &["EVAL_RO", "return redis.call('get',KEYS[1])", "1", "{p}n"],
    &["EVAL", "#!lua flags=no-writes\nreturn redis.call('get',KEYS[1])", "1", "{p}n"],
    &["FCALL_RO", "fr", "0"],
    &["FCALL_RO", "none", "0"],
    &["EVALSHA_RO", UNKNOWN, "0"],
];

/// What writes, may write, or tells others of something.
const WRITES: &[Call] = &[
    &["SET", "{p}a", "1"],
    &["SET", "{p}a", "1", "x"],
    &["INCR", "{p}n"],
    &["INCR", "{p}n"],
    &["INCR", "{p}l"],
    &["APPEND", "{p}n", "1"],
    &["RPUSH", "{p}l", "1"],
    &["LPOP", "{p}l"],
    &["LMOVE", "{p}l", "{p}l", "LEFT", "RIGHT"],
    &["DEL", "{p}a", "{p}b"],
    &["MSET", "{p}a", "2", "{p}b", "3"],
    &["GETEX", "{p}n"],
    &["GETDEL", "{p}a"],
    &["EXPIRE", "{p}b", "1000"],
    &["COPY", "{p}n", "{p}b", "REPLACE"],
    &["SORT", "{p}l"],
    &["SORT", "{p}l", "STORE", "{p}l"],
    &["BLPOP", "{p}none", "0.001"],
    &["BLPOP", "{p}l", "0.001"],
    &["XADD", "{p}s", "NOMKSTREAM", "1-1", "a", "b"],
    &["PFADD", "{p}h", "x"],
    &["PFCOUNT", "{p}h"],
    &["PUBLISH", "c", "m"],
    &["PUBLISH", "c", "other"],
    &["SPUBLISH", "c", "m"],
    &["FLUSHALL"],
    &["SWAPDB", "0", "0"],
    &["FUNCTION", "DELETE", "none"],
    &["EVAL", SCRIPTS[0], "1", "{p}n"],
    &["EVAL", "return 1", "0"],
    &["EVAL", "#!lua\nreturn redis.call('incr',KEYS[1])", "1", "{p}n"],
    &["EVAL", "no Lua", "0"],
    &["EVALSHA", WRITING, "1", "{p}n"],
    &["EVALSHA", UNKNOWN, "0"],
    &["FCALL", "f", "1", "{p}n"],
    &["FCALL", "none", "0"],
];

/// On keys of several slots.
const SPLIT: &[Call] = &[
    &["MSET", "{p}a", "4", "b", "5", "c", "6", "d", "7"],
    &["DEL", "{p}a", "b", "c"],
    &["UNLINK", "c", "d"],
    &["MGET", "{p}a", "b", "c", "d"],
    &["EXISTS", "b", "c", "d"],
    &["TOUCH", "b", "d"],
];

/// What is refused is refused at once.
const REFUSED: &[Call] =
    &[&["SET", "{p}a"], &["NONE", "x"], &["EVAL", "return 1"], &["CLIENT", "NONE"], &["EXEC", "x"]];

/// What of scripts and functions only a shard knows, and a proxy does not ask for.
const ASKED: &[Call] = &[&["EVALSHA", READING, "0"], &["FCALL", "fr", "0"], &["FCALL_RO", "f", "1", "{p}n"]];

const TRANSACTIONS: &[Call] = &[&["MULTI"], &["MULTI"], &["EXEC"], &["EXEC"], &["DISCARD"]];

/// A pause.
#[derive(Clone, Copy, Debug)]
enum Pause {
    /// Of what writes, until UNPAUSE.
    Writes,
    /// It ends by itself, after so many milliseconds.
    Short(&'static str, u64),
}

#[derive(Debug)]
struct Round {
    pause: Pause,
    /// What the client sends, and is answered, before the pause.
    before: Vec<Call>,
    /// What it sends in one piece during the pause.
    during: Vec<Call>,
    /// The first of these that is held back for certain.
    held: Option<usize>,
    /// What others ask for while something is held back.
    meanwhile: Vec<Call>,
}

/// What the clients of one server have been told in a round.
#[derive(Debug, Default, PartialEq)]
struct Told {
    before: Vec<String>,
    at_once: Vec<String>,
    /// The command that is held back.
    held: Option<String>,
    meanwhile: Vec<String>,
    later: Vec<String>,
    /// Messages.
    heard: Vec<String>,
}

/// The clients of one server.
struct Server {
    pausing: Client,
    client: Client,
    listener: Client,
    id: i64,
}

impl Server {
    fn connect(plan: &Plan, address: SocketAddr) -> Result<Self> {
        let connect = || Client::connect_with(address, plan.resp3);
        let mut server = Self { pausing: connect()?, client: connect()?, listener: connect()?, id: 0 };
        server.id = server.client.run("CLIENT ID")?.as_int().context("CLIENT ID")?;
        server.listener.run("SUBSCRIBE c")?;
        for script in SCRIPTS {
            server.pausing.call(&["SCRIPT", "LOAD", script])?;
        }
        let reply = server.pausing.call(&["FUNCTION", "LOAD", LIBRARY])?;
        if reply.is_error() {
            bail!("{reply}");
        }
        Ok(server)
    }

    /// The command that is held back.
    fn held(&mut self) -> Result<Option<String>> {
        let line = self.pausing.run(&format!("CLIENT LIST ID {}", self.id))?.to_string();
        let field = |name| line.split(' ').find_map(|field| field.strip_prefix(name));
        let waits = field("flags=").is_some_and(|flags| flags.contains('b'));
        Ok(field("cmd=").filter(|_| waits).map(str::to_owned))
    }

    fn blocked(&mut self) -> Result<String> {
        let info = self.pausing.run("INFO clients")?.to_string();
        let (_, rest) = info.split_once("blocked_clients:").context("blocked_clients")?;
        Ok(rest.split("\\r").next().unwrap_or_default().to_owned())
    }

    /// Plays a round. `expected` is what the other server has told.
    fn play(&mut self, round: &Round, expected: Option<&Told>) -> Result<Told> {
        let mut told = Told::default();
        for call in &round.before {
            told.before.push(self.client.call(call)?.to_string());
        }
        match round.pause {
            Pause::Writes => self.play_writes(round, expected, &mut told)?,
            Pause::Short(scope, length) => self.play_short(round, scope, length, &mut told)?,
        }
        self.pausing.run("PUBLISH c end")?;
        loop {
            let message = self.listener.receive()?.to_string();
            if message.contains("\"end\"") {
                return Ok(told);
            }
            told.heard.push(message);
        }
    }

    fn play_writes(&mut self, round: &Round, expected: Option<&Told>, told: &mut Told) -> Result<()> {
        let sent = round.during.len();
        self.pausing.run("CLIENT PAUSE 1000000 WRITE")?;
        self.send(round)?;
        told.held = wait_for("all is answered, or something is held back", || {
            let held = self.held();
            self.drain(sent, &mut told.at_once).and(held).map_or_else(
                |error| Some(Err(error)),
                |held| (held.is_some() || told.at_once.len() == sent).then_some(Ok(held)),
            )
        })?;
        // Replies to what came before are on their way; so they are when something is held back.
        let least = expected.map_or(0, |expected| expected.at_once.len());
        while told.at_once.len() < least {
            told.at_once.push(self.client.receive()?.to_string());
        }
        for call in &round.meanwhile {
            told.meanwhile.push(self.pausing.call(call)?.to_string());
        }
        told.meanwhile.push(self.blocked()?);
        self.drain(sent, &mut told.at_once)?;
        self.pausing.run("CLIENT UNPAUSE")?;
        while told.at_once.len() + told.later.len() < sent {
            told.later.push(self.client.receive()?.to_string());
        }
        Ok(())
    }

    fn play_short(&mut self, round: &Round, scope: &str, length: u64, told: &mut Told) -> Result<()> {
        let start = Instant::now();
        self.pausing.run(&format!("CLIENT PAUSE {length} {scope}"))?;
        self.send(round)?;
        for index in 0..round.during.len() {
            told.later.push(self.client.receive()?.to_string());
            // Times are told in whole milliseconds.
            if round.held == Some(index)
                && start.elapsed() + Duration::from_millis(2) < Duration::from_millis(length)
            {
                told.held = Some(format!("call {index} was answered after {:?}", start.elapsed()));
            }
        }
        Ok(())
    }

    fn send(&mut self, round: &Round) -> Result<()> {
        let mut bytes = Vec::new();
        for call in &round.during {
            request::encode(call.iter().map(|word| word.as_bytes()), &mut bytes);
        }
        self.client.send_raw(&bytes)
    }

    /// Takes the replies that are here.
    fn drain(&mut self, most: usize, replies: &mut Vec<String>) -> Result<()> {
        while replies.len() < most && self.client.has_reply()? {
            replies.push(self.client.receive()?.to_string());
        }
        Ok(())
    }
}

/// Runs rounds until about `plan.commands` commands were sent.
///
/// # Errors
/// When a connection breaks, or with what a round did in which something differed.
pub fn run(plan: &Plan, oracle: SocketAddr, subject: SocketAddr) -> Result<()> {
    let (mut oracle, mut subject) = (Server::connect(plan, oracle)?, Server::connect(plan, subject)?);
    reset(&mut oracle.pausing, &mut subject.pausing)?;
    let mut drawing =
        Drawing { random: StdRng::seed_from_u64(plan.seed), asks: !plan.through_proxy, queues: false };
    let (mut sent, mut rounds) = (0, 0);
    while sent < plan.commands {
        let round = drawing.round();
        rounds += 1;
        sent += round.before.len() + round.during.len();
        let told = || format!("round {rounds} with SLOTWAY_SEED={}: {round:#?}", plan.seed);
        let expected = oracle.play(&round, None).with_context(|| format!("redis: {}", told()))?;
        let given = subject.play(&round, Some(&expected)).with_context(|| format!("slotway: {}", told()))?;
        if expected.held.as_deref().is_some_and(|held| held.starts_with("call ")) || expected != given {
            bail!("{}\n  redis:   {expected:#?}\n  slotway: {given:#?}", told());
        }
        if rounds % 20 == 0
            && let Some(difference) = contents::difference(&mut oracle.pausing, &mut subject.pausing)?
        {
            bail!("contents after round {rounds} with SLOTWAY_SEED={}: {difference}", plan.seed);
        }
    }
    Ok(())
}

/// Draws rounds.
struct Drawing {
    random: StdRng,
    /// Also draws what a proxy does not ask shards for.
    asks: bool,
    /// The client is between MULTI and EXEC.
    queues: bool,
}

impl Drawing {
    fn one(&mut self, of: &[Call]) -> Call {
        of.choose(&mut self.random).copied().unwrap_or(&["PING"])
    }

    fn round(&mut self) -> Round {
        let pause = match self.random.random_range(0..6) {
            0 => Pause::Short("ALL", self.random.random_range(0..30)),
            1 => Pause::Short("WRITE", self.random.random_range(0..30)),
            _ => Pause::Writes,
        };
        let before = self.random.random_range(0..4);
        let before = (0..before).map(|_| self.call().0).collect();
        let (mut during, mut held) = (Vec::new(), None);
        let most = self.random.random_range(1..12);
        for index in 0..most {
            let (call, is_held) = self.call();
            let is_held = match pause {
                Pause::Short("ALL", _) => !REFUSED.contains(&call),
                _ => is_held,
            };
            if is_held && held.is_none() {
                held = Some(index);
            }
            during.push(call);
        }
        let meanwhile = (0..self.random.random_range(0..4)).map(|_| self.one(&READS[..12])).collect();
        Round { pause, before, during, held, meanwhile }
    }

    /// A call, and whether a pause of what writes holds it back for certain.
    fn call(&mut self) -> (Call, bool) {
        let (call, is_held) = match self.random.random_range(0..20) {
            0..3 => (self.one(TRANSACTIONS), false),
            3 => (self.one(REFUSED), false),
            4 if !self.queues => (self.one(SPLIT), false),
            5 if self.asks => (self.one(ASKED), false),
            6..11 => (self.one(WRITES), true),
            _ => (self.one(READS), false),
        };
        match call {
            ["MULTI"] => self.queues = true,
            ["EXEC" | "DISCARD", ..] => self.queues = false,
            _ => {}
        }
        (call, is_held)
    }
}
