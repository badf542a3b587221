//! The stream: entries in the order of their ids, and the groups that read them.
//!
//! Entries stand in blocks of up to `stream-node-max-bytes` and `stream-node-max-entries`, packed as Redis packs them
//! ([`block`]), so that memory, dumps and what approximate trimming removes are the same. Blocks hang on a spine and are
//! shared by clones until either is written; so are groups, and the entries that they have delivered.

pub mod block;
pub mod group;
mod id;
pub mod pending;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use block::{Block, Entry};
pub use group::{Consumer, Group, Pending};
pub use id::Id;

use super::spine::{LeafPlace, Spine};
use crate::memory::{Limits, size_class};

/// No block gets larger, whatever the settings allow.
const MOST_BLOCK: usize = 1 << 30;

/// A stream. One without entries is kept: it knows its last id and its groups.
#[derive(Clone)]
pub struct Stream(Box<Inner>);

#[derive(Clone)]
struct Inner {
    blocks: Spine<Block>,
    /// Entries that are not deleted.
    len: usize,
    facts: Facts,
    groups: BTreeMap<Arc<[u8]>, Arc<Group>>,
    groups_heap: usize,
}

/// What a stream knows beside its entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The highest id that an entry ever had.
    pub last: Id,
    /// The highest id that was deleted.
    pub max_deleted: Id,
    /// Entries that were ever added.
    pub added: u64,
}

/// Why an entry was not added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Its id is not above all that there were.
    NotAbove,
    TooLarge,
}

/// Which entries are too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Excess {
    /// All but so many of the latest.
    Longer(usize),
    /// Those below an id.
    Below(Id),
}

impl Default for Stream {
    fn default() -> Self {
        Self::new()
    }
}

fn group_bytes(name: &[u8], group: &Group) -> usize {
    2 * size_of::<Arc<Group>>()
        + size_class(name.len() + 2 * size_of::<usize>())
        + size_class(size_of::<Group>() + 2 * size_of::<usize>())
        + group.heap_bytes()
}

impl Stream {
    /// A stream into which nothing was added.
    #[must_use]
    pub fn new() -> Self {
        Self(Box::new(Inner {
            blocks: Spine::new(),
            len: 0,
            facts: Facts::default(),
            groups: BTreeMap::new(),
            groups_heap: 0,
        }))
    }

    /// Number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len
    }

    /// Number of entries, deleted ones that still take room among them.
    #[must_use]
    pub fn places(&self) -> usize {
        self.0.blocks.len()
    }

    /// Whether there are no entries.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[must_use]
    pub fn facts(&self) -> Facts {
        self.0.facts
    }

    pub fn set_facts(&mut self, facts: Facts) {
        self.0.facts = facts;
    }

    /// Bytes of the allocator below this value.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        size_class(size_of::<Inner>()) + self.0.blocks.heap_bytes() + self.0.groups_heap
    }

    #[must_use]
    pub fn free_effort(&self) -> usize {
        let groups: usize = self.0.groups.values().map(|group| group.free_effort()).sum();
        self.0.blocks.leaves_about() + groups
    }

    /// The blocks from the first on.
    pub fn blocks(&self) -> impl Iterator<Item = &Block> {
        let mut at = self.0.blocks.first();
        std::iter::from_fn(move || {
            let place = at?;
            at = self.0.blocks.next(place);
            Some(self.0.blocks.leaf(place))
        })
    }

    /// The block in which the entry of a rank stands, if deleted ones count.
    #[must_use]
    pub fn block_at(&self, rank: usize) -> Option<&Block> {
        self.0.blocks.seek(rank).map(|(at, _)| self.0.blocks.leaf(at))
    }

    /// Number of blocks, and of all nodes that hold them together.
    #[must_use]
    pub fn node_counts(&self) -> (usize, usize) {
        self.0.blocks.node_counts()
    }

    /// Appends a block, of which all ids are above those there are; false if they are not.
    pub fn push_block(&mut self, block: Block) -> bool {
        let above = self.0.blocks.last().is_none_or(|last| self.0.blocks.leaf(last).last() < block.first());
        if above {
            self.0.len += block.counts().0;
            self.0.blocks.push_back(block);
        }
        above
    }

    /// The first entry's id.
    #[must_use]
    pub fn first_id(&self) -> Option<Id> {
        self.range(Id::MIN, Id::MAX).next().map(|entry| entry.id)
    }

    /// The last entry's id; not that of the last one that there was.
    #[must_use]
    pub fn last_id(&self) -> Option<Id> {
        self.range_back(Id::MAX, Id::MIN).next().map(|entry| entry.id)
    }

    /// The id of the next entry where the time says it: `now`, or if that is not above the last id the one after it.
    #[must_use]
    pub fn next_id(&self, now: i64) -> Option<Id> {
        let ms = u64::try_from(now).unwrap_or(0);
        if ms > self.0.facts.last.ms { Some(Id { ms, seq: 0 }) } else { self.0.facts.last.next() }
    }

    /// Appends an entry; `pairs` has fields and values in turns.
    ///
    /// # Errors
    /// When the id is not above all that there were, or the entry too large; nothing was changed.
    pub fn add(&mut self, id: Id, pairs: &[&[u8]], limits: &Limits) -> Result<(), Refused> {
        if id <= self.0.facts.last {
            return Err(Refused::NotAbove);
        }
        let bytes: usize = pairs.iter().map(|item| item.len()).sum();
        if bytes > MOST_BLOCK {
            return Err(Refused::TooLarge);
        }
        let most = match limits.stream_node_max_bytes {
            0 => MOST_BLOCK,
            most => most.min(MOST_BLOCK),
        };
        let blocks = &mut self.0.blocks;
        let full = blocks.last().is_none_or(|at| {
            let block = blocks.leaf(at);
            let (live, deleted) = block.counts();
            block.packed_bytes() + bytes >= most
                || limits.stream_node_max_entries > 0 && live + deleted >= limits.stream_node_max_entries
        });
        match blocks.last() {
            Some(at) if !full => blocks.edit(at, |block| block.push(id, pairs)),
            last => {
                if let Some(at) = last {
                    blocks.edit(at, Block::shrink);
                }
                blocks.push_back(Block::new(id, pairs));
            }
        }
        self.0.len += 1;
        self.0.facts.last = id;
        self.0.facts.added += 1;
        Ok(())
    }

    /// Deletes an entry; true when it was there.
    pub fn delete(&mut self, id: Id) -> bool {
        let Some(at) = self.0.blocks.seek_key(|key, _| key <= id) else { return false };
        let has = self.0.blocks.leaf(at).forward(id).next().is_some_and(|entry| entry.id == id);
        if has {
            if self.0.blocks.leaf(at).counts().0 == 1 {
                self.0.blocks.remove(at);
            } else {
                self.0.blocks.edit(at, |block| block.delete(id));
            }
            self.0.len -= 1;
            self.0.facts.max_deleted = self.0.facts.max_deleted.max(id);
        }
        has
    }

    /// Removes the oldest entries that are too many; gives their number. Approximately: whole blocks only, and no more
    /// than `limit` entries, if that is not 0.
    pub fn trim(&mut self, excess: Excess, approximately: bool, limit: usize) -> usize {
        let mut gone = 0;
        while let Some(at) = self.0.blocks.first() {
            let len = self.len();
            if matches!(excess, Excess::Longer(most) if len <= most) {
                break;
            }
            let block = self.0.blocks.leaf(at);
            let (live, _) = block.counts();
            if limit > 0 && gone + live > limit {
                break;
            }
            let whole = match excess {
                Excess::Longer(most) => len - live >= most,
                Excess::Below(id) => block.last() < id,
            };
            if whole {
                self.0.blocks.remove(at);
                self.0.len -= live;
                gone += live;
                continue;
            }
            if approximately {
                break;
            }
            let (most, below) = match excess {
                Excess::Longer(most) => (len - most, None),
                Excess::Below(id) => (usize::MAX, Some(id)),
            };
            // Looked at before it is edited, as editing copies a block that is shared.
            let first = block.forward(Id::MIN).next().map(|entry| entry.id);
            if below.is_none_or(|below| first.is_some_and(|first| first < below)) {
                let deleted = self.0.blocks.edit(at, |block| block.delete_first(most, below));
                self.0.len -= deleted;
                gone += deleted;
            }
            break;
        }
        gone
    }

    /// The entries between two ids, both included.
    pub fn range(&self, from: Id, to: Id) -> impl Iterator<Item = Entry<'_>> {
        let mut at = self.0.blocks.seek_key(|key, _| key <= from);
        let mut current = at.map(|at| self.0.blocks.leaf(at).forward(from));
        std::iter::from_fn(move || {
            loop {
                if let Some(entry) = current.as_mut()?.next() {
                    return Some(entry);
                }
                at = at.and_then(|place| self.0.blocks.next(place));
                current = at.map(|at| self.0.blocks.leaf(at).forward(from));
            }
        })
        .take_while(move |entry| entry.id <= to)
    }

    /// The entries from a higher id down to a lower one, both included.
    pub fn range_back(&self, from: Id, to: Id) -> impl Iterator<Item = Entry<'_>> {
        let mut at = self.0.blocks.seek_key(|key, _| key <= from);
        let mut current = at.map(|at| self.0.blocks.leaf(at).backward(from));
        std::iter::from_fn(move || {
            loop {
                if let Some(entry) = current.as_mut()?.next() {
                    return Some(entry);
                }
                at = at.and_then(|place: LeafPlace| self.0.blocks.previous(place));
                current = at.map(|at| self.0.blocks.leaf(at).backward(from));
            }
        })
        .take_while(move |entry| entry.id >= to)
    }

    /// The entry of an id.
    #[must_use]
    pub fn get(&self, id: Id) -> Option<Entry<'_>> {
        self.range(id, id).next()
    }

    /// Groups by name, in the order of bytes.
    pub fn groups(&self) -> impl ExactSizeIterator<Item = (&[u8], &Group)> {
        self.0.groups.iter().map(|(name, group)| (&**name, &**group))
    }

    #[must_use]
    pub fn group(&self, name: &[u8]) -> Option<&Group> {
        self.0.groups.get(name).map(|group| &**group)
    }

    /// Makes a group; false if there is one of that name.
    pub fn add_group(&mut self, name: &[u8], group: Group) -> bool {
        if self.0.groups.contains_key(name) {
            return false;
        }
        self.0.groups_heap += group_bytes(name, &group);
        self.0.groups.insert(name.into(), Arc::new(group));
        true
    }

    /// Removes a group; true when there was one.
    pub fn remove_group(&mut self, name: &[u8]) -> bool {
        let Some(group) = self.0.groups.remove(name) else { return false };
        self.0.groups_heap -= group_bytes(name, &group);
        true
    }

    /// Changes a group, if there is one.
    pub fn edit_group<R>(&mut self, name: &[u8], change: impl FnOnce(&mut Group) -> R) -> Option<R> {
        let group = self.0.groups.get_mut(name)?;
        let before = group.heap_bytes();
        let group = Arc::make_mut(group);
        let result = change(group);
        self.0.groups_heap = self.0.groups_heap + group.heap_bytes() - before;
        Some(result)
    }

    /// Whether something between the two ids was deleted, as far as is known: then entries cannot be counted by
    /// subtraction.
    #[must_use]
    pub fn has_gap(&self, from: Id, to: Id) -> bool {
        let Facts { max_deleted, .. } = self.0.facts;
        max_deleted != Id::MIN
            && from <= max_deleted
            && max_deleted <= to
            // What was deleted before the first entry leaves no gap.
            && self.first_id().is_some_and(|first| first <= max_deleted)
    }

    /// How many entries were added up to an id, as far as that can be told.
    #[must_use]
    pub fn added_up_to(&self, id: Id) -> Option<u64> {
        let Facts { last, max_deleted, added } = self.0.facts;
        if added == 0 {
            return Some(0);
        }
        let Some(first) = self.first_id() else { return (id <= last).then_some(added) };
        if id >= last {
            return (id == last).then_some(added);
        }
        // With nothing deleted behind the first entry, ids stand for places.
        let whole = max_deleted == Id::MIN || max_deleted < first;
        if !whole {
            return None;
        }
        match id.cmp(&first) {
            std::cmp::Ordering::Less => Some(added.saturating_sub(self.len() as u64)),
            std::cmp::Ordering::Equal => Some(added.saturating_sub(self.len() as u64) + 1),
            std::cmp::Ordering::Greater => None,
        }
    }
}
