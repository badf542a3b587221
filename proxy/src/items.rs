//! What a request that is split by key consists of.

use std::ops::Range;

use slotway_common::command::{self, Command};
use slotway_common::resp::Args;

use crate::owned::OwnedArgs;

/// The items of a request: a key and the arguments up to the next key.
#[derive(Clone, Copy)]
pub(crate) struct Items {
    pub(crate) first: usize,
    pub(crate) step: usize,
    pub(crate) count: usize,
}

impl Items {
    /// Nothing where the last key lacks its arguments.
    pub(crate) fn of(command: &Command, args: &Args<'_>) -> Option<Self> {
        let keys = command::keys(command, args).ok()?;
        let range = keys.ranges().first()?;
        let (first, step) = (range.first as usize, range.step as usize);
        let arguments = args.len().checked_sub(first)?;
        (arguments > 0 && arguments % step == 0).then_some(Self { first, step, count: arguments / step })
    }

    /// The positions of an item's arguments.
    pub(crate) fn arguments(&self, item: usize) -> Range<usize> {
        let from = self.first + item * self.step;
        from..from + self.step
    }
}

/// Whether a request's last key lacks the arguments that every key has (MSET and MSETNX with an odd number).
pub(crate) fn has_partial_item(command: &Command, args: &Args<'_>) -> bool {
    let keys = command::keys(command, args).ok();
    keys.iter().flat_map(command::Keys::ranges).any(|range| {
        let arguments = args.len().saturating_sub(range.first as usize);
        !arguments.is_multiple_of(range.step as usize)
    })
}

/// The same request on its first key alone, as often as it has keys. A request with a partial item fails wherever it runs, but what
/// else it can fail by, and what comes first, a shard knows: limits of memory, replicas that are missing, a log that cannot be written.
pub(crate) fn on_first_key(command: &Command, args: &Args<'_>) -> OwnedArgs {
    let keys = command::keys(command, args).ok();
    let positions: Vec<usize> = keys.iter().flat_map(command::Keys::positions).collect();
    OwnedArgs::from_words((0..args.len()).map(|at| {
        let first = positions.first().filter(|_| positions.contains(&at));
        args.at(*first.unwrap_or(&at))
    }))
}
