//! Links between the processes of a cluster are cut while slots move, or damage what they carry: nothing is lost, every
//! slot keeps one owner, and the move goes through, at the latest when it is made again.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::{Duration, Instant};

use slotway_common::cluster_state::{AbortKind, Migration, Phase};
use slotway_common::slot::Slot;
use slotway_common::topology::SlotRanges;
use slotway_tests::history::{Errors, Keys, Load, Running};
use slotway_tests::{Cut, Plan, Site};

/// Three batches, as long as a batch has 1,024 slots at most.
const MOVED: usize = 2500;

/// How long a link stays cut.
#[derive(Clone, Copy)]
enum Until {
    Ended,
    Passed(Duration),
}

/// Longer than an election takes, and than the nodes wait for each other's answers.
const LONG: Until = Until::Passed(Duration::from_secs(3));

/// Clients on slots that move, and on some that do not.
fn load(site: &Site, name: &str, slots: &SlotRanges) -> Running {
    let others = (0..16384).step_by(997);
    let running = Load::new(site.cluster.endpoint(), Keys::new(name, slots.slots().chain(others))).start();
    running.wait_for(300);
    running
}

fn node(shard: &str) -> String {
    format!("{shard}-0")
}

/// Four shards, one of which leads the nodes, and the names of the others.
fn site() -> (Site, String, [String; 3]) {
    let site = Site::start_behind_relays(&Plan { shards: 4, ..Plan::default() });
    let leader = site.leader();
    let others: Vec<String> =
        ["a", "b", "c", "d"].into_iter().filter(|name| *name != leader).map(str::to_owned).collect();
    (site, leader, others.try_into().unwrap())
}

/// Cuts a link when the move comes to a point, and makes the move again after that. Gives it as it ended the first time.
fn cut_at(
    site: &mut Site,
    point: &str,
    (source, target): (&str, &str),
    (one, other): (&str, &str),
    (cut, until): (Cut, Until),
) -> Migration {
    let slots = site.slots_of(source, MOVED);
    let running = load(site, &format!("{point}-{one}-{cut:?}"), &slots);
    site.arm(point, "pause 200");
    let id = site.begin_move(source, target, &slots);
    site.wait_for_fault(point);
    site.relays().cut(one, other, cut);
    let began = Instant::now();
    match until {
        Until::Ended => drop(site.end_of_move(&id)),
        Until::Passed(time) => std::thread::sleep(time),
    }
    let took = began.elapsed();
    site.relays().mend(one, other);
    let ended = site.end_of_move(&id);
    let moved = ended.moved.count();
    eprintln!("{one} and {other} cut ({cut:?}) at {point} for {took:?}: {:?}, {moved} moved", ended.phase);
    site.move_rest(&ended);
    running.wait_for(300);
    running.stop(Vec::new()).assert_good(Errors::OfFaults);
    site.assert_one_owner_each(&slots.slots().collect::<Vec<Slot>>());
    ended
}

fn is_unreachable(ended: &Migration) -> bool {
    matches!(&ended.phase, Phase::Aborted(reason) if reason.kind == AbortKind::Unreachable)
}

#[test]
fn a_silent_link_between_source_and_target_ends_the_move_and_nothing_else() {
    let (mut site, _, [first, second, third]) = site();
    let silent = (Cut::Silent, Until::Ended);
    let link = (node(&first), node(&second));
    let ended = cut_at(&mut site, "source-copying", (&first, &second), (&link.0, &link.1), silent);
    assert!(is_unreachable(&ended), "{ended:?}");
    let link = (node(&second), node(&third));
    let ended = cut_at(&mut site, "source-parked", (&second, &third), (&link.0, &link.1), silent);
    assert!(is_unreachable(&ended), "{ended:?}");
}

#[test]
fn a_broken_link_between_source_and_target_loses_nothing() {
    let (mut site, _, [first, second, third]) = site();
    let broken = (Cut::Broken, LONG);
    let link = (node(&first), node(&second));
    cut_at(&mut site, "source-copying", (&first, &second), (&link.0, &link.1), broken);
    let link = (node(&second), node(&third));
    let ended = cut_at(&mut site, "source-parked", (&second, &third), (&link.0, &link.1), broken);
    assert!(is_unreachable(&ended), "{ended:?}");
    let link = (node(&third), node(&first));
    cut_at(&mut site, "source-ready", (&third, &first), (&link.0, &link.1), broken);
}

#[test]
fn a_source_that_does_not_reach_the_leader_loses_nothing() {
    let (mut site, leader, [first, second, third]) = site();
    let link = (node(&first), node(&leader));
    cut_at(&mut site, "source-ready", (&first, &second), (&link.0, &link.1), (Cut::Silent, LONG));
    let link = (node(&second), node(&site.leader()));
    if link.0 != link.1 {
        cut_at(&mut site, "source-parked", (&second, &third), (&link.0, &link.1), (Cut::Broken, LONG));
    }
}

#[test]
fn a_target_that_does_not_reach_the_leader_loses_nothing() {
    let (mut site, leader, [first, second, third]) = site();
    let link = (node(&second), node(&leader));
    cut_at(&mut site, "source-ready", (&first, &second), (&link.0, &link.1), (Cut::Silent, LONG));
    let link = (node(&third), node(&site.leader()));
    if link.0 != link.1 {
        cut_at(&mut site, "target-handed-over", (&second, &third), (&link.0, &link.1), (Cut::Broken, LONG));
    }
}

#[test]
fn a_proxy_that_does_not_reach_the_source_loses_nothing() {
    let (mut site, _, [first, second, third]) = site();
    let cut = (Cut::Silent, LONG);
    cut_at(&mut site, "source-copying", (&first, &second), ("proxy-0", &node(&first)), cut);
    let cut = (Cut::Broken, LONG);
    cut_at(&mut site, "source-parked", (&second, &third), ("proxy-0", &node(&second)), cut);
}

#[test]
fn a_proxy_that_does_not_reach_the_target_loses_nothing() {
    let (mut site, _, [first, second, third]) = site();
    let cut = (Cut::Silent, LONG);
    cut_at(&mut site, "source-parked", (&first, &second), ("proxy-0", &node(&second)), cut);
    let cut = (Cut::Broken, LONG);
    cut_at(&mut site, "source-ready", (&second, &third), ("proxy-0", &node(&third)), cut);
}

#[test]
fn an_operator_who_does_not_reach_the_leader_is_served_by_the_others() {
    let (site, leader, _) = site();
    let file = site.cluster.layout().file();
    let original = std::fs::read_to_string(&file).unwrap();
    let running = load(&site, "operator", &site.slots_of(&leader, MOVED));
    for (cut, weight) in [(Cut::Silent, 3), (Cut::Broken, 5)] {
        let heavier = format!("{{ name: {leader}, weight: {weight},");
        std::fs::write(&file, original.replace(&format!("{{ name: {leader},"), &heavier)).unwrap();
        site.relays().cut("slotway", &node(&leader), cut);
        let applied = site.cluster.layout().run(&["apply", "cluster.yaml", "--yes"]).unwrap();
        site.relays().mend("slotway", &node(&leader));
        assert!(applied.status.success(), "{cut:?}: {applied:?}");
        let planned = site.cluster.layout().run(&["plan", "cluster.yaml"]).unwrap();
        let said = String::from_utf8_lossy(&planned.stdout).into_owned();
        assert!(said.contains("nothing to do"), "{said}");
    }
    running.wait_for(300);
    running.stop(Vec::new()).assert_good(Errors::None);
    site.assert_one_owner_each(&[]);
}

#[test]
fn a_slot_stream_that_is_damaged_on_its_way_ends_the_move_and_costs_nothing() {
    let mut site = Site::start_behind_relays(&Plan::default());
    // In the content of a frame, and in its header's sequence number.
    for (offset, source, target, what) in
        [(40, "a", "b", "the checksum of frame "), (9, "b", "c", "of the slot stream has no valid header")]
    {
        let slots = site.slots_of(source, MOVED);
        let running = load(&site, &format!("damage-{offset}"), &slots);
        site.relays().damage(&node(source), &node(target), offset);
        let id = site.begin_move(source, target, &slots);
        let ended = site.end_of_move(&id);
        let Phase::Aborted(reason) = &ended.phase else { panic!("{ended:?}") };
        assert!(reason.kind == AbortKind::Damaged && reason.text.contains(what), "{reason:?}");
        assert!(!reason.text.contains('\n'), "{reason:?}");
        running.wait_for(300);
        site.move_rest(&ended);
        running.wait_for(300);
        running.stop(Vec::new()).assert_good(Errors::None);
        site.assert_one_owner_each(&slots.slots().collect::<Vec<Slot>>());
    }
}
