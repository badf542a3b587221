//! Sorted runs of what was delivered and not yet acknowledged: of a group with who has it, of a consumer the ids alone.

use super::id::Id;
use crate::memory::size_class;
use crate::types::spine::{Leaf, LeafPlace, Spine};

/// Something that is kept in the order of ids.
pub trait ById: Copy {
    fn id(&self) -> Id;
}

impl ById for Id {
    fn id(&self) -> Id {
        *self
    }
}

/// Items of one leaf: 4 KiB of ids.
const MOST: usize = 256;

#[derive(Clone)]
pub struct Run<T>(Vec<T>);

impl<T: ById> Leaf for Run<T> {
    type Key = Id;

    fn len(&self) -> usize {
        self.0.len()
    }

    fn key(&self) -> Id {
        self.0.first().map_or(Id::MIN, ById::id)
    }

    fn heap_bytes(&self) -> usize {
        size_class(self.0.capacity() * size_of::<T>())
    }
}

/// Items ordered by id, each id once. A clone copies a pointer for every 128 leaves.
#[derive(Clone)]
pub struct Ordered<T: ById>(Spine<Run<T>>);

impl<T: ById> Default for Ordered<T> {
    fn default() -> Self {
        Self(Spine::new())
    }
}

impl<T: ById> Ordered<T> {
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.0.heap_bytes()
    }

    #[must_use]
    pub fn free_effort(&self) -> usize {
        self.0.leaves_about()
    }

    /// The leaf in which an id lies or would lie.
    fn seek(&self, id: Id) -> Option<LeafPlace> {
        self.0.seek_key(|key, _| key <= id)
    }

    fn find(&self, id: Id) -> Option<(LeafPlace, Result<usize, usize>)> {
        let at = self.seek(id)?;
        Some((at, self.0.leaf(at).0.binary_search_by_key(&id, ById::id)))
    }

    #[must_use]
    pub fn get(&self, id: Id) -> Option<&T> {
        let (at, found) = self.find(id)?;
        self.0.leaf(at).0.get(found.ok()?)
    }

    /// Changes the item of an id; true when there is one. The item must keep its id.
    pub fn change(&mut self, id: Id, change: impl FnOnce(&mut T)) -> bool {
        let Some((at, Ok(index))) = self.find(id) else { return false };
        self.0.edit(at, |run| run.0.get_mut(index).map(change).is_some())
    }

    /// Puts an item into its place; gives the one of the same id that was there.
    pub fn insert(&mut self, item: T) -> Option<T> {
        let Some((at, found)) = self.find(item.id()) else {
            self.0.push_back(Run(vec![item]));
            return None;
        };
        match found {
            Ok(index) => self.0.edit(at, |run| run.0.get_mut(index).map(|old| std::mem::replace(old, item))),
            Err(index) => {
                let len = self.0.leaf(at).0.len();
                if len < MOST {
                    self.0.edit(at, |run| run.0.insert(index, item));
                } else if index == len {
                    self.0.insert_after(at, Run(vec![item]));
                } else {
                    let upper = self.0.edit(at, |run| run.0.split_off(MOST / 2));
                    let at_upper = self.0.insert_after(at, Run(upper));
                    let (at, index) =
                        if index > MOST / 2 { (at_upper, index - MOST / 2) } else { (at, index) };
                    self.0.edit(at, |run| run.0.insert(index, item));
                }
                None
            }
        }
    }

    /// Takes the item of an id out.
    pub fn remove(&mut self, id: Id) -> Option<T> {
        let (at, found) = self.find(id)?;
        let index = found.ok()?;
        Some(self.0.edit(at, |run| run.0.remove(index)))
    }

    /// The items from an id on.
    pub fn from(&self, id: Id) -> impl Iterator<Item = &T> {
        let mut at = self.seek(id);
        let mut index = at.map_or(0, |at| self.0.leaf(at).0.partition_point(|item| item.id() < id));
        std::iter::from_fn(move || {
            loop {
                let place = at?;
                if let Some(item) = self.0.leaf(place).0.get(index) {
                    index += 1;
                    return Some(item);
                }
                (at, index) = (self.0.next(place), 0);
            }
        })
    }

    /// The items from a rank on.
    pub fn from_rank(&self, rank: usize) -> impl Iterator<Item = &T> {
        let id = self.0.seek(rank).and_then(|(at, index)| self.0.leaf(at).0.get(index)).map(ById::id);
        id.into_iter().flat_map(|id| self.from(id))
    }

    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.from(Id::MIN)
    }

    #[must_use]
    pub fn first(&self) -> Option<&T> {
        self.iter().next()
    }

    #[must_use]
    pub fn last(&self) -> Option<&T> {
        self.0.last().and_then(|at| self.0.leaf(at).0.last())
    }
}
