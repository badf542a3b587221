//! What the clients of a load send.

use std::collections::VecDeque;
use std::sync::OnceLock;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use slotway_common::slot::{SLOTS, Slot, slot_of};

/// Keys of each kind. Few enough that clients meet on them, many enough that histories can be decided.
const KEYS: usize = 16;
/// Databases that clients use, one each.
const DATABASES: [u8; 2] = [0, 3];
/// Milliseconds that an expiring key lives at most.
const LONGEST_LIFE: u64 = 400;

/// The keys of a load: spread over some slots.
#[derive(Clone, Debug)]
pub struct Keys {
    /// Tells them from the keys of other loads on the same cluster.
    name: String,
    slots: Vec<Slot>,
}

impl Keys {
    /// # Panics
    /// When there are no slots.
    #[must_use]
    pub fn new(name: &str, slots: impl IntoIterator<Item = Slot>) -> Keys {
        let slots: Vec<Slot> = slots.into_iter().collect();
        assert!(!slots.is_empty(), "keys need slots");
        Keys { name: name.to_owned(), slots }
    }

    /// The key of a kind and a number.
    #[must_use]
    pub fn key(&self, kind: &str, number: usize) -> String {
        let salt: usize = kind.bytes().map(usize::from).sum();
        let slot = self.slots[(number * 7 + salt * 31) % self.slots.len()];
        format!("{kind}:{}:{number}:{{{}}}", self.name, tag_of(slot))
    }

    /// The command that reads each key at the end, with its database.
    #[must_use]
    pub fn last_reads(&self) -> Vec<(u8, Vec<String>)> {
        const READS: [(&str, &str); 8] = [
            ("list", "LRANGE % 0 -1"),
            ("counter", "GET %"),
            ("tally", "HGET % sum"),
            ("register", "GET %"),
            ("pair", "MGET %:a %:b %:c"),
            ("set", "SMEMBERS %"),
            ("hash", "HGETALL %"),
            ("zset", "ZRANGE % 0 -1 WITHSCORES"),
        ];
        let mut reads = Vec::new();
        for database in DATABASES {
            for number in 0..KEYS {
                for (kind, read) in READS {
                    let line = read.replace('%', &self.key(kind, number));
                    reads.push((database, words(&line)));
                }
            }
        }
        reads
    }
}

/// A hash tag of a slot.
#[must_use]
pub fn tag_of(slot: Slot) -> &'static str {
    static TAGS: OnceLock<Vec<String>> = OnceLock::new();
    let tags = TAGS.get_or_init(|| {
        let mut tags = vec![String::new(); usize::from(SLOTS)];
        let mut missing = tags.len();
        for number in 0_u64.. {
            let tag = number.to_string();
            let found = &mut tags[usize::from(slot_of(tag.as_bytes()))];
            if found.is_empty() {
                *found = tag;
                missing -= 1;
                if missing == 0 {
                    break;
                }
            }
        }
        tags
    });
    &tags[usize::from(slot)]
}

pub(super) fn words(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}

/// The database that a client uses for all its commands.
#[must_use]
pub fn database_of(client: u32) -> u8 {
    DATABASES[client as usize % DATABASES.len()]
}

/// One client's commands.
pub struct Commands {
    keys: Keys,
    client: u32,
    random: StdRng,
    count: u64,
    /// Expiring keys that it has set lately.
    expiring: VecDeque<String>,
}

impl Commands {
    /// Which commands, is drawn with the seed.
    #[must_use]
    pub fn new(keys: Keys, client: u32, seed: u64) -> Commands {
        let random = StdRng::seed_from_u64(seed);
        Commands { keys, client, random, count: 0, expiring: VecDeque::new() }
    }

    /// The words of one that appends to one of the lists, so that several of a client can meet on one key.
    pub fn append(&mut self, list: usize) -> Vec<String> {
        self.count += 1;
        words(&format!("RPUSH {} {}.{}", self.keys.key("list", list % KEYS), self.client, self.count))
    }

    /// The words of the next one.
    pub fn draw(&mut self) -> Vec<String> {
        self.count += 1;
        let value = format!("{}.{}", self.client, self.count);
        let number = self.random.random_range(0..KEYS);
        let key = |kind: &str| self.keys.key(kind, number);
        let line = match self.random.random_range(0..100) {
            0..20 => format!("RPUSH {} {value}", key("list")),
            20..30 => format!("INCR {}", key("counter")),
            30..36 => format!("HINCRBY {} sum 1", key("tally")),
            36..46 => format!("SET {} {value}", key("register")),
            46..56 => format!("GET {}", key("register")),
            56..59 => format!("GETSET {} {value}", key("register")),
            59..61 => format!("SETNX {} {value}", key("register")),
            61 => format!("DEL {}", key("register")),
            62..66 => {
                let pair = key("pair");
                format!("MSET {pair}:a {value} {pair}:b {value} {pair}:c {value}")
            }
            66..70 => {
                let pair = key("pair");
                format!("MGET {pair}:a {pair}:b {pair}:c")
            }
            70..75 => format!("SADD {} {value}", key("set")),
            75..77 => format!("SPOP {}", key("set")),
            77..82 => format!("HSET {} {value} of{value}", key("hash")),
            82..87 => format!("ZADD {} {} {value}", key("zset"), self.count),
            87..89 => format!("ZPOPMIN {}", key("zset")),
            89..92 => {
                let unique = self.count as usize * 1000 + self.client as usize;
                let key = self.keys.key("expiring", unique);
                self.expiring.push_back(key.clone());
                if self.expiring.len() > 20 {
                    self.expiring.pop_front();
                }
                let life = self.random.random_range(1..LONGEST_LIFE);
                format!("SET {key} {value} PX {life}")
            }
            _ => match self.expiring.len() {
                0 => format!("GET {}", key("register")),
                count => format!("GET {}", self.expiring[self.random.random_range(0..count)]),
            },
        };
        words(&line)
    }
}
