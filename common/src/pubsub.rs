//! What shards and proxies say about channels, and what one client has subscribed to.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use crate::command::{Command, Handling};
use crate::error::Error;
use crate::glob;
use crate::resp::{Protocol, Reply};

/// What a subscription is to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Channel,
    /// All channels, but no shard channels, whose names match.
    Pattern,
    /// A channel of SPUBLISH, which has nothing in common with the channel of that name.
    Shard,
}

impl Kind {
    pub const ALL: [Self; 3] = [Self::Channel, Self::Pattern, Self::Shard];

    /// What it is called between processes.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Channel => "channel",
            Self::Pattern => "pattern",
            Self::Shard => "shard",
        }
    }

    /// The kind that is called so.
    #[must_use]
    pub fn of_word(word: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word().as_bytes() == word)
    }

    /// The kind of a message by the first element of its frame.
    #[must_use]
    pub fn of_message(word: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.message().as_bytes() == word)
    }

    fn message(self) -> &'static str {
        match self {
            Self::Channel => "message",
            Self::Pattern => "pmessage",
            Self::Shard => "smessage",
        }
    }

    fn confirmation(self, begins: bool) -> &'static str {
        match (self, begins) {
            (Self::Channel, true) => "subscribe",
            (Self::Channel, false) => "unsubscribe",
            (Self::Pattern, true) => "psubscribe",
            (Self::Pattern, false) => "punsubscribe",
            (Self::Shard, true) => "ssubscribe",
            (Self::Shard, false) => "sunsubscribe",
        }
    }
}

/// The kind that a command subscribes to (`true`) or unsubscribes from.
#[must_use]
pub fn subscription(command: &Command) -> Option<(Kind, bool)> {
    Some(match command.name {
        "subscribe" => (Kind::Channel, true),
        "unsubscribe" => (Kind::Channel, false),
        "psubscribe" => (Kind::Pattern, true),
        "punsubscribe" => (Kind::Pattern, false),
        "ssubscribe" => (Kind::Shard, true),
        "sunsubscribe" => (Kind::Shard, false),
        _ => return None,
    })
}

/// Refuses what a client that has subscriptions may not call in RESP2, where a message could be taken for a reply.
///
/// # Errors
/// Redis's text.
pub fn check_allowed(command: &Command) -> Result<(), Error> {
    if command.handling.contains(Handling::WHILE_SUBSCRIBED) {
        return Ok(());
    }
    Err(Error::err(format!(
        "Can't execute '{}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context",
        command.name
    )))
}

/// Whether a channel's name matches a pattern. Of the empty name Redis looks at no pattern but the empty one.
#[must_use]
pub fn matches(pattern: &[u8], channel: &[u8]) -> bool {
    if channel.is_empty() { pattern.is_empty() } else { glob::matches(pattern, channel) }
}

/// What the names begin with of the channels that keyspace events are sent to.
const KEY_CHANNELS: &[u8] = b"__keyspace@";
const EVENT_CHANNELS: &[u8] = b"__keyevent@";

/// The channel that tells what happens to a key of a database.
#[must_use]
pub fn key_channel(db: usize, key: &[u8]) -> Vec<u8> {
    [KEY_CHANNELS, db.to_string().as_bytes(), b"__:", key].concat()
}

/// The channel that tells to which keys of a database something happens.
#[must_use]
pub fn event_channel(db: usize, event: &str) -> Vec<u8> {
    [EVENT_CHANNELS, db.to_string().as_bytes(), b"__:", event.as_bytes()].concat()
}

/// Whether a subscription is every shard's concern: a pattern may match the name of any channel, and an event comes from the
/// shard of its key. Any other channel is the concern of the shard of its slot alone.
#[must_use]
pub fn is_everywhere(kind: Kind, name: &[u8]) -> bool {
    match kind {
        Kind::Pattern => true,
        Kind::Channel => name.starts_with(KEY_CHANNELS) || name.starts_with(EVENT_CHANNELS),
        Kind::Shard => false,
    }
}

/// PING of a client that may call nothing else: an array, which cannot be taken for a message.
pub fn pong(reply: &mut Reply<'_>, text: &[u8]) {
    reply.array(2);
    reply.bulk(b"pong");
    reply.bulk(text);
}

/// Appends what tells a client that a subscription has begun or ended, and how many of that kind it has now. Channels
/// and patterns are counted together.
pub fn confirm(
    out: &mut Vec<u8>,
    protocol: Protocol,
    kind: Kind,
    begins: bool,
    name: Option<&[u8]>,
    count: usize,
) {
    let mut reply = Reply::new(out, protocol);
    reply.push(3);
    reply.bulk(kind.confirmation(begins).as_bytes());
    reply.optional(name);
    reply.len(count);
}

/// A message as one client gets it, in RESP3. In RESP2 the first byte is another; see [`append_push`].
pub fn message(out: &mut Vec<u8>, kind: Kind, pattern: Option<&[u8]>, channel: &[u8], payload: &[u8]) {
    let mut reply = Reply::new(out, Protocol::Resp3);
    reply.push(if pattern.is_some() { 4 } else { 3 });
    reply.bulk(kind.message().as_bytes());
    if let Some(pattern) = pattern {
        reply.bulk(pattern);
    }
    reply.bulk(channel);
    reply.bulk(payload);
}

/// Appends a push, given in RESP3, as the protocol has it.
#[inline]
pub fn append_push(out: &mut Vec<u8>, protocol: Protocol, push: &[u8]) {
    let Some((_, rest)) = push.split_first() else { return };
    out.push(if protocol == Protocol::Resp3 { b'>' } else { b'*' });
    out.extend_from_slice(rest);
}

/// Names in the order in which they came.
#[derive(Debug, Default)]
pub struct Names {
    numbers: HashMap<Rc<[u8]>, u64>,
    in_order: BTreeMap<u64, Rc<[u8]>>,
    next: u64,
}

impl Names {
    #[must_use]
    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    #[must_use]
    pub fn contains(&self, name: &[u8]) -> bool {
        self.numbers.contains_key(name)
    }

    /// The names, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Rc<[u8]>> {
        self.in_order.values()
    }

    /// False if it is there already.
    fn add(&mut self, name: &Rc<[u8]>) -> bool {
        if self.numbers.contains_key(name) {
            return false;
        }
        self.next += 1;
        self.numbers.insert(name.clone(), self.next);
        self.in_order.insert(self.next, name.clone());
        true
    }

    /// The name as it was added, unless it was not.
    fn remove(&mut self, name: &[u8]) -> Option<Rc<[u8]>> {
        let number = self.numbers.remove(name)?;
        self.in_order.remove(&number)
    }
}

/// What a name takes besides its bytes, about, wherever it is kept.
const NAME_BYTES: usize = 160;

/// What one client has subscribed to.
#[derive(Debug, Default)]
pub struct Subscriptions {
    channels: Names,
    patterns: Names,
    shard: Names,
    bytes: usize,
}

impl Subscriptions {
    #[must_use]
    pub fn names(&self, kind: Kind) -> &Names {
        match kind {
            Kind::Channel => &self.channels,
            Kind::Pattern => &self.patterns,
            Kind::Shard => &self.shard,
        }
    }

    fn names_mut(&mut self, kind: Kind) -> &mut Names {
        match kind {
            Kind::Channel => &mut self.channels,
            Kind::Pattern => &mut self.patterns,
            Kind::Shard => &mut self.shard,
        }
    }

    /// False if it is there already.
    pub fn add(&mut self, kind: Kind, name: &Rc<[u8]>) -> bool {
        let is_new = self.names_mut(kind).add(name);
        if is_new {
            self.bytes += name.len() + NAME_BYTES;
        }
        is_new
    }

    /// The name as it was added, unless it was not.
    pub fn remove(&mut self, kind: Kind, name: &[u8]) -> Option<Rc<[u8]>> {
        let removed = self.names_mut(kind).remove(name)?;
        self.bytes -= removed.len() + NAME_BYTES;
        Some(removed)
    }

    /// The number that confirmations for this kind tell.
    #[must_use]
    pub fn count(&self, kind: Kind) -> usize {
        match kind {
            Kind::Channel | Kind::Pattern => self.channels.len() + self.patterns.len(),
            Kind::Shard => self.shard.len(),
        }
    }

    /// Of all kinds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.channels.len() + self.patterns.len() + self.shard.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// About what it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Subscribes to `names` in their order or, where `begins` is false, unsubscribes from them, from all if there are
    /// none; appends the confirmations. Gives the names that were not there before, or were.
    pub fn change<'a>(
        &mut self,
        kind: Kind,
        begins: bool,
        names: impl ExactSizeIterator<Item = &'a [u8]>,
        protocol: Protocol,
        out: &mut Vec<u8>,
    ) -> Vec<Rc<[u8]>> {
        let mut changed = Vec::new();
        if begins {
            for name in names {
                let shared = Rc::from(name);
                if self.add(kind, &shared) {
                    changed.push(shared);
                }
                confirm(out, protocol, kind, true, Some(name), self.count(kind));
            }
            return changed;
        }
        if names.len() > 0 {
            for name in names {
                changed.extend(self.remove(kind, name));
                confirm(out, protocol, kind, false, Some(name), self.count(kind));
            }
            return changed;
        }
        changed.extend(self.names(kind).iter().cloned());
        for name in &changed {
            self.remove(kind, name);
            confirm(out, protocol, kind, false, Some(name), self.count(kind));
        }
        if changed.is_empty() {
            confirm(out, protocol, kind, false, None, self.count(kind));
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(
        subscriptions: &mut Subscriptions,
        kind: Kind,
        begins: bool,
        names: &[&str],
    ) -> (String, Vec<String>) {
        let mut out = Vec::new();
        let names = names.iter().map(|name| name.as_bytes());
        let changed = subscriptions.change(kind, begins, names, Protocol::Resp2, &mut out);
        let told = String::from_utf8(out).unwrap().replace("\r\n", " ");
        (told, changed.iter().map(|name| String::from_utf8(name.to_vec()).unwrap()).collect())
    }

    #[test]
    fn channels_and_patterns_are_counted_together_and_repetitions_once() {
        let mut mine = Subscriptions::default();
        let (told, changed) = change(&mut mine, Kind::Channel, true, &["a", "a"]);
        assert_eq!(told, "*3 $9 subscribe $1 a :1 *3 $9 subscribe $1 a :1 ");
        assert_eq!(changed, ["a"]);
        let (told, _) = change(&mut mine, Kind::Pattern, true, &["b"]);
        assert_eq!(told, "*3 $10 psubscribe $1 b :2 ");
        let (told, _) = change(&mut mine, Kind::Shard, true, &["a"]);
        assert_eq!(told, "*3 $10 ssubscribe $1 a :1 ");
        let (told, changed) = change(&mut mine, Kind::Channel, false, &["x", "a"]);
        assert_eq!(told, "*3 $11 unsubscribe $1 x :2 *3 $11 unsubscribe $1 a :1 ");
        assert_eq!((changed, mine.len()), (vec!["a".to_owned()], 2));
    }

    #[test]
    fn channels_of_keyspace_events_are_everywhere_but_no_others() {
        assert_eq!(key_channel(3, b"a:b"), b"__keyspace@3__:a:b");
        assert_eq!(event_channel(0, "del"), b"__keyevent@0__:del");
        assert!(is_everywhere(Kind::Channel, &key_channel(0, b"")));
        assert!(is_everywhere(Kind::Channel, &event_channel(15, "set")));
        assert!(is_everywhere(Kind::Pattern, b"news.*"));
        assert!(!is_everywhere(Kind::Channel, b"news"));
        assert!(!is_everywhere(Kind::Shard, &key_channel(0, b"a")));
    }

    #[test]
    fn unsubscribing_without_a_name_ends_all_of_the_kind_or_tells_that_there_is_none() {
        let mut mine = Subscriptions::default();
        change(&mut mine, Kind::Pattern, true, &["b", "a"]);
        let (told, changed) = change(&mut mine, Kind::Pattern, false, &[]);
        assert_eq!(told, "*3 $12 punsubscribe $1 b :1 *3 $12 punsubscribe $1 a :0 ");
        assert_eq!(changed, ["b", "a"]);
        let (told, changed) = change(&mut mine, Kind::Pattern, false, &[]);
        assert_eq!((told.as_str(), changed.len()), ("*3 $12 punsubscribe $-1 :0 ", 0));
        assert_eq!((mine.is_empty(), mine.bytes()), (true, 0));
    }

    #[test]
    fn a_message_differs_between_the_protocols_in_its_first_byte_only() {
        let mut push = Vec::new();
        message(&mut push, Kind::Pattern, Some(b"a*"), b"ab", b"hi");
        assert_eq!(push, b">4\r\n$8\r\npmessage\r\n$2\r\na*\r\n$2\r\nab\r\n$2\r\nhi\r\n");
        let mut out = Vec::new();
        append_push(&mut out, Protocol::Resp2, &push);
        assert_eq!((out[0], &out[1..]), (b'*', &push[1..]));
    }
}
