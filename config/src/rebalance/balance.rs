//! Which slots to move so that every shard carries its share: a pure function.

use std::collections::{BTreeMap, BTreeSet};

use slotway_common::slot::SLOTS;
use slotway_common::topology::SlotRanges;

/// A shard may be off its share by this part of it.
const TOLERANCE: i128 = 100;

/// The slots of every shard, so that each carries what its weight says, within a hundredth.
///
/// `current` and `weights` are in the shards' order; `costs` are what slots carry, 0 where nothing is said. Slots that
/// carry nothing stay where they are, but for those of a shard with weight 0 and those that nobody in `current` owns.
/// Heavy slots move before light ones, since fewer of them are enough; of those that would take a shard beyond its
/// share, the one that overshoots least. Where single slots are too heavy for an even spread, it ends when no further
/// move brings it closer. With all weights 0, nothing changes.
pub(super) fn balance(
    current: &[SlotRanges],
    weights: &[u32],
    costs: &BTreeMap<u16, u64>,
) -> Vec<SlotRanges> {
    let weight = |shard: usize| i128::from(weights.get(shard).copied().unwrap_or(0));
    let all_weights: i128 = (0..current.len()).map(weight).sum();
    if all_weights == 0 {
        return current.to_vec();
    }
    // Multiplied by the sum of the weights, so that shares are whole numbers.
    let cost = |slot: u16| i128::from(costs.get(&slot).copied().unwrap_or(0)) * all_weights;
    let total: i128 = (0..SLOTS).map(cost).sum::<i128>() / all_weights;

    let mut shards: Vec<Load> = (0..current.len())
        .map(|shard| Load { share: total * weight(shard), carries: 0, slots: BTreeSet::new() })
        .collect();
    let mut homeless: BTreeSet<u16> = (0..SLOTS).collect();
    for (index, slots) in current.iter().enumerate().filter(|(index, _)| weight(*index) > 0) {
        if let Some(shard) = shards.get_mut(index) {
            for slot in slots.slots().filter(|slot| homeless.remove(slot)) {
                shard.give(slot, cost(slot));
            }
        }
    }
    settle(&mut shards, homeless, &weight, &cost);
    even_out(&mut shards);
    shards.into_iter().map(|shard| shard.slots.into_iter().map(|(_, slot)| slot).collect()).collect()
}

/// What a shard carries.
struct Load {
    share: i128,
    carries: i128,
    /// Its slots by what they cost.
    slots: BTreeSet<(i128, u16)>,
}

impl Load {
    fn give(&mut self, slot: u16, cost: i128) {
        self.carries += cost;
        self.slots.insert((cost, slot));
    }

    fn take(&mut self, slot: u16, cost: i128) {
        self.carries -= cost;
        self.slots.remove(&(cost, slot));
    }

    /// Above its share; negative below.
    fn excess(&self) -> i128 {
        self.carries - self.share
    }

    fn tolerance(&self) -> i128 {
        self.share / TOLERANCE
    }
}

/// Gives slots without an owner to shards: heavy ones where most is missing, empty ones where the fewest slots are.
fn settle(
    shards: &mut [Load],
    homeless: BTreeSet<u16>,
    weight: &impl Fn(usize) -> i128,
    cost: &impl Fn(u16) -> i128,
) {
    let mut by_cost: Vec<u16> = homeless.into_iter().collect();
    by_cost.sort_by_key(|slot| (std::cmp::Reverse(cost(*slot)), *slot));
    for slot in by_cost {
        let cost = cost(slot);
        let best = shards.iter_mut().enumerate().filter(|(index, _)| weight(*index) > 0).min_by_key(
            |(index, shard)| {
                if cost > 0 { (shard.excess(), *index) } else { (shard.slots.len() as i128, *index) }
            },
        );
        if let Some((_, shard)) = best {
            shard.give(slot, cost);
        }
    }
}

/// Moves slots from shards above their share to shards below it. Each step brings the shares closer, so it ends.
fn even_out(shards: &mut [Load]) {
    let mut stuck: BTreeSet<(usize, usize)> = BTreeSet::new();
    let mut last: Option<(usize, usize)> = None;
    while shards.iter().any(|shard| shard.excess().abs() > shard.tolerance()) {
        // One receiver after the other: slots that are alike then go in ranges, not in turns.
        let unfinished = |(donor, receiver): &(usize, usize)| {
            shards.get(*donor).is_some_and(|from| from.excess() > from.tolerance())
                && shards.get(*receiver).is_some_and(|to| to.excess() < 0)
                && !stuck.contains(&(*donor, *receiver))
        };
        let Some((donor, receiver)) = last.filter(unfinished).or_else(|| pair(shards, &stuck)) else {
            return;
        };
        last = Some((donor, receiver));
        let (Some(from), Some(to)) = (shards.get(donor), shards.get(receiver)) else { return };
        let Some((cost, slot)) = choose(from, to) else {
            stuck.insert((donor, receiver));
            continue;
        };
        stuck.clear();
        if let Some(from) = shards.get_mut(donor) {
            from.take(slot, cost);
        }
        if let Some(to) = shards.get_mut(receiver) {
            to.give(slot, cost);
        }
    }
}

/// Who has most too much, and who most too little.
fn pair(shards: &[Load], stuck: &BTreeSet<(usize, usize)>) -> Option<(usize, usize)> {
    let mut donors: Vec<(i128, usize)> =
        shards.iter().enumerate().map(|(index, shard)| (-shard.excess(), index)).collect();
    let mut receivers: Vec<(i128, usize)> = donors.iter().map(|(lack, index)| (-lack, *index)).collect();
    donors.retain(|(lack, _)| *lack < 0);
    receivers.retain(|(excess, _)| *excess < 0);
    donors.sort_unstable();
    receivers.sort_unstable();
    donors.iter().find_map(|(_, donor)| {
        let receiver = receivers.iter().find(|(_, receiver)| !stuck.contains(&(*donor, *receiver)));
        receiver.map(|(_, receiver)| (*donor, *receiver))
    })
}

/// The heaviest slot that leaves both within their tolerance of the share, else the one that overshoots least, if
/// moving it brings them closer.
fn choose(from: &Load, to: &Load) -> Option<(i128, u16)> {
    let (excess, lack) = (from.excess(), -to.excess());
    let most = (excess + from.tolerance()).min(lack + to.tolerance()).min(excess + lack - 1);
    let fitting = from.slots.range((1, 0)..=(most.max(1), u16::MAX)).next_back();
    let overshooting = || from.slots.range((most.max(0) + 1, 0)..).next();
    fitting.or_else(overshooting).copied().filter(|(cost, _)| *cost < excess + lack)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use slotway_common::topology::spread;

    fn ranges(texts: &[&str]) -> Vec<SlotRanges> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn moved(before: &[SlotRanges], after: &[SlotRanges]) -> usize {
        let arrived = after.iter().enumerate().flat_map(|(index, slots)| {
            slots.slots().filter(move |slot| !before.get(index).is_some_and(|old| old.contains(*slot)))
        });
        arrived.count()
    }

    fn carried(slots: &SlotRanges, costs: &BTreeMap<u16, u64>) -> u64 {
        slots.slots().filter_map(|slot| costs.get(&slot)).sum()
    }

    #[test]
    fn heavy_slots_move_and_empty_ones_stay() {
        let before = ranges(&["0-8191", "8192-16383"]);
        let costs = BTreeMap::from([(1, 500), (2, 300), (3, 100), (4, 50), (5, 50), (9000, 10)]);
        let after = balance(&before, &[1, 1], &costs);
        assert_eq!(moved(&before, &after), 1);
        assert_eq!(carried(&after[0], &costs), 500);
        assert!(after[1].contains(1), "one slot of 500 rather than many small ones");
    }

    #[test]
    fn slot_that_overshoots_least_is_taken_when_none_fits() {
        let before = ranges(&["0-8191", "8192-16383"]);
        let costs = BTreeMap::from([(1, 600), (2, 550)]);
        let after = balance(&before, &[1, 1], &costs);
        assert!(after[1].contains(2) || after[1].contains(1));
        assert_eq!(moved(&before, &after), 1);
        let one_hot = BTreeMap::from([(1, 600)]);
        assert_eq!(balance(&before, &[1, 1], &one_hot), before, "it would only change places");
    }

    #[test]
    fn weights_are_honoured_and_zero_means_nothing() {
        let before = ranges(&["0-5000", "5001-10000", "10001-16383"]);
        let costs: BTreeMap<u16, u64> = (0..SLOTS).map(|slot| (slot, 10)).collect();
        let after = balance(&before, &[3, 1, 0], &costs);
        assert_eq!(after[2].count(), 0);
        let share = carried(&after[1], &costs);
        assert!((40550..=41370).contains(&share), "{share}");
    }

    #[test]
    fn balanced_cluster_stays_as_it_is() {
        let before = spread(&[1, 1, 1], &[]);
        let costs: BTreeMap<u16, u64> = (0..SLOTS).map(|slot| (slot, 7)).collect();
        assert_eq!(balance(&before, &[1, 1, 1], &costs), before);
        assert_eq!(balance(&before, &[1, 1, 1], &BTreeMap::new()), before);
        assert_eq!(balance(&before, &[0, 0, 0], &costs), before);
    }

    #[test]
    fn slots_that_are_alike_move_in_ranges() {
        let before = ranges(&["0-16383", "", ""]);
        let costs: BTreeMap<u16, u64> = (0..SLOTS).map(|slot| (slot, 10)).collect();
        let after = balance(&before, &[1, 1, 1], &costs);
        assert!(after.iter().all(|slots| slots.ranges().len() <= 2), "{after:?}");
    }

    #[test]
    fn slots_of_a_shard_that_left_find_an_owner() {
        let before = ranges(&["0-99", "100-199"]);
        let costs = BTreeMap::from([(5000, 10), (6000, 10), (50, 1)]);
        let after = balance(&before, &[1, 1], &costs);
        assert_eq!(after.iter().map(SlotRanges::count).sum::<usize>(), usize::from(SLOTS));
        assert_ne!(after[0].contains(5000), after[0].contains(6000));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn every_slot_is_owned_once_and_no_single_move_would_help(
            old in proptest::collection::vec(1u32..5, 2..6),
            new in proptest::collection::vec(0u32..5, 6),
            costs in proptest::collection::btree_map(0u16..SLOTS, 1u64..1_000_000, 0..600),
        ) {
            let before = spread(&old, &[]);
            let weights = &new[..before.len()];
            prop_assume!(weights.iter().any(|weight| *weight > 0));
            let after = balance(&before, weights, &costs);
            let mut owners = vec![0; usize::from(SLOTS)];
            after.iter().flat_map(SlotRanges::slots).for_each(|slot| owners[usize::from(slot)] += 1);
            prop_assert!(owners.iter().all(|count| *count == 1));
            prop_assert_eq!(&balance(&after, weights, &costs), &after, "balancing again moves nothing");

            let sum: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
            let total: u64 = costs.values().sum();
            let excess = |index: usize| {
                i128::from(carried(&after[index], &costs)) * i128::from(sum)
                    - i128::from(total) * i128::from(weights[index])
            };
            let within = (0..after.len())
                .all(|index| excess(index).abs() <= i128::from(total) * i128::from(weights[index]) / TOLERANCE);
            if !within {
                for donor in (0..after.len()).filter(|index| excess(*index) > 0) {
                    for receiver in (0..after.len()).filter(|index| excess(*index) < 0) {
                        let gap = excess(donor) - excess(receiver);
                        let lightest = after[donor].slots().filter_map(|slot| costs.get(&slot)).min();
                        prop_assert!(lightest.is_none_or(|cost| i128::from(*cost) * i128::from(sum) >= gap));
                    }
                }
            }
        }
    }
}
