//! A shard that dies and comes back while clients go on.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use slotway_common::resp::Value;
use slotway_common::slot::slot_of;
use slotway_common::topology::SlotRanges;
use slotway_tests::wait::wait_until;
use slotway_tests::{Client, Cluster};

/// Slots of the shards `a`, `b` and `c` of the default plan.
const SLOTS: [&str; 3] = ["0-5461", "5462-10922", "10923-16383"];

/// A key of each shard, different for each number.
fn keys(number: usize) -> [String; 3] {
    SLOTS.map(|slots| {
        let slots: SlotRanges = slots.parse().unwrap();
        (0..)
            .map(|try_| format!("key:{number}:{try_}"))
            .find(|key| slots.contains(slot_of(key.as_bytes())))
            .unwrap()
    })
}

/// What one client of the load has seen.
#[derive(Default)]
struct Seen {
    /// Successful writes to each shard.
    written: [AtomicU64; 3],
    /// Refusals because a shard is down.
    down: AtomicU64,
    /// The longest that any reply took, in milliseconds.
    slowest: AtomicU64,
}

/// Writes and reads back on one connection, shard by shard, until told to stop.
fn work(mut client: Client, number: usize, seen: &Seen, stop: &AtomicBool) {
    let keys = keys(number);
    let mut round = 0;
    while !stop.load(Ordering::Relaxed) {
        round += 1;
        for (shard, key) in keys.iter().enumerate() {
            let value = format!("{number}:{round}");
            let start = Instant::now();
            let written = client.call(&["SET", key, &value]).expect("the connection to the proxy stays");
            let read = client.call(&["GET", key]).expect("the connection to the proxy stays");
            let took = start.elapsed().as_millis() as u64;
            seen.slowest.fetch_max(took, Ordering::Relaxed);
            match (&written, &read) {
                (Value::Simple(_), Value::Bulk(bytes)) => {
                    assert_eq!(bytes, value.as_bytes(), "{key}");
                    seen.written[shard].fetch_add(1, Ordering::Relaxed);
                }
                _ => {
                    assert_eq!(shard, 1, "{key}: {written}, {read}");
                    for reply in [&written, &read] {
                        match reply {
                            Value::Error(text) => {
                                let text = String::from_utf8_lossy(text).into_owned();
                                let loads = text.starts_with("LOADING ");
                                assert!(loads || text.contains("shard 'b'"), "{text}");
                                let down = loads || text.starts_with("CLUSTERDOWN ");
                                // What was on its way when the shard died may have run.
                                assert!(down || text.starts_with("ERR the connection to shard"), "{text}");
                                seen.down.fetch_add(u64::from(down), Ordering::Relaxed);
                            }
                            // The shard came back, or went away in between.
                            Value::Simple(_) | Value::Bulk(_) | Value::NullBulk => {}
                            other => panic!("{key}: {other}"),
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn shard_that_dies_under_load_costs_its_own_slots_and_heals() {
    let cluster = Cluster::start().unwrap();
    let (seen, stop) = (Seen::default(), AtomicBool::new(false));
    let written = |shard: usize| seen.written[shard].load(Ordering::Relaxed);
    let progress = |what: &str, shard: usize| {
        let before = written(shard);
        wait_until(what, || written(shard) > before + 100);
    };
    std::thread::scope(|scope| {
        // Whatever happens here, the workers end.
        struct Stop<'a>(&'a AtomicBool);
        impl Drop for Stop<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let _stop = Stop(&stop);
        for number in 0..8 {
            let client = cluster.client().unwrap();
            let (seen, stop) = (&seen, &stop);
            scope.spawn(move || work(client, number, seen, stop));
        }
        (0..3).for_each(|shard| progress("all shards are written to", shard));

        cluster.kill("b-0");
        wait_until("requests of the dead shard fail", || seen.down.load(Ordering::Relaxed) > 100);
        progress("the first shard goes on", 0);
        progress("the third shard goes on", 2);

        let _second = cluster.start_missing().unwrap();
        progress("the restarted shard is written to over the same connections", 1);
        progress("the first shard goes on", 0);
        stop.store(true, Ordering::Relaxed);
    });
    assert!(
        seen.slowest.load(Ordering::Relaxed) < 10_000,
        "a request took {} ms",
        seen.slowest.load(Ordering::Relaxed)
    );
}

#[test]
fn requests_of_a_dead_shard_fail_at_once_and_name_it() {
    let cluster = Cluster::start().unwrap();
    let keys = keys(0);
    let mut client = cluster.client().unwrap();
    cluster.kill("b-0");
    wait_until("the proxy notices", || match client.call(&["GET", &keys[1]]).unwrap() {
        Value::Error(text) => String::from_utf8(text).unwrap().starts_with("CLUSTERDOWN shard 'b' at "),
        _ => false,
    });
    // A part that failed is an error and never a missing key.
    let several = client.call(&["MGET", &keys[0], &keys[1], &keys[2]]).unwrap();
    assert!(several.is_error(), "{several}");
    let flushed = client.run("FLUSHALL").unwrap();
    assert!(flushed.is_error(), "{flushed}");
    let start = Instant::now();
    for _ in 0..100 {
        assert!(client.call(&["GET", &keys[1]]).unwrap().is_error());
    }
    assert!(start.elapsed() < Duration::from_secs(10), "100 refusals took {:?}", start.elapsed());
    assert_eq!(client.call(&["SET", &keys[0], "1"]).unwrap(), Value::Simple(b"OK".to_vec()));
}

#[test]
fn flushall_changes_nothing_unless_all_shards_answer() {
    let cluster = Cluster::start().unwrap();
    let keys = keys(0);
    let mut client = cluster.client().unwrap();
    for key in &keys {
        client.call(&["SET", key, "1"]).unwrap();
    }
    cluster.kill("b-0");
    wait_until("FLUSHALL is refused", || client.run("FLUSHALL").unwrap().is_error());
    for key in [&keys[0], &keys[2]] {
        assert_eq!(client.call(&["GET", key]).unwrap(), Value::Bulk(b"1".to_vec()), "{key} is gone");
    }
}

#[test]
fn setting_outlives_the_restart_of_every_shard() {
    let cluster = Cluster::start().unwrap();
    let mut client = cluster.client().unwrap();
    let set = client.call(&["CONFIG", "SET", "hash-max-listpack-entries", "7"]).unwrap();
    assert_eq!(set, Value::Simple(b"OK".to_vec()));
    for node in ["a-0", "b-0", "c-0"] {
        cluster.kill(node);
    }
    let _second = cluster.start_missing().unwrap();
    let wanted = Value::Bulk(b"7".to_vec());
    wait_until("the restarted shards have the setting", || {
        let shown = client.call(&["CONFIG", "GET", "hash-max-listpack-entries"]).unwrap();
        shown.as_array().is_some_and(|pair| pair.last() == Some(&wanted))
    });
    for shard in 0..3 {
        let shown = cluster.shard_client(shard).unwrap().run("CONFIG GET hash-max-listpack-entries").unwrap();
        assert_eq!(shown.as_array().unwrap().last(), Some(&wanted), "shard {shard}");
    }
}
