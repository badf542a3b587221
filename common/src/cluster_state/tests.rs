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

struct Log {
    state: ClusterState,
    requests: u64,
}

impl Log {
    fn founded() -> Self {
        let mut log = Self { state: ClusterState::default(), requests: 0 };
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
        self.state.apply(&Proposal { request: self.requests.to_string(), change })
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
        self.done(Change::NodeStarted { node: node.to_owned(), incarnation });
    }

    fn commit(&self, id: &str, slots: &str) -> Change {
        let migration = self.state.migration(id).unwrap();
        Change::CommitSlots {
            id: id.to_owned(),
            slots: slots.parse().unwrap(),
            source_epoch: migration.source_epoch,
            target_epoch: migration.target_epoch,
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
    log.done(Change::AbortMove { id: "1-0".to_owned(), reason: "asked".to_owned() });
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
        assert_eq!(reason, &format!("node {node} has restarted"));
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
    let Change::CommitSlots { id, slots, source_epoch, target_epoch } = log.commit("1-0", "0-99") else {
        panic!("not a commit")
    };
    let stale = Change::CommitSlots { id, slots, source_epoch: source_epoch - 1, target_epoch };
    assert_eq!(log.refused(stale), "the epochs of move 1-0 have passed");
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
    log.done(Change::AbortMove { id: "1-0".to_owned(), reason: "asked".to_owned() });
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
    fn every_slot_has_one_owner_after_any_changes(
        steps in proptest::collection::vec((0u8..5, 0usize..3, 0usize..3, 0u16..16300, 1u16..80), 1..60),
    ) {
        let mut log = Log::founded();
        let names = ["a", "b", "c"];
        for (number, (kind, from, to, first, length)) in steps.into_iter().enumerate() {
            let range = format!("{first}-{}", first + length);
            let known = log.state.migrations.get(from).cloned();
            let _ = match (kind, known) {
                (0 | 1, _) => log.apply(start(&format!("{number}"), names[from], names[to], &range)),
                (2, Some(migration)) => {
                    let half: SlotRanges = migration.remaining().slots().take(usize::from(length)).collect();
                    log.apply(Change::CommitSlots {
                        id: migration.id,
                        slots: half,
                        source_epoch: migration.source_epoch,
                        target_epoch: migration.target_epoch,
                    })
                }
                (3, Some(migration)) => {
                    log.apply(Change::AbortMove { id: migration.id, reason: String::new() })
                }
                _ => log.apply(Change::NodeStarted {
                    node: format!("{}-0", names[from]),
                    incarnation: u64::from(first) + 10,
                }),
            };
            let mut owners = vec![0; 16384];
            for slot in log.state.shards.iter().flat_map(|shard| shard.slots.slots()) {
                owners[usize::from(slot)] += 1;
            }
            prop_assert!(owners.iter().all(|count| *count == 1));
        }
    }
}
