//! What the server tells of a random stream of commands: MONITOR, SLOWLOG, and the statistics of INFO and LATENCY HISTOGRAM, of
//! a real redis-server and of Slotway, compared.
//!
//! What one client sends counts once, and is shown once, under its own name and address, whatever it becomes inside.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;

use anyhow::{Context, Result, bail};
use rand::SeedableRng;
use rand::rngs::StdRng;
use slotway_common::resp::Value;

use super::generate::{Generator, Request};
use super::pair::Pair;
use super::{Plan, reset};
use crate::client::Client;

/// Commands between two comparisons.
const ROUND: usize = 150;
/// Differences that are told of one round.
const TOLD: usize = 8;
/// Commands that draw at random what they change: what follows them would be no comparison.
const RANDOM: &[&str] = &["spop"];

/// What one server has told of a round.
#[derive(Debug, Default)]
struct Told {
    monitor: Vec<String>,
    slow_log: Vec<String>,
    statistics: BTreeMap<String, String>,
}

/// Who has sent what.
struct Stage {
    client: Pair,
    /// Sets and asks.
    operator: Pair,
    watcher: Pair,
    generator: Generator,
    /// Requests whose keys lie in one slot.
    within_slot: Generator,
    log: String,
}

/// Runs rounds until about `plan.commands` commands were sent.
///
/// # Errors
/// When a connection breaks, or with what a round did after which something differed.
pub fn run(plan: &Plan, oracle: SocketAddr, subject: SocketAddr) -> Result<()> {
    let generator = |seed| Generator::new(StdRng::seed_from_u64(seed), plan.through_proxy, &plan.families);
    let mut stage = Stage {
        client: Pair::connect(plan, oracle, subject)?,
        operator: Pair::connect(plan, oracle, subject)?,
        watcher: Pair::connect(plan, oracle, subject)?,
        generator: generator(plan.seed),
        within_slot: generator(plan.seed.wrapping_add(1)),
        log: String::new(),
    };
    stage.within_slot.share_one_slot();
    for line in ["client setname sender", "select 1"] {
        stage.say(line)?;
    }
    stage.operate("config set slowlog-log-slower-than 0 slowlog-max-len 100000")?;
    let ok = |reply: Value| if reply.is_error() { bail!("MONITOR: {reply}") } else { Ok(()) };
    ok(stage.watcher.oracle.run("monitor")?)?;
    ok(stage.watcher.subject.run("monitor")?)?;
    let mut rounds = 0;
    while rounds * ROUND < plan.commands {
        rounds += 1;
        stage.log.clear();
        reset(&mut stage.operator.oracle, &mut stage.operator.subject)?;
        stage.generator.reset();
        stage.within_slot.reset();
        stage.operate("slowlog reset")?;
        stage.operate("config resetstat")?;
        stage.play()?;
        let (expected, given) = stage.told(rounds)?;
        if let Some(difference) = difference(&expected, &given) {
            bail!("round {rounds} with SLOTWAY_SEED={}:\n{difference}\nof\n{}", plan.seed, stage.log);
        }
    }
    Ok(())
}

impl Stage {
    fn send(&mut self, words: &[Vec<u8>]) -> Result<()> {
        let (expected, given) = self.client.call(words)?;
        let words = words.join(&b' ');
        let words = words.get(..160).unwrap_or(&words).escape_ascii();
        writeln!(self.log, "  {words}")?;
        // Replies are compared elsewhere; but where only one of the two fails, the counts must differ.
        if expected.is_error() != given.is_error() {
            writeln!(self.log, "    redis:   {expected}\n    slotway: {given}")?;
        }
        Ok(())
    }

    fn say(&mut self, line: &str) -> Result<()> {
        self.send(&line.split(' ').map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>())
    }

    fn say_one_of(&mut self, lines: &[&str]) -> Result<()> {
        let line = lines[self.generator.below(lines.len())];
        self.say(line)
    }

    fn operate(&mut self, line: &str) -> Result<(Value, Value)> {
        let words: Vec<Vec<u8>> = line.split(' ').map(|word| word.as_bytes().to_vec()).collect();
        self.operator.call(&words)
    }

    /// A request that does not draw at random.
    fn request(&mut self, within_slot: bool) -> Request {
        let generator = if within_slot { &mut self.within_slot } else { &mut self.generator };
        loop {
            if let Some(request) = generator.batch(1).into_iter().find(|r| !RANDOM.contains(&r.name())) {
                return request;
            }
        }
    }

    fn play(&mut self) -> Result<()> {
        for _ in 0..ROUND {
            match self.generator.below(24) {
                0 => self.transact()?,
                1 => self.script()?,
                2 => self.err()?,
                3 => self.about_connection()?,
                4 => self.inline()?,
                _ => {
                    let request = self.request(false);
                    self.send(&request.args)?;
                }
            }
        }
        self.say("select 1")
    }

    fn transact(&mut self) -> Result<()> {
        if self.generator.once_in(3) {
            let key = self.within_slot.any_key();
            self.send(&[b"Watch".to_vec(), key])?;
        }
        self.say("multi")?;
        for _ in 0..self.generator.below(5) {
            match self.generator.below(6) {
                0 => self.err()?,
                1 => self.say_one_of(&["select 2", "select 1", "select x"])?,
                2 => self.script()?,
                _ => {
                    let request = self.request(true);
                    self.send(&request.args)?;
                }
            }
        }
        self.say_one_of(&["exec", "EXEC", "exec", "discard"])
    }

    /// A script that calls some commands, some of which may not be called or do not exist.
    fn script(&mut self) -> Result<()> {
        let mut text = String::new();
        // The key says where it runs.
        let mut words = vec![b"eval".to_vec(), Vec::new(), b"1".to_vec(), self.within_slot.any_key()];
        for _ in 0..=self.generator.below(3) {
            let call = if self.generator.once_in(8) { "call" } else { "pcall" };
            let args: Vec<Vec<u8>> = match self.generator.below(8) {
                0 => vec![b"nosuch".to_vec()],
                1 => vec![b"get".to_vec()],
                2 => vec![b"subscribe".to_vec(), b"c".to_vec()],
                _ => self.request(true).args,
            };
            let from = words.len() - 3;
            let numbers: Vec<String> = (from..from + args.len()).map(|n| format!("ARGV[{n}]")).collect();
            writeln!(text, "redis.{call}({})", numbers.join(", "))?;
            words.extend(args);
        }
        text.push_str(
            ["return 1", "return redis.error_reply('MINE x')", "error('y')"][self.generator.below(3)],
        );
        words[1] = text.into_bytes();
        self.send(&words)
    }

    fn err(&mut self) -> Result<()> {
        const WRONG: &[&str] = &[
            "nosuch a",
            "get",
            "set a",
            "config nosuch",
            "config get",
            "object encoding",
            "ping a b c",
            "lpush",
            "client nosuch",
            "evalsha ffffffffffffffffffffffffffffffffffffffff 0",
            "eval (( 0",
            "select 99",
            "mset a",
        ];
        self.say_one_of(WRONG)
    }

    fn about_connection(&mut self) -> Result<()> {
        const CALLS: &[&str] = &[
            "ping",
            "PING x",
            "echo y",
            "select 2",
            "select 1",
            "client getname",
            "client id",
            "hello",
            "hello 7",
            "auth x",
            "exec",
            "discard",
            "unwatch",
            "dbsize",
            "keys *",
            "publish c m",
            "pubsub numpat",
            "config get maxmemory",
            "command count",
            "script exists ffffffffffffffffffffffffffffffffffffffff",
            "acl whoami",
            "lastsave",
            "time",
            "object help",
            "latency latest",
            "memory usage nosuch",
            "blpop {w}nosuch 0.001",
            "brpop {w}a {w}b 0.001",
            "xread block 1 streams {w}nosuch 0",
            "mget {a}1 {b}2 {c}3 {d}4",
            "mset {a}1 x {b}2 y {c}3 z",
            "del {a}1 {b}2 {c}3",
            "exists {a}1 {b}2 {c}3",
        ];
        self.say_one_of(CALLS)
    }

    /// A request that is no array.
    fn inline(&mut self) -> Result<()> {
        let line =
            ["ping\r\n", "get {i}k\r\n", "nosuch x\r\n", "set {i}k \"a b\"\r\n"][self.generator.below(4)];
        writeln!(self.log, "  (inline) {line}")?;
        for client in [&mut self.client.oracle, &mut self.client.subject] {
            client.send_raw(line.as_bytes())?;
            client.receive()?;
        }
        Ok(())
    }

    /// What both tell of the round.
    fn told(&mut self, round: usize) -> Result<(Told, Told)> {
        let end = format!("end-{round}");
        self.say(&format!("echo {end}"))?;
        let (redis, slotway) = self.operate("slowlog get -1")?;
        let (mut expected, mut given) = (Told::default(), Told::default());
        expected.slow_log = slow_log(&redis, &own_address(&mut self.client.oracle)?)?;
        given.slow_log = slow_log(&slotway, &own_address(&mut self.client.subject)?)?;
        for section in ["commandstats", "errorstats"] {
            let (redis, slotway) = self.operate(&format!("info {section}"))?;
            expected.statistics.extend(statistics(&redis));
            given.statistics.extend(statistics(&slotway));
        }
        let (redis, slotway) = self.operate("latency histogram")?;
        expected.statistics.extend(histograms(&redis));
        given.statistics.extend(histograms(&slotway));
        expected.monitor = monitored(&mut self.watcher.oracle, &end).context("redis")?;
        given.monitor = monitored(&mut self.watcher.subject, &end).context("slotway")?;
        Ok((expected, given))
    }
}

/// The address under which a server sees a client. It is asked for last, so nothing of it is in what is compared.
fn own_address(client: &mut Client) -> Result<String> {
    let info = client.run("client info")?;
    let info = String::from_utf8_lossy(info.as_bytes().unwrap_or_default()).into_owned();
    let address = info.split(' ').find_map(|field| field.strip_prefix("addr="));
    Ok(address.context("no address")?.to_owned())
}

/// What MONITOR shows up to the command that ends the round, without times and addresses. The operator's commands are those of
/// other addresses.
fn monitored(watcher: &mut Client, end: &str) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    loop {
        let line = watcher.receive()?;
        let line = String::from_utf8_lossy(line.as_bytes().unwrap_or_default()).into_owned();
        let (_, rest) = line.split_once(" [").context("no line of MONITOR")?;
        let (place, call) = rest.split_once("] ").context("no line of MONITOR")?;
        let (database, address) = place.split_once(' ').context("no address")?;
        let who = if address == "lua" { "lua" } else { "client" };
        let is_over = call.contains(end);
        lines.push(format!("[{database} {who}] {call}"));
        if is_over {
            return Ok(lines);
        }
    }
}

/// The entries of SLOWLOG GET, oldest first: who ran what.
fn slow_log(log: &Value, own: &str) -> Result<Vec<String>> {
    let entries = log.as_array().with_context(|| format!("SLOWLOG GET: {log}"))?;
    let mut shown = Vec::new();
    let mut before = (i64::MAX, i64::MAX);
    for entry in entries {
        let [id, at, _, args, address, name] = entry.as_array().unwrap_or_default() else {
            bail!("an entry of SLOWLOG GET: {entry}");
        };
        let now = (id.as_int().unwrap_or(-1), at.as_int().unwrap_or(-1));
        if now.0 >= before.0 || now.1 > before.1 {
            bail!("SLOWLOG GET is not in order: {now:?} behind {before:?}");
        }
        before = now;
        let text = |value: &Value| value.as_bytes().unwrap_or_default().escape_ascii().to_string();
        let who = match text(address) {
            address if address == own => "client".to_owned(),
            address if address == "?:0" => address,
            _ => "other".to_owned(),
        };
        let args: Vec<String> = args.as_array().unwrap_or_default().iter().map(text).collect();
        shown.push(format!("{who} '{}': {}", text(name), args.join(" ")));
    }
    shown.reverse();
    Ok(shown)
}

/// The fields of an INFO section, without times.
fn statistics(info: &Value) -> BTreeMap<String, String> {
    let text = String::from_utf8_lossy(info.as_bytes().unwrap_or_default()).into_owned();
    let untimed = |value: &str| {
        let kept = value.split(',').filter(|part| !part.starts_with("usec"));
        kept.collect::<Vec<_>>().join(",")
    };
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_owned(), untimed(value)))
        .collect()
}

/// How many calls of each command LATENCY HISTOGRAM has.
fn histograms(reply: &Value) -> BTreeMap<String, String> {
    let pairs: Vec<(&Value, &Value)> = match reply {
        Value::Map(pairs) => pairs.iter().map(|(name, value)| (name, value)).collect(),
        Value::Array(items) => items.chunks_exact(2).map(|pair| (&pair[0], &pair[1])).collect(),
        _ => Vec::new(),
    };
    let calls = |value: &Value| match value {
        Value::Map(fields) => fields.first().and_then(|(_, calls)| calls.as_int()),
        Value::Array(fields) => fields.get(1).and_then(Value::as_int),
        _ => None,
    };
    let name = |value: &Value| String::from_utf8_lossy(value.as_bytes().unwrap_or_default()).into_owned();
    pairs
        .iter()
        .map(|(command, value)| (format!("histogram of {}", name(command)), format!("{:?}", calls(value))))
        .collect()
}

fn difference(expected: &Told, given: &Told) -> Option<String> {
    let mut text = String::new();
    for (what, redis, slotway) in
        [("MONITOR", &expected.monitor, &given.monitor), ("SLOWLOG", &expected.slow_log, &given.slow_log)]
    {
        let at = redis.iter().zip(slotway).position(|(redis, slotway)| redis != slotway);
        let at = at.or((redis.len() != slotway.len()).then_some(redis.len().min(slotway.len())));
        if let Some(at) = at {
            let around = |lines: &[String]| {
                lines.iter().skip(at.saturating_sub(2)).take(TOLD).cloned().collect::<Vec<_>>().join("\n    ")
            };
            let _ = write!(
                text,
                "{what} from line {at} on:\n  redis:\n    {}\n  slotway:\n    {}\n",
                around(redis),
                around(slotway)
            );
        }
    }
    let names: std::collections::BTreeSet<&String> =
        expected.statistics.keys().chain(given.statistics.keys()).collect();
    for name in names {
        let (redis, slotway) = (expected.statistics.get(name), given.statistics.get(name));
        if redis != slotway {
            let _ = writeln!(text, "{name}:\n  redis:   {redis:?}\n  slotway: {slotway:?}");
        }
    }
    (!text.is_empty()).then_some(text)
}
