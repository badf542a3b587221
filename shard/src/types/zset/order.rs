//! The members of a large sorted set in the order of their scores.

use std::cmp::Ordering;

use super::member::Member;
use crate::memory::size_class;
use crate::types::spine::{Leaf, LeafPlace, Spine};

/// Members a leaf may have: with 16 bytes each, a leaf fills one page.
const MOST_MEMBERS: usize = 256;
/// A leaf with fewer than this is joined with a neighbour if both fit well into one.
const FEW_MEMBERS: usize = 64;

/// A member in its place, with a copy of its score so that searching rarely follows the pointer.
#[derive(Clone)]
pub(super) struct Ranked {
    pub(super) score: f64,
    pub(super) member: Member,
}

/// Up to [`MOST_MEMBERS`] members in ascending order.
#[derive(Clone, Default)]
pub(super) struct Run(Vec<Ranked>);

/// Every member once, ordered by score and then by bytes.
#[derive(Clone)]
pub(super) struct Order(Spine<Run>);

impl Ranked {
    /// The order of sorted sets; scores are never NaN.
    #[inline]
    fn order(&self, score: f64, member: &[u8]) -> Ordering {
        match self.score.partial_cmp(&score) {
            Some(Ordering::Equal) | None => self.member.bytes().cmp(member),
            Some(other) => other,
        }
    }
}

impl Run {
    pub(super) fn members(&self) -> &[Ranked] {
        &self.0
    }

    fn insert(&mut self, index: usize, ranked: Ranked) {
        if self.0.len() == self.0.capacity() {
            // By an eighth, to the end of the allocator's class: leaves are many, and seldom grow far.
            let wanted = self.0.len() + self.0.len() / 8 + 1;
            let room = size_class(wanted * size_of::<Ranked>()) / size_of::<Ranked>();
            self.0.reserve_exact(room - self.0.len());
        }
        self.0.insert(index, ranked);
    }
}

impl Leaf for Run {
    type Key = f64;

    #[inline]
    fn len(&self) -> usize {
        self.0.len()
    }

    #[inline]
    fn key(&self) -> f64 {
        self.0.first().map_or(0.0, |first| first.score)
    }

    #[inline]
    fn heap_bytes(&self) -> usize {
        size_class(self.0.capacity() * size_of::<Ranked>())
    }
}

impl Order {
    pub(super) fn new() -> Self {
        Order(Spine::new())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.0.heap_bytes()
    }

    /// Where a member with this score and these bytes stands or would stand.
    #[inline]
    fn find(&self, score: f64, member: &[u8]) -> Option<(LeafPlace, Result<usize, usize>)> {
        let place = self.0.seek_key(|first, run| {
            first < score
                || first == score && run.0.first().is_some_and(|ranked| ranked.member.bytes() <= member)
        })?;
        Some((place, self.0.leaf(place).0.binary_search_by(|ranked| ranked.order(score, member))))
    }

    /// How many members stand before this one, which must be there.
    pub(super) fn rank(&self, score: f64, member: &[u8]) -> Option<usize> {
        let (place, index) = self.find(score, member)?;
        Some(self.0.rank(place) + index.ok()?)
    }

    /// How many members `before` accepts; it must accept a beginning of the order and nothing after it.
    pub(super) fn partition(&self, mut before: impl FnMut(f64, &Member) -> bool) -> usize {
        let first = self
            .0
            .seek_key(|_, run| run.0.first().is_some_and(|ranked| before(ranked.score, &ranked.member)));
        let Some(place) = first else { return 0 };
        self.0.rank(place)
            + self.0.leaf(place).0.partition_point(|ranked| before(ranked.score, &ranked.member))
    }

    /// Adds a member that is not there yet.
    pub(super) fn insert(&mut self, member: Member) {
        let ranked = Ranked { score: member.score(), member };
        let Some((place, Ok(index) | Err(index))) = self.find(ranked.score, ranked.member.bytes()) else {
            let mut run = Run::default();
            run.insert(0, ranked);
            return self.0.push_back(run);
        };
        if self.0.leaf(place).0.len() < MOST_MEMBERS {
            return self.0.edit(place, |run| run.insert(index, ranked));
        }
        let mut upper = Run::default();
        if index == MOST_MEMBERS && self.0.next(place).is_none() {
            // Members that come in ascending order leave full leaves behind.
            upper.insert(0, ranked);
        } else {
            // Exactly as much as is needed, for both halves.
            let half = MOST_MEMBERS / 2;
            self.0.edit(place, |run| {
                upper.0.reserve_exact(half + 8);
                upper.0.extend(run.0.drain(half..));
                run.0.shrink_to(half + 8);
                if index <= half {
                    run.insert(index, ranked);
                } else {
                    upper.insert(index - half, ranked);
                }
            });
        }
        self.0.insert_after(place, upper);
    }

    /// Removes a member.
    pub(super) fn remove(&mut self, score: f64, member: &[u8]) {
        if let Some((place, Ok(index))) = self.find(score, member) {
            self.0.edit(place, |run| run.0.remove(index));
            self.tidy(score, member);
        }
    }

    /// Replaces the member with this old score by one with the same bytes and a new score.
    pub(super) fn replace(&mut self, old: f64, member: Member) {
        let score = member.score();
        let Some((place, Ok(index))) = self.find(old, member.bytes()) else { return };
        let run = &self.0.leaf(place).0;
        // Between the same neighbours it stays where it is; at the edge of a leaf the neighbour is not looked up.
        let after = index > 0 && run[index - 1].order(score, member.bytes()) == Ordering::Less;
        let before =
            run.get(index + 1).is_some_and(|next| next.order(score, member.bytes()) == Ordering::Greater);
        if after && before {
            self.0.edit(place, |run| run.0[index] = Ranked { score, member });
        } else {
            self.remove(old, member.bytes());
            self.insert(member);
        }
    }

    /// Joins the leaf around a place in the order with a neighbour if it has become small.
    fn tidy(&mut self, score: f64, member: &[u8]) {
        let Some((place, _)) = self.find(score, member) else { return };
        if self.0.leaf(place).0.len() < FEW_MEMBERS {
            let fits = |left: &Run, right: &Run| left.0.len() + right.0.len() <= MOST_MEMBERS / 2;
            self.0.join(place, fits, |left, right| {
                left.0.reserve_exact(right.0.len());
                left.0.extend_from_slice(&right.0);
            });
        } else if self.0.leaf(place).0.capacity() > 2 * self.0.leaf(place).0.len() {
            self.0.edit(place, |run| run.0.shrink_to_fit());
        }
    }

    /// Removes `count` members from a rank on and hands them to `sink`.
    pub(super) fn remove_range(&mut self, rank: usize, count: usize, mut sink: impl FnMut(Member)) {
        let mut left = count;
        while left > 0
            && let Some((place, index)) = self.0.seek(rank)
        {
            let here = (self.0.leaf(place).0.len() - index).min(left);
            self.0.edit(place, |run| run.0.drain(index..index + here).for_each(|ranked| sink(ranked.member)));
            left -= here;
        }
        if let Some((place, _)) = self.0.seek(rank.min(self.0.len().saturating_sub(1)))
            && let Some(first) = self.0.leaf(place).0.first().cloned()
        {
            self.tidy(first.score, first.member.bytes());
        }
    }

    /// The members from a rank on, up or (`reverse`) down.
    pub(super) fn iter_from(&self, rank: usize, reverse: bool) -> Iter<'_> {
        match self.0.seek(rank) {
            None => Iter { walk: [].iter(), rest: None, reverse },
            Some((place, index)) => {
                let members = self.0.leaf(place).members();
                let walk = if reverse { members[..=index].iter() } else { members[index..].iter() };
                Iter { walk, rest: Some((&self.0, place)), reverse }
            }
        }
    }
}

/// Walks members in their order, or down.
pub(super) struct Iter<'a> {
    walk: std::slice::Iter<'a, Ranked>,
    rest: Option<(&'a Spine<Run>, LeafPlace)>,
    reverse: bool,
}

impl<'a> Iterator for Iter<'a> {
    type Item = &'a Ranked;

    #[inline]
    fn next(&mut self) -> Option<&'a Ranked> {
        loop {
            let ranked = if self.reverse { self.walk.next_back() } else { self.walk.next() };
            if ranked.is_some() {
                return ranked;
            }
            let (spine, place) = self.rest?;
            let place = if self.reverse { spine.previous(place) } else { spine.next(place) }?;
            self.rest = Some((spine, place));
            self.walk = spine.leaf(place).members().iter();
        }
    }
}
