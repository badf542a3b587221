//! The commands that change a cluster, as processes, against nodes that answer in this one.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "reshard/nodes.rs"]
mod nodes;

use std::process::{Command, Stdio};

use nodes::Nodes;
use serde_json::Value;

const FOUR: [&str; 4] = ["a", "b", "c", "d"];
const ALL: [(&str, &str); 4] = [("a", ""), ("b", ""), ("c", ""), ("d", "")];

fn slots(nodes: &Nodes, name: &str) -> usize {
    nodes.cluster().state.shard(name).map_or(0, |shard| shard.slots.count())
}

#[test]
fn shard_is_added_filled_drained_and_removed() {
    let nodes = Nodes::start(&FOUR, 3);
    let (code, out, _) = nodes.run(&["plan", "cluster.yaml"]);
    assert_eq!((code, out.as_str()), (0, "nothing to do: cluster local is as the file wants it\n"));

    nodes.write(&ALL);
    let (code, out, _) = nodes.run(&["plan", "cluster.yaml"]);
    assert_eq!(code, 3);
    assert!(out.contains("  add shard d (d-0 at 127.0.0.1:"), "{out}");
    assert!(out.contains("  move 1366 slots (1370 keys, 26.8 KiB) from a to d: 4096-5461\n"), "{out}");
    let (code, _, error) = nodes.run(&["apply", "cluster.yaml", "--yes"]);
    assert_eq!(code, 0, "{error}");
    assert!(error.starts_with("shard d has joined\n"), "{error}");
    assert!(error.ends_with("cluster local is as cluster.yaml wants it\n"), "{error}");
    assert_eq!(slots(&nodes, "d"), 4096);
    assert_eq!(nodes.run(&["plan", "cluster.yaml"]).0, 0);

    let before = nodes.text();
    let (code, out, error) = nodes.run(&["drain", "cluster.yaml", "b", "--yes"]);
    assert_eq!(code, 0, "{error}");
    assert!(out.starts_with("cluster.yaml will have shard b: weight: 0\n"), "{out}");
    assert!(out.ends_with(
        "shard b owns nothing; to remove it, delete it from cluster.yaml and run `slotway apply cluster.yaml`\n"
    ));
    assert_eq!(nodes.text().replace(", weight: 0", ""), before);
    assert_eq!(slots(&nodes, "b"), 0);

    nodes.write(&[("a", ""), ("c", ""), ("d", "")]);
    let (code, _, error) = nodes.run(&["apply", "cluster.yaml", "--yes"]);
    assert_eq!(code, 0, "{error}");
    assert!(error.contains("shard b has left: stop its processes\n"), "{error}");
    assert!(nodes.cluster().state.shard("b").is_none());
}

#[test]
fn nobody_to_ask_is_refused_and_nothing_changes() {
    let nodes = Nodes::start(&FOUR, 3);
    nodes.write(&ALL);
    for arguments in [
        vec!["apply", "cluster.yaml"],
        vec!["drain", "cluster.yaml", "a"],
        vec!["rebalance", "cluster.yaml", "--by", "keys"],
    ] {
        let before = nodes.text();
        let (code, _, error) = nodes.run(&arguments);
        assert_eq!(code, 2, "{arguments:?}: {error}");
        assert_eq!(
            error,
            "slotway: nobody can be asked whether to go on, since standard input is no terminal: give --yes\n"
        );
        assert_eq!(nodes.text(), before, "{arguments:?}");
        assert_eq!(nodes.cluster().proposals, 0);
    }
}

#[test]
fn lost_answer_does_not_repeat_a_change() {
    let nodes = Nodes::start(&FOUR, 3);
    nodes.write(&ALL);
    nodes.cluster().lost_answers = 3;
    let (code, _, error) = nodes.run(&["apply", "cluster.yaml", "--yes"]);
    assert_eq!(code, 0, "{error}");
    assert_eq!(nodes.cluster().proposals, 5, "two changes, one of them asked for four times");
    assert_eq!(nodes.cluster().state.ended.len(), 3);
    assert_eq!(slots(&nodes, "d"), 4096);
}

#[test]
fn interrupted_apply_leaves_the_moves_running_and_says_how_to_go_on() {
    let nodes = Nodes::start(&FOUR, 3);
    nodes.write(&[("a", ""), ("b", "")]);
    nodes.cluster().speed = 0;
    let apply = nodes
        .command(&["apply", "cluster.yaml", "--yes", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    nodes.wait_until("the moves run", |cluster| cluster.state.migrations.len() == 2);
    // Signals are heeded from before the first proposal on.
    let interrupted = Command::new("kill").args(["-INT", &apply.id().to_string()]).status().unwrap();
    assert!(interrupted.success());
    let output = apply.wait_with_output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{error}");
    assert!(error.contains("`slotway status --watch cluster.yaml` follows the moves"), "{error}");
    assert!(error.contains("`slotway abort cluster.yaml` stops them"), "{error}");
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["outcome"], "interrupted");
    assert_eq!(json["plan"]["remove"][0], "c");
    assert_eq!(nodes.cluster().state.migrations.len(), 2);

    let (_, out, _) = nodes.run(&["status", "cluster.yaml", "--json"]);
    let status: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(status["moves"]["under_way"][0]["target"], "a");

    nodes.cluster().speed = 5000;
    let (code, _, error) = nodes.run(&["apply", "cluster.yaml", "--yes"]);
    assert_eq!(code, 0, "{error}");
    assert!(nodes.cluster().state.shard("c").is_none());
}

#[test]
fn detached_moves_can_be_stopped() {
    let nodes = Nodes::start(&FOUR, 3);
    nodes.write(&[("a", ""), ("b", "")]);
    nodes.cluster().speed = 10;
    let (code, out, error) = nodes.run(&["apply", "cluster.yaml", "--yes", "--detach", "--json"]);
    assert_eq!(code, 0, "{error}");
    let json: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(json["outcome"], "started");
    let id = json["moves"][0]["id"].as_str().unwrap().to_owned();

    let (code, out, _) = nodes.run(&["abort", "cluster.yaml", &id]);
    assert_eq!(code, 0);
    assert!(out.starts_with(&format!("move {id} has ended (stopped by an operator): ")), "{out}");
    assert!(out.ends_with("the rest stays at c\n"), "{out}");
    let (code, out, _) = nodes.run(&["abort", "cluster.yaml", "--json"]);
    assert_eq!(code, 0);
    let json: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(json["moves"][0]["phase"]["aborted"]["text"], "stopped by an operator");
    assert_eq!(json["moves"][0]["phase"]["aborted"]["kind"], "asked");
    assert_eq!(nodes.run(&["abort", "cluster.yaml"]).1, "no move is under way\n");
    let (code, _, error) = nodes.run(&["abort", "cluster.yaml", "7-7"]);
    assert_eq!((code, error.as_str()), (1, "slotway: there is no move 7-7; none is under way\n"));
}

#[test]
fn rebalance_writes_the_slots_and_keeps_the_comments() {
    let nodes = Nodes::start(&FOUR, 3);
    let before = nodes.text();
    let (code, out, error) = nodes.run(&["rebalance", "cluster.yaml", "--by", "keys", "--dry-run"]);
    assert_eq!(code, 3, "{error}");
    assert!(out.starts_with("SHARD  KEYS NOW"), "{out}");
    assert_eq!(nodes.text(), before);
    assert_eq!(nodes.cluster().proposals, 0);

    let (code, _, error) = nodes.run(&["rebalance", "cluster.yaml", "--by", "keys", "--yes"]);
    assert_eq!(code, 0, "{error}");
    let text = nodes.text();
    assert!(text.starts_with("# what the shards are\ncluster: local\n"), "{text}");
    assert!(text.ends_with("}   # c\n"), "{text}");
    let keys = |name: &str| -> u64 {
        let cluster = nodes.cluster();
        let slots = cluster.state.shard(name).unwrap().slots.clone();
        slots.slots().filter(|slot| slot % 10 == 0).map(|slot| if slot < 1000 { 100 } else { 10 }).sum()
    };
    let (a, b, c) = (keys("a"), keys("b"), keys("c"));
    let share = (a + b + c) / 3;
    for keys in [a, b, c] {
        assert!(keys.abs_diff(share) <= share / 50, "{a} {b} {c}");
    }
    assert_eq!(nodes.run(&["plan", "cluster.yaml"]).0, 0);
    let (code, _, error) =
        nodes.run(&["rebalance", "cluster.yaml", "--by", "load", "--seconds", "1", "--yes"]);
    assert_eq!(
        (code, error.as_str()),
        (1, "slotway: no operation was counted within 1 s, so there is nothing to balance\n")
    );
}

#[test]
fn cluster_that_does_not_answer_is_named() {
    let nodes = Nodes::start(&["a"], 1);
    let text = nodes.text();
    let (from, to) = (text.find("control: ").unwrap() + 9, text.find(", admin").unwrap());
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    std::fs::write(nodes.path(), text.replace(&text[from..to], &closed.to_string())).unwrap();
    let (code, _, error) = nodes.run(&["plan", "cluster.yaml"]);
    assert_eq!(code, 1);
    assert_eq!(
        error,
        format!(
            "slotway: no node of the cluster answers; a-0 at 127.0.0.1:{closed}: Connection refused (os error 111)\n"
        )
    );
}

#[test]
fn refusals_are_one_line_and_change_nothing() {
    let nodes = Nodes::start(&FOUR, 3);
    let refused = |arguments: &[&str]| {
        let (code, _, error) = nodes.run(arguments);
        assert_eq!(error.lines().count(), 1, "{error}");
        assert_eq!(nodes.cluster().proposals, 0);
        (code, error)
    };
    assert_eq!(
        refused(&["drain", "cluster.yaml", "x", "--yes"]),
        (2, "slotway: there is no shard x in cluster.yaml (it has a, b, c)\n".to_owned())
    );
    let text = nodes.text();
    std::fs::write(nodes.path(), text.replace("name: c", "name: z")).unwrap();
    let (code, error) = refused(&["apply", "cluster.yaml", "--yes"]);
    assert_eq!(code, 1);
    assert!(error.starts_with("slotway: new shard z would have 127.0.0.1:"), "{error}");
    std::fs::write(nodes.path(), &text[..text.len() - 30]).unwrap();
    let (code, error) = refused(&["apply", "cluster.yaml", "--yes"]);
    assert_eq!(code, 2);
    assert!(error.starts_with("slotway: cluster.yaml:8: not valid YAML"), "{error}");
    std::fs::write(nodes.path(), text.replace("cluster: local", "cluster: other")).unwrap();
    let (code, error) = refused(&["plan", "cluster.yaml"]);
    assert_eq!(code, 1);
    assert!(error.contains("a process of cluster `other` met one of cluster `local`"), "{error}");
}
