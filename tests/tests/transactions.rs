//! MULTI, EXEC and WATCH answer as a real redis-server does, are one for everybody else, and outlive a kill as a whole.
#![allow(clippy::unwrap_used)]

use slotway_common::resp::Value;
use slotway_tests::Site;
use slotway_tests::cluster::{Cluster, Plan as Layout};
use slotway_tests::differential::{self, Subject, transactions};
use slotway_tests::history::tag_of;

const COMMANDS: usize = 20_000;

fn compare(subject: Subject, resp3: bool) {
    differential::compare(subject, resp3, COMMANDS, transactions::run).unwrap();
}

#[test]
fn a_shard_runs_transactions_as_redis_in_resp2() {
    compare(Subject::Shard, false);
}

#[test]
fn a_shard_runs_transactions_as_redis_in_resp3() {
    compare(Subject::Shard, true);
}

#[test]
fn the_proxy_over_three_shards_runs_transactions_as_redis_in_resp2() {
    compare(Subject::Proxy, false);
}

#[test]
fn the_proxy_over_three_shards_runs_transactions_as_redis_in_resp3() {
    compare(Subject::Proxy, true);
}

/// Whether EXEC answers nil to a client that watched a key whose slot has moved away and back meanwhile.
fn a_move_breaks_a_watch(planted: &str) -> bool {
    let mut site = Site::start(&Layout::default(), planted);
    let slots = site.slots_of("a", 2);
    let key = format!("watched{{{}}}", tag_of(slots.slots().next().unwrap()));
    let mut client = site.cluster.client().unwrap();
    client.call(&["SET", &key, "1"]).unwrap();
    assert_eq!(client.call(&["WATCH", &key]).unwrap().to_string(), "+OK");
    site.move_slots("a", "b", &slots);
    // What happens to it there the first shard will not learn.
    site.cluster.client().unwrap().call(&["SET", &key, "2"]).unwrap();
    site.move_slots("b", "a", &slots);
    client.run("MULTI").unwrap();
    client.call(&["SET", &key, "3"]).unwrap();
    let is_nil = client.run("EXEC").unwrap().is_null();
    assert_eq!(client.call(&["GET", &key]).unwrap() == Value::Bulk(b"2".to_vec()), is_nil);
    is_nil
}

#[test]
fn a_watch_does_not_survive_a_move() {
    assert!(a_move_breaks_a_watch(""));
}

#[test]
fn a_watch_that_survives_a_move_is_found() {
    assert!(!a_move_breaks_a_watch("watch-survives-move"));
}

#[test]
fn a_transaction_on_several_shards_runs_as_a_whole() {
    let cluster = Cluster::start_with(&Layout { shards: 3, ..Layout::default() }).unwrap();
    let (mut client, mut other) = (cluster.client().unwrap(), cluster.client().unwrap());
    let keys = ["a", "b", "c", "d", "e"];
    for (touched, nil) in [(false, false), (true, true), (false, false)] {
        assert_eq!(client.run("WATCH a b c d e w").unwrap().to_string(), "+OK");
        if touched {
            other.run("INCR w").unwrap();
        }
        client.run("MULTI").unwrap();
        for key in keys {
            assert_eq!(client.run(&format!("INCR {key}")).unwrap().to_string(), "+QUEUED");
        }
        client.run("MGET e a").unwrap();
        assert_eq!(client.run("EXEC").unwrap().is_null(), nil);
    }
    assert_eq!(other.run("MGET a b c d e").unwrap().to_string(), r#"["2", "2", "2", "2", "2"]"#);
}

#[test]
fn nobody_sees_half_of_a_transaction_while_its_slot_moves() {
    let mut site = Site::start(&Layout::default(), "");
    let slots = site.slots_of("a", 2);
    let tag = tag_of(slots.slots().next().unwrap()).to_owned();
    let endpoint = site.cluster.endpoint();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (done, tag) = (&done, &tag);
        let writer = scope.spawn(move || {
            let mut client = slotway_tests::Client::connect(endpoint).unwrap();
            let mut count: i64 = 0;
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                count += 1;
                client.run("MULTI").unwrap();
                client.call(&["INCR", &format!("one{{{tag}}}")]).unwrap();
                client.call(&["INCR", &format!("two{{{tag}}}")]).unwrap();
                let reply = client.run("EXEC").unwrap();
                assert_eq!(reply, Value::Array(vec![Value::Int(count), Value::Int(count)]));
            }
            count
        });
        let reader = scope.spawn(move || {
            let mut client = slotway_tests::Client::connect(endpoint).unwrap();
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                let both =
                    client.call(&["MGET", &format!("one{{{tag}}}"), &format!("two{{{tag}}}")]).unwrap();
                let both = both.as_array().unwrap();
                assert_eq!(both[0], both[1]);
            }
        });
        for _ in 0..4 {
            site.move_slots("a", "b", &slots);
            site.move_slots("b", "a", &slots);
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(writer.join().unwrap() > 0);
        reader.join().unwrap();
    });
}
