//! One row of the command table.

use super::categories::Categories;
use super::flags::Flags;
use super::group::Group;
use super::handling::{Blocks, Handling};
use super::key_spec::{Begin, Find, KeyFlags, KeySpec};
use super::route::{Merge, Route, Support};

/// A command or a subcommand. Rows are static; compare them by [`Command::id`].
#[derive(Clone, Copy, Debug)]
pub struct Command {
    /// The row's number: dense from 0, the same in every process of one build, not kept anywhere.
    pub id: u16,
    /// Lower case; of a subcommand `container|name`.
    pub name: &'static str,
    /// The number of arguments, the name (both names, of a subcommand) included; at least so many when negative.
    pub arity: i16,
    pub flags: Flags,
    pub categories: Categories,
    pub key_specs: &'static [KeySpec],
    pub finder: KeyFinder,
    /// Hints for clients that split commands themselves.
    pub tips: &'static [&'static str],
    pub group: Group,
    /// The Redis version that has it first.
    pub since: &'static str,
    pub complexity: &'static str,
    /// What it does, in one sentence.
    pub summary: &'static str,
    /// The arguments in the language of [`super::arguments`].
    pub arguments: &'static str,
    /// Out of use since that version, and what to use instead.
    pub deprecated: Option<(&'static str, &'static str)>,
    /// For the inside of Redis, not for clients.
    pub system: bool,
    /// How the proxy routes it.
    pub route: Route,
    /// How the replies of several shards become one.
    pub merge: Merge,
    pub support: Support,
    /// It may tell others of something though it changes no data, so that CLIENT PAUSE with WRITE holds it back.
    pub may_replicate: bool,
    pub handling: Handling,
    /// What it waits for, if it may block.
    pub blocks: Option<Blocks>,
    /// Not in Redis 7.0 and therefore not told in COMMAND.
    pub hidden: bool,
    /// The row of the command that this is a subcommand of.
    pub container: Option<u16>,
    /// The rows of its subcommands: the first, and the one after the last. Equal when it has none.
    pub(super) subcommand_rows: (u16, u16),
    /// Length of the container's name with the `|`, 0 for a command that stands alone.
    pub(super) prefix: u8,
}

/// What finds the keys of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyFinder {
    /// The key specs say it all.
    Specs,
    Set,
    BitField,
    Sort {
        /// Whether there can be a STORE option.
        store: bool,
    },
    Migrate,
    /// PFMERGE, whose sources may be left out.
    Merge,
}

impl Command {
    /// The name alone: of a subcommand without its container.
    #[must_use]
    pub fn last_name(&self) -> &'static str {
        self.name.get(usize::from(self.prefix)..).unwrap_or_default()
    }

    /// Whether it has subcommands.
    #[must_use]
    #[inline]
    pub const fn is_container(&self) -> bool {
        self.subcommand_rows.0 != self.subcommand_rows.1
    }

    /// Whether a call with so many arguments, the name included, has the right number.
    #[must_use]
    #[inline]
    pub const fn takes(&self, arguments: usize) -> bool {
        if self.arity >= 0 {
            arguments == self.arity as usize
        } else {
            arguments >= self.arity.unsigned_abs() as usize
        }
    }

    /// Whether calls have keys.
    #[must_use]
    pub fn has_keys(&self) -> bool {
        self.finder != KeyFinder::Specs
            || self.key_specs.iter().any(|spec| !spec.flags.contains(KeyFlags::NOT_KEY))
    }

    /// Whether it may change data.
    #[must_use]
    #[inline]
    pub const fn is_write(&self) -> bool {
        self.flags.contains(Flags::WRITE)
    }

    /// Whether it ends a transaction, one way or the other.
    #[must_use]
    #[inline]
    pub const fn ends_transaction(&self) -> bool {
        self.handling.contains(Handling::ENDS_TRANSACTION)
    }

    /// Whether it is queued while its client is in a transaction. The others run at once.
    #[must_use]
    #[inline]
    pub const fn is_queued(&self) -> bool {
        !self.handling.intersects(Handling::AT_ONCE.with(Handling::ENDS_TRANSACTION))
    }

    /// Whether a call of it runs a script or a function.
    #[must_use]
    pub fn runs_script(&self) -> bool {
        self.group == Group::Scripting && self.route == Route::Slot
    }

    /// Whether it sends a message to a channel.
    #[must_use]
    #[inline]
    pub const fn publishes(&self) -> bool {
        self.handling.contains(Handling::PUBLISHES)
    }

    /// First key, last key (negative: from the end) and step, as clients used them before there were key
    /// specs; zeros when the keys do not form one range.
    #[must_use]
    pub fn legacy_range(&self) -> (i64, i64, i64) {
        if let [KeySpec { begin: Begin::Index(first), find: Find::Range { last, step, .. }, .. }] =
            self.key_specs
        {
            let (first, last) = (i64::from(*first), i64::from(*last));
            return (first, if last >= 0 { first + last } else { last }, i64::from(*step));
        }
        let mut range: Option<(i64, i64)> = None;
        for spec in self.key_specs {
            let (Begin::Index(first), Find::Range { last, step, .. }) = (spec.begin, spec.find) else {
                continue;
            };
            let first = i64::from(first);
            if step != 1 || range.is_some_and(|(_, last)| last != first - 1) {
                return (0, 0, 0);
            }
            let last = if last >= 0 { first + i64::from(last) } else { i64::from(last) };
            range = Some(match range {
                // A range that is open at its end reaches farther than any other.
                Some((begin, end)) => {
                    (begin.min(first), if last < 0 || end < 0 { last.min(end) } else { last.max(end) })
                }
                None => (first, last),
            });
        }
        range.map_or((0, 0, 0), |(first, last)| (first, last, 1))
    }

    pub(super) const fn new(
        group: Group,
        name: &'static str,
        arity: i16,
        flags: Flags,
        since: &'static str,
        complexity: &'static str,
        arguments: &'static str,
        summary: &'static str,
    ) -> Self {
        Self {
            id: 0,
            name,
            arity,
            flags,
            categories: group.category(),
            key_specs: &[],
            finder: KeyFinder::Specs,
            tips: &[],
            group,
            since,
            complexity,
            summary,
            arguments,
            deprecated: None,
            system: false,
            route: Route::Slot,
            merge: Merge::Pass,
            support: Support::Full,
            may_replicate: false,
            handling: Handling::NONE,
            blocks: None,
            hidden: false,
            container: None,
            subcommand_rows: (0, 0),
            prefix: 0,
        }
    }

    pub(super) const fn keys(mut self, specs: &'static [KeySpec]) -> Self {
        self.key_specs = specs;
        self
    }

    pub(super) const fn finder(mut self, finder: KeyFinder) -> Self {
        self.finder = finder;
        self
    }

    pub(super) const fn tips(mut self, tips: &'static [&'static str]) -> Self {
        self.tips = tips;
        self
    }

    /// Other categories than its group's.
    pub(super) const fn acl(mut self, categories: Categories) -> Self {
        self.categories = categories;
        self
    }

    pub(super) const fn deprecated(mut self, since: &'static str, instead: &'static str) -> Self {
        self.deprecated = Some((since, instead));
        self
    }

    pub(super) const fn system(mut self) -> Self {
        self.system = true;
        self
    }

    pub(super) const fn may_replicate(mut self) -> Self {
        self.may_replicate = true;
        self
    }

    pub(super) const fn proxy(mut self) -> Self {
        self.route = Route::Proxy;
        self
    }

    /// Run by the proxy as a job.
    pub(super) const fn job(mut self) -> Self {
        self.route = Route::Job;
        self
    }

    /// A job that may wait.
    pub(super) const fn blocks(mut self, blocks: Blocks) -> Self {
        self.blocks = Some(blocks);
        self.job()
    }

    pub(super) const fn handling(mut self, handling: Handling) -> Self {
        self.handling = handling;
        self
    }

    pub(super) const fn split(mut self, merge: Merge) -> Self {
        self.route = Route::Split;
        self.merge = merge;
        self
    }

    pub(super) const fn fan_out(mut self, merge: Merge) -> Self {
        self.route = Route::FanOut;
        self.merge = merge;
        self
    }

    pub(super) const fn later(mut self, reason: &'static str) -> Self {
        self.route = Route::Unsupported;
        self.support = Support::Later(reason);
        self
    }

    /// Not served by a shard yet; a proxy answers it itself.
    pub(super) const fn shards_later(mut self, reason: &'static str) -> Self {
        self.route = Route::Proxy;
        self.support = Support::Later(reason);
        self
    }

    pub(super) const fn internal(mut self) -> Self {
        self.route = Route::Internal;
        self.hidden = true;
        self
    }

    pub(super) const fn hidden(mut self) -> Self {
        self.hidden = true;
        self
    }
}
