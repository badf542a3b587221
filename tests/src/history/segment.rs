//! A key's history between the losses of its slot: with each loss the key begins anew, empty.

use slotway_common::resp::Value;
use slotway_common::slot::Slot;

use super::{Loss, Operation, Outcome};

/// A command as it counts in a segment.
#[derive(Clone, Copy)]
pub(super) struct Seen<'h> {
    pub(super) operation: &'h Operation,
    /// `None`: it may have been done in this segment or not.
    pub(super) reply: Option<&'h Value>,
}

impl<'h> Seen<'h> {
    pub(super) fn word(&self, position: usize) -> &'h str {
        self.operation.words.get(position).map_or("", String::as_str)
    }

    pub(super) fn command(&self) -> &'h str {
        self.word(0)
    }
}

/// What happened to one key while its slot was not lost.
pub(super) struct Segment<'h> {
    pub(super) seen: Vec<Seen<'h>>,
}

/// Cuts a key's history. A command that overlaps a loss may have been done before it, after it, or not at all.
pub(super) fn segments<'h>(slot: Slot, operations: &[&'h Operation], losses: &[Loss]) -> Vec<Segment<'h>> {
    let mut cuts: Vec<(u64, u64)> =
        losses.iter().filter(|loss| loss.slots.contains(&slot)).map(|loss| (loss.from, loss.until)).collect();
    cuts.sort_unstable();
    let begins = std::iter::once(None).chain(cuts.iter().map(|cut| Some(cut.1)));
    let ends = cuts.iter().map(|cut| cut.0).chain([u64::MAX]);
    begins.zip(ends).map(|(begin, end)| segment(operations, begin, end)).collect()
}

fn segment<'h>(operations: &[&'h Operation], begin: Option<u64>, end: u64) -> Segment<'h> {
    let mut seen = Vec::new();
    for operation in operations {
        let after = begin.is_some_and(|begin| operation.returned < begin);
        if after || operation.invoked > end {
            continue;
        }
        let inside = begin.is_none_or(|begin| operation.invoked >= begin) && operation.returned <= end;
        match &operation.outcome {
            Outcome::Reply(Value::Error(_)) | Outcome::Refused(_) => {}
            Outcome::Reply(reply) => {
                seen.push(Seen { operation, reply: inside.then_some(reply) });
            }
            Outcome::Unknown(_) => seen.push(Seen { operation, reply: None }),
        }
    }
    Segment { seen }
}
