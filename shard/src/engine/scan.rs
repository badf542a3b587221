//! Walks over keys: SCAN cursors and full walks.
//!
//! A cursor is `slot << 49 | prefix`, below 2^63, where the prefix is the leading 49 bits of the key's
//! hash under the cluster's seed. Slots are walked in their order, keys within a slot in the order of their
//! prefixes, keys of equal prefix together. So a cursor stays valid across resizes, restarts and
//! moves of the slot, and every key that exists throughout a scan is seen.

use slotway_common::slot::{SLOTS, Slot};

use super::key::DbIndex;
use super::record::Record;
use super::state::Engine;
use crate::types::table::CURSOR_BITS;

/// A place in the order in which SCAN walks the keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor {
    pub slot: Slot,
    pub prefix: u64,
}

impl Cursor {
    /// Reads the decimal number that a client sent; `None` when it lies behind the last slot.
    #[must_use]
    pub fn from_number(number: u64) -> Option<Self> {
        let slot = u16::try_from(number >> CURSOR_BITS).ok().filter(|slot| *slot < SLOTS)?;
        Some(Self { slot, prefix: number & ((1 << CURSOR_BITS) - 1) })
    }

    #[must_use]
    pub fn to_number(self) -> u64 {
        u64::from(self.slot) << CURSOR_BITS | self.prefix
    }
}

impl Engine {
    /// Visits live keys from `from` on in the slots that `wanted` names, until at least `count` were
    /// seen (live or not) or many empty places were passed. Gives where to go on, or `None` at the end.
    pub fn scan(
        &self,
        db: DbIndex,
        from: Cursor,
        count: usize,
        wanted: impl Fn(Slot) -> bool,
        mut visit: impl FnMut(&Record),
    ) -> Option<Cursor> {
        let mut left = count.max(1);
        let mut prefix = from.prefix;
        for slot in from.slot..SLOTS {
            if let Some(database) = self.database(db, slot).filter(|database| !database.is_empty())
                && wanted(slot)
            {
                if left == 0 {
                    return Some(Cursor { slot, prefix: 0 });
                }
                let mut seen = 0;
                let next = database.scan(prefix, left, |record| {
                    seen += 1;
                    if self.is_live(record) {
                        visit(record);
                    }
                });
                if let Some(prefix) = next {
                    return Some(Cursor { slot, prefix });
                }
                left = left.saturating_sub(seen);
            }
            prefix = 0;
        }
        None
    }

    /// Visits every live key of the database in the slots that `wanted` names.
    pub fn for_each_key(&self, db: DbIndex, wanted: impl Fn(Slot) -> bool, mut visit: impl FnMut(&Record)) {
        if self.totals[db].keys() == 0 {
            return;
        }
        for slot in (0..SLOTS).filter(|slot| wanted(*slot)) {
            for record in self.database(db, slot).into_iter().flat_map(|database| database.iter()) {
                if self.is_live(record) {
                    visit(record);
                }
            }
        }
    }

    /// Number of keys in the slots that `wanted` names, expired ones included until they are removed.
    #[must_use]
    pub fn count_keys(&self, db: DbIndex, wanted: impl Fn(Slot) -> bool) -> u64 {
        (0..SLOTS)
            .filter(|slot| wanted(*slot))
            .filter_map(|slot| self.database(db, slot))
            .map(|d| d.len() as u64)
            .sum()
    }

    fn is_live(&self, record: &Record) -> bool {
        record.expire_at().is_none_or(|at| at > self.expired_by)
    }
}
