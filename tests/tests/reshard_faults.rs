//! Processes fail at every step of a move: every slot keeps one owner, the move ends and can be made again, and nothing
//! is lost; without a log nothing but the keys of a killed process.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use slotway_common::cluster_state::{AbortReason, Change, Phase};
use slotway_common::slot::Slot;
use slotway_common::topology::SlotRanges;
use slotway_tests::history::{Errors, Keys, Load, Loss, Running};
use slotway_tests::wait::wait_until;
use slotway_tests::{Plan, Site};

/// Three batches, as long as a batch has 1,024 slots at most.
const MOVED: usize = 2500;

/// Clients on slots that move, and on some of each shard that do not.
fn load(site: &Site, name: &str, slots: &SlotRanges) -> Running {
    let others = (0..16384).step_by(997);
    let running = Load::new(site.cluster.endpoint(), Keys::new(name, slots.slots().chain(others))).start();
    running.wait_for(300);
    running
}

fn all(slots: &SlotRanges) -> Vec<Slot> {
    slots.slots().collect()
}

/// Kills the process that comes to a point of a move from `source` to `target`, and starts it again.
fn killed_at(site: &mut Site, point: &str, source: &str, target: &str) {
    let slots = site.slots_of(source, MOVED);
    let running = load(site, point, &slots);
    let (ended, lost) = site.move_with_a_death(point, (source, target), &slots, &running);
    site.move_rest(&ended);
    running.wait_for(300);
    running.stop(vec![lost]).assert_good(Errors::OfFaults);
    site.assert_one_owner_each(&all(&slots));
}

fn a_source_dies_at_each_step(plan: &Plan) {
    let mut site = Site::start(plan, "start-told-late");
    killed_at(&mut site, "source-begun", "a", "b");
    killed_at(&mut site, "source-copying", "b", "c");
    killed_at(&mut site, "source-copied", "c", "a");
    killed_at(&mut site, "source-parked", "a", "b");
    killed_at(&mut site, "source-ready", "b", "c");
    killed_at(&mut site, "source-committed", "c", "a");
}

fn a_target_dies_at_each_step(plan: &Plan) {
    let mut site = Site::start(plan, "start-told-late");
    killed_at(&mut site, "target-begun", "a", "b");
    killed_at(&mut site, "target-applying", "b", "c");
    killed_at(&mut site, "target-prepared", "c", "a");
    killed_at(&mut site, "target-handed-over", "a", "b");
    killed_at(&mut site, "adopted", "b", "c");
}

#[test]
fn a_source_that_dies_costs_nothing_but_its_own_keys() {
    a_source_dies_at_each_step(&Plan::without_log());
}

#[test]
fn a_target_that_dies_costs_nothing_but_its_own_keys() {
    a_target_dies_at_each_step(&Plan::without_log());
}

#[test]
fn a_source_with_a_log_that_dies_costs_nothing() {
    a_source_dies_at_each_step(&Plan::default());
}

#[test]
fn a_target_with_a_log_that_dies_costs_nothing() {
    a_target_dies_at_each_step(&Plan::default());
}

/// A process that stands still for longer than an election takes.
fn paused_at(site: &mut Site, point: &str, source: &str, target: &str) {
    let slots = site.slots_of(source, MOVED);
    let running = load(site, point, &slots);
    site.arm(point, "pause 3000");
    let id = site.begin_move(source, target, &slots);
    site.wait_for_fault(point);
    let ended = site.end_of_move(&id);
    eprintln!("{point}: {id} is {:?} with {} slots moved", ended.phase, ended.moved.count());
    site.move_rest(&ended);
    running.wait_for(300);
    running.stop(Vec::new()).assert_good(Errors::OfFaults);
    site.assert_one_owner_each(&all(&slots));
}

/// The whole process, which hears nothing of the cluster meanwhile.
fn stopped(site: &mut Site, point: &str, source: &str, target: &str, who: &str) {
    let slots = site.slots_of(source, MOVED);
    let running = load(site, &format!("{point}-{who}"), &slots);
    // Time to stop it in the middle of the step.
    site.arm(point, "pause 200");
    let id = site.begin_move(source, target, &slots);
    site.wait_for_fault(point);
    site.signal(&format!("{who}-0"), "STOP");
    std::thread::sleep(Duration::from_secs(3));
    site.signal(&format!("{who}-0"), "CONT");
    let ended = site.end_of_move(&id);
    eprintln!("{who} stopped at {point}: {id} is {:?} with {} moved", ended.phase, ended.moved.count());
    site.move_rest(&ended);
    running.wait_for(300);
    running.stop(Vec::new()).assert_good(Errors::OfFaults);
    site.assert_one_owner_each(&all(&slots));
}

#[test]
fn a_pause_longer_than_an_election_loses_nothing() {
    let mut site = Site::start(&Plan::default(), "");
    paused_at(&mut site, "source-parked", "a", "b");
    paused_at(&mut site, "target-prepared", "b", "c");
    paused_at(&mut site, "source-ready", "c", "a");
    stopped(&mut site, "source-parked", "a", "b", "a");
    stopped(&mut site, "source-parked", "b", "c", "c");
}

#[test]
fn a_leader_that_dies_and_a_proxy_that_dies_lose_nothing() {
    // Four shards, so that a leader need not be part of the move.
    let plan = Plan { shards: 4, ..Plan::without_log() };
    let mut site = Site::start(&plan, "");
    let shard = site.leader();
    let others: Vec<&str> = ["a", "b", "c", "d"].into_iter().filter(|name| *name != shard).collect();
    let slots = site.slots_of(others[0], MOVED);
    let running = load(&site, "leader", &slots);
    // The commit needs a leader.
    site.arm("source-ready", "pause 300");
    let id = site.begin_move(others[0], others[1], &slots);
    site.wait_for_fault("source-ready");
    let from = running.now();
    site.kill(&format!("{shard}-0"));
    let until = running.now();
    let ended = site.end_of_move(&id);
    assert_eq!(ended.phase, Phase::Finished, "a move of others goes on: {ended:?}");
    site.restart();
    let lost = Loss { slots: all(&site.state().shard(&shard).unwrap().slots), from, until };
    running.wait_for(300);
    running.stop(vec![lost]).assert_good(Errors::OfFaults);
    site.assert_one_owner_each(&all(&slots));

    let running = load(&site, "proxy", &slots);
    site.arm("source-parked", "pause 300");
    let id = site.begin_move(others[1], others[0], &slots);
    site.wait_for_fault("source-parked");
    site.kill("proxy-0");
    site.restart();
    let ended = site.end_of_move(&id);
    assert_eq!(ended.phase, Phase::Finished, "{ended:?}");
    running.wait_for(300);
    running.stop(Vec::new()).assert_good(Errors::OfFaults);
    site.assert_one_owner_each(&all(&slots));
}

#[test]
fn a_move_that_is_aborted_midway_stays_whole_on_both_sides() {
    let mut site = Site::start(&Plan::default(), "");
    for (point, source, target) in
        [("source-copied", "a", "b"), ("source-parked", "b", "c"), ("source-ready", "c", "a")]
    {
        let slots = site.slots_of(source, MOVED);
        let running = load(&site, point, &slots);
        site.arm(point, "pause 300");
        let id = site.begin_move(source, target, &slots);
        site.wait_for_fault(point);
        site.propose(&Change::AbortMove { id: id.clone(), reason: AbortReason::asked("asked by a test") });
        let ended = site.end_of_move(&id);
        assert!(matches!(ended.phase, Phase::Aborted(_)), "{ended:?}");
        running.wait_for(300);
        wait_until("the slots are the source's", || {
            site.state()
                .shard(source)
                .is_some_and(|shard| ended.remaining().slots().all(|slot| shard.slots.contains(slot)))
        });
        site.assert_one_owner_each(&all(&slots));
        site.move_rest(&ended);
        running.wait_for(300);
        running.stop(Vec::new()).assert_good(Errors::None);
        site.assert_one_owner_each(&all(&slots));
    }
}
