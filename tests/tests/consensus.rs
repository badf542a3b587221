//! The cluster's state is committed by a group of nodes, and outlives them.
#![allow(clippy::expect_used, clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use slotway_common::cluster_state::{Change, ClusterState, Move, Outcome, Shard};
use slotway_common::settings::StoredText;
use slotway_tests::ports::free_ports;
use slotway_tests::wait::{wait_for, wait_until};
use slotway_tests::{Client, Cluster, ControlPort, Plan};

fn shards(shards: usize) -> Plan {
    Plan { shards, proxies: 0, settings: Vec::new() }
}

fn port(cluster: &Cluster, node: &str) -> ControlPort {
    ControlPort::open(cluster.layout(), node).unwrap()
}

fn set(name: &str, value: &str) -> Change {
    Change::Set { values: BTreeMap::from([(name.to_owned(), Some(StoredText::new(value.as_bytes())))]) }
}

fn setting(state: &ClusterState, name: &str) -> Option<String> {
    state.settings.get(name).map(|value| String::from_utf8_lossy(&value.bytes()).into_owned())
}

/// The leader as one of these nodes knows it.
fn leader(cluster: &Cluster, nodes: &[&str]) -> String {
    wait_for("a leader", || {
        nodes.iter().find_map(|node| {
            let status = ControlPort::open(cluster.layout(), node).ok()?.status().ok()?;
            let leader = status["leader"].as_str()?.to_owned();
            nodes.contains(&leader.as_str()).then_some(leader)
        })
    })
}

/// The state of a node, once it is as it should be.
fn wait_for_state(
    cluster: &Cluster,
    node: &str,
    what: &str,
    is: impl Fn(&ClusterState) -> bool,
) -> ClusterState {
    wait_for(what, || ControlPort::open(cluster.layout(), node).ok()?.state().ok().filter(|state| is(state)))
}

#[test]
fn a_cluster_is_founded_once_and_all_nodes_know_the_same_state() {
    let plan = Plan { settings: vec![("maxmemory".to_owned(), "1mb".to_owned())], ..shards(4) };
    let cluster = Cluster::start_with(&plan).unwrap();
    let nodes = ["a-0", "b-0", "c-0", "d-0"];
    let state = wait_for_state(&cluster, "a-0", "all nodes have started", |state| {
        state.shards.iter().all(|shard| shard.nodes.iter().all(|node| node.incarnation != 0))
    });
    assert_eq!(state.shards.iter().map(|shard| shard.slots.count()).sum::<usize>(), 16384);
    assert!(state.shards.iter().all(|shard| shard.epoch == 2 && shard.slots.count() == 4096));
    assert_eq!(setting(&state, "maxmemory").as_deref(), Some("1048576"));
    assert!(!state.id.is_empty() && state.hash_seed != 0);
    for node in nodes {
        let same = wait_for_state(&cluster, node, "the same state", |own| own.generation >= state.generation);
        assert_eq!(same, state, "{node}");
        wait_until("the group has all nodes", || {
            let status = port(&cluster, node).status().unwrap();
            status["voters"] == serde_json::json!(["a-0", "b-0", "c-0"])
                && status["learners"] == serde_json::json!(["d-0"])
                && status["cluster"] == state.id
        });
    }

    let leader = leader(&cluster, &nodes);
    for (who, node) in [("the leader", leader.as_str()), ("a learner", "d-0")] {
        let mut port = port(&cluster, node);
        let mut took: Vec<Duration> = (0..100)
            .map(|number| {
                let began = Instant::now();
                let outcome = port.propose(set("hz", &(number + 10).to_string())).unwrap();
                assert!(matches!(outcome, Outcome::Done { .. }), "{outcome:?}");
                began.elapsed()
            })
            .collect();
        took.sort();
        eprintln!("a commit asked for at {who} takes {:?}, at most {:?}", took[50], took[99]);
    }
}

#[test]
fn a_killed_leader_is_replaced_and_comes_back() {
    let cluster = Cluster::start_with(&shards(3)).unwrap();
    let nodes = ["a-0", "b-0", "c-0"];
    let first = leader(&cluster, &nodes);
    let others: Vec<&str> = nodes.into_iter().filter(|node| *node != first).collect();
    let mut port = port(&cluster, others[0]);
    assert!(matches!(port.propose(set("hz", "11")).unwrap(), Outcome::Done { .. }));
    let killed = Instant::now();
    cluster.kill(&first);
    let outcome = port.propose(set("hz", "12")).unwrap();
    eprintln!("a proposal was committed {:?} after its leader was killed", killed.elapsed());
    let Outcome::Done { generation } = outcome else { panic!("{outcome:?}") };
    assert!(others.contains(&leader(&cluster, &others).as_str()));
    let _again = cluster.start_missing().unwrap();
    let state = wait_for_state(&cluster, &first, "the killed node knows what it missed", |state| {
        state.generation > generation && setting(state, "hz").as_deref() == Some("12")
    });
    assert_eq!(state.node(&first).unwrap().0.epoch, 3);
}

#[test]
fn a_cluster_whose_nodes_were_all_killed_comes_back_as_it_was() {
    let cluster = Cluster::start().unwrap();
    assert_eq!(cluster.client().unwrap().run("CONFIG SET maxmemory 100mb").unwrap().to_string(), "+OK");
    let planned = Move {
        id: "m1".to_owned(),
        source: "a".to_owned(),
        target: "b".to_owned(),
        slots: (0..10).collect(),
    };
    let started = port(&cluster, "c-0").propose(Change::StartMoves { moves: vec![planned] }).unwrap();
    assert!(matches!(started, Outcome::Done { .. }), "{started:?}");
    let before = wait_for_state(&cluster, "a-0", "the move ends", |state| {
        state.migrations.is_empty() && state.shard("b").unwrap().slots.contains(0)
    });
    for node in ["a-0", "b-0", "c-0"] {
        cluster.kill(node);
    }
    let _again = cluster.start_missing().unwrap();
    let after = wait_for_state(&cluster, "b-0", "all nodes have started anew", |state| {
        state.shards.iter().all(|shard| shard.epoch > before.shard(&shard.name).unwrap().epoch)
    });
    let slots = |state: &ClusterState| -> Vec<String> {
        state.shards.iter().map(|shard| format!("{} {}", shard.name, shard.slots)).collect()
    };
    assert_eq!(slots(&after), slots(&before));
    assert_eq!((after.id.clone(), after.hash_seed), (before.id.clone(), before.hash_seed));
    assert_eq!((&after.settings, &after.ended), (&before.settings, &before.ended));
    let limit = cluster.shard_client(0).unwrap().run("CONFIG GET maxmemory").unwrap().to_string();
    assert_eq!(limit, "[\"maxmemory\", \"104857600\"]");
    // The proxy was there all the time.
    let mut client = cluster.client().unwrap();
    wait_until("the proxy serves", || !client.run("DBSIZE").unwrap().is_error());
}

#[test]
fn a_node_of_another_cluster_is_refused_in_one_line() {
    let cluster = Cluster::start_with(&shards(1)).unwrap();
    let id = port(&cluster, "a-0").state().unwrap().id;
    let mut port = port(&cluster, "a-0");
    for (theirs, told) in [("0123", "one of id 0123"), ("", "a node that has not joined it")] {
        let refusal = port.call(&["SLOTWAY", "RAFT", theirs, "VOTE", "{}"]).unwrap_err().to_string();
        let expected = format!("ERR node a-0 belongs to cluster `test` of id {id}, and was called by {told}");
        assert_eq!(refusal, expected);
    }
}

#[test]
fn a_process_serves_nothing_before_its_start_is_committed() {
    let cluster = Cluster::start_with(&shards(3)).unwrap();
    for node in ["a-0", "b-0", "c-0"] {
        cluster.kill(node);
    }
    // Without the two others nothing is committed.
    let layout = cluster.layout();
    let mut alone = std::process::Command::new(slotway_tests::programs::binary("slotway-shard"))
        .args(["--cluster", "cluster.yaml", "--node", "a-0"])
        .current_dir(layout.directory())
        .spawn()
        .unwrap();
    let mut client = wait_for("a-0 listens", || Client::connect(layout.nodes[0].address).ok());
    wait_until("a-0 has read its log", || client.run("PING").unwrap().to_string() == "+PONG");
    let slot_0 = "{06S}";
    let refused = client.run(&format!("GET {slot_0}")).unwrap().to_string();
    assert!(refused.contains("CLUSTERDOWN Hash slot not served"), "{refused}");
    let reason = wait_for("a-0 tells why it is not ready", || {
        let (status, body) = slotway_tests::http::get(layout.nodes[0].admin, "/readyz").ok()?;
        (status == 503).then_some(body)
    });
    assert!(!reason.is_empty());
    alone.kill().unwrap();
    alone.wait().unwrap();
    cluster.start_missing().unwrap();
}

#[test]
fn a_damaged_log_is_refused_and_a_torn_tail_is_cut() {
    let cluster = Cluster::start_with(&shards(3)).unwrap();
    cluster.kill("b-0");
    let log = cluster.layout().directory().join("data/test/b-0/raft/log");
    let good = std::fs::read(&log).unwrap();

    // Zeros to be written over stand behind the entries.
    let end = good.iter().rposition(|byte| *byte != 0).unwrap();

    let mut damaged = good.clone();
    damaged[end / 2] ^= 0xff;
    std::fs::write(&log, &damaged).unwrap();
    let mut up = cluster.layout().up().unwrap();
    assert!(!up.wait().success());
    let line = up.wait_for_line("is damaged at offset");
    assert!(line.contains("data/test/b-0/raft/log is damaged at offset "), "{line}");

    std::fs::write(&log, &good[..end - 3]).unwrap();
    let up = cluster.start_missing().unwrap();
    let line = up.wait_for_line("a torn tail of ");
    assert!(line.contains("data/test/b-0/raft/log: "), "{line}");
    wait_for_state(&cluster, "b-0", "b-0 is part of the cluster again", |state| {
        state.node("b-0").is_some_and(|(shard, _)| shard.epoch == 3)
    });
}

#[test]
fn a_proxy_follows_a_cluster_that_was_wiped_and_founded_anew() {
    let cluster = Cluster::start_with(&Plan { proxies: 1, ..shards(2) }).unwrap();
    let mut client = cluster.client().unwrap();
    let value_of = |client: &mut Client| client.call(&["CONFIG", "GET", "hz"]).unwrap().to_string();
    let default = value_of(&mut client);
    for number in 0..20 {
        let set = client.call(&["CONFIG", "SET", "hz", &(20 + number).to_string()]).unwrap();
        assert_eq!(set.to_string(), "+OK");
    }
    assert_ne!(value_of(&mut client), default);
    for node in ["a-0", "b-0"] {
        cluster.kill(node);
        std::fs::remove_dir_all(cluster.layout().directory().join("data/test").join(node)).unwrap();
    }
    let _up = cluster.start_missing().unwrap();
    wait_until("the proxy has the settings of the new cluster", || value_of(&mut client) == default);
    let set = client.call(&["CONFIG", "SET", "hz", "77"]).unwrap();
    assert_eq!(set.to_string(), "+OK");
    assert!(value_of(&mut client).contains("77"));
}

#[test]
fn an_added_shard_becomes_a_voter_and_a_removed_one_leaves_the_group() {
    let cluster = Cluster::start_with(&shards(2)).unwrap();
    let layout = cluster.layout();
    let voters = |node: &str| port(&cluster, node).status().unwrap()["voters"].clone();
    assert_eq!(voters("a-0"), serde_json::json!(["a-0"]));
    // So much that what the new node needs is not in the log any more.
    let mut proposer = port(&cluster, "a-0");
    for number in 0..1_300 {
        let outcome = proposer.propose(set("hz", &(10 + number % 100).to_string())).unwrap();
        assert!(matches!(outcome, Outcome::Done { .. }), "{outcome:?}");
    }
    assert!(layout.directory().join("data/test/a-0/raft/snapshot").exists());
    let text = std::fs::read_to_string(layout.file()).unwrap();
    let free = free_ports(3);
    let line = format!(
        "  - {{ name: c, nodes: [{{ client: \"127.0.0.1:{}\", control: {}, admin: {} }}] }}\n",
        free[0], free[1], free[2]
    );
    std::fs::write(layout.file(), text.replace("settings: {}", &format!("{line}settings: {{}}"))).unwrap();
    let mut up = layout.up().unwrap();
    up.wait_for_line("c-0 started as process");
    // It waits to be added: the file alone changes nothing.
    wait_until("c-0 listens", || ControlPort::open(layout, "c-0").is_ok());
    assert!(!port(&cluster, "c-0").state().unwrap().is_founded());

    let file = slotway_common::cluster_file::ClusterFile::read(&layout.file()).unwrap();
    let shard = Shard::from(file.topology().shards[2].clone());
    let added = port(&cluster, "b-0").propose(Change::AddShard { shard }).unwrap();
    assert!(matches!(added, Outcome::Done { .. }), "{added:?}");
    up.wait_until_ready().unwrap();
    let state = wait_for_state(&cluster, "c-0", "c-0 knows itself", |state| {
        state.node("c-0").is_some_and(|(shard, node)| node.incarnation != 0 && shard.slots.is_empty())
    });
    wait_until("three vote", || voters("c-0") == serde_json::json!(["a-0", "b-0", "c-0"]));
    assert_eq!(port(&cluster, "a-0").state().unwrap().id, state.id);

    let removed = port(&cluster, "a-0").propose(Change::RemoveShard { name: "c".to_owned() }).unwrap();
    assert!(matches!(removed, Outcome::Done { .. }), "{removed:?}");
    wait_until("one votes and one learns", || {
        let status = port(&cluster, &leader(&cluster, &["a-0", "b-0"])).status().unwrap();
        status["voters"] == serde_json::json!(["a-0"]) && status["learners"] == serde_json::json!(["b-0"])
    });
    let again = port(&cluster, "b-0").propose(set("hz", "33")).unwrap();
    assert!(matches!(again, Outcome::Done { .. }), "{again:?}");

    // Both begin with their snapshots.
    let before = wait_for_state(&cluster, "b-0", "b-0 knows the last setting", |state| {
        setting(state, "hz").as_deref() == Some("33")
    });
    cluster.kill("a-0");
    cluster.kill("b-0");
    let c = up.started("c-0").unwrap();
    slotway_tests::process::signal(c, "KILL");
    std::fs::write(layout.file(), text).unwrap();
    let _again = cluster.start_missing().unwrap();
    let after = port(&cluster, "b-0").state().unwrap();
    assert_eq!((&after.id, &after.settings), (&before.id, &before.settings));
}
