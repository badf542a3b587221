use std::collections::BTreeMap;
use std::path::Path;

use proptest::prelude::*;
use slotway_common::cluster_state::{AbortReason, Change, Outcome, Proposal};
use slotway_common::settings::StoredText;
use slotway_common::topology::SlotRange;

use super::*;

/// A file with these shards, each as `name: rest`, on ports that follow from the name's first letter.
pub(crate) fn file(shards: &[(&str, &str)]) -> ClusterFile {
    parse(&text(shards, ""))
}

pub(crate) fn text(shards: &[(&str, &str)], settings: &str) -> String {
    let mut text = "cluster: local\nshards:\n".to_owned();
    for (name, rest) in shards {
        let port = 7001 + u32::from(name.as_bytes()[0] - b'a');
        let comma = if rest.is_empty() { "" } else { ", " };
        text += &format!("  - {{ name: {name}, nodes: [127.0.0.1:{port}]{comma}{rest} }}\n");
    }
    text + settings
}

pub(crate) fn parse(text: &str) -> ClusterFile {
    ClusterFile::of_bytes(Path::new("cluster.yaml"), text.as_bytes()).unwrap()
}

/// A change that must be accepted.
pub(crate) fn propose(state: &mut ClusterState, change: Change) {
    let proposal = Proposal { request: format!("r{}-{change:?}", state.generation), change };
    match state.apply(&proposal) {
        Outcome::Done { .. } => {}
        Outcome::Refused(reason) => panic!("{:?}: {reason}", proposal.change),
    }
}

/// A cluster that was founded from a file, with every node started.
pub(crate) fn founded(file: &ClusterFile) -> ClusterState {
    let mut state = ClusterState::default();
    let settings =
        file.settings.iter().map(|(name, text)| (name.clone(), StoredText::Text(text.clone()))).collect();
    propose(
        &mut state,
        Change::Found {
            cluster: file.cluster.clone(),
            id: "00ff".to_owned(),
            hash_seed: 1,
            shards: file.topology().shards.into_iter().map(Shard::from).collect(),
            settings,
        },
    );
    start_all(&mut state);
    state
}

/// Starts every node that has never been.
pub(crate) fn start_all(state: &mut ClusterState) {
    let fresh: Vec<String> = state
        .shards
        .iter()
        .flat_map(|shard| &shard.nodes)
        .filter(|node| node.incarnation == 0)
        .map(|node| node.id.clone())
        .collect();
    for (index, node) in fresh.into_iter().enumerate() {
        propose(state, Change::NodeStarted { node, incarnation: index as u64 + 1, follows: None });
    }
}

/// Moves the first `most` remaining slots of a move.
pub(crate) fn advance(state: &mut ClusterState, id: &str, most: usize) {
    let migration = state.migration(id).unwrap().clone();
    let slots: SlotRanges = migration.remaining().slots().take(most).collect();
    let (source_epoch, target_epoch) = (migration.source_epoch, migration.target_epoch);
    propose(
        state,
        Change::CommitSlots { id: id.to_owned(), slots, source_epoch, target_epoch, incarnations: None },
    );
}

fn finish_all(state: &mut ClusterState) {
    while let Some(migration) = state.migrations.first() {
        let id = migration.id.clone();
        advance(state, &id, usize::from(SLOTS));
    }
}

fn begin(state: &mut ClusterState, plan: &Plan) {
    for shard in &plan.add {
        propose(state, Change::AddShard { shard: shard.clone() });
    }
    start_all(state);
    propose(state, Change::StartMoves { moves: plan.moves.clone() });
}

/// Carries a plan out to its end; what has to wait is planned again.
fn carry_out(state: &mut ClusterState, file: &ClusterFile) {
    for _ in 0..3 {
        let planned = plan(file, state).unwrap();
        begin(state, &planned);
        finish_all(state);
        if planned.waiting.is_empty() {
            for name in planned.remove {
                propose(state, Change::RemoveShard { name });
            }
            let values = planned.settings.into_iter().map(|change| (change.name, change.value)).collect();
            propose(state, Change::Set { values });
            return;
        }
    }
    panic!("it does not end");
}

fn steps(file: &ClusterFile, state: &ClusterState) -> String {
    describe(&plan(file, state).unwrap(), &BTreeMap::new())
}

fn refusal(file: &ClusterFile, state: &ClusterState) -> String {
    plan(file, state).unwrap_err().to_string()
}

const THREE: [(&str, &str); 3] = [("a", ""), ("b", ""), ("c", "")];

#[test]
fn cluster_that_is_as_its_file_has_nothing_to_do() {
    let file = file(&THREE);
    let state = founded(&file);
    assert!(plan(&file, &state).unwrap().is_empty());
    assert_eq!(steps(&file, &state), "nothing to do: cluster local is as the file wants it\n");
}

#[test]
fn new_shard_gets_its_part_of_every_other() {
    let mut state = founded(&file(&THREE));
    let four = file(&[("a", ""), ("b", ""), ("c", ""), ("d", "")]);
    assert_eq!(
        steps(&four, &state),
        "cluster local, generation 4:
  add shard d (d-0 at 127.0.0.1:7004)
  move 1366 slots from a to d: 4096-5461
  move 1365 slots from b to d: 9558-10922
  move 1365 slots from c to d: 15019-16383
altogether 4096 slots, at least 0 keys and 0 B move
"
    );
    let planned = plan(&four, &state).unwrap();
    let ids: Vec<&str> = planned.moves.iter().map(|planned| planned.id.as_str()).collect();
    assert_eq!(ids, ["4-4096", "4-9558", "4-15019"]);
    begin(&mut state, &planned);
    assert!(plan(&four, &state).unwrap().is_empty(), "moves under way count as done");
    assert!(
        steps(&four, &state)
            .starts_with("under way, counted as done:\n  4-4096: 1366 slots from a to d, 0 of them moved\n")
    );
    finish_all(&mut state);
    assert!(plan(&four, &state).unwrap().is_empty());
}

#[test]
fn shard_that_leaves_the_file_is_emptied_and_removed() {
    let mut state = founded(&file(&THREE));
    let two = file(&[("a", ""), ("b", "")]);
    assert_eq!(
        steps(&two, &state),
        "cluster local, generation 4:
  move 2730 slots from c to a: 10923-13652
  move 2731 slots from c to b: 13653-16383
  remove shard c
altogether 5461 slots, at least 0 keys and 0 B move
"
    );
    carry_out(&mut state, &two);
    assert!(state.shard("c").is_none());
    assert!(plan(&two, &state).unwrap().is_empty());
}

#[test]
fn explicit_slots_are_the_difference() {
    let state = founded(&file(&[("a", "slots: 0-9999"), ("b", "slots: 10000-16383")]));
    let wanted = file(&[("a", "slots: [0-99, 200-9999]"), ("b", "slots: [100-199, 10000-16383]")]);
    let planned = plan(&wanted, &state).unwrap();
    assert_eq!(planned.moves.len(), 1);
    assert_eq!(
        describe(&planned, &BTreeMap::from([("3-100".to_owned(), MoveFigures { keys: 7, bytes: 2048 })])),
        "cluster local, generation 3:\n  move 100 slots (7 keys, 2.0 KiB) from a to b: 100-199\n"
    );
}

#[test]
fn slots_under_way_to_a_shard_that_is_to_give_them_up_wait() {
    let first = file(&[("a", "slots: 0-9999"), ("b", "slots: 10000-16383"), ("c", "slots: []")]);
    let mut state = founded(&first);
    let second = file(&[("a", "slots: 0-999"), ("b", "slots: 1000-16383"), ("c", "slots: []")]);
    let planned = plan(&second, &state).unwrap();
    begin(&mut state, &planned);
    advance(&mut state, "4-1000", 500);
    let third = file(&[("a", "slots: 0-999"), ("b", "slots: 10000-16383"), ("c", "slots: 1000-9999")]);
    let planned = plan(&third, &state).unwrap();
    assert_eq!(planned.moves.len(), 1);
    assert_eq!(planned.moves[0].slots.to_string(), "1000-1499");
    assert_eq!(planned.waiting.len(), 1);
    assert_eq!(planned.waiting[0].slots.to_string(), "1500-9999");
    assert!(
        describe(&planned, &BTreeMap::new()).contains("then, when they have arrived there, move 8500 slots")
    );
    carry_out(&mut state, &third);
    assert!(plan(&third, &state).unwrap().is_empty());
}

#[test]
fn file_of_another_cluster_is_refused() {
    let state = founded(&file(&THREE));
    let other = parse(&text(&THREE, "").replace("cluster: local", "cluster: other"));
    assert_eq!(refusal(&other, &state), "the file describes cluster `other`, the running one is `local`");
}

#[test]
fn cluster_that_has_not_been_founded_is_refused() {
    assert_eq!(
        refusal(&file(&THREE), &ClusterState::default()),
        "the cluster has not been founded yet: start its processes first, with `slotway up`"
    );
}

#[test]
fn changed_addresses_are_refused_and_named() {
    let state = founded(&file(&THREE));
    let moved = parse(&text(&THREE, "").replace("7002", "8002"));
    assert_eq!(
        refusal(&moved, &state),
        "node b-0 has the address 127.0.0.1:7002 in the cluster and 127.0.0.1:8002 in the file: nodes cannot \
         change their addresses yet"
    );
    let control = text(&THREE, "").replace("[127.0.0.1:7002]", "[{ client: 127.0.0.1:7002, control: 5 }]");
    assert_eq!(
        refusal(&parse(&control), &state),
        "node b-0 has the control address 127.0.0.1:17002 in the cluster and 127.0.0.1:5 in the file: nodes cannot \
         change their addresses yet"
    );
}

#[test]
fn changed_numbers_of_nodes_are_refused() {
    let one = file(&THREE);
    let two = parse(&text(&THREE, "").replace("[127.0.0.1:7002]", "[127.0.0.1:7002, 127.0.0.1:7009]"));
    assert_eq!(
        refusal(&two, &founded(&one)),
        "node b-1 is in the file, but not in the cluster's shard b: a shard cannot get more nodes yet"
    );
    assert_eq!(
        refusal(&one, &founded(&two)),
        "node b-1 of shard b is in the cluster, but not in the file: a shard cannot lose a node yet"
    );
}

#[test]
fn renamed_shard_is_refused() {
    let state = founded(&file(&THREE));
    let renamed = parse(&text(&THREE, "").replace("name: c", "name: x"));
    assert_eq!(
        refusal(&renamed, &state),
        "new shard x would have 127.0.0.1:7003, which belongs to node c-0 of shard c: remove that shard first, or \
         give the new one other ports"
    );
}

#[test]
fn settings_are_compared_by_value_and_passwords_not_shown() {
    let mut state = founded(&parse(&text(&THREE, "settings: { maxmemory: 1gb }\n")));
    let same = parse(&text(&THREE, "settings: { maxmemory: 1024mb }\n"));
    assert!(plan(&same, &state).unwrap().is_empty());
    let other = parse(&text(&THREE, "settings: { maxmemory: 0, requirepass: open }\n"));
    let text = steps(&other, &state);
    assert!(text.contains("  set maxmemory to 0 (now 1073741824)\n"), "{text}");
    assert!(text.contains("  set requirepass to (not shown) (now \"\")\n"), "{text}");
    let planned = plan(&other, &state).unwrap();
    assert!(!to_json(&planned, &BTreeMap::new()).to_string().contains("open"));
    carry_out(&mut state, &other);
    assert_eq!(state.settings.get("maxmemory"), None, "a default is not kept");
    assert!(plan(&other, &state).unwrap().is_empty());
}

#[test]
fn setting_that_is_not_in_the_file_stays() {
    let state = founded(&parse(&text(&THREE, "settings: { maxmemory: 1gb }\n")));
    assert_eq!(
        steps(&file(&THREE), &state),
        "nothing to do: cluster local is as the file wants it
note: setting maxmemory is 1073741824 in the cluster and not in the file: it stays
"
    );
}

#[test]
fn difference_between_plans_is_named() {
    let state = founded(&file(&THREE));
    let four = plan(&file(&[("a", ""), ("b", ""), ("c", ""), ("d", "")]), &state).unwrap();
    let two = plan(&file(&[("a", ""), ("b", "")]), &state).unwrap();
    assert_eq!(four.difference(&four), None);
    assert_eq!(four.difference(&Plan { generation: 99, ..four.clone() }), None);
    assert_eq!(four.difference(&two).unwrap(), "shards to add were none, now d");
    let nothing = Plan { remove: two.remove.clone(), ..Plan::default() };
    assert_eq!(two.difference(&nothing).unwrap(), "slots 10923-13652 would now move from c to a");
    assert_eq!(
        nothing.difference(&two).unwrap(),
        "slots 10923-13652 do not have to move from c to a any more"
    );
}

/// A cluster file's shards: which of eight there are, and how the slots are spread.
fn any_file() -> impl Strategy<Value = ClusterFile> {
    let weights = proptest::collection::vec(proptest::option::of(0u32..5), 8);
    let cuts = proptest::collection::vec(0u16..SLOTS, 0..12);
    let owners = proptest::collection::vec(0usize..8, 13);
    (weights, proptest::option::of((cuts, owners))).prop_filter_map(
        "somebody owns slots",
        |(weights, cuts)| {
            let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
            let present: Vec<(usize, u32)> =
                weights.iter().enumerate().filter_map(|(index, weight)| Some((index, (*weight)?))).collect();
            if present.iter().all(|(_, weight)| *weight == 0) {
                return None;
            }
            let mut slots: Vec<Vec<SlotRange>> = vec![Vec::new(); 8];
            let explicit = cuts.is_some();
            if let Some((mut cuts, owners)) = cuts {
                cuts.extend([0, SLOTS]);
                cuts.sort_unstable();
                cuts.dedup();
                for (pair, owner) in cuts.windows(2).zip(owners) {
                    let (index, _) = present[owner % present.len()];
                    slots[index].push(SlotRange::new(pair[0], pair[1] - 1).unwrap());
                }
            }
            let rows: Vec<(&str, String)> = present
                .iter()
                .map(|(index, weight)| {
                    let ranges: Vec<String> = slots[*index].iter().map(ToString::to_string).collect();
                    let place = if explicit {
                        format!("slots: [{}]", ranges.join(", "))
                    } else {
                        format!("weight: {weight}")
                    };
                    (names[*index], place)
                })
                .collect();
            let rows: Vec<(&str, &str)> = rows.iter().map(|(name, place)| (*name, place.as_str())).collect();
            Some(file(&rows))
        },
    )
}

/// Every slot has one owner.
fn check_owners(state: &ClusterState) {
    let mut owners = vec![0; usize::from(SLOTS)];
    for shard in &state.shards {
        shard.slots.slots().for_each(|slot| owners[usize::from(slot)] += 1);
    }
    assert!(owners.iter().all(|count| *count == 1));
}

/// The slots that keep their owner at most, between a state and the numbers or sets that a file wants.
fn keepable(file: &ClusterFile, state: &ClusterState) -> usize {
    let before = ownership(file, state);
    let after = file.slots(&before);
    let explicit = matches!(file.shards[0].placement, slotway_common::cluster_file::Placement::Slots(_));
    let kept = before.iter().zip(&after).map(|(old, new)| {
        if explicit {
            new.slots().filter(|slot| old.contains(*slot)).count()
        } else {
            old.count().min(new.count())
        }
    });
    kept.sum()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_file_is_reached_by_the_fewest_moves(first in any_file(), second in any_file()) {
        let mut state = founded(&first);
        let planned = plan(&second, &state).unwrap();
        prop_assert_eq!(planned.slots_to_move(), usize::from(SLOTS) - keepable(&second, &state));
        prop_assert_eq!(&planned, &plan(&second, &state).unwrap());
        carry_out(&mut state, &second);
        check_owners(&state);
        let after = plan(&second, &state).unwrap();
        prop_assert!(after.is_empty(), "{:?}", after);
        prop_assert_eq!(state.shards.len(), second.shards.len());
    }

    #[test]
    fn interrupted_moves_are_planned_the_same_again(
        first in any_file(),
        second in any_file(),
        progress in proptest::collection::vec((any::<bool>(), 0usize..4000), 64),
    ) {
        let mut state = founded(&first);
        let planned = plan(&second, &state).unwrap();
        let wanted = |planned: &Plan| -> BTreeMap<u16, String> {
            planned
                .all_moves()
                .flat_map(|one| one.slots.slots().map(|slot| (slot, one.target.clone())))
                .collect()
        };
        let agreed = wanted(&planned);
        begin(&mut state, &planned);
        for (one, (aborts, slots)) in planned.moves.iter().zip(progress) {
            if slots > 0 && slots < one.slots.count() {
                advance(&mut state, &one.id, slots);
            }
            if aborts {
                propose(&mut state, Change::AbortMove { id: one.id.clone(), reason: AbortReason::asked("test") });
            }
        }
        check_owners(&state);
        let again = plan(&second, &state).unwrap();
        for (slot, target) in wanted(&again) {
            prop_assert_eq!(agreed.get(&slot), Some(&target), "slot {} was to move elsewhere", slot);
        }
        carry_out(&mut state, &second);
        prop_assert!(plan(&second, &state).unwrap().is_empty());
    }

    #[test]
    fn second_file_in_the_middle_of_a_move_is_reached(first in any_file(), second in any_file(), third in any_file()) {
        let mut state = founded(&first);
        let planned = plan(&second, &state).unwrap();
        begin(&mut state, &planned);
        carry_out(&mut state, &third);
        check_owners(&state);
        prop_assert!(plan(&third, &state).unwrap().is_empty());
    }
}
