//! A sequence of leaves with element counts: the frame of long lists and of the order of sorted sets.
//!
//! Two levels above the leaves: a row of branches, each with up to [`MOST_LEAVES`] leaves. A leaf is reached by the rank
//! of an element (each level knows how many elements are below) or by a key that leaves are ordered by (each level has
//! the first key below). Leaves and branches are reference-counted: cloning a spine copies one pointer a branch, and a
//! writer copies the branch and the leaf that it touches while they are shared. So of a list of a gigabyte a clone costs
//! some thousand pointers, and no operation moves more than one branch or the row of branches.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::memory::size_class;

#[cfg(test)]
mod tests;

/// What a spine is made of: a run of elements.
pub trait Leaf: Clone {
    /// What leaves are ordered by; `()` if by nothing.
    type Key: Copy;
    /// Number of elements.
    fn len(&self) -> usize;
    /// Key of the first element. Asked only of leaves that are not empty.
    fn key(&self) -> Self::Key;
    /// Allocator bytes below the leaf, without the elements' own if the collection counts those itself.
    fn heap_bytes(&self) -> usize;
}

const MOST_LEAVES: usize = 128;

/// A sequence of leaves; see the module's documentation. Leaves are never empty while no call is in progress.
#[derive(Clone)]
pub struct Spine<L: Leaf> {
    branches: VecDeque<Branch<L>>,
    len: usize,
    heap: usize,
}

#[derive(Clone)]
struct Branch<L: Leaf> {
    len: usize,
    key: L::Key,
    leaves: Arc<Vec<Entry<L>>>,
}

#[derive(Clone)]
struct Entry<L: Leaf> {
    key: L::Key,
    len: u32,
    leaf: Arc<L>,
}

/// Where a leaf stands; valid until a leaf is inserted or removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LeafPlace {
    branch: usize,
    leaf: usize,
}

impl<L: Leaf> Entry<L> {
    fn new(leaf: L) -> Self {
        Entry { key: leaf.key(), len: leaf.len() as u32, leaf: Arc::new(leaf) }
    }
}

fn leaf_bytes<L: Leaf>(leaf: &L) -> usize {
    // Two counts stand before what an Arc holds.
    size_class(2 * size_of::<usize>() + size_of::<L>()) + leaf.heap_bytes()
}

impl<L: Leaf> Branch<L> {
    fn new(leaves: Vec<Entry<L>>, key: L::Key) -> Self {
        Branch { len: leaves.iter().map(|entry| entry.len as usize).sum(), key, leaves: Arc::new(leaves) }
    }

    fn heap_bytes(&self) -> usize {
        size_class(2 * size_of::<usize>() + size_of::<Vec<Entry<L>>>())
            + size_class(self.leaves.capacity() * size_of::<Entry<L>>())
    }
}

impl<L: Leaf> Default for Spine<L> {
    fn default() -> Self {
        Self::new()
    }
}

impl<L: Leaf> Spine<L> {
    /// A spine without leaves; allocates nothing.
    pub fn new() -> Self {
        Spine { branches: VecDeque::new(), len: 0, heap: 0 }
    }

    /// Number of elements in all leaves.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no leaf.
    pub fn is_empty(&self) -> bool {
        self.branches.is_empty()
    }

    /// Number of leaves, about.
    pub fn leaves_about(&self) -> usize {
        self.branches.len().saturating_sub(1) * MOST_LEAVES / 2
            + self.branches.front().map_or(0, |branch| branch.leaves.len())
    }

    /// Allocator bytes of the spine and its leaves.
    #[inline]
    pub fn heap_bytes(&self) -> usize {
        size_class(self.branches.capacity() * size_of::<Branch<L>>()) + self.heap
    }

    /// Number of leaves, and of leaves and branches.
    pub fn node_counts(&self) -> (usize, usize) {
        let leaves = self.branches.iter().map(|branch| branch.leaves.len()).sum();
        (leaves, leaves + self.branches.len())
    }

    /// The first leaf's place.
    pub fn first(&self) -> Option<LeafPlace> {
        (!self.is_empty()).then_some(LeafPlace { branch: 0, leaf: 0 })
    }

    /// The last leaf's place.
    pub fn last(&self) -> Option<LeafPlace> {
        let branch = self.branches.len().checked_sub(1)?;
        Some(LeafPlace { branch, leaf: self.branches[branch].leaves.len() - 1 })
    }

    /// The place of the next leaf.
    #[inline]
    pub fn next(&self, at: LeafPlace) -> Option<LeafPlace> {
        if at.leaf + 1 < self.branches.get(at.branch)?.leaves.len() {
            Some(LeafPlace { leaf: at.leaf + 1, ..at })
        } else if at.branch + 1 < self.branches.len() {
            Some(LeafPlace { branch: at.branch + 1, leaf: 0 })
        } else {
            None
        }
    }

    /// The place of the leaf before.
    #[inline]
    pub fn previous(&self, at: LeafPlace) -> Option<LeafPlace> {
        if at.leaf > 0 {
            return Some(LeafPlace { leaf: at.leaf - 1, ..at });
        }
        let branch = at.branch.checked_sub(1)?;
        Some(LeafPlace { branch, leaf: self.branches[branch].leaves.len() - 1 })
    }

    /// The leaf at a place of this spine.
    #[inline]
    pub fn leaf(&self, at: LeafPlace) -> &L {
        &self.branches[at.branch].leaves[at.leaf].leaf
    }

    /// The leaf with the element of this rank, and the element's index in it. `None` from the length on.
    pub fn seek(&self, rank: usize) -> Option<(LeafPlace, usize)> {
        if rank >= self.len {
            return None;
        }
        if rank < self.len / 2 {
            let mut rest = rank;
            for (branch, in_branch) in self.branches.iter().enumerate() {
                if rest >= in_branch.len {
                    rest -= in_branch.len;
                    continue;
                }
                for (leaf, entry) in in_branch.leaves.iter().enumerate() {
                    if rest < entry.len as usize {
                        return Some((LeafPlace { branch, leaf }, rest));
                    }
                    rest -= entry.len as usize;
                }
            }
        } else {
            let mut rest = self.len - rank;
            for (branch, in_branch) in self.branches.iter().enumerate().rev() {
                if rest > in_branch.len {
                    rest -= in_branch.len;
                    continue;
                }
                for (leaf, entry) in in_branch.leaves.iter().enumerate().rev() {
                    if rest <= entry.len as usize {
                        return Some((LeafPlace { branch, leaf }, entry.len as usize - rest));
                    }
                    rest -= entry.len as usize;
                }
            }
        }
        None
    }

    /// Number of elements before the leaf at a place.
    pub fn rank(&self, at: LeafPlace) -> usize {
        let before: usize = self.branches.iter().take(at.branch).map(|branch| branch.len).sum();
        let leaves = &self.branches[at.branch].leaves[..at.leaf];
        before + leaves.iter().map(|entry| entry.len as usize).sum::<usize>()
    }

    /// The last leaf that `before` accepts by its first key and, where that does not decide, the leaf itself; the first
    /// one if it accepts none. `before` must accept a beginning of the sequence and nothing after it.
    pub fn seek_key(&self, mut before: impl FnMut(L::Key, &L) -> bool) -> Option<LeafPlace> {
        if self.branches.is_empty() {
            return None;
        }
        let branch = self
            .branches
            .partition_point(|branch| {
                branch.leaves.first().is_some_and(|entry| before(branch.key, &entry.leaf))
            })
            .saturating_sub(1);
        let leaf = self.branches[branch]
            .leaves
            .partition_point(|entry| before(entry.key, &entry.leaf))
            .saturating_sub(1);
        Some(LeafPlace { branch, leaf })
    }

    /// Changes the leaf at a place; one that became empty is removed. Returns what `change` does.
    #[inline]
    pub fn edit<R>(&mut self, at: LeafPlace, change: impl FnOnce(&mut L) -> R) -> R {
        let branch = &mut self.branches[at.branch];
        // Copying what is shared may also change how much of it is spare.
        let (capacity, heap) = (branch.leaves.capacity(), branch.leaves[at.leaf].leaf.heap_bytes());
        let leaves = Arc::make_mut(&mut branch.leaves);
        if leaves.capacity() != capacity {
            let size = size_of::<Entry<L>>();
            self.heap = self.heap + size_class(leaves.capacity() * size) - size_class(capacity * size);
        }
        let entry = &mut leaves[at.leaf];
        let leaf = Arc::make_mut(&mut entry.leaf);
        let result = change(leaf);
        self.heap = self.heap + leaf.heap_bytes() - heap;
        let (before, after) = (entry.len as usize, leaf.len());
        if after == 0 {
            self.remove(at);
            return result;
        }
        entry.len = after as u32;
        entry.key = leaf.key();
        if at.leaf == 0 {
            branch.key = entry.key;
        }
        branch.len = branch.len + after - before;
        self.len = self.len + after - before;
        result
    }

    /// Inserts a leaf before the first one.
    pub fn push_front(&mut self, leaf: L) {
        match self.first() {
            Some(first) => {
                self.insert_before(first, leaf);
            }
            None => self.push_only(leaf),
        }
    }

    /// Inserts a leaf after the last one.
    pub fn push_back(&mut self, leaf: L) {
        match self.last() {
            Some(last) => {
                self.insert_after(last, leaf);
            }
            None => self.push_only(leaf),
        }
    }

    /// Inserts a leaf, which must not be empty, after the one at a place. Returns where it stands.
    pub fn insert_after(&mut self, at: LeafPlace, leaf: L) -> LeafPlace {
        self.insert(at.branch, at.leaf + 1, leaf)
    }

    /// Inserts a leaf, which must not be empty, before the one at a place. Returns where it stands.
    pub fn insert_before(&mut self, at: LeafPlace, leaf: L) -> LeafPlace {
        self.insert(at.branch, at.leaf, leaf)
    }

    fn push_only(&mut self, leaf: L) {
        self.len = leaf.len();
        self.heap = leaf_bytes(&leaf);
        let (key, leaves) = (leaf.key(), vec![Entry::new(leaf)]);
        let branch = Branch::new(leaves, key);
        self.heap += branch.heap_bytes();
        self.branches.push_back(branch);
    }

    fn insert(&mut self, number: usize, at: usize, leaf: L) -> LeafPlace {
        self.heap += leaf_bytes(&leaf);
        self.len += leaf.len();
        let branch_count = self.branches.len();
        let branch = &mut self.branches[number];
        self.heap -= branch.heap_bytes();
        let entry = Entry::new(leaf);
        let leaves = Arc::make_mut(&mut branch.leaves);
        if leaves.len() < MOST_LEAVES {
            branch.len += entry.len as usize;
            if at == 0 {
                branch.key = entry.key;
            }
            leaves.insert(at, entry);
            self.heap += branch.heap_bytes();
            return LeafPlace { branch: number, leaf: at };
        }
        // At an end of the sequence the full branch stays full, so that pushing leaves no half-empty ones behind.
        let (new_branch, new, place) = if at == leaves.len() && number + 1 == branch_count {
            (number + 1, vec![entry], LeafPlace { branch: number + 1, leaf: 0 })
        } else if at == 0 && number == 0 {
            (0, vec![entry], LeafPlace { branch: 0, leaf: 0 })
        } else {
            let mut upper = leaves.split_off(leaves.len() / 2);
            let place = if at <= leaves.len() {
                leaves.insert(at, entry);
                LeafPlace { branch: number, leaf: at }
            } else {
                let at = at - leaves.len();
                upper.insert(at, entry);
                LeafPlace { branch: number + 1, leaf: at }
            };
            (number + 1, upper, place)
        };
        if let (Some(first), Some(new_first)) = (leaves.first(), new.first()) {
            branch.key = first.key;
            branch.len = leaves.iter().map(|entry| entry.len as usize).sum();
            self.heap += branch.heap_bytes();
            let key = new_first.key;
            let new = Branch::new(new, key);
            self.heap += new.heap_bytes();
            self.branches.insert(new_branch, new);
        }
        place
    }

    /// Removes the leaf at a place.
    pub fn remove(&mut self, at: LeafPlace) {
        let branch = &mut self.branches[at.branch];
        self.heap -= branch.heap_bytes();
        let leaves = Arc::make_mut(&mut branch.leaves);
        let gone = leaves.remove(at.leaf);
        self.heap -= leaf_bytes(&*gone.leaf);
        self.len -= gone.len as usize;
        branch.len -= gone.len as usize;
        if leaves.len() < leaves.capacity() / 4 {
            leaves.shrink_to(leaves.len() * 2);
        }
        let Some(first) = leaves.first() else {
            self.branches.remove(at.branch);
            if self.branches.is_empty() {
                self.branches = VecDeque::new();
            }
            return;
        };
        branch.key = first.key;
        self.heap += branch.heap_bytes();
        self.merge_branches(at.branch);
    }

    /// Merges a branch that has become short with a neighbour.
    fn merge_branches(&mut self, number: usize) {
        if self.branches[number].leaves.len() > MOST_LEAVES / 4 || self.branches.len() < 2 {
            return;
        }
        let left = if number + 1 < self.branches.len() { number } else { number - 1 };
        if self.branches[left].leaves.len() + self.branches[left + 1].leaves.len() > MOST_LEAVES * 3 / 4 {
            return;
        }
        let Some(right) = self.branches.remove(left + 1) else { return };
        let branch = &mut self.branches[left];
        self.heap -= branch.heap_bytes() + right.heap_bytes();
        branch.len += right.len;
        Arc::make_mut(&mut branch.leaves).extend(right.leaves.iter().cloned());
        self.heap += branch.heap_bytes();
    }

    /// Joins the leaf at a place with the next or else the previous one, if `fits` accepts the two (left, right). `join`
    /// appends the right leaf's elements to the left one's.
    pub fn join(&mut self, at: LeafPlace, fits: impl Fn(&L, &L) -> bool, join: impl FnOnce(&mut L, &L)) {
        for left in [Some(at), self.previous(at)].into_iter().flatten() {
            if let Some(right) = self.next(left)
                && fits(self.leaf(left), self.leaf(right))
            {
                let taken = Arc::clone(&self.branches[right.branch].leaves[right.leaf].leaf);
                self.edit(left, |leaf| join(leaf, &taken));
                drop(taken);
                self.remove(right);
                return;
            }
        }
    }

    /// Joins each leaf with those after it as long as `fits` accepts the two. O(leaves).
    pub fn join_all(&mut self, fits: impl Fn(&L, &L) -> bool, mut join: impl FnMut(&mut L, &L)) {
        let old = std::mem::take(self);
        for branch in &old.branches {
            for entry in branch.leaves.iter() {
                match self.last() {
                    Some(last) if fits(self.leaf(last), &entry.leaf) => {
                        self.edit(last, |leaf| join(leaf, &entry.leaf));
                    }
                    _ => self.push_back(L::clone(&entry.leaf)),
                }
            }
        }
    }
}
