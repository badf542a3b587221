use proptest::prelude::*;

use super::*;

fn shard(name: &str, port: u16, slots: &str) -> Shard {
    Shard {
        name: name.to_owned(),
        epoch: 1,
        nodes: vec![Node {
            id: format!("{name}-0"),
            address: format!("127.0.0.1:{port}"),
            control: format!("127.0.0.1:{}", port + 10_000),
            admin: format!("127.0.0.1:{}", port + 20_000),
            incarnation: 0,
        }],
        slots: slots.parse().unwrap(),
    }
}

/// Kind of change, shards or moves that it is about, first slot and number of slots.
type Step = (u8, usize, usize, u16, u16);

fn steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    proptest::collection::vec((0u8..5, 0usize..3, 0usize..3, 0u16..16300, 1u16..80), 1..most)
}

struct Log {
    state: ClusterState,
    requests: u64,
    recent: Recent,
}

impl Log {
    fn founded() -> Self {
        let mut log = Self { state: ClusterState::default(), requests: 0, recent: Recent::default() };
        log.done(Change::Found {
            cluster: "local".to_owned(),
            id: "00ff".to_owned(),
            hash_seed: 7,
            shards: vec![shard("a", 7001, "0-8191"), shard("b", 7002, "8192-16383"), shard("c", 7003, "")],
            settings: BTreeMap::new(),
        });
        for (incarnation, node) in ["a-0", "b-0", "c-0"].into_iter().enumerate() {
            log.started(node, incarnation as u64 + 1);
        }
        log
    }

    fn apply(&mut self, change: Change) -> Outcome {
        self.requests += 1;
        let proposal = Proposal { request: self.requests.to_string(), change };
        let (before, outcome) = (self.state.generation, self.state.apply(&proposal));
        if self.state.generation > before {
            self.recent.push(self.state.generation, proposal);
        }
        outcome
    }

    /// A random change, of the kinds that come while slots are moved.
    fn step(&mut self, number: usize, (kind, from, to, first, length): Step) -> Outcome {
        let names = ["a", "b", "c"];
        let range = format!("{first}-{}", first + length);
        let known = self.state.migrations.get(from).cloned();
        match (kind, known) {
            (0 | 1, _) => self.apply(start(&format!("{number}"), names[from], names[to], &range)),
            (2, Some(migration)) => {
                let half: SlotRanges = migration.remaining().slots().take(usize::from(length)).collect();
                self.apply(Change::CommitSlots {
                    id: migration.id,
                    slots: half,
                    source_epoch: migration.source_epoch,
                    target_epoch: migration.target_epoch,
                    incarnations: None,
                })
            }
            (3, Some(migration)) => {
                self.apply(Change::AbortMove { id: migration.id, reason: AbortReason::asked("") })
            }
            _ => self.apply(Change::NodeStarted {
                node: format!("{}-0", names[from]),
                incarnation: u64::from(first) + 10,
                follows: None,
            }),
        }
    }

    fn done(&mut self, change: Change) -> u64 {
        self.apply(change).into_result().unwrap()
    }

    fn refused(&mut self, change: Change) -> String {
        let before = self.state.generation;
        let reason = self.apply(change).into_result().unwrap_err();
        assert_eq!(self.state.generation, before);
        reason
    }

    fn started(&mut self, node: &str, incarnation: u64) {
        self.done(Change::NodeStarted { node: node.to_owned(), incarnation, follows: None });
    }

    fn commit(&self, id: &str, slots: &str) -> Change {
        let migration = self.state.migration(id).unwrap();
        Change::CommitSlots {
            id: id.to_owned(),
            slots: slots.parse().unwrap(),
            source_epoch: migration.source_epoch,
            target_epoch: migration.target_epoch,
            incarnations: Some(self.state.incarnations(migration)),
        }
    }

    fn slots(&self, name: &str) -> String {
        self.state.shard(name).unwrap().slots.to_string()
    }
}

fn start(id: &str, source: &str, target: &str, slots: &str) -> Change {
    Change::StartMoves {
        moves: vec![Move {
            id: id.to_owned(),
            source: source.to_owned(),
            target: target.to_owned(),
            slots: slots.parse().unwrap(),
        }],
    }
}

#[test]
fn a_move_changes_owners_batch_by_batch_and_ends_with_the_last() {
    let mut log = Log::founded();
    log.done(start("1-0", "a", "c", "0-99"));
    log.done(log.commit("1-0", "0-49"));
    assert_eq!((log.slots("a"), log.slots("c")), ("50-8191".to_owned(), "0-49".to_owned()));
    assert_eq!(log.state.migrations[0].remaining().to_string(), "50-99");
    assert!(log.state.migration_of(49).is_none() && log.state.migration_of(50).is_some());
    let last = log.commit("1-0", "50-99");
    log.done(last.clone());
    assert_eq!(log.state.migration("1-0").unwrap().phase, Phase::Finished);
    // Again: nothing happens.
    let generation = log.state.generation;
    assert_eq!(log.done(last), generation);
    assert_eq!(log.done(start("1-0", "a", "c", "0-99")), generation);
}

#[test]
fn a_repeated_request_gets_the_first_outcome() {
    let mut log = Log::founded();
    let proposal = Proposal { request: "same".to_owned(), change: start("1-0", "a", "c", "0-99") };
    let first = log.state.apply(&proposal);
    log.done(Change::AbortMove { id: "1-0".to_owned(), reason: AbortReason::asked("asked") });
    let state = log.state.clone();
    assert_eq!(log.state.apply(&proposal), first);
    assert_eq!(log.state, state);
}

#[test]
fn a_restart_ends_the_moves_of_its_shard_and_late_commits_do_nothing() {
    for node in ["a-0", "c-0"] {
        let mut log = Log::founded();
        log.done(start("1-0", "a", "c", "0-99"));
        let late = log.commit("1-0", "0-99");
        log.started(node, 99);
        assert_eq!(log.refused(late), "move 1-0 has ended");
        assert_eq!(log.slots("a"), "0-8191");
        let Phase::Aborted(reason) = &log.state.migration("1-0").unwrap().phase else {
            panic!("not aborted")
        };
        assert_eq!(reason, &AbortReason::new(AbortKind::Restarted, format!("node {node} has restarted")));
        // The same plan under a new id goes through.
        log.done(start("2-0", "a", "c", "0-99"));
        log.done(log.commit("2-0", "0-99"));
        assert_eq!(log.slots("c"), "0-99");
    }
}

#[test]
fn commits_of_other_epochs_do_nothing() {
    let mut log = Log::founded();
    log.done(start("1-0", "a", "c", "0-99"));
    let Change::CommitSlots { id, slots, source_epoch, target_epoch, incarnations } =
        log.commit("1-0", "0-99")
    else {
        panic!("not a commit")
    };
    let stale = Change::CommitSlots { id, slots, source_epoch: source_epoch - 1, target_epoch, incarnations };
    assert_eq!(log.refused(stale), "the epochs of move 1-0 have passed");
}

#[test]
fn commits_of_other_processes_do_nothing() {
    let mut log = Log::founded();
    log.done(start("1-0", "a", "c", "0-99"));
    let mut other = log.commit("1-0", "0-99");
    if let Change::CommitSlots { incarnations: Some((source, _)), .. } = &mut other {
        *source += 1;
    }
    assert_eq!(log.refused(other), "another process is the source or the target of move 1-0 by now");
    let own = log.commit("1-0", "0-99");
    log.done(own);
}

#[test]
fn a_start_that_was_on_its_way_does_not_come_after_the_one_of_a_later_process() {
    let mut log = Log::founded();
    let start = |incarnation, follows| Change::NodeStarted {
        node: "a-0".to_owned(),
        incarnation,
        follows: Some(follows),
    };
    // The process 50 died before its start was committed, and 51 took its place.
    log.done(start(51, 1));
    assert_eq!(log.refused(start(50, 1)), "another process of node a-0 has started meanwhile");
    assert_eq!(log.state.shard("a").unwrap().nodes[0].incarnation, 51);
    // Again, and one after it.
    let generation = log.state.generation;
    assert_eq!(log.done(start(51, 1)), generation);
    log.done(start(52, 51));
}

#[test]
fn changes_of_the_first_versions_are_read() {
    let read = |json: &str| serde_json::from_str::<Change>(json).unwrap();
    let started = read(r#"{"node_started":{"node":"a-0","incarnation":7}}"#);
    assert_eq!(started, Change::NodeStarted { node: "a-0".to_owned(), incarnation: 7, follows: None });
    let aborted = read(r#"{"abort_move":{"id":"1-0","reason":"too hot"}}"#);
    assert_eq!(aborted, Change::AbortMove { id: "1-0".to_owned(), reason: AbortReason::failed("too hot") });
    let ranges = serde_json::to_string(&SlotRanges::all()).unwrap();
    let committed =
        format!(r#"{{"commit_slots":{{"id":"1-0","slots":{ranges},"source_epoch":1,"target_epoch":2}}}}"#);
    assert!(matches!(read(&committed), Change::CommitSlots { incarnations: None, .. }));
}

#[test]
fn what_cannot_be_moved_is_refused_with_the_reason() {
    let mut log = Log::founded();
    log.done(start("1-0", "a", "c", "0-99"));
    assert_eq!(log.refused(start("2-0", "a", "b", "99-120")), "slot 99 is being moved already, by 1-0");
    assert_eq!(log.refused(start("2-0", "a", "b", "9000")), "slot 9000 is not owned by shard a any more");
    assert_eq!(log.refused(start("2-0", "a", "d", "200")), "there is no shard d");
    assert_eq!(log.refused(start("2-0", "a", "a", "200")), "move 2-0 leads from shard a to itself");
    assert_eq!(log.refused(start("1-0", "a", "b", "0-99")), "move 1-0 is known with other slots or shards");
    log.done(Change::AddShard { shard: shard("d", 7004, "") });
    assert_eq!(log.refused(start("2-0", "a", "d", "200")), "shard d has never been started");
}

#[test]
fn a_shard_leaves_only_when_it_is_empty() {
    let mut log = Log::founded();
    let remove = |name: &str| Change::RemoveShard { name: name.to_owned() };
    assert_eq!(log.refused(remove("b")), "shard b still owns 8192 slots");
    log.done(start("1-0", "a", "c", "0-99"));
    assert_eq!(log.refused(remove("c")), "shard c takes part in the unfinished move 1-0");
    log.done(Change::AbortMove { id: "1-0".to_owned(), reason: AbortReason::asked("asked") });
    log.done(remove("c"));
    assert!(log.state.shard("c").is_none());
    let generation = log.state.generation;
    assert_eq!(log.done(remove("c")), generation);
}

#[test]
fn shards_with_taken_addresses_do_not_join() {
    let mut log = Log::founded();
    assert_eq!(
        log.refused(Change::AddShard { shard: shard("d", 7003, "") }),
        "node d-0 would have the id or an address of c-0"
    );
    log.done(Change::AddShard { shard: shard("d", 7004, "1-5") });
    assert_eq!(log.slots("d"), "");
    log.done(Change::AddShard { shard: shard("d", 7004, "") });
    assert_eq!(
        log.refused(Change::AddShard { shard: shard("d", 7009, "") }),
        "there is a shard d with other nodes already"
    );
}

#[test]
fn json_round_trips() {
    let mut log = Log::founded();
    log.done(start("1-0", "a", "c", "0-99"));
    log.done(start("2-0", "b", "c", "9000-9005"));
    log.done(log.commit("2-0", "9000-9005"));
    assert_eq!(ClusterState::from_json(log.state.to_json().as_bytes()).unwrap(), log.state);
}

proptest! {
    #[test]
    fn every_slot_has_one_owner_after_any_changes(steps in steps(60)) {
        let mut log = Log::founded();
        for (number, step) in steps.into_iter().enumerate() {
            let _ = log.step(number, step);
            let mut owners = vec![0; 16384];
            for slot in log.state.shards.iter().flat_map(|shard| shard.slots.slots()) {
                owners[usize::from(slot)] += 1;
            }
            prop_assert!(owners.iter().all(|count| *count == 1));
        }
    }

    #[test]
    fn a_follower_that_asks_now_and_then_has_the_same_state(
        steps in steps(400),
        every in 1usize..400,
        other_cluster in any::<bool>(),
    ) {
        let mut log = Log::founded();
        let mut follower = ClusterState { generation: 7, ..ClusterState::default() };
        if other_cluster {
            follower.id = "another".to_owned();
        }
        for (number, step) in steps.into_iter().enumerate() {
            let _ = log.step(number, step);
            if number % every != 0 {
                continue;
            }
            let update = log.recent.since(&follower.id, follower.generation, &log.state);
            let is_new = log.state.id != follower.id || log.state.generation > follower.generation;
            // Few changes at a time come as such.
            if number > every && every < 200 {
                prop_assert!(matches!(update, Update::Changes(_)));
            }
            let update = serde_json::from_str(&serde_json::to_string(&update).unwrap()).unwrap();
            prop_assert_eq!(follower.follow(update), Ok(is_new));
            prop_assert_eq!(follower.shown(), log.state.shown());
        }
    }
}

#[test]
fn changes_that_do_not_follow_on_the_known_state_are_a_gap() {
    let mut log = Log::founded();
    let (old, generation) = (log.state.clone(), log.state.generation);
    log.started("a-0", 50);
    log.started("a-0", 51);
    let Update::Changes(mut changes) = log.recent.since("00ff", generation, &log.state) else {
        panic!("two changes");
    };
    assert_eq!(changes.len(), 2);
    // The second one alone happens to fit; the same one twice does not.
    changes[1] = changes[0].clone();
    assert_eq!(old.clone().follow(Update::Changes(changes)), Err(Gap(generation + 1)));
    assert!(matches!(log.recent.since("00ff", log.state.generation + 1, &log.state), Update::State(_)));
    assert!(matches!(log.recent.since("0000", generation, &log.state), Update::State(_)));
}
