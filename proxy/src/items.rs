//! What a request that is split by key consists of.

use std::ops::Range;

use slotway_common::command::{self, Command};
use slotway_common::resp::Args;

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
