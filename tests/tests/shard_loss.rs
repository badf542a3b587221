//! A shard that is killed under load and comes back: its slots fail at once with an error that names it, all others go
//! on, and the proxy heals by itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use slotway_common::resp::Value;
use slotway_tests::wait::wait_until;
use slotway_tests::{Client, Cluster};

/// The text of an error reply, with its prefix; of another reply its readable form.
fn text(reply: &Value) -> String {
    match reply {
        Value::Error(text) => String::from_utf8_lossy(text).into_owned(),
        other => other.to_string(),
    }
}

/// Whether this is what INCR may get of a shard that was killed.
fn is_loss_of(name: &str, address: &str, error: &str) -> bool {
    let broke = format!("ERR the connection to shard '{name}' broke before its reply (");
    // While it reads its log it says so itself.
    error.starts_with("LOADING ")
        || error.starts_with(&format!("CLUSTERDOWN shard '{name}' at {address} is down: "))
        || error.starts_with(&broke) && error.ends_with("): the command may have been executed")
}

/// What a client that works on one key sees.
#[derive(Default)]
struct Seen {
    good: AtomicU64,
    errors: AtomicU64,
    strange: AtomicU64,
    /// Longest wait for a reply, in microseconds.
    longest: AtomicU64,
}

#[test]
fn a_killed_shard_fails_only_its_own_slots_and_comes_back() {
    let cluster = Cluster::start().unwrap();
    let mut client = cluster.client().unwrap();
    wait_until("every shard answers", || !client.run("DBSIZE").unwrap().is_error());
    assert_eq!(client.run("CONFIG SET requirepass secret maxmemory 100mb").unwrap().to_string(), "+OK");
    drop(client);
    let mut client = cluster.client().unwrap();
    assert_eq!(client.run("AUTH secret").unwrap().to_string(), "+OK");

    let keys: Vec<String> = {
        let mut found: Vec<Option<String>> = vec![None; 3];
        let mut shards: Vec<Client> = (0..3).map(|number| cluster.shard_client(number).unwrap()).collect();
        for shard in &mut shards {
            assert_eq!(shard.run("AUTH secret").unwrap().to_string(), "+OK");
        }
        for number in 0..1_000 {
            let key = format!("key:{number}");
            for (shard, found) in shards.iter_mut().zip(&mut found) {
                if found.is_none() && !shard.call(&["GET", &key]).unwrap().is_error() {
                    *found = Some(key.clone());
                }
            }
        }
        found.into_iter().map(|key| key.expect("a key of every shard")).collect()
    };
    let address = cluster.layout().nodes[0].address.to_string();

    let stop = Arc::new(AtomicBool::new(false));
    let seen: Vec<Arc<Seen>> = keys.iter().map(|_| Arc::default()).collect();
    let workers: Vec<_> = keys
        .iter()
        .zip(&seen)
        .map(|(key, seen)| {
            let (stop, seen, key, address) = (stop.clone(), seen.clone(), key.clone(), address.clone());
            let mut client = cluster.client().unwrap();
            std::thread::spawn(move || {
                assert_eq!(client.run("AUTH secret").unwrap().to_string(), "+OK");
                // A worker of the proxy that found a shard not yet listening tries again a few milliseconds later.
                wait_until("every shard answers", || !client.run("DBSIZE").unwrap().is_error());
                while !stop.load(Ordering::Relaxed) {
                    let began = std::time::Instant::now();
                    for _ in 0..16 {
                        client.send(&["INCR", &key]).expect("the client's connection stays");
                    }
                    for _ in 0..16 {
                        let reply = client.receive().expect("the client's connection stays");
                        match &reply {
                            Value::Int(_) => seen.good.fetch_add(1, Ordering::Relaxed),
                            Value::Error(_) if is_loss_of("a", &address, &text(&reply)) => {
                                seen.errors.fetch_add(1, Ordering::Relaxed)
                            }
                            _ => {
                                let first = seen.strange.load(Ordering::Relaxed) == 0;
                                if first {
                                    eprintln!("{key}: {reply}");
                                }
                                seen.strange.fetch_add(1, Ordering::Relaxed)
                            }
                        };
                    }
                    let took = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
                    seen.longest.fetch_max(took, Ordering::Relaxed);
                    if seen.errors.load(Ordering::Relaxed) > 0 {
                        // No busy loop on errors.
                        std::thread::yield_now();
                    }
                }
            })
        })
        .collect();
    let count = |which: usize| seen[which].good.load(Ordering::Relaxed);
    wait_until("load on every shard", || (0..3).all(|which| count(which) > 1_000));

    cluster.kill("a-0");
    wait_until("errors for the killed shard's slots", || seen[0].errors.load(Ordering::Relaxed) > 100);
    let before = (count(1), count(2));
    wait_until("the other shards go on", || count(1) > before.0 + 1_000 && count(2) > before.1 + 1_000);
    let down = text(&client.call(&["GET", &keys[0]]).unwrap());
    assert!(down.starts_with(&format!("CLUSTERDOWN shard 'a' at {address} is down: ")), "{down}");
    let part = text(&client.call(&["MGET", &keys[0], &keys[1]]).unwrap());
    assert!(part.starts_with("CLUSTERDOWN shard 'a'"), "{part}");

    let _up = cluster.start_missing().unwrap();
    let before = count(0);
    wait_until("the proxy heals", || count(0) > before + 1_000);
    stop.store(true, Ordering::Relaxed);
    for worker in workers {
        worker.join().expect("a worker that saw only replies");
    }
    for which in [1, 2] {
        assert_eq!(seen[which].errors.load(Ordering::Relaxed), 0, "errors for a shard that was not killed");
    }
    assert!(
        seen.iter().all(|seen| seen.strange.load(Ordering::Relaxed) == 0),
        "an error that names no shard"
    );
    let longest = Duration::from_micros(
        seen.iter().map(|seen| seen.longest.load(Ordering::Relaxed)).max().unwrap_or(0),
    );
    eprintln!(
        "good {:?}, errors {}, longest wait for 16 replies {longest:?}",
        [count(0), count(1), count(2)],
        seen[0].errors.load(Ordering::Relaxed)
    );
    assert!(longest < Duration::from_secs(10), "{longest:?}");

    // What CONFIG SET set before is in force on the new process, for who comes past the proxy, too.
    let mut direct = cluster.shard_client(0).unwrap();
    assert!(text(&direct.run("GET x").unwrap()).starts_with("NOAUTH"));
    assert_eq!(direct.run("AUTH secret").unwrap().to_string(), "+OK");
    let maxmemory = direct.run("CONFIG GET maxmemory").unwrap().to_string();
    assert_eq!(maxmemory, "[\"maxmemory\", \"104857600\"]");
}
