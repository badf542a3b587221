//! A node dies wherever its log is half written, as often as its machine loses its power: what clients were told is there,
//! nothing else is, and in its order.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use slotway_tests::cluster::Plan as Layout;
use slotway_tests::history::{Errors, Keys, Load, Running};
use slotway_tests::power::Unsynced;
use slotway_tests::wait::wait_until;
use slotway_tests::{Client, Site, differential};

/// Where the thread that writes comes by with every write, or every sync.
const OF_WRITING: [&str; 3] = ["log-write", "log-fsync", "log-fsynced"];
/// Where a new base comes by, in this order: at the rotation, with the copy, and when it is put into force.
const OF_A_BASE: [&str; 14] = [
    "log-rotate",
    "log-created",
    "log-rotated",
    "log-manifest",
    "log-manifest-drafted",
    "log-manifest-renamed",
    "log-manifest-written",
    "log-copying",
    "log-copy",
    "log-base-fsync",
    "log-base-fsynced",
    "log-install",
    "log-installed",
    "log-drop",
];
/// Those of the manifest once more, when it names the base.
const OF_INSTALLING: [&str; 4] =
    ["log-manifest", "log-manifest-drafted", "log-manifest-renamed", "log-manifest-written"];
/// Where a node comes by that reads its log.
const OF_STARTING: [&str; 6] =
    ["log-loading", "log-cut", "log-created", "log-manifest-drafted", "log-manifest-renamed", "log-loaded"];

fn one_shard(fsync: &str) -> Layout {
    let settings = [("appendonly", "yes"), ("appendfsync", fsync)];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    Layout { shards: 1, settings, ..Layout::default() }
}

fn load(site: &Site, name: &str) -> Running {
    Load::new(site.cluster.endpoint(), Keys::new(name, (0..16384).step_by(997))).start()
}

/// Has a new base begun, if the node lives.
fn new_base(site: &Site) {
    if let Ok(mut client) = Client::connect(site.cluster.layout().nodes[0].address)
        && let Ok(begun) = client.run("BGREWRITEAOF")
    {
        assert!(!begun.is_error(), "{begun}");
    }
}

/// Kills the node at each point under load; `dies` says what becomes of the disk.
fn killed_everywhere(site: &mut Site, mut dies: impl FnMut(&Site)) {
    let points = OF_WRITING.iter().chain(&OF_A_BASE).map(|point| (*point, false));
    for (point, installing) in points.chain(OF_INSTALLING.map(|point| (point, true))) {
        let load = load(site, &format!("{point}-{installing}"));
        load.wait_for(200);
        if installing {
            site.arm("log-base-fsync", "pause 100");
            new_base(site);
            site.wait_for_fault("log-base-fsync");
        }
        site.arm(point, "kill");
        // Without a sync now and then, the rotation is what syncs.
        if !installing && point != "log-write" {
            new_base(site);
        }
        wait_until(&format!("the node dies at {point}"), || !site.dead().is_empty());
        dies(site);
        site.restart();
        load.wait_for(200);
        let history = load.stop(Vec::new());
        eprintln!("{point}: {} commands answered", history.acknowledged());
        history.assert_good(Errors::OfFaults);
    }
    let load = load(site, "starting");
    for point in OF_STARTING {
        load.wait_for(200);
        site.kill("a-0");
        dies(site);
        site.restart_and_die(point);
        dies(site);
        site.restart();
    }
    load.wait_for(200);
    load.stop(Vec::new()).assert_good(Errors::OfFaults);
}

#[test]
fn a_node_killed_anywhere_with_always_keeps_what_it_told() {
    killed_everywhere(&mut Site::start(&one_shard("always"), ""), |_| {});
}

#[test]
fn a_node_killed_anywhere_with_everysec_keeps_what_it_told() {
    killed_everywhere(&mut Site::start(&one_shard("everysec"), ""), |_| {});
}

#[test]
fn a_node_killed_anywhere_with_no_keeps_what_it_told() {
    killed_everywhere(&mut Site::start(&one_shard("no"), ""), |_| {});
}

#[test]
fn a_machine_that_loses_its_power_anywhere_keeps_what_a_node_with_always_told() {
    let seed = differential::seed();
    println!("SLOTWAY_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut site = Site::start_with_disks(&one_shard("always"), "");
    killed_everywhere(&mut site, |site| {
        let unsynced = if random.random() { Unsynced::Lost } else { Unsynced::AtRandom(&mut random) };
        site.lose_unsynced("a-0", unsynced);
    });
}

/// Kills at any time, with new bases at any time.
fn killed_at_random(fsync: &str, loses_power: bool) {
    let seed = differential::seed();
    println!("SLOTWAY_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut site = if loses_power {
        Site::start_with_disks(&one_shard(fsync), "")
    } else {
        Site::start(&one_shard(fsync), "")
    };
    let load = load(&site, "random");
    for _ in 0..8 {
        load.wait_for(random.random_range(1..500));
        if random.random() {
            new_base(&site);
            std::thread::sleep(Duration::from_micros(random.random_range(0..50_000)));
        }
        site.kill("a-0");
        if loses_power {
            let unsynced = if random.random() { Unsynced::Lost } else { Unsynced::AtRandom(&mut random) };
            site.lose_unsynced("a-0", unsynced);
        }
        site.restart();
    }
    load.wait_for(200);
    load.stop(Vec::new()).assert_good(Errors::OfFaults);
}

#[test]
fn kills_at_any_time_with_always_cost_nothing() {
    killed_at_random("always", false);
}

#[test]
fn kills_at_any_time_with_everysec_cost_nothing() {
    killed_at_random("everysec", false);
}

#[test]
fn kills_at_any_time_with_no_cost_nothing() {
    killed_at_random("no", false);
}

#[test]
fn power_cuts_at_any_time_with_always_cost_nothing() {
    killed_at_random("always", true);
}

/// Elements that a list got one after the other, as far as they are there.
fn elements(client: &mut Client, key: &str) -> Vec<String> {
    let list = client.call(&["LRANGE", key, "0", "-1"]).unwrap();
    let text =
        |item: &slotway_common::resp::Value| String::from_utf8_lossy(item.as_bytes().unwrap()).into_owned();
    list.as_array().unwrap().iter().map(text).collect()
}

/// Cuts the power while a list is written; what is there afterwards must be its start, and have what was on the disk.
fn keeps_the_start(fsync: &str, wait_for_disk: bool) {
    let seed = differential::seed();
    println!("SLOTWAY_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut site = Site::start_with_disks(&one_shard(fsync), "");
    for round in 0..6 {
        let mut client = Client::connect(site.cluster.layout().nodes[0].address).unwrap();
        let key = format!("list:{round}");
        let element = |number: usize| format!("element-{round}-{number}-");
        let synced = random.random_range(1..300);
        for number in 0..synced {
            client.call(&["RPUSH", &key, &element(number)]).unwrap();
        }
        if wait_for_disk {
            // Nobody sends anything more meanwhile.
            let last = element(synced - 1);
            wait_until("what was written is on the disk", || site.is_durable("a-0", last.as_bytes()));
        }
        let all = synced + random.random_range(1..300);
        for number in synced..all {
            client.call(&["RPUSH", &key, &element(number)]).unwrap();
        }
        site.kill("a-0");
        let unsynced = if random.random() { Unsynced::Lost } else { Unsynced::AtRandom(&mut random) };
        site.lose_unsynced("a-0", unsynced);
        site.restart();
        let mut client = Client::connect(site.cluster.layout().nodes[0].address).unwrap();
        let found = elements(&mut client, &key);
        eprintln!("round {round}: {} of {all} elements, {synced} were old", found.len());
        assert!(found.len() <= all && (found.len() >= synced || !wait_for_disk), "{}", found.len());
        for (number, found) in found.iter().enumerate() {
            assert_eq!(*found, element(number));
        }
    }
}

#[test]
fn a_power_cut_with_everysec_costs_the_end_only_and_nothing_that_had_time_to_be_synced() {
    keeps_the_start("everysec", true);
}

#[test]
fn a_power_cut_with_no_costs_the_end_only() {
    keeps_the_start("no", false);
}
