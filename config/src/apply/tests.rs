use std::collections::VecDeque;

use slotway_common::cluster_state::{AbortKind, Move, Proposal};

use super::*;
use crate::control::{Presence, SlotFigures};
use crate::plan::tests::{advance, file, founded};

/// Something that happens while moves run.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// This many slots of every move arrive.
    Advance(usize),
    Restart(&'static str),
    Abort(AbortKind, &'static str),
    /// Somebody else proposes this.
    Other(Change),
}

/// A cluster in this process: every look at it makes time pass.
pub(crate) struct Fake {
    pub(crate) state: ClusterState,
    /// What happens at each look; afterwards moves advance by 1000 slots.
    pub(crate) events: VecDeque<Event>,
    /// Nodes that nobody starts.
    pub(crate) never_start: bool,
    /// A node that does not answer so many times.
    pub(crate) silent: Option<(&'static str, u32)>,
    /// A node that is out of reach from here.
    cut: Option<String>,
    pub(crate) proposals: Vec<String>,
    pub(crate) slots: BTreeMap<u16, SlotFigures>,
    requests: u64,
}

impl Fake {
    pub(crate) fn new(state: ClusterState) -> Self {
        Self {
            state,
            events: VecDeque::new(),
            never_start: false,
            silent: None,
            cut: None,
            proposals: Vec::new(),
            slots: BTreeMap::new(),
            requests: 0,
        }
    }

    pub(crate) fn change(&mut self, change: Change) -> Outcome {
        self.requests += 1;
        self.state.apply(&Proposal { request: format!("fake-{}", self.requests), change })
    }

    fn pass_time(&mut self) {
        if !self.never_start {
            let fresh = self.state.shards.iter().flat_map(|shard| &shard.nodes);
            let fresh: Vec<String> =
                fresh.filter(|node| node.incarnation == 0).map(|node| node.id.clone()).collect();
            for node in fresh {
                self.change(Change::NodeStarted { node, incarnation: 77, follows: None });
            }
        }
        let running: Vec<String> =
            self.state.migrations.iter().map(|migration| migration.id.clone()).collect();
        if running.is_empty() {
            return;
        }
        match self.events.pop_front().unwrap_or(Event::Advance(1000)) {
            Event::Advance(slots) => running.iter().for_each(|id| advance(&mut self.state, id, slots)),
            Event::Restart(node) => {
                let incarnation = 1000 + self.state.generation;
                self.change(Change::NodeStarted { node: node.to_owned(), incarnation, follows: None });
            }
            Event::Abort(kind, reason) => {
                for id in running {
                    self.change(Change::AbortMove { id, reason: AbortReason::new(kind, reason) });
                }
            }
            Event::Other(change) => drop(self.change(change)),
        }
    }
}

impl ControlPlane for Fake {
    async fn state(&mut self) -> Result<ClusterState, ControlError> {
        Ok(self.state.clone())
    }

    async fn newer(&mut self, generation: u64) -> Result<Option<ClusterState>, ControlError> {
        self.pass_time();
        Ok((self.state.generation > generation).then(|| self.state.clone()))
    }

    async fn propose(&mut self, change: Change) -> Result<Outcome, ControlError> {
        let json = serde_json::to_value(&change).unwrap();
        self.proposals.push(json.as_object().unwrap().keys().next().unwrap().clone());
        Ok(self.change(change))
    }

    async fn slots(&mut self, node: &Node) -> Result<Vec<SlotFigures>, String> {
        let (shard, _) = self.state.node(&node.id).ok_or("unknown")?;
        Ok(self.slots.values().filter(|figures| shard.slots.contains(figures.slot)).copied().collect())
    }

    async fn progress(&mut self, _: &Node) -> Result<Vec<MoveProgress>, String> {
        Err("it counts nothing".to_owned())
    }

    async fn presence(&mut self, node: &Node) -> Presence {
        if self.cut.as_ref() == Some(&node.id) {
            return Presence::Unclear("no answer within 1000 ms".to_owned());
        }
        match &mut self.silent {
            Some((silent, left)) if *silent == node.id && *left > 0 => {
                *left -= 1;
                Presence::Absent("connection refused".to_owned())
            }
            _ => Presence::Answers,
        }
    }
}

/// Keeps what it is told.
#[derive(Default)]
pub(crate) struct Lines(pub(crate) Vec<String>);

impl Report for Lines {
    fn say(&mut self, line: &str) {
        self.0.push(line.to_owned());
    }

    fn progress(&mut self, _: &[Migration], _: &BTreeMap<String, MoveProgress>) {}

    fn ended(&mut self, migration: &Migration) {
        self.0.push(format!("{} ended", migration.id));
    }

    fn finish(&mut self) {}
}

struct Run {
    fake: Fake,
    lines: Vec<String>,
    result: Result<Applied, String>,
    begun: bool,
}

/// Applies a file to a cluster, having agreed to the plan of now.
fn run(fake: Fake, file: &ClusterFile) -> Run {
    let agreed = plan::plan(file, &fake.state).unwrap();
    run_agreed(fake, file, &agreed, false)
}

fn run_agreed(mut fake: Fake, file: &ClusterFile, agreed: &Plan, detach: bool) -> Run {
    let (mut lines, begun) = (Lines::default(), Cell::new(false));
    let mut apply = Apply {
        cluster: &mut fake,
        report: &mut lines,
        file,
        path: "cluster.yaml",
        start_patience: Duration::ZERO,
        begun: &begun,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    if !apply.cluster.never_start {
        apply.start_patience = START_PATIENCE;
    }
    let result = runtime.block_on(apply.run(agreed, detach)).map_err(|error| error.to_string());
    Run { fake, lines: lines.0, result, begun: begun.get() }
}

fn three() -> ClusterFile {
    file(&[("a", ""), ("b", ""), ("c", "")])
}

fn four() -> ClusterFile {
    file(&[("a", ""), ("b", ""), ("c", ""), ("d", "")])
}

#[test]
fn new_shard_joins_is_waited_for_and_filled() {
    let run = run(Fake::new(founded(&three())), &four());
    assert_eq!(run.result, Ok(Applied::Done));
    assert_eq!(run.fake.proposals, ["add_shard", "start_moves"]);
    assert_eq!(run.lines, ["shard d has joined", "4-4096 ended", "4-9558 ended", "4-15019 ended"]);
    assert_eq!(run.fake.state.shard("d").unwrap().slots.count(), 4096);
    assert!(plan::plan(&four(), &run.fake.state).unwrap().is_empty());
}

#[test]
fn shard_that_nobody_starts_is_named_with_its_command() {
    let mut fake = Fake::new(founded(&three()));
    fake.never_start = true;
    let run = run(fake, &four());
    assert_eq!(
        run.result.unwrap_err(),
        "node d-0 has not started within 0 s: start it with `slotway up cluster.yaml` (a process that has run since \
         the node left the cluster must be stopped first), and apply again"
    );
    assert!(!run.begun);
    assert_eq!(run.fake.proposals, ["add_shard"]);
}

#[test]
fn emptied_shard_leaves_and_settings_change_after_the_moves() {
    let wanted = crate::plan::tests::parse(&crate::plan::tests::text(
        &[("a", ""), ("b", "")],
        "settings: { maxmemory: 1gb }\n",
    ));
    let run = run(Fake::new(founded(&three())), &wanted);
    assert_eq!(run.result, Ok(Applied::Done));
    assert_eq!(run.fake.proposals, ["start_moves", "remove_shard", "set"]);
    assert!(run.lines.contains(&"shard c has left: stop its processes".to_owned()));
    assert!(run.lines.contains(&"maxmemory is 1073741824 now".to_owned()));
}

#[test]
fn detached_apply_ends_when_moves_have_begun() {
    let fake = Fake::new(founded(&three()));
    let two = file(&[("a", ""), ("b", "")]);
    let agreed = plan::plan(&two, &fake.state).unwrap();
    let run = run_agreed(fake, &two, &agreed, true);
    assert_eq!(run.result, Ok(Applied::Started));
    assert!(run.begun);
    assert_eq!(run.fake.proposals, ["start_moves"]);
    assert_eq!(run.fake.state.migrations.len(), 2);
}

#[test]
fn second_apply_follows_the_moves_that_run() {
    let fake = Fake::new(founded(&three()));
    let two = file(&[("a", ""), ("b", "")]);
    let agreed = plan::plan(&two, &fake.state).unwrap();
    let detached = run_agreed(fake, &two, &agreed, true);
    let again = run(detached.fake, &two);
    assert_eq!(again.result, Ok(Applied::Done));
    assert_eq!(again.fake.proposals, ["start_moves", "remove_shard"]);
    assert_eq!(again.fake.state.ended.len(), 2);
}

#[test]
fn slots_that_must_go_on_do_so_when_they_have_arrived() {
    let first = file(&[("a", "slots: 0-9999"), ("b", "slots: 10000-16383"), ("c", "slots: []")]);
    let second = file(&[("a", "slots: 0-999"), ("b", "slots: 1000-16383"), ("c", "slots: []")]);
    let third = file(&[("a", "slots: 0-999"), ("b", "slots: 10000-16383"), ("c", "slots: 1000-9999")]);
    let fake = Fake::new(founded(&first));
    let agreed = plan::plan(&second, &fake.state).unwrap();
    let detached = run_agreed(fake, &second, &agreed, true);
    let again = run(detached.fake, &third);
    assert_eq!(again.result, Ok(Applied::Done));
    assert!(plan::plan(&third, &again.fake.state).unwrap().is_empty());
}

#[test]
fn restart_in_the_middle_begins_the_rest_again() {
    let mut fake = Fake::new(founded(&three()));
    fake.events = [Event::Advance(10), Event::Restart("c-0")].into();
    let run = run(fake, &file(&[("a", ""), ("b", "")]));
    assert_eq!(run.result, Ok(Applied::Done));
    assert_eq!(
        run.lines[..2],
        [
            "move 4-10923 ended after 10 of 2730 slots: node c-0 has restarted; beginning again",
            "move 4-13653 ended after 10 of 2731 slots: node c-0 has restarted; beginning again"
        ]
    );
    assert_eq!(run.fake.proposals, ["start_moves", "start_moves", "remove_shard"]);
}

#[test]
fn node_that_is_down_is_named_once_with_its_command_and_waited_for() {
    let mut fake = Fake::new(founded(&three()));
    fake.silent = Some(("c-0", 2));
    let run = run(fake, &file(&[("a", ""), ("b", "")]));
    assert_eq!(run.result, Ok(Applied::Done));
    let waits: Vec<_> = run.lines.iter().filter(|line| line.starts_with("waiting")).collect();
    assert_eq!(waits.len(), 1, "{:?}", run.lines);
    assert!(waits[0].contains("node c-0 at 127.0.0.1:"), "{}", waits[0]);
    assert!(
        waits[0].ends_with("which does not answer: start it with `slotway up cluster.yaml`"),
        "{}",
        waits[0]
    );
}

/// The cluster may reach it.
#[test]
fn node_that_may_be_out_of_reach_from_here_only_is_named_and_not_waited_for() {
    let mut fake = Fake::new(founded(&three()));
    fake.cut = Some("c-0".to_owned());
    let run = run(fake, &file(&[("a", ""), ("b", "")]));
    assert_eq!(run.result, Ok(Applied::Done));
    let told: Vec<_> = run.lines.iter().filter(|line| line.contains("does not answer here")).collect();
    assert_eq!(told.len(), 1, "{:?}", run.lines);
    assert!(
        told[0].ends_with("if its process is down, start it with `slotway up cluster.yaml`"),
        "{}",
        told[0]
    );
}

#[test]
fn node_that_stays_down_ends_apply_before_anything_moves() {
    let mut fake = Fake::new(founded(&three()));
    (fake.silent, fake.never_start) = (Some(("c-0", u32::MAX)), true);
    let run = run(fake, &file(&[("a", ""), ("b", "")]));
    assert_eq!(
        run.result.unwrap_err(),
        "node c-0 has not answered for 0 s (connection refused): start it with `slotway up cluster.yaml`, and apply again; \
         what has not moved stays where it is"
    );
    assert!(!run.begun && run.fake.proposals.is_empty());
}

#[test]
fn move_that_keeps_ending_is_given_up_with_the_reason() {
    let mut fake = Fake::new(founded(&three()));
    fake.events = vec![Event::Restart("d-0"); 20].into();
    let failed = run(fake, &four());
    assert_eq!(
        failed.result.unwrap_err(),
        "move 14-4096 from a to d ended after 0 of 1366 slots: node d-0 has restarted; the rest stays at a"
    );
}

#[test]
fn move_that_ends_for_good_is_told_with_its_reason() {
    let mut fake = Fake::new(founded(&three()));
    fake.events = [Event::Advance(7), Event::Abort(AbortKind::Full, "shard d has no memory left")].into();
    let run = run(fake, &four());
    assert_eq!(
        run.result.unwrap_err(),
        "move 4-4096 from a to d ended after 7 of 1366 slots: shard d has no memory left; the rest stays at a"
    );
    assert_eq!(run.fake.state.shard("d").unwrap().slots.count(), 21);
}

#[test]
fn cluster_that_changed_since_the_plan_is_refused_before_anything_happens() {
    let mut fake = Fake::new(founded(&three()));
    let two = file(&[("a", ""), ("b", "")]);
    let agreed = plan::plan(&two, &fake.state).unwrap();
    let moved = plan::plan(&four(), &fake.state).unwrap();
    fake.change(Change::AddShard { shard: moved.add[0].clone() });
    let run = run_agreed(fake, &two, &agreed, false);
    assert_eq!(
        run.result.unwrap_err(),
        "the cluster has changed since the plan was made: shards to remove were c, now c, d"
    );
    assert!(run.fake.proposals.is_empty());
}

#[test]
fn somebody_elses_moves_are_not_undone() {
    let mut fake = Fake::new(founded(&three()));
    let other = Move {
        id: "other".to_owned(),
        source: "a".to_owned(),
        target: "b".to_owned(),
        slots: "0-9".parse().unwrap(),
    };
    fake.events = [Event::Other(Change::StartMoves { moves: vec![other] })].into();
    let run = run(fake, &four());
    assert_eq!(
        run.result.unwrap_err(),
        "the cluster has changed since the plan was made: slot 9548 is at b now and would have to move to a"
    );
}

#[test]
fn refused_change_is_told_with_its_reason() {
    let mut fake = Fake::new(founded(&three()));
    let two = file(&[("a", ""), ("b", "")]);
    let agreed = plan::plan(&two, &fake.state).unwrap();
    let (mut lines, begun) = (Lines::default(), Cell::new(false));
    let mut apply = Apply {
        cluster: &mut fake,
        report: &mut lines,
        file: &two,
        path: "cluster.yaml",
        start_patience: START_PATIENCE,
        begun: &begun,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let refused = runtime.block_on(apply.finish(&agreed)).unwrap_err();
    assert_eq!(refused.to_string(), "the cluster refused to remove shard c: shard c still owns 5461 slots");
}

#[test]
fn only_reasons_that_pass_are_tried_again() {
    for kind in AbortKind::ALL {
        let mut fake = Fake::new(founded(&three()));
        fake.events = [Event::Advance(7), Event::Abort(kind, "for a reason")].into();
        let done = run(fake, &four());
        assert_eq!(done.result.is_ok(), kind.is_passing(), "{kind:?}: {:?}", done.result);
    }
}
