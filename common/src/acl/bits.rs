//! Sets of commands.

use crate::command::{COUNT, Categories, Command, Route, TABLE};

const WORDS: usize = COUNT.div_ceil(64);

/// A set of commands and subcommands.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(super) struct Commands {
    bits: [u64; WORDS],
    /// Commands that there are not yet belong to it too: it began as all, not as none.
    pub future: bool,
}

/// Every row that a user can be allowed.
pub(super) fn rows() -> impl Iterator<Item = &'static Command> {
    TABLE.iter().filter(|row| row.route != Route::Internal)
}

impl Commands {
    pub const ALL: Self = Self { bits: [u64::MAX; WORDS], future: true };

    #[inline]
    pub fn contains(&self, command: &Command) -> bool {
        let id = usize::from(command.id);
        self.bits.get(id / 64).is_some_and(|word| word >> (id % 64) & 1 == 1)
    }

    fn put(&mut self, command: &Command, value: bool) {
        let id = usize::from(command.id);
        if let Some(word) = self.bits.get_mut(id / 64) {
            let bit = 1 << (id % 64);
            *word = if value { *word | bit } else { *word & !bit };
        }
    }

    /// Adds or removes a command with its subcommands.
    pub fn set(&mut self, command: &Command, value: bool) {
        self.put(command, value);
        command.subcommands().iter().for_each(|row| self.put(row, value));
    }

    /// Adds or removes what is in a category.
    pub fn set_category(&mut self, category: Categories, value: bool) {
        for row in rows().filter(|row| row.categories.contains(category)) {
            self.set(row, value);
        }
    }

    /// Whether the same commands are in both.
    pub fn agrees(&self, other: &Self) -> bool {
        rows().all(|row| self.contains(row) == other.contains(row))
    }

    /// How many commands of a category are in the set, and how many are not.
    pub fn count(&self, category: Categories) -> (usize, usize) {
        let of_category = rows().filter(|row| !row.hidden && row.categories.contains(category));
        of_category.fold(
            (0, 0),
            |(on, off), row| {
                if self.contains(row) { (on + 1, off) } else { (on, off + 1) }
            },
        )
    }
}
