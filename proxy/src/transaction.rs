//! What a client has queued after MULTI, and what it watches.
//!
//! Commands on keys become batches, each of which runs as one, on one shard or in parts on several ([`crate::parts`]). What the
//! proxy answers itself, or asks all shards, stands between the batches, so that a transaction without such commands is a single
//! batch.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};

use slotway_common::command::{self, Command, Effects, Flags, Handling, Route};
use slotway_common::error::Error;
use slotway_common::number::parse_i64;
use slotway_common::pubsub::subscription;
use slotway_common::resp::request::Parsed;
use slotway_common::resp::{Args, Limits, Parser, request};
use slotway_common::script::{Source, source};
use slotway_common::slot::slot_of;

use crate::owned::OwnedArgs;
use crate::tracking::unmarked;

/// What the error of EXEC says after a command was refused.
pub(crate) const ABORTED: &str = "Transaction discarded because of previous errors.";

/// What MULTI says within a transaction, and WATCH.
pub(crate) const NESTED: Error = Error::Generic(Cow::Borrowed("MULTI calls can not be nested"));
pub(crate) const WATCH_INSIDE: Error = Error::Generic(Cow::Borrowed("WATCH inside MULTI is not allowed"));

/// What a client has queued.
#[derive(Clone, Debug)]
pub struct Transaction {
    pub(crate) steps: Vec<Step>,
    /// A command was refused: EXEC will run none.
    pub(crate) aborted: bool,
    /// What the commands may do.
    pub(crate) effects: Effects,
    commands: usize,
    bytes: usize,
    /// The database of the next command.
    database: u32,
    /// Some command subscribes: how PING is answered after it is for the proxy to say.
    subscribes: bool,
}

/// Commands of a transaction that run together.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Batch(Batch),
    /// One that no single shard answers.
    Own {
        command: &'static Command,
        args: OwnedArgs,
        database: u32,
    },
}

/// Commands that run as one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Batch {
    /// Requests, one after the other.
    frames: Vec<u8>,
    pub(crate) count: usize,
    /// Some of them call scripts by their digests.
    calls_digests: bool,
    /// What the scripts that it calls are remembered by, where they use keys of other shards.
    scripts: Vec<u64>,
    /// Some of them use keys that they do not name.
    uses_more: bool,
    /// A key of each slot.
    keys: Slots,
    /// The same of the channels that are published to.
    channels: Slots,
    /// The database of the first command, and the one that it is left in.
    pub(crate) database: u32,
    pub(crate) ends_in: u32,
}

/// What a batch counts for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// An EXEC and its commands.
    Whole,
    /// Its commands: an EXEC of several batches counts by itself.
    Part,
    /// Nothing.
    Quiet,
}

impl How {
    /// What the shard is told. `known`: nothing is to run if it does not know all scripts.
    pub(crate) fn words(self, known: bool) -> &'static [u8] {
        match (self, known) {
            (Self::Whole, false) => b"",
            (Self::Whole, true) => b"known",
            (Self::Part, false) => b"part",
            (Self::Part, true) => b"known part",
            (Self::Quiet, false) => b"quiet",
            (Self::Quiet, true) => b"known quiet",
        }
    }
}

/// A key for each slot of some keys.
pub(crate) type Slots = Vec<(u16, Box<[u8]>)>;

/// Keys that a client watches.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    /// What each shard watches of them.
    pub(crate) shards: Vec<ShardWatch>,
    /// They cannot be watched any more: EXEC answers nil.
    pub(crate) broken: bool,
}

/// Keys that one shard watches for a client.
#[derive(Clone, Debug)]
pub(crate) struct ShardWatch {
    /// By this number the shard knows them.
    pub(crate) token: u64,
    /// Position of the shard, and the route that it was told over.
    pub(crate) shard: usize,
    pub(crate) route: u16,
    pub(crate) keys: Slots,
}

impl Transaction {
    pub(crate) fn new(database: u32) -> Self {
        Self {
            steps: Vec::new(),
            aborted: false,
            effects: Effects::default(),
            commands: 0,
            bytes: 0,
            database,
            subscribes: false,
        }
    }

    /// Commands that wait.
    pub(crate) fn len(&self) -> usize {
        self.commands
    }

    /// Bytes held for them.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds a command; `databases` is the number of databases.
    pub(crate) fn push(&mut self, command: &'static Command, args: &Args<'_>, databases: u32) {
        if self.aborted {
            return;
        }
        self.commands += 1;
        self.effects = self.effects.with(Effects::of_call(command, args, |_| None));
        self.bytes += args.iter().map(|arg| arg.len() + 16).sum::<usize>() + 64;
        self.subscribes |= subscription(command).is_some();
        if !runs_on_one_shard(command) || self.subscribes && command.name == "ping" {
            self.push_own(command, args);
            return;
        }
        self.push_to_batch(command, args, databases);
    }

    fn push_own(&mut self, command: &'static Command, args: &Args<'_>) {
        self.steps.push(Step::Own { command, args: OwnedArgs::new(args), database: self.database });
    }

    fn push_to_batch(&mut self, command: &'static Command, args: &Args<'_>, databases: u32) {
        let database = self.database;
        if command.name == "select"
            && let Some(index) = parse_i64(args.at(1)).and_then(|index| u32::try_from(index).ok())
            && index < databases
        {
            self.database = index;
        }
        if !matches!(self.steps.last(), Some(Step::Batch(_))) {
            self.steps.push(Step::Batch(Batch { database, ..Batch::default() }));
        }
        if let Some(Step::Batch(batch)) = self.steps.last_mut() {
            batch.push(command, args);
            batch.ends_in = self.database;
        }
    }

    /// The same with each PUBLISH as a step of its own whose channel is not on the shard of the batch that it stands in: so
    /// the batch stays one of one shard. `None` if there is none. A batch whose keys are on several shards, those that are watched
    /// included, has parts anyhow: a PUBLISH belongs to one of them.
    pub(crate) fn with_publishes_apart(
        &self,
        databases: u32,
        watch: Option<&Watch>,
        owner: impl Fn(u16) -> Option<usize>,
    ) -> Option<Self> {
        let watched = watch.and_then(|watch| watch.keys().next()).and_then(|(slot, _)| owner(*slot));
        let shard_of = |batch: &Batch| {
            let first = batch.keys.first().or_else(|| batch.channels.first());
            watched.or_else(|| first.and_then(|(slot, _)| owner(*slot)))
        };
        let is_apart = |batch: &Batch| {
            let shard = shard_of(batch);
            let is_elsewhere = |(slot, _): &(u16, Box<[u8]>)| owner(*slot) != shard;
            let mut keys = batch.keys.iter().chain(watch.iter().flat_map(|watch| watch.keys()));
            batch.channels.iter().any(is_elsewhere) && !keys.any(is_elsewhere)
        };
        let batches = self.steps.iter().filter_map(|step| match step {
            Step::Batch(batch) => Some(batch),
            Step::Own { .. } => None,
        });
        if !batches.into_iter().any(is_apart) {
            return None;
        }
        let first = match self.steps.first() {
            Some(Step::Own { database, .. }) => *database,
            Some(Step::Batch(batch)) => batch.database,
            None => self.database,
        };
        let mut apart = Self {
            commands: self.commands,
            effects: self.effects,
            bytes: self.bytes,
            subscribes: self.subscribes,
            ..Self::new(first)
        };
        for step in &self.steps {
            let batch = match step {
                Step::Own { command, args, .. } => {
                    apart.push_own(command, &args.args());
                    continue;
                }
                Step::Batch(batch) => batch,
            };
            let (shard, splits) = (shard_of(batch), is_apart(batch));
            batch.each(|command, args| {
                if splits && command.publishes() && owner(slot_of(args.at(1))) != shard {
                    apart.push_own(command, args);
                } else {
                    apart.push_to_batch(command, args, databases);
                }
            });
        }
        Some(apart)
    }

    /// The only batch of a transaction that is nothing else and leaves the database as it is.
    pub(crate) fn single_batch(&self) -> Option<&Batch> {
        match self.steps.as_slice() {
            [Step::Batch(batch)] if batch.ends_in == batch.database => Some(batch),
            _ => None,
        }
    }
}

/// Whether a shard answers a command as the proxy would, so that it can be part of a batch.
fn runs_on_one_shard(command: &Command) -> bool {
    matches!(command.route, Route::Slot | Route::Split)
        || command.flags.contains(Flags::BLOCKING)
        || command.handling.contains(Handling::ON_ANY_SHARD)
}

impl Batch {
    pub(crate) fn push(&mut self, command: &Command, args: &Args<'_>) {
        args.encode(&mut self.frames);
        self.count += 1;
        self.calls_digests |= matches!(source(command, args), Some(Source::Digest(_)));
        if command.runs_script() {
            self.scripts.push(script_name(args));
        }
        self.uses_more |= reads_by_pattern(command, args);
        if command.publishes() {
            add_slot(&mut self.channels, args.at(1));
        }
        if let Ok(keys) = command::keys(command, args) {
            for position in keys.positions() {
                add_slot(&mut self.keys, args.at(position));
            }
        }
    }

    /// What the script is remembered by whose call is all that the batch is.
    pub(crate) fn single_script(&self) -> Option<u64> {
        self.scripts.first().copied().filter(|_| self.count == 1)
    }

    /// Commands of nobody, to ask whether a watch holds.
    pub(crate) fn empty(database: u32) -> Self {
        Self { database, ends_in: database, ..Self::default() }
    }

    /// The slots of the batch and of what is watched, with a key of each.
    pub(crate) fn slots<'a>(
        &'a self,
        watched: impl Iterator<Item = &'a (u16, Box<[u8]>)>,
    ) -> Vec<(u16, &'a [u8])> {
        let mut slots: Vec<(u16, &[u8])> = Vec::new();
        for (slot, key) in self.keys.iter().chain(&self.channels).chain(watched) {
            if !slots.iter().any(|(known, _)| known == slot) {
                slots.push((*slot, key));
            }
        }
        slots
    }

    /// Appends the request that has a shard run the batch, on these slots, if the watch of this number holds.
    pub(crate) fn encode(&self, watch: Option<u64>, slots: &[(u16, &[u8])], how: How, out: &mut Vec<u8>) {
        self.encode_as(&[b"SLOTWAY-EXEC"], watch, slots, how.words(self.calls_digests), out);
    }

    /// Appends the request on the batch that begins with these words; `how` is the last one before the keys.
    pub(crate) fn encode_as(
        &self,
        head: &[&[u8]],
        watch: Option<u64>,
        slots: &[(u16, &[u8])],
        how: &[u8],
        out: &mut Vec<u8>,
    ) {
        let mut token = itoa::Buffer::new();
        let token = watch.map_or("", |watch| token.format(watch));
        let mut database = itoa::Buffer::new();
        let mut number = itoa::Buffer::new();
        let words: [&[u8]; 5] = [
            token.as_bytes(),
            database.format(self.database).as_bytes(),
            &self.frames,
            number.format(self.count).as_bytes(),
            how,
        ];
        let keys = slots.iter().map(|(_, key)| *key);
        let words: Vec<&[u8]> = head.iter().copied().chain(words).chain(keys).collect();
        request::encode(words.into_iter(), out);
    }

    /// The commands, as requests that lie one after the other.
    pub(crate) fn frames(&self) -> &[u8] {
        &self.frames
    }

    /// Whether commands use keys that they do not name: scripts among those that `borrows` knows, and SORT.
    pub(crate) fn uses_more(&self, borrows: impl Fn(u64) -> bool) -> bool {
        self.uses_more || self.scripts.iter().any(|script| borrows(*script))
    }

    /// Whether some of the commands call scripts by their digests.
    pub(crate) fn calls_digests(&self) -> bool {
        self.calls_digests
    }

    /// Shows each command.
    pub(crate) fn each(&self, mut show: impl FnMut(&'static Command, &Args<'_>)) {
        let limits = Limits { max_bulk: usize::MAX, authenticated: true };
        let mut parser = Parser::new();
        let mut rest = self.frames.as_slice();
        while let Ok(Parsed::Frame(length)) = parser.parse(rest, &limits) {
            let args = parser.args(rest);
            if let Ok(command) = command::resolve(&args, false) {
                show(command, &args);
            }
            rest = rest.get(length..).unwrap_or_default();
        }
    }
}

impl Watch {
    pub(crate) fn bytes(&self) -> usize {
        self.keys().map(|(_, key)| key.len() + 32).sum()
    }

    /// A key of each slot that is watched.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &(u16, Box<[u8]>)> {
        self.shards.iter().flat_map(|watch| &watch.keys)
    }

    /// What a shard watches.
    pub(crate) fn on(&self, shard: usize) -> Option<&ShardWatch> {
        self.shards.iter().find(|watch| watch.shard == shard)
    }

    /// Adds what a shard has been told to watch.
    pub(crate) fn add(&mut self, told: ShardWatch) {
        match self.shards.iter_mut().find(|watch| watch.shard == told.shard) {
            Some(watch) => {
                watch.route = told.route;
                told.keys.iter().for_each(|(_, key)| add_slot(&mut watch.keys, key));
            }
            None => self.shards.push(told),
        }
    }
}

/// The request for a batch that was refused because of scripts that its shard does not know, as one to be run all the same:
/// each call of a script that nobody knows is an error of its own, as in Redis.
pub(crate) fn with_unknown_scripts(frame: &[u8]) -> Vec<u8> {
    let mut parser = Parser::new();
    let limits = Limits { max_bulk: usize::MAX, authenticated: true };
    let mut changed = Vec::new();
    if let Ok(Parsed::Frame(_)) = parser.parse(frame, &limits) {
        let (words, mark) = unmarked(parser.args(frame));
        // One in a client's name is within another request.
        let named = words.is(0, "slotway-as").then(|| with_unknown_scripts(words.at(4)));
        let words = words.iter().enumerate().map(|(at, word)| match &named {
            Some(inner) if at == 4 => inner.as_slice(),
            None if at == 5 => without_known(word),
            _ => word,
        });
        request::encode(words.collect::<Vec<_>>().into_iter(), &mut changed);
        if let Some(mark) = mark {
            (changed, _) = mark.wrap(&changed);
        }
    }
    changed
}

fn without_known(word: &[u8]) -> &[u8] {
    word.strip_prefix(b"known").unwrap_or(word)
}

/// What a script is remembered by: its text, digest or name.
pub(crate) fn script_name(args: &Args<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    args.at(1).hash(&mut hasher);
    hasher.finish()
}

/// Whether SORT reads keys that its elements name, and that may be in another slot than the key that is sorted.
#[inline]
pub(crate) fn reads_by_pattern(command: &Command, args: &Args<'_>) -> bool {
    matches!(command.name, "sort" | "sort_ro")
        && (2..args.len()).any(|at| {
            (args.is(at, "BY") || args.is(at, "GET"))
                && args.get(at + 1).is_some_and(|pattern| may_leave(pattern, args.at(1)))
        })
}

/// Whether a pattern can name keys of another slot than the key's: not if its hash tag stands before the star.
fn may_leave(pattern: &[u8], key: &[u8]) -> bool {
    let Some(star) = pattern.iter().position(|byte| *byte == b'*') else { return false };
    let before = pattern.get(..star).unwrap_or_default();
    let tag = before.iter().position(|byte| *byte == b'{').and_then(|open| before.get(open + 1..));
    let has_tag =
        tag.is_some_and(|tag| tag.iter().position(|byte| *byte == b'}').is_some_and(|close| close > 0));
    !has_tag || slot_of(pattern) != slot_of(key)
}

/// Takes note of the slot of a key.
pub(crate) fn add_slot(slots: &mut Slots, key: &[u8]) {
    let slot = slot_of(key);
    if !slots.iter().any(|(known, _)| *known == slot) {
        slots.push((slot, key.into()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_with_the_tag_of_the_key_before_its_star_stays_in_the_slot() {
        for (pattern, leaves) in [
            ("{u}:age:*", false),
            ("{u}*->field", false),
            ("nosort", false),
            ("{v}:age:*", true),
            ("age:*", true),
            ("*{u}", true),
            ("{*}", true),
            ("{}u*", true),
            ("{u*}", true),
        ] {
            assert_eq!(may_leave(pattern.as_bytes(), b"{u}:ids"), leaves, "{pattern}");
        }
    }
}
