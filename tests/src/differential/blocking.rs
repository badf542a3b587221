//! Random commands that wait for data, of two clients, while a third one makes what they wait for, sent to a real
//! redis-server and to Slotway: who is served when, and with what, is compared.

use std::fmt::Write as _;
use std::net::SocketAddr;

use anyhow::{Result, bail};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use slotway_common::resp::Value;

use super::{Plan, reset};
use crate::client::Client;
use crate::wait::wait_until;

/// A client of a server, and its number there.
struct Party {
    client: Client,
    id: i64,
}

/// The three clients of one server: two that wait, and one that does not.
struct Side {
    waiting: [Party; 2],
    busy: Client,
}

impl Side {
    fn connect(resp3: bool, address: SocketAddr) -> Result<Self> {
        let connect = || Client::connect_with(address, resp3);
        let party = || -> Result<Party> {
            let mut client = connect()?;
            let id = client.run("CLIENT ID")?.as_int().unwrap_or(0);
            Ok(Party { client, id })
        };
        Ok(Self { waiting: [party()?, party()?], busy: connect()? })
    }

    fn is_blocked(&mut self, who: usize) -> bool {
        let line = self.busy.run(&format!("CLIENT LIST ID {}", self.waiting[who].id));
        let text = line.ok().and_then(|line| line.as_bytes().map(<[u8]>::to_vec)).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        text.split(' ')
            .find_map(|field| field.strip_prefix("flags="))
            .is_some_and(|flags| flags.contains('b'))
    }
}

/// Runs rounds until about `plan.commands` commands were sent. With `spread` the keys lie in several slots.
///
/// # Errors
/// When a connection breaks, or with what a round did in which something differed.
pub fn run(plan: &Plan, spread: bool, oracle: SocketAddr, subject: SocketAddr) -> Result<()> {
    let mut oracle = Side::connect(plan.resp3, oracle)?;
    let mut subject = Side::connect(plan.resp3, subject)?;
    let mut words = Words { random: StdRng::seed_from_u64(plan.seed), spread };
    let (mut sent, mut rounds) = (0, 0);
    while sent < plan.commands {
        reset(&mut oracle.busy, &mut subject.busy)?;
        let mut round = Round { log: String::new(), differs: false, blocked: [false; 2] };
        sent += round.play(&mut words, &mut oracle, &mut subject)?;
        rounds += 1;
        if round.differs {
            bail!("round {rounds} with SLOTWAY_SEED={} differs:\n{}", plan.seed, round.log);
        }
    }
    Ok(())
}

struct Round {
    log: String,
    differs: bool,
    blocked: [bool; 2],
}

impl Round {
    fn play(&mut self, words: &mut Words, oracle: &mut Side, subject: &mut Side) -> Result<usize> {
        let mut sent = 0;
        for _ in 0..words.random.random_range(0..3) {
            self.busy(&words.making(), oracle, subject)?;
            sent += 1;
        }
        // Whoever came first is served first, but over keys of several shards.
        let waiting = if words.spread { 1 } else { 2 };
        for who in 0..waiting {
            self.wait(who, &words.waiting(), oracle, subject)?;
            sent += 1;
        }
        for _ in 0..words.random.random_range(1..5) {
            if self.differs || self.blocked == [false; 2] {
                break;
            }
            // What one transaction gives several keys comes from their shards in no order.
            if !words.spread && words.random.random_ratio(1, 4) {
                self.busy(&words_of("MULTI"), oracle, subject)?;
                for _ in 0..words.random.random_range(0..4) {
                    self.busy(&words.making(), oracle, subject)?;
                    sent += 1;
                }
                self.busy(&words_of("EXEC"), oracle, subject)?;
            } else {
                self.busy(&words.making(), oracle, subject)?;
            }
            sent += 1;
            self.see_who_was_served(oracle, subject)?;
        }
        for who in 0..2 {
            if !self.differs && self.blocked[who] {
                let how = ["", " TIMEOUT", " ERROR"].choose(&mut words.random).unwrap_or(&"");
                for side in [&mut *oracle, &mut *subject] {
                    let line = format!("CLIENT UNBLOCK {}{how}", side.waiting[who].id);
                    if side.busy.run(&line)? != Value::Int(1) {
                        self.differs = true;
                        writeln!(self.log, "  {line} finds nobody")?;
                    }
                }
                writeln!(self.log, "  CLIENT UNBLOCK of {who}{how}")?;
                self.served(who, oracle, subject)?;
            }
        }
        Ok(sent)
    }

    fn busy(&mut self, words: &[Vec<u8>], oracle: &mut Side, subject: &mut Side) -> Result<()> {
        let (expected, given) = (oracle.busy.call(words)?, subject.busy.call(words)?);
        self.note("C", words, &expected, &given)
    }

    fn note(&mut self, who: &str, words: &[Vec<u8>], expected: &Value, given: &Value) -> Result<()> {
        let text: Vec<String> = words.iter().map(|word| word.escape_ascii().to_string()).collect();
        writeln!(self.log, "  {who}: {}", text.join(" "))?;
        if expected != given {
            self.differs = true;
        }
        writeln!(self.log, "    redis:   {expected}\n    slotway: {given}")?;
        Ok(())
    }

    /// A client sends what it may have to wait for, and is answered, or waits, on both sides.
    fn wait(&mut self, who: usize, words: &[Vec<u8>], oracle: &mut Side, subject: &mut Side) -> Result<()> {
        let text: Vec<String> = words.iter().map(|word| word.escape_ascii().to_string()).collect();
        writeln!(self.log, "  {who}: {}", text.join(" "))?;
        for side in [&mut *oracle, &mut *subject] {
            side.waiting[who].client.send(words)?;
            wait_until("a client to be answered or to wait", || {
                side.waiting[who].client.has_reply().unwrap_or(true) || side.is_blocked(who)
            });
        }
        let at_once = oracle.waiting[who].client.has_reply()?;
        if at_once != subject.waiting[who].client.has_reply()? {
            self.differs = true;
            writeln!(self.log, "    redis answers at once: {at_once}; slotway does the opposite")?;
        } else if at_once {
            self.served(who, oracle, subject)?;
        } else {
            self.blocked[who] = true;
        }
        Ok(())
    }

    fn served(&mut self, who: usize, oracle: &mut Side, subject: &mut Side) -> Result<()> {
        self.blocked[who] = false;
        let expected = oracle.waiting[who].client.receive()?;
        let given = subject.waiting[who].client.receive()?;
        self.note(&format!("{who} gets"), &[], &expected, &given)
    }

    fn see_who_was_served(&mut self, oracle: &mut Side, subject: &mut Side) -> Result<()> {
        for who in 0..2 {
            if !self.blocked[who] {
                continue;
            }
            if !oracle.is_blocked(who) {
                self.served(who, oracle, subject)?;
            } else if subject.waiting[who].client.has_reply()? {
                self.differs = true;
                let given = subject.waiting[who].client.receive()?;
                writeln!(self.log, "    {who} goes on waiting in redis, and slotway answers {given}")?;
            }
        }
        Ok(())
    }
}

fn words_of(line: &str) -> Vec<Vec<u8>> {
    line.split(' ').map(|word| word.as_bytes().to_vec()).collect()
}

/// Makes the commands of a round.
struct Words {
    random: StdRng,
    spread: bool,
}

impl Words {
    fn key(&mut self, kind: char) -> String {
        let number = self.random.random_range(0..3);
        if self.spread { format!("{kind}{number}") } else { format!("{{0}}{kind}{number}") }
    }

    fn keys(&mut self, kind: char) -> String {
        let count = self.random.random_range(1..4);
        (0..count).map(|_| self.key(kind)).collect::<Vec<_>>().join(" ")
    }

    fn end(&mut self) -> &'static str {
        ["LEFT", "RIGHT"].choose(&mut self.random).copied().unwrap_or("LEFT")
    }

    /// A command that may wait.
    fn waiting(&mut self) -> Vec<Vec<u8>> {
        // Long enough not to end by itself.
        let timeout = *["0", "100", "1e2", "250.5"].choose(&mut self.random).unwrap_or(&"0");
        let timeout = if self.random.random_ratio(1, 30) {
            *["-1", "x", "1e300", "inf", "nan", "-0.0001"].choose(&mut self.random).unwrap_or(&"x")
        } else {
            timeout
        };
        let line = match self.random.random_range(0..13) {
            0 => format!("BLPOP {} {timeout}", self.keys('l')),
            1 => format!("BRPOP {} {timeout}", self.keys('l')),
            2 => format!("BZPOPMIN {} {timeout}", self.keys('z')),
            3 => format!("BZPOPMAX {} {timeout}", self.keys('z')),
            4 => {
                let keys = self.keys('l');
                let count = self.random.random_range(1..4);
                let (number, end) = (keys.split(' ').count(), self.end());
                format!("BLMPOP {timeout} {number} {keys} {end} COUNT {count}")
            }
            5 => {
                let keys = self.keys('z');
                format!("BZMPOP {timeout} {} {keys} MAX", keys.split(' ').count())
            }
            6 => {
                format!("BLMOVE {} {} {} {} {timeout}", self.key('l'), self.key('l'), self.end(), self.end())
            }
            7 => format!("BRPOPLPUSH {} {} {timeout}", self.key('l'), self.key('l')),
            8 => format!("XREAD BLOCK 100000 STREAMS {} $", self.key('x')),
            9 => format!("XREAD COUNT 1 BLOCK 0 STREAMS {} {} 5-0 $", self.key('x'), self.key('x')),
            10 => format!("XREADGROUP GROUP g {} BLOCK 0 STREAMS {} >", self.end(), self.key('x')),
            11 => format!(
                "XREADGROUP GROUP g c COUNT 2 BLOCK 0 STREAMS {} {} > >",
                self.key('x'),
                self.key('x')
            ),
            // Of a wrong type, perhaps.
            _ => format!("BLPOP {} {} {timeout}", self.key('z'), self.key('l')),
        };
        words_of(&line)
    }

    /// A command that may make what is waited for, or take it away.
    fn making(&mut self) -> Vec<Vec<u8>> {
        let value = self.random.random_range(0..100);
        let line = match self.random.random_range(0..16) {
            0 | 1 => format!("LPUSH {} {value} b", self.key('l')),
            2 => format!("RPUSH {} {value}", self.key('l')),
            3 | 4 => format!("ZADD {} {value} a {value} b", self.key('z')),
            5 => format!("DEL {}", self.key('l')),
            6 => format!("DEL {}", self.key('z')),
            7 => format!("RENAME {} {}", self.key('l'), self.key('l')),
            8 => format!("XADD {} {}-1 f v", self.key('x'), value + 1),
            9 => format!("XGROUP CREATE {} g $ MKSTREAM", self.key('x')),
            10 => format!("XGROUP DESTROY {} g", self.key('x')),
            11 => format!("DEL {}", self.key('x')),
            12 => format!("SET {} v", self.key('x')),
            13 => format!("COPY {} {} REPLACE", self.key('z'), self.key('z')),
            14 => format!("SORT {} ALPHA STORE {}", self.key('l'), self.key('l')),
            _ => format!("ZUNIONSTORE {} 2 {} {}", self.key('z'), self.key('z'), self.key('z')),
        };
        words_of(&line)
    }
}
