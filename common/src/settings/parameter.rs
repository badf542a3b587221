//! One row of the table of settings.

use super::table::TABLE;

/// A CONFIG parameter.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    /// Redis's name, lower case.
    pub name: &'static str,
    /// Redis's older name for the same value.
    pub alias: Option<&'static str>,
    pub kind: Kind,
    /// The value without a file and CONFIG SET.
    pub default: &'static str,
    pub support: Support,
    /// Not to be shown in logs, MONITOR and SLOWLOG.
    pub secret: bool,
}

/// Which values a parameter takes, and how they are written.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// `yes` or `no`.
    Bool,
    /// A decimal number from the first to the second.
    Integer(i64, i64),
    /// Times a second: a number that is brought into 1 to 500.
    Frequency,
    /// Bytes from the first to the second, with a unit if wanted: `k`, `m`, `g` for powers of 1000, `kb`, `mb`, `gb` for
    /// powers of 1024, in any case.
    Memory(u64, u64),
    /// Bytes, or a percentage up to 100.
    MemoryOrPercent,
    /// An octal number.
    Octal,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Some of these words; the first alone stands for none of the others.
    Words(&'static [&'static str]),
    /// Any text.
    Text,
    /// Letters, digits, `-` and `.`, at most 255.
    HostName,
    /// Pairs of seconds and changes.
    SavePoints,
    /// For each class of client the hard limit, the soft limit and how many seconds that one may be exceeded.
    OutputLimits,
    /// The letters of keyspace events.
    KeyspaceEvents,
    /// Numbers from 0 to 100.
    Percentiles,
    /// Three numbers from -2000 to 2000.
    OomScores,
}

/// What setting a parameter does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// It works, at once.
    Live,
    /// It works, and can be set at the start only (in the cluster file), as in Redis.
    Start,
    /// It has one value here. CONFIG SET refuses it with Redis's words for what is set at the start only.
    Constant,
    /// As [`Self::Constant`], with Redis's words for what would let a client write files.
    Protected,
    /// It is accepted and kept, and changes nothing here: it tunes something that Slotway does in another way.
    Ignored,
    /// It can be read, and be set to the value that it has, nothing else: why, as a phrase.
    Fixed(&'static str),
}

/// The place of a parameter in the table. [`super::Name`] has them all.
pub(super) type Row = usize;

/// The row of a name or alias, in any case, and which of the two it is.
pub(super) fn find(name: &[u8]) -> Option<(Row, &'static str)> {
    TABLE.iter().enumerate().find_map(|(row, parameter)| {
        [Some(parameter.name), parameter.alias]
            .into_iter()
            .flatten()
            .find(|known| known.as_bytes().eq_ignore_ascii_case(name))
            .map(|known| (row, known))
    })
}
