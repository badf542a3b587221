//! Where a command's keys stand among its arguments, declared.

use super::bits::bit_set;

bit_set! {
    /// What a command does with a key, under Redis's names. RO, RW, OW and RM are about the value's bytes (which
    /// of them is needed, and whether it is kept), the others about what the caller learns or changes.
    pub struct KeyFlags: u16 {
        RO = "RO",
        RW = "RW",
        OW = "OW",
        RM = "RM",
        ACCESS = "access",
        UPDATE = "update",
        INSERT = "insert",
        DELETE = "delete",
        /// Not a key of the data, but routed like one (a shard channel).
        NOT_KEY = "not_key",
        /// The spec does not find every key of every call.
        INCOMPLETE = "incomplete",
        /// What is done with the key depends on other arguments.
        VARIABLE_FLAGS = "variable_flags",
    }
}

pub(super) mod uses {
    //! The combinations that rows use.
    use super::KeyFlags as F;

    pub(in crate::command) const RO: F = F::RO;
    pub(in crate::command) const RO_ACCESS: F = F::RO.with(F::ACCESS);
    pub(in crate::command) const RW_ACCESS: F = F::RW.with(F::ACCESS);
    pub(in crate::command) const RW_UPDATE: F = F::RW.with(F::UPDATE);
    pub(in crate::command) const RW_INSERT: F = F::RW.with(F::INSERT);
    pub(in crate::command) const RW_DELETE: F = F::RW.with(F::DELETE);
    pub(in crate::command) const RW_ACCESS_UPDATE: F = F::RW.with(F::ACCESS).with(F::UPDATE);
    pub(in crate::command) const RW_ACCESS_INSERT: F = F::RW.with(F::ACCESS).with(F::INSERT);
    pub(in crate::command) const RW_ACCESS_DELETE: F = F::RW.with(F::ACCESS).with(F::DELETE);
    pub(in crate::command) const RW_VARIABLE: F = RW_ACCESS_UPDATE.with(F::VARIABLE_FLAGS);
    pub(in crate::command) const RW_INCOMPLETE: F = RW_ACCESS_DELETE.with(F::INCOMPLETE);
    pub(in crate::command) const OW_UPDATE: F = F::OW.with(F::UPDATE);
    pub(in crate::command) const OW_INSERT: F = F::OW.with(F::INSERT);
    pub(in crate::command) const RM_DELETE: F = F::RM.with(F::DELETE);
    pub(in crate::command) const NOT_KEY: F = F::NOT_KEY;
}

/// Where the search for keys begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// At this argument (the command's name is argument 0).
    Index(u8),
    /// After a keyword, looked for from this argument on (backwards, counted from the end, when negative).
    Keyword(&'static str, i8),
    /// Cannot be told.
    Unknown,
}

/// How the keys are found from there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Find {
    /// Up to `last`: relative to the first key, or when negative to the end of the arguments (-1 is the last
    /// one). With a `limit` of n above 1 and `last` -1, only the first n-th part of the rest.
    Range { last: i8, step: u8, limit: u8 },
    /// As many as the argument at `count` says, from `first` on; both relative to the beginning.
    Counted { count: u8, first: u8, step: u8 },
    /// Cannot be told.
    Unknown,
}

/// One group of keys of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeySpec {
    pub flags: KeyFlags,
    pub begin: Begin,
    pub find: Find,
    /// A remark for readers of COMMAND INFO; empty if there is none.
    pub note: &'static str,
}

impl KeySpec {
    /// The same, with a remark.
    pub(super) const fn note(mut self, note: &'static str) -> Self {
        self.note = note;
        self
    }
}

/// One key at `index`.
pub(super) const fn key(index: u8, flags: KeyFlags) -> KeySpec {
    keys(index, 0, 1, flags)
}

/// Every `step`-th argument from `index` to `last` (see [`Find::Range`]).
pub(super) const fn keys(index: u8, last: i8, step: u8, flags: KeyFlags) -> KeySpec {
    KeySpec { flags, begin: Begin::Index(index), find: Find::Range { last, step, limit: 0 }, note: "" }
}

/// A number of keys at `index` and the keys after it.
pub(super) const fn counted(index: u8, flags: KeyFlags) -> KeySpec {
    KeySpec {
        flags,
        begin: Begin::Index(index),
        find: Find::Counted { count: 0, first: 1, step: 1 },
        note: "",
    }
}

/// One key after a keyword that stands at `from` or later.
pub(super) const fn after(keyword: &'static str, from: i8, flags: KeyFlags) -> KeySpec {
    KeySpec {
        flags,
        begin: Begin::Keyword(keyword, from),
        find: Find::Range { last: 0, step: 1, limit: 0 },
        note: "",
    }
}

/// Keys after a keyword up to the end, or for `limit` 2 the first half of them.
pub(super) const fn all_after(keyword: &'static str, from: i8, limit: u8, flags: KeyFlags) -> KeySpec {
    KeySpec {
        flags,
        begin: Begin::Keyword(keyword, from),
        find: Find::Range { last: -1, step: 1, limit },
        note: "",
    }
}

/// Keys that no rule finds.
pub(super) const fn unknown(flags: KeyFlags) -> KeySpec {
    KeySpec { flags, begin: Begin::Unknown, find: Find::Unknown, note: "" }
}
