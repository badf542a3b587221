//! ACL LOG: what was denied lately.

use std::collections::VecDeque;

use super::check::Denied;
use crate::error::Error;
use crate::number::parse_i64;
use crate::resp::{Args, Reply, Value};

/// The same again within so many microseconds is counted, not noted once more.
const GROUPING_US: i64 = 60_000_000;
/// Entries that are looked at for the same.
const LOOKED_AT: usize = 10;
/// Of a name longer than this the beginning is kept, in bytes: a key may be half a gigabyte.
const LONGEST_OBJECT: usize = 4096;
/// Bytes of all entries, however many `acllog-max-len` allows.
const MOST_BYTES: usize = 16 * 1024 * 1024;
/// Entries that ACL LOG shows unless asked for another number.
const SHOWN: usize = 10;

/// Why something was denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    Command,
    Key,
    Channel,
    Auth,
}

impl Reason {
    pub const ALL: [Self; 4] = [Self::Command, Self::Key, Self::Channel, Self::Auth];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Key => "key",
            Self::Channel => "channel",
            Self::Auth => "auth",
        }
    }
}

impl From<Denied> for Reason {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Command => Self::Command,
            Denied::Key(_) => Self::Key,
            Denied::Channel(_) => Self::Channel,
        }
    }
}

/// Where something was denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Context {
    TopLevel,
    Multi,
    Script,
}

impl Context {
    const ALL: [Self; 3] = [Self::TopLevel, Self::Multi, Self::Script];

    fn name(self) -> &'static str {
        match self {
            Self::TopLevel => "toplevel",
            Self::Multi => "multi",
            Self::Script => "lua",
        }
    }
}

/// Something that was denied, once or several times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    count: u64,
    reason: Reason,
    context: Context,
    /// The command, key or channel.
    object: Vec<u8>,
    user: Vec<u8>,
    /// The last time, in microseconds since 1970, so that what several processes have noted can be put in order.
    at: i64,
    /// The line of CLIENT LIST of who was denied it last.
    client: Vec<u8>,
}

impl Entry {
    #[must_use]
    pub fn new(reason: Reason, context: Context, object: &[u8], user: &[u8], at: i64, client: &[u8]) -> Self {
        let cut = |bytes: &[u8]| bytes.get(..LONGEST_OBJECT).unwrap_or(bytes).to_vec();
        let client = client.trim_ascii_end().to_vec();
        Self { count: 1, reason, context, object: cut(object), user: cut(user), at, client }
    }

    fn is_like(&self, other: &Self) -> bool {
        self.reason == other.reason
            && self.context == other.context
            && (self.at - other.at).abs() <= GROUPING_US
            && self.object == other.object
            && self.user == other.user
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() + self.object.len() + self.user.len() + self.client.len()
    }

    /// For another process, which reads it with [`Entry::read`].
    pub fn tell(&self, reply: &mut Reply<'_>) {
        reply.array(7);
        reply.int(i64::try_from(self.count).unwrap_or(i64::MAX));
        reply.int(self.reason as i64);
        reply.int(self.context as i64);
        reply.bulk(&self.object);
        reply.bulk(&self.user);
        reply.int(self.at);
        reply.bulk(&self.client);
    }

    /// What [`Entry::tell`] wrote.
    #[must_use]
    pub fn read(value: &Value) -> Option<Self> {
        let [count, reason, context, object, user, at, client] = value.as_array()? else { return None };
        let index = |value: &Value| value.as_int().and_then(|number| usize::try_from(number).ok());
        Some(Self {
            count: u64::try_from(count.as_int()?).ok()?,
            reason: Reason::ALL.get(index(reason)?).copied()?,
            context: Context::ALL.get(index(context)?).copied()?,
            object: object.as_bytes()?.to_vec(),
            user: user.as_bytes()?.to_vec(),
            at: at.as_int()?,
            client: client.as_bytes()?.to_vec(),
        })
    }
}

/// What was denied, the latest first.
#[derive(Debug, Default)]
pub struct AclLog {
    entries: VecDeque<Entry>,
    bytes: usize,
}

impl AclLog {
    /// Notes something; at most so many entries are kept.
    pub fn add(&mut self, mut entry: Entry, most: usize) {
        if let Some(place) = self.entries.iter().take(LOOKED_AT).position(|known| known.is_like(&entry))
            && let Some(known) = self.entries.remove(place)
        {
            self.bytes -= known.bytes();
            entry.count = known.count.saturating_add(entry.count);
        }
        self.bytes += entry.bytes();
        self.entries.push_front(entry);
        while self.entries.len() > most || self.bytes > MOST_BYTES {
            let Some(gone) = self.entries.pop_back() else { break };
            self.bytes -= gone.bytes();
        }
    }

    /// ACL LOG RESET.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// The latest first.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Entry> {
        self.entries.iter()
    }

    /// The same with what other processes have noted: in one order, and what is alike as one.
    #[must_use]
    pub fn with(&self, others: Vec<Entry>, most: usize) -> Self {
        let mut all: Vec<Entry> =
            self.entries.iter().rev().cloned().chain(others.into_iter().rev()).collect();
        all.sort_by_key(|entry| entry.at);
        let mut merged = Self::default();
        all.into_iter().for_each(|entry| merged.add(entry, most));
        merged
    }
}

/// How many entries a call of ACL LOG asks for; `None`: that they be forgotten.
///
/// # Errors
/// The error reply.
pub fn count(args: &Args<'_>) -> Result<Option<usize>, Error> {
    if args.len() > 3 {
        return Err(crate::command::bad_subcommand_call(args));
    }
    match args.get(2) {
        None => Ok(Some(SHOWN)),
        Some(_) if args.is(2, "RESET") => Ok(None),
        Some(number) => {
            let number = parse_i64(number).ok_or(Error::NotInteger)?;
            Ok(Some(usize::try_from(number).unwrap_or(0)))
        }
    }
}

/// Answers ACL LOG with the latest entries; `now` is in microseconds since 1970.
pub fn write(log: &AclLog, count: usize, now: i64, reply: &mut Reply<'_>) {
    let count = count.min(log.entries.len());
    reply.array(count);
    for entry in log.entries.iter().take(count) {
        reply.map(7);
        reply.bulk(b"count");
        reply.int(i64::try_from(entry.count).unwrap_or(i64::MAX));
        for (field, value) in [("reason", entry.reason.name()), ("context", entry.context.name())] {
            reply.bulk(field.as_bytes());
            reply.bulk(value.as_bytes());
        }
        reply.bulk(b"object");
        reply.bulk(&entry.object);
        reply.bulk(b"username");
        reply.bulk(&entry.user);
        reply.bulk(b"age-seconds");
        reply.double((now / 1000 - entry.at / 1000) as f64 / 1000.0);
        reply.bulk(b"client-info");
        reply.bulk(&entry.client);
    }
}
