//! Loads an endpoint with redis-benchmark, and fills it with data.

use std::io::Write;
use std::net::SocketAddr;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use slotway_tests::Client;

/// Parallel connections of every load.
pub const CLIENTS: u32 = 50;

/// Bytes of a value.
pub const VALUE: usize = 32;

/// Keys, fields and members are chosen among so many.
pub const KEYS: u32 = 100_000;

/// Elements of the list that LRANGE_100 reads from.
const LIST: u32 = 1000;

/// One kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Workload {
    pub name: &'static str,
    /// Words of the command; redis-benchmark replaces `__rand_int__`, and `VALUE` stands for a value.
    words: &'static [&'static str],
    /// How often the words after the command are repeated.
    repeated: usize,
    data: Data,
}

/// What is there before the load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Data {
    /// Nothing, before every load, because the load makes it grow.
    Nothing,
    /// All keys that begin so, each with a value or the number 0.
    Strings {
        prefix: &'static str,
        number: bool,
    },
    List,
}

const KEY: Data = Data::Strings { prefix: "key", number: false };

/// What both comparisons measure; names and forms are those of redis-benchmark's own tests.
pub const BASIC: [Workload; 9] = [
    Workload { name: "GET", words: &["GET", "key:__rand_int__"], repeated: 1, data: KEY },
    Workload { name: "SET", words: &["SET", "key:__rand_int__", "VALUE"], repeated: 1, data: KEY },
    Workload {
        name: "INCR",
        words: &["INCR", "counter:__rand_int__"],
        repeated: 1,
        data: Data::Strings { prefix: "counter", number: true },
    },
    Workload { name: "LPUSH", words: &["LPUSH", "mylist", "VALUE"], repeated: 1, data: Data::Nothing },
    Workload {
        name: "HSET",
        words: &["HSET", "myhash", "element:__rand_int__", "VALUE"],
        repeated: 1,
        data: Data::Nothing,
    },
    Workload {
        name: "SADD",
        words: &["SADD", "myset", "element:__rand_int__"],
        repeated: 1,
        data: Data::Nothing,
    },
    Workload {
        name: "ZADD",
        words: &["ZADD", "myzset", "__rand_int__", "element:__rand_int__"],
        repeated: 1,
        data: Data::Nothing,
    },
    Workload {
        name: "EVAL",
        words: &["EVAL", "return redis.call('set', KEYS[1], ARGV[1])", "1", "key:__rand_int__", "VALUE"],
        repeated: 1,
        data: KEY,
    },
    Workload { name: "LRANGE_100", words: &["LRANGE", "mylist", "0", "99"], repeated: 1, data: Data::List },
];

/// What only proxies have to split.
pub const MULTI_KEY: [Workload; 2] = [
    Workload { name: "MSET_10", words: &["MSET", "key:__rand_int__", "VALUE"], repeated: 10, data: KEY },
    Workload { name: "MGET_100", words: &["MGET", "key:__rand_int__"], repeated: 100, data: KEY },
];

/// What redis-benchmark tells of one load.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    pub requests_per_second: f64,
    pub p50_milliseconds: f64,
    pub p99_milliseconds: f64,
}

impl Workload {
    /// Whether the data must be made anew before each load.
    pub fn grows(&self) -> bool {
        self.data == Data::Nothing
    }

    fn command(&self) -> Vec<String> {
        let value = "x".repeat(VALUE);
        let word = |word: &&str| if *word == "VALUE" { value.clone() } else { (*word).to_owned() };
        let mut command: Vec<String> = self.words.iter().take(1).map(word).collect();
        for _ in 0..self.repeated {
            command.extend(self.words.iter().skip(1).map(word));
        }
        command
    }

    /// Makes the data that the load works on, in an empty store.
    pub fn fill(&self, client: &mut Client) -> Result<()> {
        let value = "x".repeat(VALUE);
        match self.data {
            Data::Nothing => Ok(()),
            Data::Strings { prefix, number } => {
                let value = if number { "0" } else { &value };
                let commands = (0..KEYS)
                    .map(|key| vec!["SET".to_owned(), format!("{prefix}:{key:012}"), value.to_owned()]);
                pipeline(client, commands)
            }
            Data::List => {
                let commands =
                    (0..LIST).map(|_| vec!["RPUSH".to_owned(), "mylist".to_owned(), value.clone()]);
                pipeline(client, commands)
            }
        }
    }

    /// Sends so many requests, `depth` of them at a time on each connection.
    pub fn run(&self, endpoint: SocketAddr, requests: u64, depth: u32) -> Result<Outcome> {
        let output = Command::new("redis-benchmark")
            .args(["-h", &endpoint.ip().to_string(), "-p", &endpoint.port().to_string()])
            .args(["-c", &CLIENTS.to_string(), "-n", &requests.to_string(), "-P", &depth.to_string()])
            .args(["-r", &KEYS.to_string(), "--csv"])
            .args(self.command())
            .output()
            .context("redis-benchmark starts")?;
        let text = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            bail!("redis-benchmark {}: {}", self.name, errors.trim());
        }
        let line = text.lines().last().unwrap_or_default();
        // Behind the title, which may contain commas: rps, average, minimum, p50, p95, p99, maximum.
        let mut fields = line.rsplit(',').map(|field| field.trim_matches('"').parse::<f64>());
        let mut last: Vec<f64> =
            fields.by_ref().take(7).collect::<Result<_, _>>().with_context(|| {
                format!("redis-benchmark {} printed {line:?}: {}", self.name, errors.trim())
            })?;
        last.reverse();
        let &[requests_per_second, _, _, p50_milliseconds, _, p99_milliseconds, _] = last.as_slice() else {
            bail!("redis-benchmark {} printed {line:?}", self.name);
        };
        Ok(Outcome { requests_per_second, p50_milliseconds, p99_milliseconds })
    }
}

/// Sends many commands, some hundred or some kilobytes at a time, and checks that none fails.
pub fn pipeline(client: &mut Client, commands: impl Iterator<Item = Vec<String>>) -> Result<()> {
    const TOGETHER: usize = 500;
    const BYTES: usize = 64 << 10;
    let mut batch = Vec::new();
    let mut waiting = 0;
    for command in commands {
        write!(batch, "*{}\r\n", command.len())?;
        for word in command {
            write!(batch, "${}\r\n{word}\r\n", word.len())?;
        }
        waiting += 1;
        if waiting == TOGETHER || batch.len() >= BYTES {
            client.send_raw(&batch)?;
            batch.clear();
            take(client, waiting)?;
            waiting = 0;
        }
    }
    client.send_raw(&batch)?;
    take(client, waiting)
}

fn take(client: &mut Client, replies: usize) -> Result<()> {
    for _ in 0..replies {
        let reply = client.receive()?;
        ensure!(!reply.is_error(), "filling failed: {reply}");
    }
    Ok(())
}
