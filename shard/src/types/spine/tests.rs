use proptest::prelude::*;

use super::*;

/// A leaf that keeps its elements in a vector.
#[derive(Clone, Debug)]
struct Run(Vec<u32>);

impl Leaf for Run {
    type Key = u32;

    fn len(&self) -> usize {
        self.0.len()
    }

    fn key(&self) -> u32 {
        self.0[0]
    }

    fn heap_bytes(&self) -> usize {
        size_class(self.0.capacity() * 4)
    }
}

fn elements(spine: &Spine<Run>) -> Vec<u32> {
    let mut all = Vec::new();
    let mut at = spine.first();
    while let Some(place) = at {
        all.extend(&spine.leaf(place).0);
        at = spine.next(place);
    }
    let mut backwards: Vec<u32> = Vec::new();
    let mut at = spine.last();
    while let Some(place) = at {
        backwards.extend(spine.leaf(place).0.iter().rev());
        at = spine.previous(place);
    }
    backwards.reverse();
    assert_eq!(all, backwards);
    all
}

fn check(spine: &Spine<Run>, model: &[Vec<u32>]) {
    let flat: Vec<u32> = model.concat();
    assert_eq!(elements(spine), flat);
    assert_eq!(spine.len(), flat.len());
    let (mut heap, mut rank) = (size_class(spine.branches.capacity() * size_of::<Branch<Run>>()), 0);
    for (number, branch) in spine.branches.iter().enumerate() {
        heap += branch.heap_bytes();
        assert!(branch.leaves.len() <= MOST_LEAVES);
        assert_eq!(branch.key, branch.leaves[0].key);
        assert_eq!(branch.len, branch.leaves.iter().map(|entry| entry.len as usize).sum::<usize>());
        for (leaf, entry) in branch.leaves.iter().enumerate() {
            let place = LeafPlace { branch: number, leaf };
            assert_eq!((entry.key, entry.len as usize), (entry.leaf.key(), entry.leaf.len()));
            assert_eq!(spine.rank(place), rank);
            assert_eq!(spine.seek(rank), Some((place, 0)));
            rank += entry.len as usize;
            assert_eq!(spine.seek(rank - 1), Some((place, entry.len as usize - 1)));
            heap += leaf_bytes(&*entry.leaf);
        }
    }
    assert_eq!(spine.heap_bytes(), heap);
    assert_eq!(spine.seek(rank), None);
}

fn place_of(spine: &Spine<Run>, index: usize) -> Option<LeafPlace> {
    (0..index).try_fold(spine.first()?, |at, _| spine.next(at))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn editing_equals_editing_a_vector_of_runs(
        edits in prop::collection::vec((0..8u8, any::<prop::sample::Index>(), 1..5u32), 1..900),
        snapshots in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
    ) {
        let mut spine = Spine::new();
        let mut model: Vec<Vec<u32>> = Vec::new();
        let mut kept = Vec::new();
        let cuts: Vec<usize> = snapshots.iter().map(|cut| cut.index(edits.len())).collect();
        let total = edits.len();
        for (step, (kind, index, size)) in edits.into_iter().enumerate() {
            if cuts.contains(&step) {
                kept.push((spine.clone(), model.clone()));
            }
            let run: Vec<u32> = (0..size).map(|n| step as u32 * 10 + n).collect();
            // The second half mostly removes.
            let kind = if step > total / 2 && kind < 4 { 7 } else { kind };
            if model.is_empty() || kind == 0 {
                spine.push_front(Run(run.clone()));
                model.insert(0, run);
                continue;
            }
            let at = index.index(model.len());
            let place = place_of(&spine, at).unwrap();
            match kind {
                1 => {
                    spine.push_back(Run(run.clone()));
                    model.push(run);
                }
                2 => {
                    let new = spine.insert_after(place, Run(run.clone()));
                    prop_assert_eq!(&spine.leaf(new).0, &run);
                    model.insert(at + 1, run);
                }
                3 => {
                    let new = spine.insert_before(place, Run(run.clone()));
                    prop_assert_eq!(&spine.leaf(new).0, &run);
                    model.insert(at, run);
                }
                4 => {
                    spine.edit(place, |leaf| leaf.0.extend(&run));
                    model[at].extend(&run);
                }
                5 => {
                    spine.edit(place, |leaf| { leaf.0.remove(0); });
                    model[at].remove(0);
                    if model[at].is_empty() {
                        model.remove(at);
                    }
                }
                6 => {
                    let fits = |left: &[u32], right: &[u32]| left.len() + right.len() < 6;
                    spine.join(place, |l, r| fits(&l.0, &r.0), |l, r| l.0.extend(&r.0));
                    let left = [Some(at), at.checked_sub(1)].into_iter().flatten()
                        .find(|left| left + 1 < model.len() && fits(&model[*left], &model[left + 1]));
                    if let Some(left) = left {
                        let right = model.remove(left + 1);
                        model[left].extend(right);
                    }
                }
                _ => {
                    spine.remove(place);
                    model.remove(at);
                }
            }
        }
        check(&spine, &model);
        for (spine, model) in kept {
            check(&spine, &model);
        }
    }

    #[test]
    fn seeking_by_key_finds_the_last_leaf_not_after_it(len in 0..40_000u32, wanted in 0..50_000u32) {
        let mut spine = Spine::new();
        for start in (0..len).step_by(7) {
            spine.push_back(Run((start..len.min(start + 7)).collect()));
        }
        let found = spine.seek_key(|key, _| key <= wanted).map(|at| spine.leaf(at).key());
        prop_assert_eq!(found, (len > 0).then(|| wanted.min(len - 1) / 7 * 7));
    }
}
