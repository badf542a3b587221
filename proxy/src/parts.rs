//! A batch whose slots are on several shards: what each of them runs, and one list of replies made of theirs.

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::rc::Rc;

use slotway_common::command::{self, Command, Route};
use slotway_common::error::Error;
use slotway_common::resp::frame::Elements;
use slotway_common::resp::{Args, Protocol, Reply, request};
use slotway_common::slot::slot_of;

use crate::items::{Items, on_first_key};
use crate::merge::{Gather, Merging};
use crate::owned::OwnedArgs;
use crate::transaction::{Batch, How, ShardWatch, Watch};

/// The parts of a batch, in the order in which their shards are to lock: that of the shards' names.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) parts: Vec<Part>,
    /// Where the reply of each command comes from.
    sources: Vec<Source>,
}

/// What one shard runs of a batch, and watches for it. It may be nothing.
#[derive(Debug)]
pub(crate) struct Part {
    /// Position of the shard, and its name.
    pub(crate) shard: usize,
    pub(crate) name: Rc<str>,
    batch: Batch,
    watch: Option<ShardWatch>,
}

/// Where a reply comes from: the next one of a part, or of several.
#[derive(Debug)]
enum Source {
    Part(usize),
    /// All parts have run it, and answer the same.
    All,
    /// Its keys were on several shards. `items` are the positions of the parts in `shares`.
    Shares {
        merging: Merging,
        writes: bool,
        shares: Vec<(usize, u32)>,
        items: Vec<u16>,
    },
}

/// Why a batch is not split.
#[derive(Debug)]
pub(crate) enum Inseparable {
    /// This command has keys on several shards.
    Command,
    /// Nobody owns this slot.
    Unowned(u16),
}

impl Parts {
    /// Splits a batch over shards, which own all slots of it and of the watch. They are given by position and name.
    pub(crate) fn of(
        batch: &Batch,
        watch: Option<&Watch>,
        shards: Vec<(usize, Rc<str>)>,
        owner: impl Fn(u16) -> Option<usize>,
    ) -> Result<Self, Inseparable> {
        let mut shards = shards;
        shards.sort_unstable_by(|(_, one), (_, other)| one.cmp(other));
        let part = |(shard, name)| Part {
            shard,
            name,
            batch: Batch::empty(batch.database),
            watch: watch.and_then(|watch| watch.on(shard)).cloned(),
        };
        let mut parts = Self { parts: shards.into_iter().map(part).collect(), sources: Vec::new() };
        let mut result = Ok(());
        batch.each(|command, args| {
            if result.is_ok() {
                result = parts.add(command, args, &owner).map(|source| parts.sources.push(source));
            }
        });
        result.map(|()| parts)
    }

    fn position(&self, slot: u16, owner: impl Fn(u16) -> Option<usize>) -> Result<usize, Inseparable> {
        let shard = owner(slot).ok_or(Inseparable::Unowned(slot))?;
        self.parts.iter().position(|part| part.shard == shard).ok_or(Inseparable::Unowned(slot))
    }

    fn push(&mut self, part: usize, command: &Command, args: &Args<'_>) -> Source {
        if let Some(part) = self.parts.get_mut(part) {
            part.batch.push(command, args);
        }
        Source::Part(part)
    }

    fn add(
        &mut self,
        command: &'static Command,
        args: &Args<'_>,
        owner: impl Fn(u16) -> Option<usize>,
    ) -> Result<Source, Inseparable> {
        if command.name == "select" {
            // Each part has to run in the databases of the whole.
            self.parts.iter_mut().for_each(|part| part.batch.push(command, args));
            return Ok(Source::All);
        }
        if command.publishes() {
            let part = self.position(slot_of(args.at(1)), owner)?;
            return Ok(self.push(part, command, args));
        }
        let keys = command::keys(command, args).ok();
        let mut places = Vec::new();
        for position in keys.iter().flat_map(command::Keys::positions) {
            places.push(self.position(slot_of(args.at(position)), &owner)?);
        }
        let first = places.first().copied().unwrap_or(0);
        if places.iter().all(|place| *place == first) {
            return Ok(self.push(first, command, args));
        }
        if command.route != Route::Split {
            return Err(Inseparable::Command);
        }
        Ok(match Items::of(command, args) {
            Some(items) => self.split(command, args, items, &places),
            None => self.push(first, command, &on_first_key(command, args).args()),
        })
    }

    /// Splits a command by key; `places` are the parts of its items.
    fn split(&mut self, command: &Command, args: &Args<'_>, items: Items, places: &[usize]) -> Source {
        let mut shares: Vec<(usize, u32)> = Vec::new();
        let mut positions = Vec::with_capacity(items.count);
        for place in places {
            let known = shares.iter().position(|(part, _)| part == place);
            let position = known.unwrap_or_else(|| {
                shares.push((*place, 0));
                shares.len() - 1
            });
            shares[position].1 += 1;
            positions.push(position as u16);
        }
        for (part, _) in &shares {
            let own = places.iter().enumerate().filter(|(_, place)| *place == part);
            let arguments = own.flat_map(|(item, _)| items.arguments(item)).map(|at| args.at(at));
            let words = OwnedArgs::from_words(std::iter::once(args.at(0)).chain(arguments));
            self.push(*part, command, &words.args());
        }
        let (merging, writes) = (Merging::of(command.merge), command.is_write());
        Source::Shares { merging, writes, shares, items: positions }
    }

    /// The name of the shard that decides.
    pub(crate) fn decider(&self) -> &str {
        self.parts.last().map_or("", |part| &part.name)
    }

    /// The names of the other shards, as the decider is told them.
    pub(crate) fn others(&self) -> String {
        let others = self.parts.iter().take(self.parts.len().saturating_sub(1));
        others.map(|part| &*part.name).collect::<Vec<_>>().join(",")
    }

    /// Appends the replies of all commands, in their order, made of those that each part has answered: an array, or an
    /// error that stands for each reply of the part.
    pub(crate) fn join(&self, answers: &[Result<Vec<u8>, Error>], out: &mut Vec<u8>) {
        let mut replies: Vec<Replies<'_>> = answers.iter().map(Replies::of).collect();
        for source in &self.sources {
            match source {
                Source::Part(part) => out.extend_from_slice(&next(&mut replies, *part)),
                Source::All => {
                    let all: Vec<Cow<'_, [u8]>> =
                        (0..replies.len()).map(|part| next(&mut replies, part)).collect();
                    let is_there = |(part, _): &(usize, _)| answers.get(*part).is_some_and(Result::is_ok);
                    let one = all.iter().enumerate().find(is_there).map(|(_, reply)| reply);
                    out.extend_from_slice(one.or_else(|| all.first()).map_or(STRANGE, |reply| reply));
                }
                Source::Shares { merging, writes, shares, items } => {
                    let all: Vec<(usize, u32, Cow<'_, [u8]>)> = shares
                        .iter()
                        .map(|(part, items)| (*part, *items, next(&mut replies, *part)))
                        .collect();
                    // What has run and whose reply is lost did not fail.
                    let lost = all.iter().find(|(part, ..)| answers.get(*part).is_none_or(Result::is_err));
                    if let Some((_, _, line)) = lost {
                        out.extend_from_slice(line);
                        continue;
                    }
                    let mut gather = Gather::new(*merging, *writes);
                    gather.set_items(items.clone());
                    for (part, items, reply) in &all {
                        let name =
                            self.parts.get(*part).map_or_else(|| Rc::from("?"), |part| Rc::clone(&part.name));
                        let share = gather.add_part(name, *items);
                        gather.deliver(share, reply, true);
                    }
                    gather.merge(out);
                }
            }
        }
    }
}

/// What stands in the place of a reply that a shard's answer does not have.
const STRANGE: &[u8] = b"-ERR a shard's reply to its part of the transaction has an unexpected shape\r\n";

/// The replies of a part that are not taken yet.
enum Replies<'a> {
    There(Option<Elements<'a>>),
    Lost(Vec<u8>),
}

impl<'a> Replies<'a> {
    fn of(answer: &'a Result<Vec<u8>, Error>) -> Self {
        match answer {
            Ok(array) => Self::There(Elements::open(array)),
            Err(error) => {
                let mut line = Vec::new();
                Reply::new(&mut line, Protocol::Resp2).error(error);
                Self::Lost(line)
            }
        }
    }
}

fn next<'a>(replies: &mut [Replies<'a>], part: usize) -> Cow<'a, [u8]> {
    match replies.get_mut(part) {
        Some(Replies::There(Some(elements))) => elements.next().map_or(Cow::Borrowed(STRANGE), Cow::Borrowed),
        Some(Replies::Lost(line)) => Cow::Owned(line.clone()),
        _ => Cow::Borrowed(STRANGE),
    }
}

impl Part {
    /// Its slots, with a key of each.
    pub(crate) fn slots(&self) -> Vec<(u16, &[u8])> {
        self.batch.slots(self.watch.iter().flat_map(|watch| &watch.keys))
    }

    /// The request that has its shard prepare it. `decider`: the name of the shard that decides. `known`: it is to be refused if
    /// the shard does not know its scripts.
    pub(crate) fn prepare(&self, id: &str, decider: &str, how: How, known: bool) -> Vec<u8> {
        self.encode(&[b"SLOTWAY-PREPARE", id.as_bytes(), decider.as_bytes()], how, known)
    }

    /// The request that has its shard decide. `others`: the names of the other shards.
    pub(crate) fn decide(&self, id: &str, others: &str, how: How, known: bool) -> Vec<u8> {
        self.encode(&[b"SLOTWAY-DECIDE", id.as_bytes(), others.as_bytes()], how, known)
    }

    fn encode(&self, head: &[&[u8]], how: How, known: bool) -> Vec<u8> {
        let mut frame = Vec::new();
        let how = how.words(known && self.batch.calls_digests());
        let token = self.watch.as_ref().map(|watch| watch.token);
        self.batch.encode_as(head, token, &self.slots(), how, &mut frame);
        frame
    }
}

/// A request about a transaction.
pub(crate) fn about(name: &str, id: &str) -> Vec<u8> {
    let mut frame = Vec::new();
    request::encode([name.as_bytes(), id.as_bytes()].into_iter(), &mut frame);
    frame
}
