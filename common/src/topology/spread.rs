//! Spreads the slots over shards by weight, moving as few as possible.

use super::SlotRanges;
use crate::slot::SLOTS;

/// The slots of every shard, in proportion to `weights`, which are in the shards' order.
///
/// `current` says what each shard owns today, in the same order; it can be shorter than `weights`, and empty for a new
/// cluster, which gets contiguous ranges. Exactly as many slots change their owner as the new sizes require. Sizes
/// differ from the exact proportion by less than one slot; of equally justified shards the one that already owns more
/// than its floor gets the odd slot, else the earlier one.
///
/// Nothing is assigned if all weights are 0.
pub fn spread(weights: &[u32], current: &[SlotRanges]) -> Vec<SlotRanges> {
    let owned = |shard: usize| current.get(shard).map_or(0, SlotRanges::count);
    let sizes = sizes(weights, owned);

    let mut slots: Vec<Vec<u16>> = Vec::with_capacity(weights.len());
    let mut taken = vec![false; usize::from(SLOTS)];
    for (shard, &size) in sizes.iter().enumerate() {
        // A shard that shrinks keeps its lowest slots, so that what it gives away is contiguous too.
        let kept: Vec<u16> =
            current.get(shard).map(|ranges| ranges.slots().take(size).collect()).unwrap_or_default();
        for slot in &kept {
            if let Some(cell) = taken.get_mut(usize::from(*slot)) {
                *cell = true;
            }
        }
        slots.push(kept);
    }
    let mut free = (0..SLOTS).filter(|slot| !taken.get(usize::from(*slot)).copied().unwrap_or(true));
    for (own, &size) in slots.iter_mut().zip(&sizes) {
        let missing = size.saturating_sub(own.len());
        own.extend(free.by_ref().take(missing));
    }
    slots.into_iter().map(SlotRanges::from_slots).collect()
}

/// How many slots each shard gets: the floor of its exact share, and the odd slots by largest remainder.
fn sizes(weights: &[u32], owned: impl Fn(usize) -> usize) -> Vec<usize> {
    let total: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
    if total == 0 {
        return vec![0; weights.len()];
    }
    let slots = u64::from(SLOTS);
    let mut sizes: Vec<usize> =
        weights.iter().map(|weight| (u64::from(*weight) * slots / total) as usize).collect();
    let mut odd = usize::from(SLOTS) - sizes.iter().sum::<usize>();
    let mut order: Vec<(u64, bool, usize)> = weights
        .iter()
        .zip(&sizes)
        .enumerate()
        .map(|(shard, (weight, size))| (u64::from(*weight) * slots % total, owned(shard) > *size, shard))
        .collect();
    order.sort_by_key(|&(remainder, owns_more, shard)| {
        (std::cmp::Reverse(remainder), std::cmp::Reverse(owns_more), shard)
    });
    for (_, _, shard) in order {
        if odd == 0 {
            break;
        }
        if let Some(size) = sizes.get_mut(shard) {
            *size += 1;
            odd -= 1;
        }
    }
    sizes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn texts(ranges: &[SlotRanges]) -> Vec<String> {
        ranges.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn new_cluster_gets_contiguous_ranges() {
        assert_eq!(texts(&spread(&[1, 1, 1], &[])), ["0-5461", "5462-10922", "10923-16383"]);
        assert_eq!(texts(&spread(&[3, 1], &[])), ["0-12287", "12288-16383"]);
        assert_eq!(texts(&spread(&[1], &[])), ["0-16383"]);
    }

    #[test]
    fn weight_zero_owns_nothing() {
        assert_eq!(texts(&spread(&[0, 2], &[])), ["", "0-16383"]);
        assert_eq!(texts(&spread(&[0, 0], &[])), ["", ""]);
    }

    #[test]
    fn unchanged_cluster_stays_as_it_is() {
        let before = spread(&[1, 1, 1], &[]);
        assert_eq!(spread(&[1, 1, 1], &before), before);
        let odd_one_elsewhere: Vec<SlotRanges> =
            ["0-5460", "5461-10921", "10922-16383"].iter().map(|text| text.parse().unwrap()).collect();
        assert_eq!(spread(&[1, 1, 1], &odd_one_elsewhere), odd_one_elsewhere);
    }

    #[test]
    fn new_shard_takes_only_what_it_needs() {
        let before = spread(&[1, 1, 1], &[]);
        let after = spread(&[1, 1, 1, 1], &before);
        assert_eq!(after.iter().map(SlotRanges::count).collect::<Vec<_>>(), [4096; 4]);
        for (old, new) in before.iter().zip(&after) {
            assert!(new.slots().all(|slot| old.contains(slot)), "a shard that shrinks gained {new}");
        }
    }

    proptest! {
        #[test]
        fn every_slot_has_one_owner_and_only_needed_ones_move(
            old in proptest::collection::vec(0u32..9, 1..8),
            new in proptest::collection::vec(0u32..9, 8),
        ) {
            let before = spread(&old, &[]);
            let after = spread(&new, &before);
            let mut owners = vec![0; usize::from(SLOTS)];
            for ranges in &after {
                for slot in ranges.slots() {
                    owners[usize::from(slot)] += 1;
                }
            }
            let expected = usize::from(new.iter().any(|weight| *weight > 0));
            prop_assert!(owners.iter().all(|count| *count == expected));
            let kept: usize = before
                .iter()
                .zip(&after)
                .map(|(old, new)| new.slots().filter(|slot| old.contains(*slot)).count())
                .sum();
            let keepable: usize = before.iter().zip(&after).map(|(old, new)| old.count().min(new.count())).sum();
            prop_assert_eq!(kept, keepable);
        }
    }
}
