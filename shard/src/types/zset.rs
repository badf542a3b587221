//! The sorted set: members, each with a score, in the order of their scores and, where those are equal, of their bytes.

mod member;
mod order;
#[cfg(test)]
mod tests;

use rand::Rng;

use super::item::{IntText, Item};
use super::near::Near;
use super::packed::{Packed, entry::Encoded};
use super::table::{Hashed, SegmentTable};
use crate::memory::{Form, Limits, Thin, hash_bytes, size_class};
use member::Member;
use order::Order;

/// A sorted set. Small ones are a packed sequence of members, each followed by its score, in ascending order; once a
/// limit is passed they become a table of members and an order over the same members, and stay that. Scores are never
/// NaN.
#[derive(Clone)]
pub struct ZSet(Thin<Packed, Sorted>);

#[derive(Clone)]
struct Sorted {
    members: SegmentTable<Member>,
    order: Order,
    /// Allocator bytes of all members' blobs, each counted once though table and order share it.
    bytes: usize,
}

/// The entry that holds a score: an integer if it is one, else the eight bytes of the double. As in Redis, −0 becomes 0.
fn score_entry(score: f64, room: &mut [u8; 8]) -> Encoded<'_, false> {
    if let Some(integer) = integral(score) {
        return Encoded::int(integer);
    }
    *room = score.to_le_bytes();
    Encoded::raw(room)
}

/// The integer that a score is, if it is one of at most half of what 64 bits hold.
pub fn integral(score: f64) -> Option<i64> {
    const MOST: f64 = (i64::MAX / 2) as f64;
    ((-MOST..=MOST).contains(&score) && score.fract() == 0.0).then_some(score as i64)
}

fn score_of(item: Item<'_>) -> f64 {
    match item {
        Item::Int(score) => score as f64,
        Item::Bytes(bytes) => bytes.first_chunk().map_or(0.0, |bytes| f64::from_le_bytes(*bytes)),
    }
}

impl Default for ZSet {
    fn default() -> Self {
        Self::new()
    }
}

impl ZSet {
    /// An empty sorted set; allocates nothing.
    pub const fn new() -> Self {
        ZSet(Thin::new())
    }

    /// The packed sorted set of members, all different, with their scores in ascending order.
    pub fn of_ascending(members: &[(Item<'_>, f64)]) -> Self {
        let mut entries = Vec::new();
        for (member, score) in members {
            let mut room = [0; 8];
            for entry in [Encoded::<false>::item(*member), score_entry(*score, &mut room)] {
                entry.parts().into_iter().for_each(|part| entries.extend_from_slice(part));
            }
        }
        ZSet(Thin::small(Packed::of(&entries, 2 * members.len())))
    }

    /// Whether the sorted set is packed.
    pub fn is_packed(&self) -> bool {
        matches!(self.0.get(), Form::Small(_))
    }

    /// Number of members.
    #[inline]
    pub fn len(&self) -> usize {
        match self.0.get() {
            Form::Small(packed) => packed.len() / 2,
            Form::Large(sorted) => sorted.order.len(),
        }
    }

    /// Whether there is no member.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Allocator bytes below this value.
    #[inline]
    pub fn heap_bytes(&self) -> usize {
        match self.0.get() {
            Form::Small(packed) => packed.heap_bytes(),
            Form::Large(sorted) => {
                size_class(size_of::<Sorted>())
                    + sorted.members.heap_bytes()
                    + sorted.order.heap_bytes()
                    + sorted.bytes
            }
        }
    }

    /// The name that OBJECT ENCODING tells.
    pub fn encoding(&self) -> &'static str {
        match self.0.get() {
            Form::Small(_) => "listpack",
            Form::Large(_) => "skiplist",
        }
    }

    /// About how many allocations dropping the sorted set touches.
    pub fn free_effort(&self) -> usize {
        match self.0.get() {
            Form::Small(_) => 1,
            Form::Large(sorted) => sorted.order.len(),
        }
    }

    /// What looking `member` up would look at first.
    #[inline]
    pub(super) fn near(&self, member: &[u8]) -> Option<Near<'_>> {
        match self.0.get() {
            Form::Small(packed) => Some(Near::Packed(packed)),
            Form::Large(sorted) => {
                sorted.members.candidate(hash_bytes(member)).map(|other| Near::Scored(&other.0))
            }
        }
    }

    /// A member's score.
    #[inline]
    pub fn score(&self, member: &[u8]) -> Option<f64> {
        match self.0.get() {
            Form::Small(packed) => {
                let (at, _) = packed.find(member, 2)?;
                Some(score_of(packed.read(packed.read(at).1).0))
            }
            Form::Large(sorted) => sorted.find(member).map(Member::score),
        }
    }

    /// A member's score, where the member is of this or another sorted set or a set.
    pub fn score_of_item(&self, member: Item<'_>) -> Option<f64> {
        self.score(member.text(&mut IntText::new()))
    }

    /// Sets a member's score and returns what it was before. The score must not be NaN.
    pub fn set(&mut self, member: &[u8], score: f64, limits: &Limits) -> Option<f64> {
        if let Form::Small(packed) = self.0.get_mut() {
            if let Some((at, _)) = packed.find(member, 2) {
                let old = score_of(packed.read(packed.read(at).1).0);
                if old != score {
                    packed.remove(at, 2);
                    insert_packed(packed, member, score);
                }
                return Some(old);
            }
            if packed.len() / 2 < limits.zset_max_listpack_entries
                && member.len() <= limits.zset_max_listpack_value
            {
                insert_packed(packed, member, score);
                return None;
            }
        }
        self.sorted().set(member, score)
    }

    /// Removes a member and returns its score.
    pub fn remove(&mut self, member: &[u8]) -> Option<f64> {
        match self.0.get_mut() {
            Form::Small(packed) => {
                let (at, _) = packed.find(member, 2)?;
                let score = score_of(packed.read(packed.read(at).1).0);
                packed.remove(at, 2);
                Some(score)
            }
            Form::Large(sorted) => sorted.remove(member),
        }
    }

    /// How many members stand before this one, and its score.
    pub fn rank(&self, member: &[u8]) -> Option<(usize, f64)> {
        match self.0.get() {
            Form::Small(packed) => {
                let (at, rank) = packed.find(member, 2)?;
                Some((rank, score_of(packed.read(packed.read(at).1).0)))
            }
            Form::Large(sorted) => {
                let score = sorted.find(member)?.score();
                Some((sorted.order.rank(score, member)?, score))
            }
        }
    }

    /// How many members have scores that `before` accepts; it must accept all scores below some bound and no others.
    pub fn rank_by_score(&self, before: impl Fn(f64) -> bool) -> usize {
        match self.0.get() {
            Form::Small(_) => self.iter().take_while(|(_, score)| before(*score)).count(),
            Form::Large(sorted) => sorted.order.partition(|score, _| before(score)),
        }
    }

    /// How many members from the first on `before` accepts, where all scores are equal; it must accept all members
    /// below some bound and no others.
    pub fn rank_by_member(&self, before: impl Fn(&[u8]) -> bool) -> usize {
        match self.0.get() {
            Form::Small(_) => {
                self.iter().take_while(|(member, _)| before(member.text(&mut IntText::new()))).count()
            }
            Form::Large(sorted) => sorted.order.partition(|_, member| before(member.bytes())),
        }
    }

    /// The members with their scores from a rank on, up or (`reverse`) down. None if the rank is beyond the set.
    pub fn iter_from(&self, rank: usize, reverse: bool) -> Iter<'_> {
        Iter(match self.0.get() {
            Form::Small(packed) if reverse => {
                // Packed members are walked one way only, so their places are noted first.
                let mut at = 0;
                let places = (0..=rank).map(|_| {
                    let place = at;
                    at = packed.read(packed.read(at).1).1;
                    place
                });
                Walk::Down(packed, if rank < packed.len() / 2 { places.collect() } else { Vec::new() })
            }
            Form::Small(packed) => {
                let at = packed.nth(rank.saturating_mul(2).min(packed.len()));
                Walk::Up(super::packed::Iter::between(packed.bytes(), at, packed.end()))
            }
            Form::Large(sorted) => Walk::Sorted(sorted.order.iter_from(rank, reverse)),
        })
    }

    /// All members with their scores in ascending order.
    pub fn iter(&self) -> Iter<'_> {
        self.iter_from(0, false)
    }

    /// Removes `count` members from a rank on.
    pub fn remove_range(&mut self, rank: usize, count: usize) {
        let count = count.min(self.len().saturating_sub(rank));
        if count == self.len() {
            *self = Self::new();
            return;
        }
        match self.0.get_mut() {
            Form::Small(packed) => packed.remove(packed.nth(rank * 2), count * 2),
            Form::Large(sorted) => {
                let Sorted { members, order, bytes } = sorted;
                order.remove_range(rank, count, |member| {
                    *bytes -= member.0.heap_bytes();
                    members.remove(member.hash(), |other| other.0.same(&member.0));
                });
            }
        }
    }

    /// A uniformly random member with its score.
    pub fn random(&self, rng: &mut impl Rng) -> Option<(Item<'_>, f64)> {
        if self.is_empty() {
            return None;
        }
        match self.0.get() {
            Form::Small(_) => self.iter_from(rng.random_range(0..self.len()), false).next(),
            Form::Large(sorted) => sorted.members.random(rng).map(Member::pair),
        }
    }

    /// Visits about `count` members from a cursor on and returns the next one, as [`SegmentTable::scan`] does. A packed
    /// sorted set is visited whole.
    pub fn scan<'a>(&'a self, cursor: u64, count: usize, mut each: impl FnMut(Item<'a>, f64)) -> u64 {
        match self.0.get() {
            Form::Small(_) => {
                self.iter().for_each(|(member, score)| each(member, score));
                0
            }
            Form::Large(sorted) => {
                sorted.members.scan(cursor, count, |member| each(Item::Bytes(member.bytes()), member.score()))
            }
        }
    }

    /// The same members and scores in the form that a sorted set of this size has under these limits.
    pub fn repacked(self, limits: &Limits) -> Self {
        let fits = |(member, _): (Item<'_>, f64)| member.text_len() <= limits.zset_max_listpack_value;
        if self.len() > limits.zset_max_listpack_entries || !self.iter().all(fits) {
            return self;
        }
        let mut packed = Packed::new();
        for (member, score) in self.iter() {
            packed
                .push([Encoded::element(member.text(&mut IntText::new())), score_entry(score, &mut [0; 8])]);
        }
        ZSet(Thin::small(packed))
    }

    /// A sorted set that is never packed, which keeps every score exactly; see [`repacked`](Self::repacked).
    pub fn unpacked() -> Self {
        let mut zset = Self::new();
        zset.sorted();
        zset
    }

    /// Turns a packed sorted set into a table with an order.
    fn sorted(&mut self) -> &mut Sorted {
        if let Form::Small(_) = self.0.get() {
            let mut sorted = Box::new(Sorted { members: SegmentTable::new(), order: Order::new(), bytes: 0 });
            for (member, score) in self.iter() {
                sorted.insert(member.text(&mut IntText::new()), score);
            }
            self.0 = Thin::large(sorted);
        }
        match self.0.get_mut() {
            Form::Large(sorted) => sorted,
            Form::Small(_) => unreachable!("sorted above"),
        }
    }
}

/// Inserts a member that is not there at its place.
fn insert_packed(packed: &mut Packed, member: &[u8], score: f64) {
    let mut room = [0; 8];
    let mut at = 0;
    while at < packed.end() {
        let (other_member, score_at) = packed.read(at);
        let (other, next) = packed.read(score_at);
        let other = score_of(other);
        if other > score || other == score && other_member.text(&mut IntText::new()) > member {
            break;
        }
        at = next;
    }
    packed.insert(at, [Encoded::element(member), score_entry(score, &mut room)]);
}

impl Sorted {
    #[inline]
    fn find(&self, member: &[u8]) -> Option<&Member> {
        self.members.get(hash_bytes(member), |other| other.bytes() == member)
    }

    fn insert(&mut self, member: &[u8], score: f64) {
        let new = Member::new(member, score);
        self.bytes += new.0.heap_bytes();
        self.members.insert(hash_bytes(member), new.clone());
        self.order.insert(new);
    }

    fn set(&mut self, member: &[u8], score: f64) -> Option<f64> {
        let hash = hash_bytes(member);
        let Some(place) = self.members.find(hash, |other| other.bytes() == member) else {
            self.insert(member, score);
            return None;
        };
        let old = self.members.at(place).map(Member::score)?;
        if old != score {
            let new = Member::new(member, score);
            if let Some(held) = self.members.at_mut(place) {
                *held = new.clone();
            }
            self.order.replace(old, new);
        }
        Some(old)
    }

    fn remove(&mut self, member: &[u8]) -> Option<f64> {
        let gone = self.members.remove(hash_bytes(member), |other| other.bytes() == member)?;
        self.bytes -= gone.0.heap_bytes();
        self.order.remove(gone.score(), member);
        Some(gone.score())
    }
}

/// Walks members with their scores, see [`ZSet::iter_from`].
pub struct Iter<'a>(Walk<'a>);

enum Walk<'a> {
    Up(super::packed::Iter<'a, false>),
    /// And the places that are left, the last one next.
    Down(&'a Packed, Vec<usize>),
    Sorted(order::Iter<'a>),
}

impl<'a> Iterator for Iter<'a> {
    type Item = (Item<'a>, f64);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Walk::Up(walk) => {
                let member = walk.next()?;
                Some((member, score_of(walk.next()?)))
            }
            Walk::Down(packed, places) => {
                let (member, score) = packed.read(places.pop()?);
                Some((member, score_of(packed.read(score).0)))
            }
            Walk::Sorted(walk) => {
                walk.next().map(|ranked| (Item::Bytes(ranked.member.bytes()), ranked.score))
            }
        }
    }
}
