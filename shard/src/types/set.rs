//! The set: members without order.

#[cfg(test)]
mod tests;

use rand::Rng;
use slotway_common::number::parse_i64;

use super::intset::{INTS, IntSet};
use super::item::{IntText, Item};
use super::near::Near;
use super::packed::{Packed, entry::Encoded};
use super::table::{Hashed, SegmentTable};
use crate::memory::{Blob, Form, Limits, Thin, hash_bytes, size_class, view, view_mut};

/// A set that is told to be a hash table stays packed up to this many members of up to so many bytes.
const PACKED_MEMBERS: usize = 128;
const PACKED_MEMBER_BYTES: usize = 64;

/// A set. As long as all members are integers, and not too many, it is an [`IntSet`]. Past that it is a table, and stays
/// one; a small table is kept packed, which no client can tell.
#[derive(Clone)]
pub struct Set(Thin<Small, Table>);

/// An [`IntSet`] or a packed sequence of members; the blob's short number tells which. None is an empty [`IntSet`].
#[derive(Clone, Default)]
#[repr(transparent)]
pub(super) struct Small(Option<Blob>);

impl Small {
    fn is_packed(&self) -> bool {
        self.0.as_ref().is_some_and(|blob| blob.short() & INTS == 0)
    }
}

/// What a set is at the moment.
enum Shape<I, P, T> {
    Ints(I),
    Packed(P),
    Table(T),
}

#[derive(Clone)]
struct Table {
    members: SegmentTable<Member>,
    /// Allocator bytes of all members' blobs.
    bytes: usize,
}

#[derive(Clone)]
struct Member(Blob);

impl Member {
    fn item(&self) -> Item<'_> {
        Item::Bytes(self.0.bytes())
    }
}

impl Hashed for Member {
    #[inline]
    fn hash(&self) -> u64 {
        hash_bytes(self.0.bytes())
    }
}

impl Default for Set {
    fn default() -> Self {
        Self::new()
    }
}

impl Set {
    /// An empty set; allocates nothing.
    pub const fn new() -> Self {
        Set(Thin::new())
    }

    /// The set of these integers, which must be ascending.
    pub fn of_ints(numbers: &[i64], limits: &Limits) -> Self {
        let mut set = Set(Thin::small(view::<_, Small>(&IntSet::of_ascending(numbers)).clone()));
        if numbers.len() > limits.set_max_intset_entries {
            set.leave_ints();
        }
        set
    }

    /// The members, as long as they are kept as integers.
    pub fn ints(&self) -> Option<&IntSet> {
        match self.shape() {
            Shape::Ints(ints) => Some(ints),
            _ => None,
        }
    }

    #[inline]
    fn shape(&self) -> Shape<&IntSet, &Packed, &Table> {
        match self.0.get() {
            Form::Large(table) => Shape::Table(table),
            Form::Small(small) if small.is_packed() => Shape::Packed(view(small)),
            Form::Small(small) => Shape::Ints(view(small)),
        }
    }

    #[inline]
    fn shape_mut(&mut self) -> Shape<&mut IntSet, &mut Packed, &mut Table> {
        match self.0.get_mut() {
            Form::Large(table) => Shape::Table(table),
            Form::Small(small) if small.is_packed() => Shape::Packed(view_mut(small)),
            Form::Small(small) => Shape::Ints(view_mut(small)),
        }
    }

    /// Number of members.
    #[inline]
    pub fn len(&self) -> usize {
        match self.shape() {
            Shape::Ints(ints) => ints.len(),
            Shape::Packed(packed) => packed.len(),
            Shape::Table(table) => table.members.len(),
        }
    }

    /// Whether there is no member.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Allocator bytes below this value.
    #[inline]
    pub fn heap_bytes(&self) -> usize {
        match self.shape() {
            Shape::Ints(ints) => ints.heap_bytes(),
            Shape::Packed(packed) => packed.heap_bytes(),
            Shape::Table(table) => size_class(size_of::<Table>()) + table.members.heap_bytes() + table.bytes,
        }
    }

    /// The name that OBJECT ENCODING tells.
    pub fn encoding(&self) -> &'static str {
        match self.shape() {
            Shape::Ints(_) => "intset",
            Shape::Packed(_) | Shape::Table(_) => "hashtable",
        }
    }

    /// About how many allocations dropping the set touches.
    pub fn free_effort(&self) -> usize {
        match self.shape() {
            Shape::Ints(_) | Shape::Packed(_) => 1,
            Shape::Table(table) => table.members.len(),
        }
    }

    /// What looking `member` up would look at first.
    #[inline]
    pub(super) fn near(&self, member: &[u8]) -> Option<Near<'_>> {
        match self.shape() {
            Shape::Ints(ints) => Some(Near::Ints(ints)),
            Shape::Packed(packed) => Some(Near::Packed(packed)),
            Shape::Table(table) => {
                table.members.candidate(hash_bytes(member)).map(|other| Near::Member(&other.0))
            }
        }
    }

    /// Whether `member` is in the set.
    #[inline]
    pub fn contains(&self, member: &[u8]) -> bool {
        match self.shape() {
            Shape::Ints(ints) => parse_i64(member).is_some_and(|number| ints.contains(number)),
            Shape::Packed(packed) => packed.find(member, 1).is_some(),
            Shape::Table(table) => {
                table.members.get(hash_bytes(member), |other| other.0.bytes() == member).is_some()
            }
        }
    }

    /// Whether `member`, of this or another set, is in the set.
    pub fn contains_item(&self, member: Item<'_>) -> bool {
        match (self.shape(), member) {
            (Shape::Ints(ints), Item::Int(number)) => ints.contains(number),
            _ => self.contains(member.text(&mut IntText::new())),
        }
    }

    /// Adds a member. Says whether it is new.
    #[inline]
    pub fn insert(&mut self, member: &[u8], limits: &Limits) -> bool {
        if let Shape::Ints(ints) = self.shape_mut() {
            if let Some(number) = parse_i64(member) {
                let new = ints.insert(number);
                if new && ints.len() > limits.set_max_intset_entries {
                    self.leave_ints();
                }
                return new;
            }
            if ints.is_empty() && member.len() <= PACKED_MEMBER_BYTES {
                let mut packed = Packed::<false>::new();
                packed.push([Encoded::element(member)]);
                self.0 = Thin::small(view::<_, Small>(&packed).clone());
                return true;
            }
            self.leave_ints();
        }
        if let Shape::Packed(packed) = self.shape_mut() {
            if packed.find(member, 1).is_some() {
                return false;
            }
            if packed.len() < PACKED_MEMBERS && member.len() <= PACKED_MEMBER_BYTES {
                packed.push([Encoded::element(member)]);
                return true;
            }
        }
        self.unpack().insert(member)
    }

    /// Adds a member of this or another set.
    pub fn insert_item(&mut self, member: Item<'_>, limits: &Limits) -> bool {
        self.insert(member.text(&mut IntText::new()), limits)
    }

    /// Removes a member. Says whether it was there.
    pub fn remove(&mut self, member: &[u8]) -> bool {
        match self.shape_mut() {
            Shape::Ints(ints) => parse_i64(member).is_some_and(|number| ints.remove(number)),
            Shape::Packed(packed) => {
                let found = packed.find(member, 1);
                if let Some((at, _)) = found {
                    packed.remove(at, 1);
                }
                found.is_some()
            }
            Shape::Table(table) => {
                let gone = table.members.remove(hash_bytes(member), |other| other.0.bytes() == member);
                table.bytes -= gone.as_ref().map_or(0, |member| member.0.heap_bytes());
                gone.is_some()
            }
        }
    }

    /// Removes a member of this or another set. Says whether it was there.
    pub fn remove_item(&mut self, member: Item<'_>) -> bool {
        self.remove(member.text(&mut IntText::new()))
    }

    /// All members: integers of an [`IntSet`] in ascending order, else in no order that means anything.
    pub fn iter(&self) -> impl Iterator<Item = Item<'_>> {
        let (ints, packed, table) = match self.shape() {
            Shape::Ints(ints) => (Some(ints), None, None),
            Shape::Packed(packed) => (None, Some(packed), None),
            Shape::Table(table) => (None, None, Some(table)),
        };
        let ints = ints.into_iter().flat_map(|ints| ints.iter().map(Item::Int));
        let packed = packed.into_iter().flat_map(Packed::iter);
        let members = table.into_iter().flat_map(|table| table.members.iter().map(Member::item));
        ints.chain(packed).chain(members)
    }

    /// A uniformly random member.
    pub fn random(&self, rng: &mut impl Rng) -> Option<Item<'_>> {
        if self.is_empty() {
            return None;
        }
        match self.shape() {
            Shape::Ints(ints) => ints.get(rng.random_range(0..ints.len())).map(Item::Int),
            Shape::Packed(packed) => Some(packed.read(packed.nth(rng.random_range(0..packed.len()))).0),
            Shape::Table(table) => table.members.random(rng).map(Member::item),
        }
    }

    /// Visits about `count` members from a cursor on and returns the next one, as [`SegmentTable::scan`] does. A set
    /// that is no table is visited whole.
    pub fn scan<'a>(&'a self, cursor: u64, count: usize, mut each: impl FnMut(Item<'a>)) -> u64 {
        match self.shape() {
            Shape::Table(table) => table.members.scan(cursor, count, |member| each(member.item())),
            _ => {
                self.iter().for_each(each);
                0
            }
        }
    }

    /// Turns an [`IntSet`] into what holds any members: packed as long as they are few.
    fn leave_ints(&mut self) {
        let Shape::Ints(ints) = self.shape() else { return };
        if ints.len() <= PACKED_MEMBERS {
            let mut packed = Packed::<false>::new();
            for number in ints.iter() {
                packed.push([Encoded::int(number)]);
            }
            self.0 = Thin::small(view::<_, Small>(&packed).clone());
        } else {
            self.unpack();
        }
    }

    /// Turns any form into a table.
    fn unpack(&mut self) -> &mut Table {
        if !matches!(self.shape(), Shape::Table(_)) {
            let mut table = Box::new(Table { members: SegmentTable::new(), bytes: 0 });
            for member in self.iter() {
                table.add(member.text(&mut IntText::new()));
            }
            self.0 = Thin::large(table);
        }
        match self.shape_mut() {
            Shape::Table(table) => table,
            _ => unreachable!("unpacked above"),
        }
    }
}

impl Table {
    fn insert(&mut self, member: &[u8]) -> bool {
        let new = self.members.get(hash_bytes(member), |other| other.0.bytes() == member).is_none();
        if new {
            self.add(member);
        }
        new
    }

    fn add(&mut self, member: &[u8]) {
        let blob = Blob::new((), &[member]);
        self.bytes += blob.heap_bytes();
        self.members.insert(hash_bytes(member), Member(blob));
    }
}
