//! Users may do what a real redis-server lets them do, whichever process is asked; the cluster keeps them.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use slotway_common::resp::Value;
use slotway_tests::cluster::{Cluster, Plan as Layout};
use slotway_tests::differential::{self, Subject, acl};
use slotway_tests::wait::wait_until;
use slotway_tests::{Client, RedisServer, Site};

const COMMANDS: usize = 8_000;

fn compare(subject: Subject, resp3: bool) {
    differential::compare(subject, resp3, COMMANDS, acl::run).unwrap();
}

#[test]
fn a_shard_lets_users_do_what_redis_lets_them_do_in_resp2() {
    compare(Subject::Shard, false);
}

#[test]
fn a_shard_lets_users_do_what_redis_lets_them_do_in_resp3() {
    compare(Subject::Shard, true);
}

#[test]
fn the_proxy_over_three_shards_lets_users_do_what_redis_lets_them_do_in_resp2() {
    compare(Subject::Proxy, false);
}

#[test]
fn the_proxy_over_three_shards_lets_users_do_what_redis_lets_them_do_in_resp3() {
    compare(Subject::Proxy, true);
}

fn call(client: &mut Client, words: &str) -> String {
    client.run(words).unwrap().to_string()
}

fn texts(value: &Value) -> BTreeSet<String> {
    value.as_array().unwrap().iter().map(ToString::to_string).collect()
}

#[test]
fn categories_have_the_commands_that_they_have_in_redis() {
    let cluster = Cluster::start_with(&Layout { shards: 1, ..Layout::default() }).unwrap();
    let oracle = RedisServer::start().unwrap();
    let mut theirs = oracle.client().unwrap();
    for mut ours in [cluster.client().unwrap(), cluster.shard_client(0).unwrap()] {
        let expected = theirs.run("ACL CAT").unwrap();
        assert_eq!(expected, ours.run("ACL CAT").unwrap());
        for category in expected.as_array().unwrap() {
            let words = [b"ACL", &b"CAT"[..], category.as_bytes().unwrap()];
            let (expected, given) = (theirs.call(&words).unwrap(), ours.call(&words).unwrap());
            assert_eq!(texts(&expected), texts(&given), "{category}");
        }
    }
}

/// The first word of an error, or the reply.
fn verdict(client: &mut Client, words: &[&str]) -> String {
    let reply = client.call(words).unwrap().to_string();
    if reply.contains("The user executing the script") {
        return "script".to_owned();
    }
    reply.split(' ').next().unwrap_or_default().to_owned()
}

/// A client of `alice`, who may read and write keys of `mine:` and read those of `read:`, and listen to `mine`.
fn alice(cluster: &Cluster, extra: &str) -> (Client, Client) {
    let mut admin = cluster.client().unwrap();
    let rules = format!(
        "ACL SETUSER alice reset on >secret +@all -acl|setuser -config|set -@dangerous +sort +info resetchannels &mine* ~{{t}}mine:* %R~{{t}}read:*{extra}"
    );
    assert_eq!(call(&mut admin, &rules), "+OK");
    let mut client = cluster.client().unwrap();
    assert_eq!(call(&mut client, "AUTH alice secret"), "+OK");
    (admin, client)
}

#[test]
fn nothing_that_a_user_may_not_do_is_done_by_a_detour() {
    let cluster = Cluster::start().unwrap();
    let (mut admin, mut client) = alice(&cluster, "");
    for key in ["{t}other", "{t}read:x", "{t}w1"] {
        admin.call(&["SET", key, "kept"]).unwrap();
    }
    admin.run("RPUSH {t}mine:list 1 2").unwrap();
    for (words, expected) in [
        // Keys in odd places.
        ("SET {t}other x", "-NOPERM"),
        ("SET {t}read:x x", "-NOPERM"),
        ("SET {t}read:x x GET", "-NOPERM"),
        ("GET {t}read:x", "\"kept\""),
        ("MSET {t}mine:a 1 {t}other 1", "-NOPERM"),
        ("BITOP AND {t}other {t}mine:a", "-NOPERM"),
        ("COPY {t}other {t}mine:b", "-NOPERM"),
        ("COPY {t}read:x {t}mine:b", ":1"),
        ("RENAME {t}read:x {t}mine:b", "-NOPERM"),
        ("ZUNIONSTORE {t}mine:z 2 {t}mine:y {t}other", "-NOPERM"),
        ("LMPOP 2 {t}mine:nosuch {t}other LEFT", "-NOPERM"),
        ("XREAD COUNT 1 STREAMS {t}mine:s {t}other 0 0", "-NOPERM"),
        ("GEORADIUS {t}mine:g 1 1 1 m STORE {t}other", "-NOPERM"),
        ("SORT {t}mine:list BY nosort STORE {t}other", "-NOPERM"),
        ("SORT {t}mine:list BY {t}w*", "-ERR"),
        ("SORT {t}mine:list GET {t}w*", "-ERR"),
        ("SORT {t}mine:list", "[\"1\","),
        ("BLPOP {t}mine:nosuch {t}other 0", "-NOPERM"),
        ("EVAL x 1 {t}other", "-NOPERM"),
        ("FCALL f 1 {t}other", "-NOPERM"),
        // Commands by other names and within others.
        ("config set hz 10", "-NOPERM"),
        ("CoNfIg SeT hz 10", "-NOPERM"),
        ("ACL SETUSER alice allkeys", "-NOPERM"),
        ("KEYS *", "-NOPERM"),
        ("SLOTWAY USERS", "-ERR"),
        ("SLOTWAY-EXEC  0 x 1", "-ERR"),
        ("SLOTWAY-AS default 0 x x", "-ERR"),
        // Channels.
        ("PUBLISH other x", "-NOPERM"),
        ("SPUBLISH other x", "-NOPERM"),
        ("PUBLISH mine1 x", ":0"),
        ("SUBSCRIBE mine1 other", "-NOPERM"),
        ("PSUBSCRIBE mine1", "-NOPERM"),
        ("PSUBSCRIBE *", "-NOPERM"),
    ] {
        let words: Vec<&str> = words.split(' ').collect();
        assert_eq!(verdict(&mut client, &words), expected, "{words:?}");
    }
    // Scripts.
    for (script, keys, expected) in [
        ("return redis.call('GET', '{t}other')", "0", "script"),
        ("return redis.call('GET', '{t}other')", "1", "script"),
        ("return redis.call('SET', '{t}read:x', 1)", "1", "script"),
        ("return redis.call('PUBLISH', 'other', 1)", "1", "script"),
        ("return redis.call('CONFIG', 'SET', 'hz', 10)", "1", "-ERR"),
        ("return redis.call('KEYS', '*')", "1", "script"),
        ("return redis.call('SORT', '{t}mine:list', 'BY', '{t}w*')", "1", "-ERR"),
        ("return redis.call('GET', '{t}read:x')", "1", "\"kept\""),
        ("return redis.acl_check_cmd('GET', '{t}other')", "1", "(nil)"),
    ] {
        let given = verdict(&mut client, &["EVAL", script, keys, "{t}mine:k"]);
        let given =
            if given == "_" || given == "nil" || given == "null" { "(nil)".to_owned() } else { given };
        assert_eq!(given, expected, "{script}");
    }
    let digest = admin.call(&["SCRIPT", "LOAD", "return redis.call('SET', '{t}other', 1)"]).unwrap();
    let digest = String::from_utf8(digest.as_bytes().unwrap().to_vec()).unwrap();
    assert_eq!(verdict(&mut client, &["EVALSHA", &digest, "1", "{t}mine:k"]), "script");
    let library =
        "#!lua name=l\nredis.register_function('f', function(k) return redis.call('SET', '{t}other', 1) end)";
    admin.call(&["FUNCTION", "LOAD", library]).unwrap();
    assert_eq!(verdict(&mut client, &["FCALL", "f", "1", "{t}mine:k"]), "script");
    // Transactions.
    for words in [["MULTI", ""], ["SET", "{t}other"]] {
        let _ = client.call(&words.iter().filter(|word| !word.is_empty()).collect::<Vec<_>>()).unwrap();
    }
    call(&mut client, "DISCARD");
    call(&mut client, "MULTI");
    assert_eq!(verdict(&mut client, &["SET", "{t}other", "x"]), "-NOPERM");
    assert_eq!(verdict(&mut client, &["EXEC"]), "-EXECABORT");
    call(&mut client, "MULTI");
    assert_eq!(verdict(&mut client, &["EVAL", "return redis.call('SET', '{t}other', 1)", "0"]), "+QUEUED");
    assert_eq!(verdict(&mut client, &["SORT", "{t}mine:list", "BY", "{t}w*"]), "+QUEUED");
    assert_eq!(verdict(&mut client, &["GET", "{t}read:x"]), "+QUEUED");
    let replies = client.run("EXEC").unwrap();
    let replies: Vec<String> = replies.as_array().unwrap().iter().map(ToString::to_string).collect();
    assert!(replies[0].contains("The user executing the script"), "{replies:?}");
    assert!(replies[1].contains("insufficient ACL permissions"), "{replies:?}");
    assert_eq!(replies[2], "\"kept\"");
    assert_eq!(call(&mut admin, "GET {t}other"), "\"kept\"");
}

#[test]
fn what_was_queued_and_is_not_allowed_any_more_does_not_run() {
    let cluster = Cluster::start().unwrap();
    let (mut admin, mut client) = alice(&cluster, " +dbsize");
    for queued in ["MULTI", "SET {t}mine:a 1", "DBSIZE", "GET {t}mine:a"] {
        assert!(!client.run(queued).unwrap().is_error());
    }
    assert_eq!(call(&mut admin, "ACL SETUSER alice -set -dbsize"), "+OK");
    let replies = client.run("EXEC").unwrap();
    let replies: Vec<String> = replies.as_array().unwrap().iter().map(ToString::to_string).collect();
    for refused in &replies[..2] {
        assert!(
            refused.starts_with("-NOPERM ACLs rules changed between the moment the transaction was"),
            "{refused}"
        );
    }
    assert!(!replies[2].contains('1'), "{replies:?}");
    assert_eq!(call(&mut admin, "EXISTS {t}mine:a"), ":0");
    let log = call(&mut admin, "ACL LOG");
    assert!(log.contains("\"multi\"") && log.contains("\"dbsize\"") && log.contains("\"set\""), "{log}");
}

#[test]
fn a_script_by_its_digest_is_found_for_restricted_users_too() {
    let cluster = Cluster::start().unwrap();
    let (mut admin, mut client) = alice(&cluster, " ~k*");
    let script = "return redis.call('INCR', KEYS[1])";
    let digest = admin.call(&["SCRIPT", "LOAD", script]).unwrap();
    let digest = String::from_utf8(digest.as_bytes().unwrap().to_vec()).unwrap();
    for shard in 0..3 {
        cluster.shard_client(shard).unwrap().run("SCRIPT FLUSH").unwrap();
    }
    admin.call(&["EVAL", script, "1", "k0"]).unwrap();
    for number in 0..30 {
        let key = format!("k{number}");
        let expected = if number == 0 { ":2" } else { ":1" };
        assert_eq!(client.call(&["EVALSHA", &digest, "1", &key]).unwrap().to_string(), expected, "{key}");
    }
    // A script that makes up this error has run, and does not run again.
    let liar = "redis.call('INCR', KEYS[1]) return redis.error_reply('NOSCRIPT made up')";
    assert!(client.call(&["EVAL", liar, "1", "k1"]).unwrap().is_error());
    assert_eq!(call(&mut admin, "GET k1"), "\"2\"");
}

/// What a task of the proxy was just taking over counted as known before all of its threads followed, so that a change was
/// answered too early.
#[test]
fn a_change_of_users_holds_in_every_thread_of_the_proxy_when_it_is_answered() {
    let cluster = Cluster::start().unwrap();
    std::thread::scope(|scope| {
        for number in 0..4 {
            let cluster = &cluster;
            scope.spawn(move || {
                let mut admin = cluster.client().unwrap();
                let rules = format!("ACL SETUSER user{number} on nopass +@all ~*");
                assert_eq!(call(&mut admin, &rules), "+OK");
                let mut clients = [cluster.client().unwrap(), cluster.client().unwrap()];
                for client in &mut clients {
                    assert_eq!(call(client, &format!("AUTH user{number} x")), "+OK");
                }
                for round in 0..100 {
                    for (sign, allowed) in [('-', false), ('+', true)] {
                        let change = format!("ACL SETUSER user{number} {sign}get");
                        assert_eq!(call(&mut admin, &change), "+OK");
                        for client in &mut clients {
                            let reply = client.run("GET k").unwrap();
                            assert_eq!(!reply.is_error(), allowed, "round {round}, {change}: {reply}");
                        }
                    }
                }
            });
        }
    });
}

#[test]
fn whose_user_or_channels_are_taken_away_is_cut_off_and_nobody_else() {
    for through_proxy in [true, false] {
        let cluster = Cluster::start_with(&Layout { shards: 1, ..Layout::default() }).unwrap();
        let connect =
            || if through_proxy { cluster.client().unwrap() } else { cluster.shard_client(0).unwrap() };
        let mut admin = connect();
        for name in ["alice", "bob"] {
            assert_eq!(call(&mut admin, &format!("ACL SETUSER {name} on nopass +@all ~* &a* &b*")), "+OK");
        }
        let log_in = |name: &str, words: &str| {
            let mut client = connect();
            assert_eq!(call(&mut client, &format!("AUTH {name} x")), "+OK");
            client.run(words).unwrap();
            client
        };
        let mut pattern = log_in("alice", "PSUBSCRIBE b*");
        let mut channel = log_in("alice", "SUBSCRIBE b1");
        let mut stays = log_in("alice", "SUBSCRIBE a1");
        let mut idle = log_in("alice", "PING");
        let mut bob = log_in("bob", "SUBSCRIBE b1");
        assert_eq!(call(&mut admin, "ACL SETUSER alice resetchannels &a*"), "+OK");
        for cut_off in [&mut pattern, &mut channel] {
            cut_off.receive_to_end().unwrap();
        }
        assert_eq!(call(&mut idle, "ACL WHOAMI"), "\"alice\"");
        assert_eq!(call(&mut admin, "PUBLISH b1 x"), ":1");
        bob.receive().unwrap();
        assert_eq!(call(&mut admin, "PUBLISH a1 x"), ":1");
        stays.receive().unwrap();
        assert!(call(&mut admin, "CLIENT LIST").contains("user=alice"));
        assert_eq!(call(&mut admin, "CLIENT KILL USER bob"), ":1");
        bob.receive_to_end().unwrap();
        assert_eq!(call(&mut admin, "ACL DELUSER alice nosuch"), ":1");
        idle.receive_to_end().unwrap();
        stays.receive_to_end().unwrap();
        // Who deletes its own user is told so first.
        let mut own = log_in("bob", "PING");
        assert_eq!(call(&mut own, "ACL DELUSER bob"), ":1");
        own.receive_to_end().unwrap();
        assert_eq!(call(&mut admin, "ACL USERS"), "[\"default\"]");
    }
}

#[test]
fn users_outlive_all_processes_and_are_known_to_new_shards_and_to_every_process() {
    let mut site = Site::start(&Layout::default(), "");
    let mut admin = site.cluster.client().unwrap();
    assert_eq!(call(&mut admin, "ACL SETUSER alice on >secret +@all -acl ~k* &* (+info)"), "+OK");
    assert_eq!(
        call(&mut site.cluster.shard_client(1).unwrap(), "ACL SETUSER bob on nopass +get %R~*"),
        "+OK"
    );
    assert_eq!(call(&mut admin, "CONFIG SET requirepass top"), "+OK");
    let expected = call(&mut admin, "ACL LIST");
    assert!(expected.contains("user alice on ") && expected.contains("user bob on "), "{expected}");

    let name = site.cluster.layout_mut().add_shard().unwrap();
    site.start_new_shard(&name);
    let output = site.cluster.layout().run(&["apply", "cluster.yaml", "--yes"]).unwrap();
    assert!(output.status.success());
    let listed = |client: &mut Client| {
        call(client, "AUTH top");
        call(client, "ACL LIST")
    };
    for shard in 0..4 {
        let mut client = site.cluster.shard_client(shard).unwrap();
        wait_until("the shard has the users", || listed(&mut client) == expected);
    }
    for id in ["a-0", "b-0", "c-0", "d-0", "proxy-0"] {
        site.kill(id);
    }
    site.restart();
    wait_until("the endpoint has the users", || {
        site.cluster.client().is_ok_and(|mut client| {
            client.run("AUTH top").is_ok_and(|reply| !reply.is_error())
                && client.run("ACL LIST").is_ok_and(|reply| reply.to_string() == expected)
        })
    });
    let mut alice = site.cluster.client().unwrap();
    assert_eq!(call(&mut alice, "PING"), "-NOAUTH Authentication required.");
    assert_eq!(call(&mut alice, "AUTH alice secret"), "+OK");
    assert_eq!(call(&mut alice, "SET k 1"), "+OK");
    assert!(call(&mut alice, "SET x 1").starts_with("-NOPERM"));
    assert!(call(&mut alice, "ACL WHOAMI").starts_with("-NOPERM"));
}

#[test]
fn one_log_shows_what_the_proxy_and_what_the_shards_have_denied_and_info_counts_it() {
    let cluster = Cluster::start().unwrap();
    let (mut admin, mut client) = alice(&cluster, "");
    assert_eq!(call(&mut client, "CLIENT SETNAME me"), "+OK");
    call(&mut client, "GET {t}other");
    client.call(&["EVAL", "return redis.call('GET', '{t}scripted')", "0"]).unwrap();
    call(&mut client, "PUBLISH other x");
    call(&mut client, "CONFIG SET hz 10");
    call(&mut client, "AUTH alice wrong");
    let log = admin.run("ACL LOG").unwrap();
    let entries: Vec<String> = log.as_array().unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(entries.len(), 5, "{log}");
    for (entry, parts) in entries.iter().zip([
        ["auth", "toplevel", "AUTH"],
        ["command", "toplevel", "config|set"],
        ["channel", "toplevel", "other"],
        ["key", "lua", "{t}scripted"],
        ["key", "toplevel", "{t}other"],
    ]) {
        assert!(parts.iter().all(|part| entry.contains(&format!("\"{part}\""))), "{entry}");
        assert!(
            entry.contains("\"alice\"") && entry.contains(" name=me ") && entry.contains(" user=alice "),
            "{entry}"
        );
    }
    let info = call(&mut admin, "INFO stats");
    for field in ["auth:1", "cmd:1", "key:2", "channel:1"] {
        assert!(info.contains(&format!("acl_access_denied_{field}")), "{info}");
    }
    assert_eq!(admin.run("ACL LOG 2").unwrap().as_array().unwrap().len(), 2);
    assert_eq!(call(&mut admin, "ACL LOG RESET"), "+OK");
    assert_eq!(call(&mut admin, "ACL LOG"), "[]");
}
