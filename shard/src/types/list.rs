//! The list: elements in the order they were pushed.

mod node;
#[cfg(test)]
mod tests;

use super::item::Item;
use super::near::Near;
use super::packed::{self, Packed, entry::Encoded};
use super::spine::{Leaf, LeafPlace, Spine};
use crate::memory::{Form, Limits, Thin, size_class};
use node::{Node, NodeLimit};

/// A list is one packed sequence as long as it fits one node of at most this many bytes, then a spine of nodes.
const SMALL_BYTES: usize = 8 << 10;
/// Neighbouring nodes that have become small are joined up to this many bytes.
const JOIN_BYTES: usize = 2 << 10;

/// From this many nodes on, a new one gets all the bytes it may have at once; before that it begins with fewer.
const LONG_NODES: usize = 32;
const FIRST_BYTES: usize = 512;

/// A list. Short ones are one exact-fit sequence; long ones a spine of nodes of up to `list-max-listpack-size`, of which
/// the first and the last have room to push into. An element that is larger than a node has one of its own.
#[derive(Clone)]
pub struct List(Thin<Packed<true>, Spine<Node>>);

/// An end of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The left one, where ranks begin.
    Head,
    Tail,
}

impl Default for List {
    fn default() -> Self {
        Self::new()
    }
}

impl List {
    /// An empty list; allocates nothing.
    pub const fn new() -> Self {
        List(Thin::new())
    }

    /// Number of elements.
    #[inline]
    pub fn len(&self) -> usize {
        match self.0.get() {
            Form::Small(packed) => packed.len(),
            Form::Large(spine) => spine.len(),
        }
    }

    /// Whether there is no element.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Allocator bytes below this value.
    #[inline]
    pub fn heap_bytes(&self) -> usize {
        match self.0.get() {
            Form::Small(packed) => packed.heap_bytes(),
            Form::Large(spine) => size_class(size_of::<Spine<Node>>()) + spine.heap_bytes(),
        }
    }

    /// The name that OBJECT ENCODING tells: one for all lists.
    pub fn encoding(&self) -> &'static str {
        "quicklist"
    }

    /// About how many allocations dropping the list touches.
    pub fn free_effort(&self) -> usize {
        match self.0.get() {
            Form::Small(_) => 1,
            Form::Large(spine) => 2 * spine.leaves_about(),
        }
    }

    /// What most commands would look at first.
    #[inline]
    pub(super) fn near(&self) -> Option<Near<'_>> {
        match self.0.get() {
            Form::Small(packed) => Some(Near::Tailed(packed)),
            Form::Large(_) => None,
        }
    }

    /// Adds an element at one end.
    #[inline]
    pub fn push(&mut self, end: End, value: &[u8], limits: &Limits) {
        let entry = Encoded::element(value);
        let limit = NodeLimit::of(limits.list_max_listpack_size);
        let spine = match self.0.get_mut() {
            Form::Small(packed) if Self::stays_small(packed, limit, entry.len()) => {
                let at = if end == End::Head { 0 } else { packed.end() };
                packed.insert(at, [entry]);
                return;
            }
            _ => self.nodes(),
        };
        let place = match end {
            End::Head => spine.first(),
            End::Tail => spine.last(),
        };
        match place {
            Some(place) if spine.leaf(place).allows(limit, entry.len()) => {
                spine.edit(place, |node| match end {
                    End::Head => node.push_front(&entry, limit),
                    End::Tail => node.push_back(&entry, limit),
                })
            }
            _ => {
                // The node that is no longer at the end will not be pushed into.
                if let Some(place) = place
                    && spine.leaf(place).is_loose()
                {
                    spine.edit(place, Node::tighten);
                }
                // In a list that is long already the next node will be filled too.
                let room = if spine.leaves_about() >= LONG_NODES { limit.bytes() } else { FIRST_BYTES };
                let node = Node::new(&entry, end == End::Head, room, limit);
                match end {
                    End::Head => spine.push_front(node),
                    End::Tail => spine.push_back(node),
                }
            }
        }
    }

    #[inline]
    fn stays_small(packed: &Packed<true>, limit: NodeLimit, added: usize) -> bool {
        packed.end() + added <= SMALL_BYTES && limit.allows(packed.len(), packed.end(), added)
    }

    /// The element at one end.
    #[inline]
    pub fn peek(&self, end: End) -> Option<Item<'_>> {
        match (self.0.get(), end) {
            (Form::Small(packed), End::Head) => packed.iter().next(),
            (Form::Small(packed), End::Tail) => packed.iter().next_back(),
            (Form::Large(spine), End::Head) => spine.leaf(spine.first()?).iter().next(),
            (Form::Large(spine), End::Tail) => spine.leaf(spine.last()?).iter().next_back(),
        }
    }

    /// Removes `count` elements, or all there are, at one end.
    pub fn drop_end(&mut self, end: End, count: usize) {
        let count = count.min(self.len());
        match end {
            End::Head => self.remove_range(0, count),
            End::Tail => self.remove_range(self.len() - count, count),
        }
    }

    /// The element of this rank.
    pub fn get(&self, rank: usize) -> Option<Item<'_>> {
        match self.0.get() {
            Form::Small(packed) => (rank < packed.len()).then(|| packed.read(packed.nth(rank)).0),
            Form::Large(spine) => {
                let (place, index) = spine.seek(rank)?;
                spine.leaf(place).get(index)
            }
        }
    }

    /// The elements from a rank on, up or (`reverse`) down to the other end. None if the rank is beyond the list.
    pub fn iter_from(&self, rank: usize, reverse: bool) -> Iter<'_> {
        if rank >= self.len() {
            return Iter { walk: packed::Iter::between(&[], 0, 0), rest: None, reverse };
        }
        let (bytes, at, rest) = match self.0.get() {
            Form::Small(packed) => (packed.bytes(), packed.nth(rank), None),
            Form::Large(spine) => match spine.seek(rank) {
                None => (&[][..], 0, None),
                Some((place, index)) => {
                    let node = spine.leaf(place);
                    (node.entries(), node.nth(index), Some((spine, place)))
                }
            },
        };
        let (front, back) =
            if reverse { (0, packed::entry::next::<true>(bytes, at)) } else { (at, bytes.len()) };
        Iter { walk: packed::Iter::between(bytes, front, back), rest, reverse }
    }

    /// All elements from the head.
    pub fn iter(&self) -> Iter<'_> {
        self.iter_from(0, false)
    }

    /// Replaces the element of a rank. Says whether there is one.
    pub fn set(&mut self, rank: usize, value: &[u8], limits: &Limits) -> bool {
        if rank >= self.len() {
            return false;
        }
        let limit = NodeLimit::of(limits.list_max_listpack_size);
        let entry = Encoded::element(value);
        if let Form::Small(packed) = self.0.get_mut() {
            let at = packed.nth(rank);
            let (_, next) = packed.read(at);
            if packed.end() - (next - at) + entry.len() <= SMALL_BYTES.min(limit.bytes()) {
                packed.replace(at, entry);
                return true;
            }
        }
        let spine = self.nodes();
        let Some((place, index)) = spine.seek(rank) else { return false };
        let node = spine.leaf(place);
        if node.len() == 1 || node.entries().len() + entry.len() <= limit.bytes() {
            spine.edit(place, |node| node.splice(index, 1, Some(&entry)));
        } else {
            // The node would get too large: the new element goes between two halves.
            self.remove_range(rank, 1);
            self.insert_before(rank, value, limits);
        }
        true
    }

    /// Inserts an element before the one of a rank; at the tail for the length of the list.
    pub fn insert_before(&mut self, rank: usize, value: &[u8], limits: &Limits) {
        if rank == 0 || rank >= self.len() {
            return self.push(if rank == 0 { End::Head } else { End::Tail }, value, limits);
        }
        let limit = NodeLimit::of(limits.list_max_listpack_size);
        let entry = Encoded::element(value);
        if let Form::Small(packed) = self.0.get_mut()
            && Self::stays_small(packed, limit, entry.len())
        {
            packed.insert(packed.nth(rank), [entry]);
            return;
        }
        let spine = self.nodes();
        let Some((place, index)) = spine.seek(rank) else { return };
        if spine.leaf(place).allows(limit, entry.len()) {
            spine.edit(place, |node| node.splice(index, 0, Some(&entry)));
            return;
        }
        if index == 0 {
            match spine.previous(place) {
                Some(before) if spine.leaf(before).allows(limit, entry.len()) => {
                    spine.edit(before, |node| node.push_back(&entry, limit));
                }
                _ => {
                    spine.insert_before(place, Node::of(&entry.parts().concat(), 1));
                }
            }
            return;
        }
        let rest = spine.edit(place, |node| node.split_off(index));
        let last = if spine.leaf(place).allows(limit, entry.len()) {
            spine.edit(place, |node| node.push_back(&entry, limit));
            place
        } else {
            spine.insert_after(place, Node::of(&entry.parts().concat(), 1))
        };
        spine.insert_after(last, rest);
    }

    /// Removes elements equal to `value`, at most `most` from one end on. Says how many.
    pub fn remove_equal(&mut self, value: &[u8], most: usize, from: End) -> usize {
        match self.0.get_mut() {
            Form::Small(packed) => {
                let mut node = Node::of(packed.bytes(), packed.len());
                let removed = node.remove_equal(value, most, from == End::Tail);
                if removed > 0 {
                    *packed = Packed::of(node.entries(), node.len());
                }
                removed
            }
            Form::Large(spine) => {
                let removed = remove_equal(spine, value, most, from);
                if removed > 0 && spine.heap_bytes() < spine.leaves_about() * JOIN_BYTES / 2 {
                    // Removing here and there leaves no row of tiny nodes.
                    spine.join_all(
                        |left, right| left.entries().len() + right.entries().len() <= JOIN_BYTES,
                        Node::append,
                    );
                }
                self.shrink();
                removed
            }
        }
    }

    /// Removes `count` elements from a rank on; both must be within the list.
    pub fn remove_range(&mut self, rank: usize, count: usize) {
        if count == 0 {
            return;
        }
        if count >= self.len() {
            *self = Self::new();
            return;
        }
        match self.0.get_mut() {
            Form::Small(packed) => packed.remove(packed.nth(rank), count),
            Form::Large(spine) => {
                let mut left = count;
                while left > 0
                    && let Some((place, index)) = spine.seek(rank)
                {
                    let here = (spine.leaf(place).len() - index).min(left);
                    if here == spine.leaf(place).len() {
                        spine.remove(place);
                    } else {
                        spine.edit(place, |node| node.splice(index, here, None));
                    }
                    left -= here;
                }
                self.shrink();
            }
        }
    }

    /// Makes a list small again that has become much smaller than small lists may be.
    fn shrink(&mut self) {
        if let Form::Large(spine) = self.0.get()
            && let (Some(first), true) = (spine.first(), spine.first() == spine.last())
        {
            let node = spine.leaf(first);
            if node.entries().len() <= JOIN_BYTES {
                self.0 = Thin::small(Packed::of(node.entries(), node.len()));
            }
        } else if self.is_empty() {
            *self = Self::new();
        }
    }

    /// Turns a small list into nodes.
    fn nodes(&mut self) -> &mut Spine<Node> {
        if let Form::Small(packed) = self.0.get() {
            let mut spine = Box::new(Spine::new());
            if !packed.is_empty() {
                spine.push_back(Node::of(packed.bytes(), packed.len()));
            }
            self.0 = Thin::large(spine);
        }
        match self.0.get_mut() {
            Form::Large(spine) => spine,
            Form::Small(_) => unreachable!("made nodes above"),
        }
    }
}

/// Removes elements equal to `value` from the nodes, at most `most` from one end on.
fn remove_equal(spine: &mut Spine<Node>, value: &[u8], most: usize, from: End) -> usize {
    let mut left = most;
    // Elements passed over, by which the way goes on after a node went away whole.
    let mut kept = 0;
    let mut at = if from == End::Head { spine.first() } else { spine.last() };
    while let Some(place) = at
        && left > 0
    {
        let len = spine.leaf(place).len();
        let hit = packed::entry::find::<true>(spine.leaf(place).entries(), 0, value, 1).is_some();
        let gone =
            if hit { spine.edit(place, |node| node.remove_equal(value, left, from == End::Tail)) } else { 0 };
        left -= gone;
        kept += len - gone;
        at = match (from, gone == len) {
            (End::Head, false) => spine.next(place),
            (End::Tail, false) => spine.previous(place),
            (End::Head, true) => spine.seek(kept).map(|(place, _)| place),
            (End::Tail, true) => {
                spine.len().checked_sub(kept + 1).and_then(|rank| spine.seek(rank)).map(|(place, _)| place)
            }
        };
    }
    most - left
}

/// Walks a list from a rank to one of its ends.
pub struct Iter<'a> {
    walk: packed::Iter<'a, true>,
    rest: Option<(&'a Spine<Node>, LeafPlace)>,
    reverse: bool,
}

impl<'a> Iterator for Iter<'a> {
    type Item = Item<'a>;

    #[inline]
    fn next(&mut self) -> Option<Item<'a>> {
        loop {
            let item = if self.reverse { self.walk.next_back() } else { self.walk.next() };
            if item.is_some() {
                return item;
            }
            let (spine, place) = self.rest?;
            let place = if self.reverse { spine.previous(place) } else { spine.next(place) }?;
            self.rest = Some((spine, place));
            self.walk = spine.leaf(place).iter();
        }
    }
}
