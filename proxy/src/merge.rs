//! One reply made of the replies of several shards, for requests that were split by key.
//!
//! A request is split into one part a shard. Its items (keys, or keys with their values) remember which part they went
//! to, so that an MGET's values can be put back into the order of its keys. When a part fails, the whole fails: a read
//! never shows a missing key for a shard that did not answer, and for a write the error says on which shards it was
//! applied, on which not, and where that is not known.

use std::rc::Rc;

use slotway_common::command::Merge;
use slotway_common::resp::frame::{Elements, integer};

use crate::kept::Kept;

/// How the parts' replies become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merging {
    /// Arrays with an element for each item, put back into the items' order (MGET).
    ByItem,
    /// Integers, added (DEL, UNLINK, EXISTS, TOUCH).
    Sum,
    /// `+OK` when all say so (MSET).
    AllOk,
}

impl Merging {
    pub(crate) fn of(merge: Merge) -> Self {
        match merge {
            Merge::ByItem => Self::ByItem,
            Merge::AllOk => Self::AllOk,
            _ => Self::Sum,
        }
    }
}

/// How a part ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// No answer yet, or not all of it.
    Open,
    Answered,
    /// An error, and nothing was done.
    Refused,
    /// No answer came, and what was asked may have been done.
    Unknown,
}

#[derive(Debug)]
struct Part {
    shard: Rc<str>,
    items: u32,
    reply: Vec<u8>,
    outcome: Outcome,
}

/// The parts of one request and what has come in of them.
#[derive(Debug)]
pub struct Gather {
    merging: Merging,
    writes: bool,
    /// The merged reply is dropped (CLIENT REPLY OFF or SKIP).
    pub muted: bool,
    /// The beginning of the request, until one of its parts was slow.
    pub(crate) request: Option<Kept>,
    /// The part of each item, in the order of the request. Only kept where the order matters.
    items: Vec<u16>,
    parts: Vec<Part>,
    open: usize,
    bytes: usize,
}

impl Gather {
    /// A request of which no part has been named yet. `writes`: it changes data, so a failure says what was applied.
    pub fn new(merging: Merging, writes: bool) -> Self {
        Self {
            merging,
            writes,
            muted: false,
            request: None,
            items: Vec::new(),
            parts: Vec::new(),
            open: 0,
            bytes: 0,
        }
    }

    /// Names the next part: `items` of the request go to `shard`.
    pub fn add_part(&mut self, shard: Rc<str>, items: u32) -> u16 {
        self.parts.push(Part { shard, items, reply: Vec::new(), outcome: Outcome::Open });
        self.open += 1;
        u16::try_from(self.parts.len() - 1).unwrap_or(u16::MAX)
    }

    /// Whether the merged reply depends on which item went to which part.
    pub fn needs_items(&self) -> bool {
        self.merging == Merging::ByItem
    }

    /// Tells the part of each item, in the order of the request; for a merging that [needs](Self::needs_items) it.
    pub fn set_items(&mut self, items: Vec<u16>) {
        self.items = items;
    }

    /// Splits part `from` once more, because its slots have moved apart: its items go in turn to the parts that
    /// `places` names, which [`Gather::add_part`] gave. The part itself is no more.
    pub fn split_part(&mut self, from: u16, places: &[u16]) {
        let mut places = places.iter();
        for item in self.items.iter_mut().filter(|item| **item == from) {
            if let Some(place) = places.next() {
                *item = *place;
            }
        }
        if let Some(part) = self.parts.get_mut(usize::from(from)) {
            part.items = 0;
            part.outcome = Outcome::Answered;
            self.open -= 1;
        }
    }

    /// Whether every part has ended.
    #[inline]
    pub fn is_complete(&self) -> bool {
        self.open == 0
    }

    /// Bytes of replies held.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes bytes of a part's reply.
    pub fn deliver(&mut self, part: u16, bytes: &[u8], done: bool) {
        let Some(part) = self.parts.get_mut(usize::from(part)) else { return };
        if part.outcome != Outcome::Open {
            return;
        }
        part.reply.extend_from_slice(bytes);
        self.bytes += bytes.len();
        if done {
            part.outcome =
                if part.reply.first() == Some(&b'-') { Outcome::Refused } else { Outcome::Answered };
            self.open -= 1;
        }
    }

    /// Ends a part with an error reply made here. `unknown`: it may have been executed all the same.
    pub fn fail(&mut self, part: u16, error: &[u8], unknown: bool) {
        let Some(part) = self.parts.get_mut(usize::from(part)) else { return };
        if part.outcome != Outcome::Open {
            return;
        }
        self.bytes = self.bytes + error.len() - part.reply.len();
        part.reply.clear();
        part.reply.extend_from_slice(error);
        part.outcome = if unknown { Outcome::Unknown } else { Outcome::Refused };
        self.open -= 1;
    }

    /// Appends the merged reply. All parts must have ended.
    pub fn merge(&self, out: &mut Vec<u8>) {
        if self.muted {
            return;
        }
        if let Some(failed) = self
            .parts
            .iter()
            .find(|part| part.outcome != Outcome::Answered && part.reply.first() == Some(&b'-'))
        {
            self.merge_failure(failed, out);
            return;
        }
        let from = out.len();
        let merged = match self.merging {
            Merging::ByItem => self.merge_items(out),
            Merging::Sum => self.merge_sum(out),
            Merging::AllOk => {
                out.extend_from_slice(b"+OK\r\n");
                Some(())
            }
        };
        if merged.is_none() {
            out.truncate(from);
            out.extend_from_slice(
                b"-ERR a shard's reply to its part of the command has an unexpected shape\r\n",
            );
        }
    }

    fn merge_items(&self, out: &mut Vec<u8>) -> Option<()> {
        let mut sources: Vec<Option<Elements<'_>>> =
            self.parts.iter().map(|part| Elements::open(&part.reply)).collect();
        out.reserve(self.bytes);
        let mut digits = itoa::Buffer::new();
        out.push(b'*');
        out.extend_from_slice(digits.format(self.items.len()).as_bytes());
        out.extend_from_slice(b"\r\n");
        for &part in &self.items {
            let element = sources.get_mut(usize::from(part))?.as_mut()?.next()?;
            out.extend_from_slice(element);
        }
        Some(())
    }

    fn merge_sum(&self, out: &mut Vec<u8>) -> Option<()> {
        let mut sum = 0i64;
        for part in self.parts.iter().filter(|part| part.items > 0) {
            sum = sum.wrapping_add(integer(&part.reply)?);
        }
        let mut digits = itoa::Buffer::new();
        out.push(b':');
        out.extend_from_slice(digits.format(sum).as_bytes());
        out.extend_from_slice(b"\r\n");
        Some(())
    }

    /// The first part's error, and for a write that did not fail everywhere what happened where.
    fn merge_failure(&self, failed: &Part, out: &mut Vec<u8>) {
        let line = failed.reply.strip_suffix(b"\r\n").unwrap_or(&failed.reply);
        out.extend_from_slice(line);
        let any = |outcome| self.parts.iter().any(|part| part.items > 0 && part.outcome == outcome);
        if self.writes && (any(Outcome::Answered) || any(Outcome::Unknown)) {
            let mut separator = " (";
            for (outcome, text) in [
                (Outcome::Answered, "applied"),
                (Outcome::Refused, "not applied"),
                (Outcome::Unknown, "unknown whether applied"),
            ] {
                for (index, part) in
                    self.parts.iter().filter(|part| part.items > 0 && part.outcome == outcome).enumerate()
                {
                    out.extend_from_slice(if index == 0 { separator } else { ", " }.as_bytes());
                    if index == 0 {
                        out.extend_from_slice(text.as_bytes());
                        out.extend_from_slice(b": ");
                    }
                    let keys = if part.items == 1 { "key" } else { "keys" };
                    out.extend_from_slice(
                        format!("{} {keys} on shard '{}'", part.items, part.shard).as_bytes(),
                    );
                    separator = "; ";
                }
            }
            out.push(b')');
        }
        out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gather(merging: Merging, writes: bool, parts: &[(&str, u32)]) -> Gather {
        let mut gather = Gather::new(merging, writes);
        for (shard, items) in parts {
            gather.add_part(Rc::from(*shard), *items);
        }
        gather
    }

    fn merged(gather: &Gather) -> String {
        assert!(gather.is_complete());
        let mut out = Vec::new();
        gather.merge(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn items_come_back_in_the_order_of_the_request() {
        let mut gather = gather(Merging::ByItem, false, &[("a", 2), ("b", 1)]);
        gather.set_items(vec![0, 1, 0]);
        gather.deliver(1, b"*1\r\n$-1\r\n", true);
        gather.deliver(0, b"*2\r\n$1\r\nx", false);
        assert!(!gather.is_complete());
        gather.deliver(0, b"\r\n$1\r\ny\r\n", true);
        assert_eq!(merged(&gather), "*3\r\n$1\r\nx\r\n$-1\r\n$1\r\ny\r\n");
    }

    #[test]
    fn a_part_that_is_split_again_keeps_the_order() {
        let mut gather = gather(Merging::ByItem, false, &[("a", 3), ("b", 1)]);
        gather.set_items(vec![0, 0, 1, 0]);
        let (third, fourth) = (gather.add_part(Rc::from("b"), 2), gather.add_part(Rc::from("c"), 1));
        gather.split_part(0, &[third, fourth, third]);
        gather.deliver(1, b"*1\r\n:3\r\n", true);
        gather.deliver(third, b"*2\r\n:1\r\n:4\r\n", true);
        gather.deliver(fourth, b"*1\r\n:2\r\n", true);
        assert_eq!(merged(&gather), "*4\r\n:1\r\n:2\r\n:3\r\n:4\r\n");
    }

    #[test]
    fn a_failed_part_of_a_read_fails_the_whole() {
        let mut gather = gather(Merging::Sum, false, &[("a", 2), ("b", 1)]);
        gather.deliver(0, b":2\r\n", true);
        gather.fail(1, b"-CLUSTERDOWN shard 'b' is down\r\n", false);
        assert_eq!(merged(&gather), "-CLUSTERDOWN shard 'b' is down\r\n");
    }

    #[test]
    fn a_failed_part_of_a_write_tells_what_was_applied() {
        let mut failing = gather(Merging::AllOk, true, &[("a", 2), ("b", 1), ("c", 5), ("d", 1)]);
        failing.deliver(0, b"+OK\r\n", true);
        failing.deliver(1, b"-OOM no\r\n", true);
        failing.fail(2, b"-ERR lost\r\n", true);
        failing.deliver(3, b"+OK\r\n", true);
        assert_eq!(
            merged(&failing),
            "-OOM no (applied: 2 keys on shard 'a', 1 key on shard 'd'; not applied: 1 key on shard 'b'; \
             unknown whether applied: 5 keys on shard 'c')\r\n"
        );
        let mut refused = gather(Merging::AllOk, true, &[("a", 2), ("b", 1)]);
        refused.deliver(0, b"-OOM no\r\n", true);
        refused.deliver(1, b"-OOM no\r\n", true);
        assert_eq!(merged(&refused), "-OOM no\r\n", "nothing was applied: the error alone says so");
    }

    #[test]
    fn a_reply_of_the_wrong_shape_is_an_error() {
        let mut short = gather(Merging::ByItem, false, &[("a", 2)]);
        short.set_items(vec![0, 0]);
        short.deliver(0, b"*1\r\n:1\r\n", true);
        assert!(merged(&short).starts_with("-ERR "));
        let mut text = gather(Merging::Sum, false, &[("a", 2)]);
        text.deliver(0, b"+OK\r\n", true);
        assert!(merged(&text).starts_with("-ERR "));
    }
}
