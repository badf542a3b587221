//! Counts of one database over all slots.

use rand::Rng;
use slotway_common::slot::{SLOTS, Slot};

/// Slots that are counted together, so that a random key is found in two short walks.
const GROUP: u16 = 128;

/// Keys of one database over all slots.
#[derive(Clone, Debug)]
pub struct DbTotals {
    keys: u64,
    expires: u64,
    /// Keys by group of slots.
    groups: Box<[u64; (SLOTS / GROUP) as usize]>,
}

impl Default for DbTotals {
    fn default() -> Self {
        Self { keys: 0, expires: 0, groups: Box::new([0; (SLOTS / GROUP) as usize]) }
    }
}

impl DbTotals {
    #[must_use]
    pub fn keys(&self) -> u64 {
        self.keys
    }

    /// Keys with an expiry.
    #[must_use]
    pub fn expires(&self) -> u64 {
        self.expires
    }

    #[inline]
    pub(super) fn add(&mut self, slot: Slot, keys: u64, expires: u64) {
        self.keys += keys;
        self.expires += expires;
        self.groups[usize::from(slot / GROUP)] += keys;
    }

    #[inline]
    pub(super) fn remove(&mut self, slot: Slot, keys: u64, expires: u64) {
        self.keys -= keys;
        self.expires -= expires;
        self.groups[usize::from(slot / GROUP)] -= keys;
    }

    /// A slot drawn with a probability in proportion to its number of keys, `keys_of(slot)`.
    pub(super) fn random_slot(&self, random: &mut impl Rng, keys_of: impl Fn(Slot) -> u64) -> Option<Slot> {
        if self.keys == 0 {
            return None;
        }
        let mut left = random.random_range(0..self.keys);
        let group = self.groups.iter().position(|&keys| {
            let here = left < keys;
            if !here {
                left -= keys;
            }
            here
        })?;
        let first = group as u16 * GROUP;
        (first..first + GROUP).find(|&slot| {
            let keys = keys_of(slot);
            let here = left < keys;
            if !here {
                left -= keys;
            }
            here
        })
    }
}
