//! Slots move between shards while clients work: nobody notices, and nothing is lost.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use slotway_common::cluster_file::ClusterFile;
use slotway_common::cluster_state::{AbortKind, Phase};
use slotway_common::handshake::Identity;
use slotway_common::internal::Connection;
use slotway_common::resp::Value;
use slotway_common::secret::Secret;
use slotway_common::topology::SlotRanges;
use slotway_tests::history::{Errors, Keys, Load, tag_of};
use slotway_tests::programs::client_libraries;
use slotway_tests::wait::wait_until;
use slotway_tests::{Client, Plan, Site};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Runs `slotway` in the cluster's directory to a good end, and gives what it printed.
fn slotway(site: &Site, arguments: &[&str]) -> String {
    let output = site.cluster.layout().run(arguments).unwrap();
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "slotway {arguments:?}: {text}");
    text
}

#[test]
fn a_shard_is_added_filled_drained_and_removed_and_no_client_notices() {
    let mut site = Site::start(&Plan::default(), "");
    let endpoint = site.cluster.endpoint();
    let keys = Keys::new("live", (0..16384).step_by(61));
    let load = Load { alone: true, ..Load::new(endpoint, keys) }.start();
    load.wait_for(500);

    let name = site.cluster.layout_mut().add_shard().unwrap();
    site.start_new_shard(&name);
    let text = slotway(&site, &["apply", "cluster.yaml", "--yes"]);
    assert!(text.contains("shard d has joined"), "{text}");
    assert_eq!(site.state().shard("d").unwrap().slots.count(), 4096);
    assert_eq!(
        slotway(&site, &["plan", "cluster.yaml"]),
        "nothing to do: cluster test is as the file wants it\n"
    );
    load.wait_for(500);

    for _ in 0..3 {
        let slots = site.slots_of("a", 1500);
        site.move_slots("a", "d", &slots);
        site.move_slots("d", "b", &slots);
        load.wait_for(200);
        site.move_slots("b", "a", &slots);
    }

    let text = slotway(&site, &["drain", "cluster.yaml", "d", "--yes"]);
    assert!(text.contains("shard d owns nothing"), "{text}");
    load.wait_for(500);
    site.cluster.layout_mut().remove_shard("d").unwrap();
    let text = slotway(&site, &["apply", "cluster.yaml", "--yes"]);
    assert!(text.contains("shard d has left"), "{text}");
    load.wait_for(500);

    let history = load.stop(Vec::new());
    history.assert_good(Errors::None);
    site.assert_one_owner_each(&[]);
    eprintln!("{} commands", history.acknowledged());
}

#[test]
fn the_shard_whose_node_leads_can_be_removed() {
    let mut site = Site::start(&Plan { shards: 4, ..Plan::default() }, "");
    let leader = site.leader();
    let load = Load::new(site.cluster.endpoint(), Keys::new("leading", (0..16384).step_by(61))).start();
    load.wait_for(300);
    site.cluster.layout_mut().remove_shard(&leader).unwrap();
    let text = slotway(&site, &["apply", "cluster.yaml", "--yes"]);
    assert!(text.contains(&format!("shard {leader} has left")), "{text}");
    let next = site.leader();
    assert_ne!(next, leader);
    // What it led goes on to be decided, and its process is not needed for it.
    let set = site.cluster.client().unwrap().call(&["CONFIG", "SET", "hz", "33"]).unwrap();
    assert_eq!(set.to_string(), "+OK");
    site.kill(&format!("{leader}-0"));
    let set = site.cluster.client().unwrap().call(&["CONFIG", "SET", "hz", "34"]).unwrap();
    assert_eq!(set.to_string(), "+OK");
    let (source, target) = (site.nodes().remove(0), site.nodes().remove(1));
    let (source, target) = (source.trim_end_matches("-0"), target.trim_end_matches("-0"));
    let slots = site.slots_of(source, 1500);
    site.move_slots(source, target, &slots);
    load.wait_for(300);
    load.stop(Vec::new()).assert_good(Errors::None);
    site.assert_one_owner_each(&[]);
}

#[test]
fn a_full_target_ends_the_move_and_nothing_is_lost() {
    let plan = Plan { settings: vec![("maxmemory".to_owned(), "48mb".to_owned())], ..Plan::default() };
    let mut site = Site::start(&plan, "");
    let slots = site.slots_of("a", 50);
    let mut client = site.cluster.client().unwrap();
    // Each may use 16 MB.
    let value = "v".repeat(100_000);
    let mut fill = |slots: &SlotRanges, count: usize| -> Vec<String> {
        let slots: Vec<u16> = slots.slots().collect();
        let keys = slots.iter().cycle().take(count).enumerate();
        let keys: Vec<String> = keys.map(|(number, slot)| format!("{number}{{{}}}", tag_of(*slot))).collect();
        for key in &keys {
            assert_eq!(client.call(&["SET", key, &value]).unwrap().to_string(), "+OK");
        }
        keys
    };
    let mut keys = fill(&slots, 50);
    keys.extend(fill(&site.slots_of("b", 50), 110));

    let load = Load::new(site.cluster.endpoint(), Keys::new("full", slots.slots())).start();
    load.wait_for(300);
    let id = site.begin_move("a", "b", &slots);
    let ended = site.end_of_move(&id);
    let Phase::Aborted(reason) = &ended.phase else { panic!("{ended:?}") };
    assert!(reason.kind == AbortKind::Full && reason.text.contains("the target has no room: "), "{reason:?}");
    load.wait_for(300);
    load.stop(Vec::new()).assert_good(Errors::None);
    for key in &keys {
        assert_eq!(client.call(&["STRLEN", key]).unwrap(), Value::Int(100_000), "{key}");
    }
    site.assert_one_owner_each(&slots.slots().collect::<Vec<_>>());
    // The third has room.
    site.move_slots("a", "c", &slots);
    for key in &keys {
        assert_eq!(client.call(&["STRLEN", key]).unwrap(), Value::Int(100_000), "{key}");
    }
}

#[test]
fn a_huge_key_moves_while_others_are_served() {
    const CHUNKS: usize = 200;
    const IN_CHUNK: usize = 1000;
    let mut site = Site::start(&Plan::default(), "");
    let slots = site.slots_of("a", 8);
    let key = format!("huge{{{}}}", tag_of(slots.slots().nth(3).unwrap()));
    let mut client = site.cluster.client().unwrap();
    let element = |number: usize| format!("{number:0>150}");
    for chunk in 0..CHUNKS {
        let mut words = vec!["RPUSH".to_owned(), key.clone()];
        words.extend((0..IN_CHUNK).map(|number| element(chunk * IN_CHUNK + number)));
        assert_eq!(client.call(&words).unwrap(), Value::Int(((chunk + 1) * IN_CHUNK) as i64));
    }
    let load = Load::new(site.cluster.endpoint(), Keys::new("huge", slots.slots())).start();
    load.wait_for(200);
    let mut writer = site.cluster.client().unwrap();
    let appended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let done = &appended;
        let (writer, key) = (&mut writer, &key);
        let written = scope.spawn(move || {
            let mut count = CHUNKS * IN_CHUNK;
            while !done.load(Ordering::Relaxed) {
                count += 1;
                assert_eq!(
                    writer.call(&["RPUSH", key, &element(count - 1)]).unwrap(),
                    Value::Int(count as i64)
                );
            }
            count
        });
        site.move_slots("a", "b", &slots);
        site.move_slots("b", "c", &slots);
        appended.store(true, Ordering::Relaxed);
        let count = written.join().unwrap();
        assert!(count > CHUNKS * IN_CHUNK, "nothing was written meanwhile");
        assert_eq!(client.call(&["LLEN", key]).unwrap(), Value::Int(count as i64));
        for from in (0..count).step_by(10_000) {
            let to = (from + 9_999).min(count - 1);
            let range = client.call(&["LRANGE", key, &from.to_string(), &to.to_string()]).unwrap();
            let items = range.as_array().unwrap();
            assert_eq!(items.len(), to - from + 1);
            for (number, item) in (from..=to).zip(items) {
                assert_eq!(item.as_bytes().unwrap(), element(number).as_bytes());
            }
        }
    });
    load.stop(Vec::new()).assert_good(Errors::None);
}

#[test]
fn cluster_aware_clients_follow_moves() {
    let mut site = Site::start(&Plan::default(), "");
    let seed = site.cluster.layout().nodes[0].address;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/follow.py");
    let mut python = Command::new(client_libraries().join("venv/bin/python"))
        .arg(script)
        .args([seed.ip().to_string(), seed.port().to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let stopped = &stop;
        let ours = scope.spawn(move || {
            let seeds = vec![format!("redis://{seed}")];
            let mut connection = redis::cluster::ClusterClient::new(seeds).unwrap().get_connection().unwrap();
            let mut round = 0_i64;
            while !stopped.load(Ordering::Relaxed) {
                round += 1;
                for number in 0..100 {
                    let key = format!("rust:{number}");
                    let count: i64 = redis::cmd("INCR").arg(&key).query(&mut connection).unwrap();
                    assert_eq!(count, round, "{key}");
                }
            }
            round
        });
        let mut proxy = Client::connect(site.cluster.endpoint()).unwrap();
        let mut has_begun = |key: &str| {
            wait_until("a client has begun", || !proxy.call(&["GET", key]).unwrap().is_null());
        };
        has_begun("rust:1");
        has_begun("python:1");
        for (source, target) in [("a", "b"), ("b", "c"), ("c", "a")] {
            let slots = site.slots_of(source, 2000);
            site.move_slots(source, target, &slots);
        }
        stop.store(true, Ordering::Relaxed);
        assert!(ours.join().expect("the redis crate's cluster client sees no error") > 1);
    });
    drop(python.stdin.take().map(|mut input| input.write_all(b"stop\n")));
    let output = python.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&[output.stdout.clone(), output.stderr].concat()).into_owned();
    assert!(output.status.success() && output.stdout.ends_with(b"ok\n"), "{text}");
}

#[test]
fn a_damaged_stream_and_a_node_of_another_cluster_are_refused_and_the_move_goes_on() {
    let mut site = Site::start(&Plan::default(), "");
    let slots = site.slots_of("a", 100);
    let load = Load::new(site.cluster.endpoint(), Keys::new("damaged", slots.slots())).start();
    load.wait_for(200);

    let layout = site.cluster.layout();
    let file = ClusterFile::read(&layout.file()).unwrap();
    let secret = Secret::read(&layout.directory().join(&file.secret_path)).unwrap();
    let target = layout.nodes[1].address.to_string();
    let patience = std::time::Duration::from_secs(20);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();

    let stranger = Identity { cluster: "other".to_owned(), node: "a-0".to_owned() };
    let refused = runtime.block_on(Connection::open(&target, &stranger, &secret, Some("b-0"), patience));
    let refusal = refused.err().expect("a node of another cluster is refused").to_string();
    assert!(refusal.contains("other") && !refusal.contains('\n'), "{refusal}");

    // While the true source rests, a second stream of its move brings damaged frames.
    site.arm("source-copied", "pause 1000");
    let id = site.begin_move("a", "b", &slots);
    let identity = Identity { cluster: "test".to_owned(), node: "a-0".to_owned() };
    let answer = runtime.block_on(async {
        let mut connection =
            Connection::open(&target, &identity, &secret, Some("b-0"), patience).await.unwrap();
        connection.call(&["SLOTWAY", "IMPORT", &id]).await.unwrap();
        let (mut stream, mut received) = connection.into_parts();
        stream.write_all(&[0x5a; 4096]).await.unwrap();
        let _ = stream.read_to_end(&mut received).await;
        String::from_utf8_lossy(&received).into_owned()
    });
    assert!(answer.contains("frame"), "{answer}");
    let ended = site.end_of_move(&id);
    assert_eq!(ended.phase, Phase::Finished, "{ended:?}");
    load.wait_for(200);
    load.stop(Vec::new()).assert_good(Errors::None);
}
