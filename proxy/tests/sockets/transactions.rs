//! Transactions over several shards.

use slotway_common::slot::slot_of;

use crate::support::{Cluster, key, wait_until};

/// What a shard was asked about transactions, apart from heartbeats.
fn asked(cluster: &Cluster, shard: usize) -> Vec<String> {
    let log = cluster.shards[shard].log();
    log.into_iter().filter(|request| request.starts_with("SLOTWAY-")).collect()
}

#[test]
fn exec_on_several_shards_prepares_in_order_and_answers_in_the_order_of_its_commands() {
    let cluster = Cluster::start();
    let mut client = cluster.client();
    let (a, b, c) = (key(0, 0), key(1, 0), key(2, 0));
    client.send(&[
        "MULTI".to_owned(),
        format!("SET {c} 3"),
        format!("MSET {a} 1 {b} 2 {c} 4"),
        format!("GET {c}"),
        "PING".to_owned(),
        format!("MGET {c} none {b} {a}"),
        format!("APPEND {b} x"),
        format!("DEL {a} {c} none"),
        "EXEC".to_owned(),
    ]);
    client.receive_texts(8);
    assert_eq!(client.text_of_next(), r#"[+OK, +OK, "4", +PONG, ["4", null, "2", "1"], :2, :2]"#);
    assert_eq!(asked(&cluster, 0), ["SLOTWAY-PREPARE c", "SLOTWAY-COMMIT"]);
    assert_eq!(asked(&cluster, 1), ["SLOTWAY-PREPARE c", "SLOTWAY-COMMIT"]);
    wait_until("the decider may forget", || asked(&cluster, 2) == ["SLOTWAY-DECIDE a,b", "SLOTWAY-FORGET"]);
}

#[test]
fn mset_is_applied_as_a_whole() {
    let cluster = Cluster::start();
    let mut client = cluster.client();
    let (a, b, c) = (key(0, 0), key(1, 0), key(2, 0));
    assert_eq!(client.text(&format!("MSET {c} 1 {a} 2 {c} 3 {b} 4")), "+OK");
    assert_eq!(client.text(&format!("MGET {a} {b} {c}")), r#"["2", "4", "3"]"#);
    assert_eq!(asked(&cluster, 0), ["SLOTWAY-PREPARE c", "SLOTWAY-COMMIT"]);
    cluster.shards[0].break_at("SLOTWAY-PREPARE");
    let reply = client.text(&format!("MSET {a} 5 {b} 5"));
    assert!(reply.ends_with("(nothing was applied)"), "{reply}");
    assert_eq!(client.text(&format!("GET {a}")), "\"2\"");
}

#[test]
fn exec_on_one_shard_stays_one_request() {
    let cluster = Cluster::start();
    let mut client = cluster.client();
    let (one, other) = (key(1, 0), key(1, 1));
    client.send(&["MULTI".to_owned(), format!("SET {one} 1"), format!("GET {other}"), "EXEC".to_owned()]);
    client.receive_texts(3);
    assert_eq!(client.text_of_next(), "[+OK, null]");
    assert_eq!(asked(&cluster, 1), ["SLOTWAY-EXEC"]);
}

#[test]
fn every_part_runs_in_the_databases_of_the_whole() {
    let cluster = Cluster::start();
    let mut client = cluster.client();
    let (a, b) = (key(0, 0), key(1, 0));
    let queued = [format!("SET {a} 0"), "SELECT 3".to_owned(), format!("SET {b} 3"), format!("GET {a}")];
    client.send(&["MULTI".to_owned()]);
    client.send(&queued);
    client.send(&["EXEC".to_owned(), format!("GET {b}"), "SELECT 0".to_owned(), format!("GET {b}")]);
    client.receive_texts(5);
    assert_eq!(client.text_of_next(), "[+OK, +OK, +OK, null]");
    assert_eq!(client.receive_texts(3), ["\"3\"", "+OK", "null"]);
}

#[test]
fn what_is_watched_on_several_shards_is_a_part_of_the_transaction() {
    let cluster = Cluster::start();
    let (mut client, mut other) = (cluster.client(), cluster.client());
    let (a, b, c) = (key(0, 0), key(1, 0), key(2, 0));
    for touched in [None, Some(&a), Some(&c)] {
        assert_eq!(client.text(&format!("WATCH {a} {c}")), "+OK");
        if let Some(key) = touched {
            assert_eq!(other.text(&format!("APPEND {key} x")), ":1");
        }
        client.send(&["MULTI".to_owned(), format!("SET {b} 1"), "EXEC".to_owned()]);
        client.receive_texts(2);
        assert_eq!(client.text_of_next(), if touched.is_none() { "[+OK]" } else { "null array" });
    }
    let before = asked(&cluster, 0).len();
    assert_eq!(client.text(&format!("WATCH {a} {b} {c}")), "+OK");
    client.send(&["MULTI", "EXEC"]);
    assert_eq!(client.receive_texts(2), ["+OK", "[]"]);
    // What ended the one before may come late: nobody waits for it.
    let late = |request: &String| request.contains("-ABORT") || request.contains("-UNWATCH");
    let asked: Vec<String> =
        asked(&cluster, 0).into_iter().skip(before).filter(|asked| !late(asked)).collect();
    assert_eq!(asked, ["SLOTWAY-WATCH", "SLOTWAY-PREPARE c", "SLOTWAY-COMMIT"]);
}

#[test]
fn a_transaction_whose_slot_has_moved_begins_again() {
    let cluster = Cluster::start();
    let mut client = cluster.client();
    let (a, b, c) = (key(0, 0), key(1, 0), key(2, 0));
    cluster.move_slot(slot_of(b.as_bytes()), 1, 0);
    client.send(&[
        "MULTI".to_owned(),
        format!("APPEND {a} 1"),
        format!("APPEND {b} 22"),
        format!("APPEND {c} 333"),
        "EXEC".to_owned(),
    ]);
    client.receive_texts(4);
    assert_eq!(client.text_of_next(), "[:1, :2, :3]");
    let again = ["SLOTWAY-PREPARE c", "SLOTWAY-ABORT", "SLOTWAY-PREPARE c", "SLOTWAY-COMMIT"];
    assert_eq!(asked(&cluster, 0), again);
    assert_eq!(asked(&cluster, 1), ["SLOTWAY-PREPARE c"]);
}

#[test]
fn a_shard_that_has_to_wait_for_its_locks_answers_later() {
    let cluster = Cluster::start();
    cluster.shards.iter().for_each(|shard| shard.answer_later());
    let mut client = cluster.client();
    client.send(&["MULTI".to_owned(), format!("SET {} 1", key(0, 0)), format!("SET {} 1", key(1, 0))]);
    client.send(&["EXEC"]);
    client.receive_texts(3);
    assert_eq!(client.text_of_next(), "[+OK, +OK]");
}

#[test]
fn errors_say_whether_a_transaction_was_applied() {
    let cluster = Cluster::start();
    let mut client = cluster.client();
    let (a, b, c) = (key(0, 0), key(1, 0), key(2, 0));
    let transaction = |value: &str| {
        [
            "MULTI".to_owned(),
            format!("SET {a} {value}"),
            format!("SET {b} {value}"),
            format!("SET {c} {value}"),
        ]
    };
    let cases = [
        (1, "SLOTWAY-PREPARE", "nothing was applied"),
        (
            2,
            "SLOTWAY-DECIDE",
            "shard \\'c\\', which decides, is missing: the transaction was applied as a whole or not at all",
        ),
    ];
    for (shard, at, text) in cases {
        cluster.shards[shard].break_at(at);
        client.send(&transaction("1"));
        client.send(&["EXEC"]);
        client.receive_texts(4);
        let reply = client.text_of_next();
        assert!(reply.contains(text), "{reply}");
        wait_until("the shard is served again", || client.text(&format!("GET {}", key(shard, 0))) == "null");
    }
    assert!(asked(&cluster, 0).ends_with(&["SLOTWAY-PREPARE c".to_owned()]), "nobody is told to abort");
    cluster.shards[0].break_at("SLOTWAY-COMMIT");
    client.send(&transaction("2"));
    client.send(&["EXEC"]);
    client.receive_texts(4);
    let reply = client.text_of_next();
    assert!(
        reply.starts_with("[-ERR the transaction was applied") && reply.ends_with(", +OK, +OK]"),
        "{reply}"
    );
    assert!(!asked(&cluster, 2).contains(&"SLOTWAY-FORGET".to_owned()), "the first shard is going to ask");
}
