//! The slow log: the commands that took longest.

use std::collections::VecDeque;
use std::time::Duration;

use crate::resp::{Args, Reply};

/// Arguments of an entry that are kept.
const MAX_ARGS: usize = 32;
/// Bytes of an argument that are kept.
const MAX_BYTES: usize = 128;

/// One slow command.
#[derive(Clone, Debug)]
pub struct Entry {
    pub id: u64,
    /// Microseconds since 1970.
    pub at_us: i64,
    pub duration: Duration,
    pub args: Vec<Vec<u8>>,
    pub address: String,
    pub name: Vec<u8>,
}

/// The last slow commands, newest first.
#[derive(Clone, Debug)]
pub struct SlowLog {
    entries: VecDeque<Entry>,
    next_id: u64,
    /// Commands that took at least so long are noted; `None`: none are (`slowlog-log-slower-than`).
    pub threshold: Option<Duration>,
    max_len: usize,
}

impl Default for SlowLog {
    fn default() -> Self {
        Self {
            entries: VecDeque::new(),
            next_id: 0,
            threshold: Some(Duration::from_millis(10)),
            max_len: 128,
        }
    }
}

impl SlowLog {
    #[must_use]
    #[inline]
    pub fn is_slow(&self, duration: Duration) -> bool {
        self.threshold.is_some_and(|threshold| duration >= threshold)
    }

    /// Notes a command. `args` are what [`shown_args`] gives, `at_us` microseconds since 1970.
    pub fn add(&mut self, at_us: i64, duration: Duration, args: Vec<Vec<u8>>, address: &str, name: &[u8]) {
        let id = self.next_id;
        self.next_id += 1;
        let (address, name) = (address.to_owned(), name.to_vec());
        self.push(Entry { id, at_us, duration, args, address, name });
    }

    /// Adds an entry that has a number already.
    pub fn push(&mut self, entry: Entry) {
        self.entries.push_front(entry);
        self.entries.truncate(self.max_len);
    }

    /// The number of the next entry.
    #[must_use]
    pub fn next_id(&self) -> u64 {
        self.next_id
    }

    /// Takes all entries, oldest first.
    pub fn take(&mut self) -> Vec<Entry> {
        std::mem::take(&mut self.entries).into_iter().rev().collect()
    }

    /// Answers SLOWLOG GET with the newest `count` entries.
    pub fn write(&self, count: usize, reply: &mut Reply<'_>) {
        reply.array(self.len().min(count));
        for entry in self.iter().take(count) {
            reply.array(6);
            reply.int(entry.id as i64);
            reply.int(entry.at_us / 1_000_000);
            reply.int(entry.duration.as_micros() as i64);
            reply.array(entry.args.len());
            entry.args.iter().for_each(|arg| reply.bulk(arg));
            reply.bulk(entry.address.as_bytes());
            reply.bulk(&entry.name);
        }
    }

    /// Newest first.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub fn reset(&mut self) {
        self.entries.clear();
    }

    pub fn set_max_len(&mut self, max_len: usize) {
        self.max_len = max_len;
        self.entries.truncate(max_len);
    }
}

/// The arguments of a command as its entry shows them: long ones cut short, and those that `secret` names left out.
#[must_use]
pub fn shown_args(args: &Args<'_>, secret: impl Fn(usize) -> bool) -> Vec<Vec<u8>> {
    let shown = if args.len() > MAX_ARGS { MAX_ARGS - 1 } else { args.len() };
    let mut kept: Vec<Vec<u8>> = Vec::with_capacity(shown + 1);
    for (index, arg) in args.iter().take(shown).enumerate() {
        kept.push(if secret(index) {
            b"(redacted)".to_vec()
        } else if arg.len() > MAX_BYTES {
            let mut text = arg[..MAX_BYTES].to_vec();
            text.extend_from_slice(format!("... ({} more bytes)", arg.len() - MAX_BYTES).as_bytes());
            text
        } else {
            arg.to_vec()
        });
    }
    if shown < args.len() {
        kept.push(format!("... ({} more arguments)", args.len() - shown).into_bytes());
    }
    kept
}
