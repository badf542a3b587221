//! Bugs that are planted must be found, and what finds them must be content without them: so the other tests say
//! something.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::{Duration, Instant};

use slotway_common::cluster_file::ClusterFile;
use slotway_common::cluster_state::{AbortReason, Change, Outcome, Phase};
use slotway_common::handshake::Identity;
use slotway_common::internal::{CallError, Connection};
use slotway_common::resp::Value;
use slotway_common::secret::Secret;
use slotway_common::slot::Slot;
use slotway_common::topology::SlotRanges;
use slotway_tests::history::{Errors, Keys, Load, tag_of};
use slotway_tests::power::Unsynced;
use slotway_tests::wait::wait_until;
use slotway_tests::{Client, Plan, Site};

/// Finds the bug if it is planted, and nothing if it is not.
#[track_caller]
fn found(name: &str, check: impl Fn(&mut Site) -> Result<(), String>) {
    found_where(
        |planted| Site::start(&Plan::without_log(), &format!("start-told-late,{planted}")),
        name,
        check,
    );
}

/// As [`found`], on one shard with a log, and a disk that can lose what was not synced.
#[track_caller]
fn found_on_disk(name: &str, fsync: &str, check: impl Fn(&mut Site) -> Result<(), String>) {
    let settings = [("appendonly", "yes"), ("appendfsync", fsync)];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let plan = Plan { shards: 1, proxies: 0, settings };
    found_where(|planted| Site::start_with_disks(&plan, planted), name, check);
}

#[track_caller]
fn found_where(start: impl Fn(&str) -> Site, name: &str, check: impl Fn(&mut Site) -> Result<(), String>) {
    for planted in ["", name] {
        match (planted, check(&mut start(planted))) {
            ("", Ok(())) => {}
            ("", Err(what)) => panic!("without a planted bug: {what}"),
            (_, Ok(())) => panic!("{name} is not found"),
            (_, Err(what)) => eprintln!("{name} is found: {what}"),
        }
    }
}

/// A proxy's connection to a shard, by the tests.
struct Internal {
    runtime: tokio::runtime::Runtime,
    connection: Connection,
}

impl Internal {
    fn open(site: &Site, node: &str) -> Internal {
        let layout = site.cluster.layout();
        let file = ClusterFile::read(&layout.file()).unwrap();
        let secret = Secret::read(&layout.directory().join(&file.secret_path)).unwrap();
        let identity = Identity { cluster: file.cluster.clone(), node: "proxy-0".to_owned() };
        let address = layout.nodes.iter().find(|known| known.id == node).unwrap().address.to_string();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let patience = Duration::from_secs(20);
        let opened = Connection::open(&address, &identity, &secret, Some(node), patience);
        let connection = runtime.block_on(opened).unwrap();
        Internal { runtime, connection }
    }

    /// The reply, or the error with its prefix.
    fn call(&mut self, line: &str) -> Result<Value, String> {
        let words: Vec<&str> = line.split(' ').collect();
        self.runtime.block_on(self.connection.call(&words)).map_err(|error| match error {
            CallError::Refused(text) => text,
            other => panic!("{line}: {other}"),
        })
    }
}

fn is_parked(reply: &Result<Value, String>) -> bool {
    reply.as_ref().is_err_and(|text| text.starts_with("PARKED "))
}

fn key(slot: Slot) -> String {
    format!("key{{{}}}", tag_of(slot))
}

/// A move that stands still with its slots parked, because the target's data thread rests for so long.
fn parked(site: &mut Site, milliseconds: u32) -> (String, SlotRanges) {
    let slots = site.slots_of("a", 10);
    site.arm("target-prepared", &format!("pause {milliseconds}"));
    let id = site.begin_move("a", "b", &slots);
    site.wait_for_fault("target-prepared");
    (id, slots)
}

#[test]
fn a_refusal_that_does_not_stick() {
    found("refusal-does-not-stick", |site| {
        let mut connection = Internal::open(site, "a-0");
        let (id, _) = parked(site, 1000);
        let key = key(0);
        let refused = connection.call(&format!("SET {key} first"));
        assert!(is_parked(&refused), "{refused:?}");
        site.propose(&Change::AbortMove { id, reason: AbortReason::asked("asked by a test") });
        let mut other = Client::connect(site.cluster.layout().nodes[0].address).unwrap();
        wait_until("the slot is open again", || !other.call(&["GET", &key]).unwrap().is_error());
        // What the proxy had sent behind the first one must not run before it has sent that again.
        if connection.call(&format!("SET {key} second")).is_ok() {
            return Err("a later command on the same connection ran before the refused one".to_owned());
        }
        connection.call("SLOTWAY RESUME 0").unwrap();
        connection.call(&format!("SET {key} first")).unwrap();
        Ok(())
    });
}

#[test]
fn a_source_that_reopens_by_itself() {
    found("source-reopens-by-itself", |site| {
        let slots = site.slots_of("a", 10);
        let mut connection = Internal::open(site, "a-0");
        // Neither commit nor abort is possible without b and c.
        site.arm("source-copied", "pause 300");
        site.arm("target-prepared", "kill");
        let id = site.begin_move("a", "b", &slots);
        site.wait_for_fault("source-copied");
        site.signal("c-0", "STOP");
        wait_until("the target dies", || site.dead() == ["b-0"]);
        let key = key(slots.slots().next().unwrap());
        let died = Instant::now();
        let mut result = Ok(());
        while died.elapsed() < Duration::from_secs(1) {
            let reply = connection.call(&format!("SET {key} value"));
            connection.call("SLOTWAY RESUME 0").unwrap();
            if !is_parked(&reply) {
                result = Err(format!("a parked slot answered {reply:?} before the move had ended"));
                break;
            }
        }
        site.signal("c-0", "CONT");
        site.restart();
        let ended = site.end_of_move(&id);
        assert!(matches!(ended.phase, Phase::Aborted(_)), "{ended:?}");
        connection.call(&format!("SET {key} value")).unwrap();
        result
    });
}

#[test]
fn a_target_that_serves_before_the_commit() {
    found("target-serves-early", |site| {
        let slots = site.slots_of("a", 10);
        let mut connection = Internal::open(site, "b-0");
        site.arm("source-ready", "pause 500");
        let id = site.begin_move("a", "b", &slots);
        site.wait_for_fault("source-ready");
        let reply = connection.call(&format!("GET {}", key(0)));
        let ended = site.end_of_move(&id);
        assert_eq!(ended.phase, Phase::Finished, "{ended:?}");
        if is_parked(&reply) { Ok(()) } else { Err(format!("{reply:?} before the slot was owned")) }
    });
}

#[test]
fn a_commit_under_other_epochs() {
    found("epoch-check-skipped", |site| {
        let slots = site.slots_of("a", 10);
        let load = Load::new(site.cluster.endpoint(), Keys::new("epochs", slots.slots())).start();
        load.wait_for(300);
        site.arm("source-copied", "pause 300");
        let id = site.begin_move("a", "b", &slots);
        site.wait_for_fault("source-copied");
        let state = site.state();
        let (source, target) = (state.shard("a").unwrap().epoch, state.shard("b").unwrap().epoch);
        let outcome = site.propose(&Change::CommitSlots {
            id: id.clone(),
            slots,
            source_epoch: source.wrapping_sub(1),
            target_epoch: target,
            incarnations: None,
        });
        site.end_of_move(&id);
        load.wait_for(300);
        let wrong = load.stop(Vec::new()).check(Errors::None);
        match (outcome, wrong.first()) {
            (Outcome::Refused(_), None) => Ok(()),
            (Outcome::Done { .. }, Some(first)) => Err(first.clone()),
            (outcome, wrong) => panic!("{outcome:?}, and {wrong:?}"),
        }
    });
}

#[test]
fn an_effect_that_is_dropped_while_its_slot_is_copied() {
    found("effect-dropped", |site| {
        let slots = site.slots_of("a", 1);
        // Enough other keys in the slot that its copy takes a while.
        let tag = tag_of(slots.slots().next().unwrap());
        let mut client = site.cluster.client().unwrap();
        for from in (0..40_000).step_by(1000) {
            let mut words = vec!["MSET".to_owned()];
            for number in from..from + 1000 {
                words.extend([format!("filler:{number}:{{{tag}}}"), "x".repeat(100)]);
            }
            assert_eq!(client.call(&words).unwrap().to_string(), "+OK");
        }
        let load = Load {
            pace: Duration::ZERO,
            ..Load::new(site.cluster.endpoint(), Keys::new("effects", slots.slots()))
        };
        let load = load.start();
        let mut refused = None;
        for (source, target) in [("a", "b"), ("b", "c"), ("c", "a")] {
            load.wait_for(100);
            let id = site.begin_move(source, target, &slots);
            if let Phase::Aborted(reason) = site.end_of_move(&id).phase {
                refused = Some(reason.text);
                break;
            }
        }
        load.wait_for(100);
        let wrong = load.stop(Vec::new()).check(Errors::None);
        // A key that is missing is found by the target, which counts, and a wrong value by those who wrote it.
        match refused.or(wrong.into_iter().next()) {
            None => Ok(()),
            Some(what) => Err(what),
        }
    });
}

#[test]
fn a_restarted_node_that_serves_at_once() {
    found("restarted-node-serves", |site| {
        // More than one batch: what the new process would hand over is the rest.
        let slots = site.slots_of("a", 2500);
        let load = Load::new(site.cluster.endpoint(), Keys::new("restarted", slots.slots())).start();
        load.wait_for(300);
        let (ended, lost) = site.move_with_a_death("source-committed", ("a", "b"), &slots, &load);
        site.move_rest(&ended);
        load.wait_for(100);
        load.stop(vec![lost]).check(Errors::OfFaults).into_iter().next().map_or(Ok(()), Err)
    });
}

/// Sets a key and kills the node as soon as it has said so; what is not on the disk may be lost, too. Is the key there?
fn killed_after_its_reply(site: &mut Site, loses_power: bool) -> Result<(), String> {
    let mut client = Client::connect(site.cluster.layout().nodes[0].address).unwrap();
    assert_eq!(client.run("SET key value").unwrap().to_string(), "+OK");
    site.kill("a-0");
    if loses_power {
        site.lose_unsynced("a-0", Unsynced::Lost);
    }
    let _up =
        site.cluster.start_missing().map_err(|error| format!("the node does not start again: {error}"))?;
    let mut client = Client::connect(site.cluster.layout().nodes[0].address).unwrap();
    match client.run("GET key").unwrap().to_string().as_str() {
        "\"value\"" => Ok(()),
        other => Err(format!("a write that was acknowledged has become {other}")),
    }
}

#[test]
fn a_reply_before_its_write() {
    found_on_disk("reply-before-write", "everysec", |site| {
        site.arm("log-write", "pause 500");
        killed_after_its_reply(site, false)
    });
}

#[test]
fn a_reply_before_its_sync() {
    found_on_disk("reply-before-fsync", "always", |site| {
        site.arm("log-fsync", "pause 500");
        killed_after_its_reply(site, true)
    });
}

#[test]
fn a_directory_that_is_not_synced() {
    found_on_disk("directory-not-synced", "always", |site| killed_after_its_reply(site, true));
}

#[test]
fn a_log_that_is_shortened_without_a_word() {
    found_on_disk("silent-truncation", "always", |site| {
        let mut client = Client::connect(site.cluster.layout().nodes[0].address).unwrap();
        for number in 0..100 {
            client.call(&["RPUSH", "list", &number.to_string()]).unwrap();
        }
        site.kill("a-0");
        let log = std::fs::read_dir(site.log_directory("a-0")).unwrap().map(|entry| entry.unwrap().path());
        let increment = log.filter(|path| path.extension().is_some()).max().unwrap();
        let mut bytes = std::fs::read(&increment).unwrap();
        let at = bytes.len() / 2;
        bytes[at] ^= 1;
        std::fs::write(&increment, bytes).unwrap();
        if site.cluster.start_missing().is_err() {
            return Ok(());
        }
        Err("a node starts with a log of which the second half is gone".to_owned())
    });
}

#[test]
fn a_pop_that_is_not_tried_again() {
    found("pop-without-retry", |site| {
        let tags = ["a", "b"].map(|shard| tag_of(site.slots_of(shard, 1).slots().next().unwrap()));
        let keys = tags.map(|tag| format!("list{{{tag}}}"));
        let mut client = site.cluster.client().unwrap();
        let mut waiting = [site.cluster.client().unwrap(), site.cluster.client().unwrap()];
        for waiter in &mut waiting {
            waiter.send(&["BLPOP", &keys[0], &keys[1], "0"]).unwrap();
        }
        wait_until("both wait", || {
            let info = client.run("INFO clients").unwrap();
            String::from_utf8_lossy(info.as_bytes().unwrap()).contains("blocked_clients:2\r\n")
        });
        // One of them finds nothing, and gets what comes next.
        client.call(&["RPUSH", &keys[1], "1"]).unwrap();
        wait_until("one is served", || client.call(&["LLEN", &keys[1]]).unwrap() == Value::Int(0));
        client.call(&["RPUSH", &keys[0], "2"]).unwrap();
        let replies = waiting.each_mut().map(|waiter| waiter.receive().unwrap());
        match replies.iter().find(|reply| reply.as_array().is_none()) {
            None => Ok(()),
            Some(reply) => Err(format!("a client that waits was told {reply} before its time")),
        }
    });
}

#[test]
fn an_invalidation_that_overtakes_its_reply() {
    found_where(
        |planted| Site::start(&Plan::default(), planted),
        "invalidation-overtakes-reply",
        |site| slotway_tests::caching::check(site.cluster.endpoint(), 1, 150, || {}),
    );
}
