//! Users with random rules, and commands that they run, on a real redis-server and on Slotway, their replies compared, and
//! what ACL LOG says of those that were denied.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;

use anyhow::{Result, bail};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use slotway_common::command::{Categories, Route, TABLE};
use slotway_common::resp::Value;

use super::pair::Pair;
use super::{Plan, TOLD, reset};
use crate::client::Client;

/// What users run: `K`, `C` and `U` stand for a key, a channel and a user.
const CALLS: &str = include_str!("acl/calls.txt");

const USERS: [&str; 3] = ["alice", "bob", "carol"];
const KEYS: [&str; 6] = ["{t}a", "{t}a1", "{t}b", "{t}b1", "{t}l", "{t}w1"];
const CHANNELS: [&str; 4] = ["{t}c", "{t}c1", "{t}d", "{t}c*"];
/// Commands that a user runs before the rules change.
const COMMANDS: usize = 40;

/// The next reply. Messages of channels that the client listens to itself come before it or after it.
fn reply(client: &mut Client) -> Result<Value> {
    loop {
        match client.receive()? {
            Value::Push(parts)
                if parts.first().and_then(Value::as_bytes).is_some_and(|kind| kind.ends_with(b"message")) => {
            }
            reply => return Ok(reply),
        }
    }
}

struct Run {
    random: StdRng,
    /// Words of the last calls.
    history: Vec<String>,
    report: String,
    differences: usize,
}

/// Runs rounds until the plan's number of commands has been sent.
///
/// # Errors
/// When a connection breaks, or with a report of the differences found.
pub fn run(plan: &Plan, oracle: SocketAddr, subject: SocketAddr) -> Result<()> {
    let mut admin = Pair::connect(plan, oracle, subject)?;
    let mut run = Run {
        random: StdRng::seed_from_u64(plan.seed),
        history: Vec::new(),
        report: String::new(),
        differences: 0,
    };
    reset(&mut admin.oracle, &mut admin.subject)?;
    run.compare(&mut admin, "admin", &line("CONFIG SET acllog-max-len 10000"))?;
    let mut sent = 0;
    while sent < plan.commands && run.differences < TOLD {
        run.history.clear();
        run.round(plan, &mut admin, oracle, subject)?;
        sent += COMMANDS;
    }
    if run.differences > 0 {
        bail!("{} differences, with SLOTWAY_SEED={}:{}", run.differences, plan.seed, run.report);
    }
    Ok(())
}

fn line(text: &str) -> Vec<Vec<u8>> {
    text.split(' ').map(|word| word.as_bytes().to_vec()).collect()
}

impl Run {
    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of.choose(&mut self.random).copied().unwrap_or_default()
    }

    fn compare(&mut self, pair: &mut Pair, who: &str, words: &[Vec<u8>]) -> Result<()> {
        let shown: Vec<String> = words.iter().map(|word| word.escape_ascii().to_string()).collect();
        self.history.push(format!("{who}: {}", shown.join(" ")));
        let (expected, given) = pair.call_and(words, reply)?;
        let what = words.iter().take(2).map(|word| word.to_ascii_lowercase()).collect::<Vec<_>>().join(&b' ');
        let same = match what.as_slice() {
            b"acl list" | b"acl getuser" | b"exec" => normal(&expected) == normal(&given),
            b"acl log" => denied(&expected) == denied(&given),
            _ => expected == given,
        };
        if !same {
            self.differences += 1;
            let (expected, given) = match what.as_slice() {
                b"acl log" => (format!("{:#?}", denied(&expected)), format!("{:#?}", denied(&given))),
                _ => (expected.to_string(), given.to_string()),
            };
            writeln!(
                self.report,
                "\n{}\n  redis:   {expected}\n  slotway: {given}",
                self.history.join("\n")
            )?;
        }
        Ok(())
    }

    fn round(
        &mut self,
        plan: &Plan,
        admin: &mut Pair,
        oracle: SocketAddr,
        subject: SocketAddr,
    ) -> Result<()> {
        if self.random.random_bool(0.1) {
            let default = self.one(&["allchannels", "resetchannels"]);
            self.compare(admin, "admin", &line(&format!("CONFIG SET acl-pubsub-default {default}")))?;
        }
        self.compare(admin, "admin", &line("ACL LOG RESET"))?;
        let name = self.one(&USERS);
        if self.random.random_bool(0.3) {
            self.compare(admin, "admin", &line(&format!("ACL DELUSER {name}")))?;
        }
        let start = self.one(&[
            "reset on nopass +@all ~*",
            "reset on nopass +@all ~* &*",
            "reset on nopass +@all ~{t}a* &{t}c*",
            "reset on nopass -@all +@read +@scripting +@transaction +acl ~*",
            "reset on nopass +@all %R~{t}a* %W~{t}b* ~{t}l",
            "on >one",
        ]);
        let mut words = line(&format!("ACL SETUSER {name} {start}"));
        self.compare(admin, "admin", &words)?;
        for _ in 0..self.random.random_range(1..4) {
            words = line(&format!("ACL SETUSER {name}"));
            for _ in 0..self.random.random_range(1..5) {
                words.push(self.rule());
            }
            self.compare(admin, "admin", &words)?;
            self.compare(admin, "admin", &line(&format!("ACL GETUSER {name}")))?;
        }
        self.compare(admin, "admin", &line(&format!("ACL SETUSER {name} on >one")))?;
        self.compare(admin, "admin", &line("ACL LIST"))?;
        let mut user = Pair::connect(plan, oracle, subject)?;
        self.compare(&mut user, name, &line(&format!("AUTH {name} one")))?;
        let (mut in_transaction, mut listens) = (false, false);
        for _ in 0..COMMANDS {
            if self.random.random_bool(0.05) {
                let rule = self.rule();
                // Who must not listen any more is cut off, which is for another test.
                let cuts_off = [&b"resetchannels"[..], b"reset", b"clearselectors"];
                if !cuts_off.iter().any(|word| rule.eq_ignore_ascii_case(word)) {
                    let mut words = line(&format!("ACL SETUSER {name}"));
                    words.push(rule);
                    self.compare(admin, "admin", &words)?;
                }
            }
            let call = self.call(name);
            let is =
                |word: &str| call.first().is_some_and(|first| first.eq_ignore_ascii_case(word.as_bytes()));
            let subscribes = is("subscribe") || is("psubscribe");
            let publishes = call.iter().any(|word| word.windows(7).any(|part| part == b"publish"));
            if in_transaction && (subscribes || listens && publishes) {
                // Redis puts what a client hears of its own transaction among the replies of EXEC, and counts it as one.
                continue;
            }
            in_transaction = is("multi") || in_transaction && !(is("exec") || is("discard") || is("reset"));
            listens |= subscribes;
            self.compare(&mut user, name, &call)?;
        }
        // So that nobody has to notice first that its connection is closed.
        self.compare(&mut user, name, &line("RESET"))?;
        self.compare(admin, "admin", &line("ACL LOG 100000"))?;
        self.compare(admin, "admin", &line("ACL LIST"))?;
        self.compare(admin, "admin", &line("ACL USERS"))
    }

    /// A rule that is mostly right.
    fn rule(&mut self) -> Vec<u8> {
        let sign = if self.random.random_bool(0.6) { '+' } else { '-' };
        let pattern = self.one(&["{t}a*", "{t}*", "{t}b", "*", "", "[{]t}?", "x y", "{t}l"]);
        let text = match self.random.random_range(0..26) {
            0..6 => format!("{sign}{}", self.command()),
            6..10 => {
                let (_, name) = Categories::MEMBERS.choose(&mut self.random).copied().unwrap_or_default();
                format!("{sign}@{name}")
            }
            10 => format!("{sign}@all"),
            11 => self
                .one(&[
                    "+select|0",
                    "+SELECT|1",
                    "+config|get|x",
                    "+debug|",
                    "+get|{t}a",
                    "-select|0",
                    "+config|nosuch",
                ])
                .to_owned(),
            12 | 13 => format!("~{pattern}"),
            14 => format!("%R~{pattern}"),
            15 => format!("%w~{pattern}"),
            16 => format!("{}{pattern}", self.one(&["%rW~", "%WR~", "%RR~", "%x~", "%~"])),
            17 => format!("&{}", self.one(&CHANNELS)),
            18 => self
                .one(&["allkeys", "resetkeys", "allchannels", "RESETCHANNELS", "nocommands", "AllCommands"])
                .to_owned(),
            19 => self
                .one(&["on", "nopass", "sanitize-payload", "skip-sanitize-payload", "clearselectors"])
                .to_owned(),
            20 => format!("{}{}", self.one(&[">", "<", "#", "!"]), self.one(&["one", "two", ""])),
            21 => format!("#{}", "0123456789abcdef".repeat(4)),
            22 => format!("({sign}{} ~{pattern} &{{t}}c)", self.command()),
            23 => format!("({sign}{}", self.command()),
            24 => self
                .one(&[
                    "~{t}w*)",
                    ")",
                    "()",
                    "(on)",
                    "(+get \"~{t}a\")",
                    "(+get '~a)",
                    "foo",
                    "+",
                    "-",
                    "+@",
                    "+@nosuch",
                    "+nosuch",
                    "",
                ])
                .to_owned(),
            _ => {
                let pool: &[u8] = b"+-@~&()|<>#! \0\nRWa\xff";
                return (0..self.random.random_range(0..6))
                    .map(|_| pool.choose(&mut self.random).copied().unwrap_or(b'x'))
                    .collect();
            }
        };
        text.into_bytes()
    }

    fn command(&mut self) -> &'static str {
        loop {
            if let Some(row) =
                TABLE.choose(&mut self.random).filter(|row| !row.hidden && row.route != Route::Internal)
            {
                return row.name;
            }
        }
    }

    fn call(&mut self, name: &str) -> Vec<Vec<u8>> {
        let calls: Vec<&str> = CALLS.lines().filter(|line| !line.is_empty()).collect();
        let template = self.one(&calls);
        template
            .split(if template.contains('\t') { '\t' } else { ' ' })
            .map(|word| {
                match word {
                    "K" => self.one(&KEYS),
                    "C" => self.one(&CHANNELS),
                    "U" => name,
                    other => other,
                }
                .as_bytes()
                .to_vec()
            })
            .collect()
    }
}

/// A reply in which single commands stand in one order: redis-server's is that of a hash table with a random seed.
fn normal(value: &Value) -> String {
    let text = value.to_string();
    let mut out = String::new();
    for segment in text.split_inclusive(['(', ')', '"', '\n']) {
        let (singles, others): (Vec<&str>, Vec<&str>) = segment
            .split(' ')
            .partition(|word| (word.starts_with('+') || word.starts_with('-')) && !word.contains('@'));
        let mut singles: Vec<&str> =
            singles.iter().map(|word| word.trim_end_matches(['(', ')', '"', '\n'])).collect();
        singles.sort_unstable();
        out.push_str(&others.join(" ").replace(['(', ')', '"', '\n'], ""));
        out.push_str(&singles.join(" "));
        out.push('|');
    }
    out
}

/// How often what was denied, whom, and where. In which entries redis-server counts that is a matter of what came in between.
fn denied(value: &Value) -> BTreeMap<Vec<String>, i64> {
    let mut counts = BTreeMap::new();
    for entry in value.as_array().unwrap_or_default() {
        let fields: Vec<(Value, Value)> = match entry {
            Value::Map(pairs) => pairs.clone(),
            other => {
                let items = other.as_array().unwrap_or_default();
                items.as_chunks::<2>().0.iter().map(|[name, value]| (name.clone(), value.clone())).collect()
            }
        };
        let field = |wanted: &str| {
            let found = fields.iter().find(|(name, _)| name.as_bytes() == Some(wanted.as_bytes()));
            found.map(|(_, value)| value.clone()).unwrap_or(Value::Null)
        };
        let key = ["reason", "context", "object", "username"].map(|name| field(name).to_string()).to_vec();
        *counts.entry(key).or_default() += field("count").as_int().unwrap_or(0);
    }
    counts
}
