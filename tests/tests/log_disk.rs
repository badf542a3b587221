//! Disks that are full, fail, or hold something else than they should: what clients are told is true, nothing that was
//! acknowledged is lost, and one line says what is wrong.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::path::{Path, PathBuf};

use slotway_tests::cluster::Plan as Layout;
use slotway_tests::wait::wait_until;
use slotway_tests::{Client, Site, http};

/// Error numbers of Linux.
const FULL: &str = "error 28";
const BROKEN: &str = "error 5";
const READ_ONLY: &str = "error 30";

fn plan(shards: usize, fsync: &str) -> Layout {
    let settings = [("appendonly", "yes"), ("appendfsync", fsync)];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    Layout { shards, proxies: 0, settings }
}

fn client(site: &Site) -> Client {
    Client::connect(site.cluster.layout().nodes[0].address).unwrap()
}

fn ask(client: &mut Client, line: &str) -> String {
    client.run(line).unwrap().to_string()
}

fn number(client: &mut Client, line: &str) -> i64 {
    let reply = client.run(line).unwrap();
    reply.as_int().unwrap_or_else(|| panic!("{line}: {reply}"))
}

fn info(client: &mut Client, field: &str) -> String {
    let text = client.run("INFO persistence").unwrap();
    let text = String::from_utf8_lossy(text.as_bytes().unwrap()).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':').map(str::to_owned));
    line.unwrap_or_else(|| panic!("INFO has no {field}:\n{text}"))
}

/// The disk refuses from some time on: writes end with errors that say why, reads go on, and what was told stays.
fn refused_by_the_disk(fsync: &str, fault: &str, error: &str, text: &str) {
    let mut site = Site::start(&plan(1, fsync), "");
    let mut one = client(&site);
    for number in 0..100 {
        assert_eq!(ask(&mut one, &format!("SET key:{number} {number}")), "+OK");
    }
    site.arm(fault, error);
    let mut acknowledged = 100;
    let refused = loop {
        let reply = ask(&mut one, &format!("SET key:{acknowledged} {acknowledged}"));
        if reply != "+OK" {
            break reply;
        }
        // With everysec it is told by the sync, up to a second later.
        assert_eq!(fsync, "everysec", "SET was answered although it cannot be written");
        acknowledged += 1;
    };
    assert!(refused.starts_with("-MISCONF ") && refused.contains(text), "{refused}");
    // Everyone is refused from then on, and told why.
    let mut other = client(&site);
    let refused = ask(&mut other, "SET other value");
    assert!(refused.starts_with("-MISCONF ") && refused.contains(text), "{refused}");
    // Who reads is served, unless that could show what is not on disk.
    let read = ask(&mut other, "GET key:42");
    match fsync {
        "always" => assert!(read.starts_with("-MISCONF ") && read.contains(text), "{read}"),
        _ => assert_eq!(read, "\"42\""),
    }
    let (status, page) = http::get(site.cluster.layout().nodes[0].admin, "/healthz").unwrap();
    assert!(status == 503 && page.contains(text), "{status} {page}");
    assert_eq!(info(&mut other, "aof_last_write_status"), "err");
    site.disarm(fault);
    site.kill("a-0");
    site.restart();
    let mut again = client(&site);
    for number in 0..acknowledged {
        assert_eq!(ask(&mut again, &format!("GET key:{number}")), format!("\"{number}\""));
    }
    assert_eq!(number(&mut again, "EXISTS other"), 0, "a write that was refused is there");
    assert_eq!(ask(&mut again, "SET other value"), "+OK");
}

#[test]
fn a_disk_that_gets_full_ends_writes_with_always() {
    refused_by_the_disk("always", "log-write-error", FULL, "No space left on device");
}

#[test]
fn a_disk_that_gets_full_ends_writes_with_everysec() {
    refused_by_the_disk("everysec", "log-write-error", FULL, "No space left on device");
}

#[test]
fn a_failed_write_ends_writes_with_no() {
    refused_by_the_disk("no", "log-write-error", BROKEN, "Input/output error");
}

#[test]
fn a_failed_sync_ends_writes_with_always() {
    refused_by_the_disk("always", "log-fsync-error", BROKEN, "Input/output error");
}

#[test]
fn a_failed_sync_ends_writes_with_everysec() {
    refused_by_the_disk("everysec", "log-fsync-error", BROKEN, "Input/output error");
}

#[test]
fn a_base_that_cannot_be_written_leaves_the_log_as_it_was() {
    let mut site = Site::start(&plan(1, "everysec"), "");
    let mut one = client(&site);
    for number in 0..100 {
        assert_eq!(ask(&mut one, &format!("SET key:{number} {number}")), "+OK");
    }
    // A new increment, the base's file or its content, and the manifest that would name them.
    let faults = [
        ("log-create-error", FULL),
        ("log-base-error", FULL),
        ("log-manifest-error", FULL),
        ("log-base-error", BROKEN),
    ];
    for (round, (fault, error)) in faults.into_iter().enumerate() {
        site.arm(fault, error);
        let refused = ask(&mut one, "SAVE");
        assert!(refused.starts_with("-ERR nothing was saved: "), "{fault}: {refused}");
        assert_eq!(info(&mut one, "aof_last_bgrewrite_status"), "err");
        assert_eq!(ask(&mut one, &format!("SET later:{round} {round}")), "+OK", "{fault}");
        site.disarm(fault);
        site.kill("a-0");
        site.restart();
        one = client(&site);
        assert_eq!(number(&mut one, "DBSIZE"), 101 + round as i64, "{fault}");
    }
    assert_eq!(ask(&mut one, "SAVE"), "+OK");
    assert_eq!(info(&mut one, "aof_last_bgrewrite_status"), "ok");
    site.kill("a-0");
    site.restart();
    one = client(&site);
    assert_eq!(number(&mut one, "DBSIZE"), 104);
}

/// The files of a directory, with their contents.
fn files(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<(PathBuf, Vec<u8>)> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), fs::read(&path).unwrap()))
        .collect();
    files.sort();
    files
}

fn start_is_refused(site: &mut Site, text: &str) {
    let before = files(&site.log_directory("a-0"));
    let said = site.restart_and_fail("a-0", text);
    eprintln!("{said}");
    assert!(files(&site.log_directory("a-0")) == before, "a start that is refused changes the log");
}

#[test]
fn a_directory_that_cannot_be_written_to_or_is_not_the_nodes_own_is_refused_and_kept() {
    let mut site = Site::start(&plan(2, "everysec"), "");
    let mut one = client(&site);
    let mut keys = (0..).map(|number| format!("key:{number}"));
    let key = keys.find(|key| ask(&mut one, &format!("SET {key} value")) == "+OK").unwrap();
    site.kill("a-0");

    site.arm("log-create-error", READ_ONLY);
    start_is_refused(&mut site, "Read-only file system");
    site.disarm("log-create-error");

    let (log, other) = (site.log_directory("a-0"), site.log_directory("b-0"));
    let aside = log.with_file_name("aside");
    fs::rename(&log, &aside).unwrap();
    fs::create_dir(&log).unwrap();
    for (path, bytes) in files(&other) {
        fs::write(log.join(path.file_name().unwrap()), bytes).unwrap();
    }
    start_is_refused(&mut site, "belongs to node b-0, not to node a-0");

    // A file that the manifest names is gone, and the manifest itself.
    fs::remove_dir_all(&log).unwrap();
    fs::rename(&aside, &log).unwrap();
    let increment =
        files(&log).into_iter().map(|(path, _)| path).find(|path| path.extension().is_some()).unwrap();
    let bytes = fs::read(&increment).unwrap();
    fs::remove_file(&increment).unwrap();
    start_is_refused(&mut site, &format!("{} is missing", increment.file_name().unwrap().display()));
    fs::write(&increment, bytes).unwrap();
    let manifest = fs::read(log.join("manifest")).unwrap();
    fs::remove_file(log.join("manifest")).unwrap();
    start_is_refused(&mut site, "has files of a log and no manifest");
    fs::write(log.join("manifest"), &manifest[..manifest.len() - 1]).unwrap();
    start_is_refused(&mut site, "manifest is damaged at offset");
    fs::write(log.join("manifest"), manifest).unwrap();

    // All of it is gone.
    fs::rename(&log, &aside).unwrap();
    fs::create_dir(&log).unwrap();
    start_is_refused(&mut site, "is gone or empty");
    fs::remove_dir(&log).unwrap();
    fs::rename(&aside, &log).unwrap();

    site.restart();
    assert_eq!(ask(&mut client(&site), &format!("GET {key}")), "\"value\"");
}

#[test]
fn a_directory_that_a_process_uses_is_refused_to_a_second_one() {
    let site = Site::start(&plan(1, "everysec"), "");
    let mut one = client(&site);
    assert_eq!(ask(&mut one, "SET key value"), "+OK");
    // The same node at other addresses.
    let layout = site.cluster.layout();
    let text = fs::read_to_string(layout.file()).unwrap();
    let node = &layout.nodes[0];
    let mut ports = slotway_tests::ports::free_ports(2).into_iter();
    let text = text
        .replace(&format!(":{}", node.address.port()), &format!(":{}", ports.next().unwrap()))
        .replace(&format!(":{}", node.admin.port()), &format!(":{}", ports.next().unwrap()));
    fs::write(layout.directory().join("second.yaml"), text).unwrap();
    let output = std::process::Command::new(slotway_tests::programs::binary("slotway-shard"))
        .args(["--cluster", "second.yaml", "--node", "a-0"])
        .current_dir(layout.directory())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && said.contains("data/test/a-0 is in use by another process"),
        "{said}"
    );
    assert_eq!(ask(&mut one, "SET key other"), "+OK");
    assert_eq!(ask(&mut one, "GET key"), "\"other\"");
}

#[test]
fn a_directory_without_room_for_a_lock_is_refused_in_one_line() {
    let site = Site::start(&plan(1, "everysec"), "");
    let layout = site.cluster.layout();
    let text = fs::read_to_string(layout.file()).unwrap();
    // Nobody can make files there, not even root.
    let text = text.replace("nodes: [{", "nodes: [{ directory: /sys/kernel,");
    fs::write(layout.directory().join("second.yaml"), &text).unwrap();
    assert!(text.contains("/sys/kernel"), "{text}");
    let output = std::process::Command::new(slotway_tests::programs::binary("slotway-shard"))
        .args(["--cluster", "second.yaml", "--node", "a-0"])
        .current_dir(layout.directory())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("/sys/kernel/lock: Permission denied"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

/// A log with a base and an increment of many commands, of which the first have been synced for sure.
fn written(site: &Site) {
    let mut one = client(site);
    for element in 0..200 {
        assert_eq!(number(&mut one, &format!("RPUSH based {element}")), element + 1);
    }
    assert_eq!(ask(&mut one, "SAVE"), "+OK");
    for element in 0..500 {
        assert_eq!(number(&mut one, &format!("RPUSH list {element}")), element + 1);
    }
}

#[test]
fn damage_is_refused_with_its_place_and_what_is_sound_before_it_can_be_salvaged() {
    let mut site = Site::start(&plan(1, "always"), "");
    written(&site);
    site.kill("a-0");
    let log = site.log_directory("a-0");
    let layout_directory = site.cluster.layout().directory().to_owned();
    let (increment, mut bytes) = files(&log)
        .into_iter()
        .filter(|(path, _)| path.file_name().unwrap().to_string_lossy().starts_with("increment."))
        .max()
        .unwrap();
    let check = |site: &Site, arguments: &[&str]| {
        let output = site.cluster.layout().run(arguments).unwrap();
        let text =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        (output.status.code().unwrap(), text)
    };
    let (code, text) = check(&site, &["check", "data/test/a-0"]);
    assert_eq!((code, text.lines().last()), (0, Some("sound")), "{text}");

    let at = bytes.len() / 2;
    bytes[at] ^= 4;
    fs::write(&increment, &bytes).unwrap();
    let name = increment.file_name().unwrap().to_string_lossy().into_owned();
    let damaged = format!("{name} is damaged at offset ");
    start_is_refused(&mut site, &damaged);
    let (code, text) = check(&site, &["check", "data/test/a-0"]);
    assert!(code == 3 && text.contains(&damaged), "{code}: {text}");
    let told: usize = text.split(&damaged).nth(1).unwrap().split(':').next().unwrap().parse().unwrap();
    assert!(told <= at && at - told < 200, "{told} is told, {at} was changed");

    let before = files(&log);
    let (code, text) = check(&site, &["check", "data/test/a-0", "--salvage", "salvaged"]);
    assert!(
        code == 3 && text.contains(&format!("{name}: ")) && text.contains("left out: "),
        "{code}: {text}"
    );
    assert!(files(&log) == before, "salvaging changes the log");
    let (code, text) = check(&site, &["check", "salvaged"]);
    assert_eq!((code, text.lines().last()), (0, Some("sound")), "{text}");
    // What is there is not written over.
    let (code, text) = check(&site, &["check", "data/test/a-0", "--salvage", "salvaged"]);
    assert!(code == 1 && text.contains("salvaged: File exists"), "{code}: {text}");

    fs::rename(&log, log.with_file_name("damaged")).unwrap();
    fs::rename(layout_directory.join("salvaged"), &log).unwrap();
    site.restart();
    let mut one = client(&site);
    assert_eq!(number(&mut one, "LLEN based"), 200);
    let left = number(&mut one, "LLEN list");
    assert!(left > 100 && left < 500, "{left} elements are left");
    assert_eq!(ask(&mut one, &format!("LINDEX list {}", left - 1)), format!("\"{}\"", left - 1));
    // It goes on from there.
    assert_eq!(number(&mut one, "RPUSH list more"), left + 1);
    site.kill("a-0");
    site.restart();
    assert_eq!(number(&mut client(&site), "LLEN list"), left + 1);
}

#[test]
fn a_salvaged_log_whose_base_knows_more_than_its_increments_goes_on() {
    let mut site = Site::start(&plan(1, "always"), "");
    let mut one = client(&site);
    for number in 0..2000 {
        assert_eq!(ask(&mut one, &format!("SET key:{number} {}", "x".repeat(100))), "+OK");
    }
    // Keys of slots that the copy has not come to get on in the increment while it runs.
    assert!(!ask(&mut one, "BGREWRITEAOF").starts_with('-'));
    let mut count = 0;
    while info(&mut one, "aof_rewrite_in_progress") == "1" || count < 500 {
        let length = number(&mut one, &format!("APPEND key:{} y", count % 2000));
        assert!(length > 100);
        count += 1;
    }
    site.kill("a-0");
    let log = site.log_directory("a-0");
    let (increment, mut bytes) = files(&log)
        .into_iter()
        .filter(|(path, _)| path.file_name().unwrap().to_string_lossy().starts_with("increment."))
        .max()
        .unwrap();
    // Its second frame.
    let at = bytes.windows(4).enumerate().filter(|(_, word)| *word == b"SLS1").nth(2).unwrap().0;
    bytes[at + 10] ^= 1;
    fs::write(&increment, &bytes).unwrap();
    let output = site.cluster.layout().run(&["check", "data/test/a-0", "--salvage", "salvaged"]).unwrap();
    assert_eq!(output.status.code(), Some(3));
    fs::remove_dir_all(&log).unwrap();
    fs::rename(site.cluster.layout().directory().join("salvaged"), &log).unwrap();
    site.restart();
    let mut one = client(&site);
    assert_eq!(number(&mut one, "DBSIZE"), 2000);
    assert_eq!(ask(&mut one, "SET key:1 new"), "+OK");
    site.kill("a-0");
    site.restart();
    let mut one = client(&site);
    assert_eq!(ask(&mut one, "GET key:1"), "\"new\"", "what comes after salvaging counts");
    wait_until("nothing is loading", || info(&mut one, "loading") == "0");
}

#[test]
fn a_node_that_dies_while_its_log_is_first_made_starts_again() {
    let layout = Layout { settings: vec![("appendonly".to_owned(), "no".to_owned())], ..plan(1, "always") };
    let mut site = Site::start(&Layout { proxies: 1, ..layout }, "");
    let mut points =
        ["log-created", "log-manifest", "log-manifest-drafted", "log-manifest-renamed", "log-begun"]
            .into_iter();
    site.arm(points.next().unwrap(), "kill");
    let mut proxy = site.cluster.client().unwrap();
    // It dies before it answers.
    let _ = proxy.run("CONFIG SET appendonly yes");
    wait_until("the node dies", || !site.dead().is_empty());
    for point in points.chain(["log-created", "log-created"]) {
        site.restart_and_die(point);
    }
    site.restart();
    let mut one = client(&site);
    assert_eq!(ask(&mut one, "SET key value"), "+OK");
    site.kill("a-0");
    site.restart();
    assert_eq!(ask(&mut client(&site), "GET key"), "\"value\"");
}
