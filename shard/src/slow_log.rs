//! The slow log: the commands that took longest.

use std::collections::VecDeque;
use std::time::Duration;

use slotway_common::resp::Args;

/// Arguments of an entry that are kept.
const MAX_ARGS: usize = 32;
/// Bytes of an argument that are kept.
const MAX_BYTES: usize = 128;

/// One slow command.
#[derive(Clone, Debug)]
pub struct Entry {
    pub id: u64,
    /// Seconds since 1970.
    pub at: i64,
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

    /// Notes a command; arguments that `secret` names are left out.
    pub fn add(
        &mut self,
        at: i64,
        duration: Duration,
        args: &Args<'_>,
        secret: impl Fn(usize) -> bool,
        address: &str,
        name: &[u8],
    ) {
        let id = self.next_id;
        self.next_id += 1;
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
        self.entries.push_front(Entry {
            id,
            at,
            duration,
            args: kept,
            address: address.to_owned(),
            name: name.to_vec(),
        });
        self.entries.truncate(self.max_len);
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
