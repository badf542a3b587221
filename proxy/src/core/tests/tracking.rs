//! Tracked clients: what is said of their requests, and where what they are to forget finds its place.

use std::collections::BTreeSet;

use slotway_common::resp::Protocol;
use slotway_common::tracking::{Change, Tracking};

use super::{Stage, key};
use crate::core::SessionId;

/// A client in RESP3 that is tracked, and the number that shards know it by.
fn tracked(stage: &mut Stage, tracking: Tracking) -> (SessionId, u64) {
    let client = stage.client();
    stage.core.use_route(client, Protocol::Resp3, 0);
    stage.core.change_tracking(client, Change::On(Tracking { on: true, ..tracking }));
    stage.turn();
    let token = stage.core.sessions.get(client).unwrap().tracked.as_ref().unwrap().token;
    (client, token)
}

/// The same, of which every shard has taken note.
fn registered(stage: &mut Stage, tracking: Tracking) -> (SessionId, u64) {
    let told = if tracking.no_loop { "NOLOOP" } else { "LOOP" };
    let (client, token) = tracked(stage, tracking);
    for shard in 0..3 {
        let link = link(stage, shard);
        assert_eq!(stage.sent_on(link), format!("SLOTWAY-TRACKING {token} {told}"));
        stage.answer_on(link, "+OK|");
    }
    (client, token)
}

/// The connection in RESP3 to a shard.
fn link(stage: &Stage, shard: usize) -> crate::core::UpstreamId {
    let found = |(id, upstream): (crate::core::UpstreamId, &crate::upstream::Upstream)| {
        (upstream.shard == shard && upstream.protocol == Protocol::Resp3).then_some(id)
    };
    stage.core.upstreams.iter().find_map(found).expect("a connection")
}

fn invalidate(token: u64, key: &str) -> String {
    let token = token.to_string();
    format!(">3|$10|invalidate|${}|{token}|*1|${}|{key}|", token.len(), key.len())
}

#[test]
fn reads_are_marked_and_writes_only_where_the_writer_is_not_to_hear_of_them() {
    let mut stage = Stage::new();
    let (client, token) = registered(&mut stage, Tracking::default());
    let (a, b) = (key(0, 0), key(1, 0));
    stage.send(client, &format!("GET {a}|SET {a} v|PING|MGET {a} {b}"));
    let (first, second) = (link(&stage, 0), link(&stage, 1));
    assert_eq!(
        stage.sent_on(first),
        format!("SLOTWAY-TRACK 1 {token} GET {a}|SET {a} v|SLOTWAY-TRACK 1 {token} MGET {a}")
    );
    assert_eq!(stage.sent_on(second), format!("SLOTWAY-QUIET SLOTWAY-TRACK 1 {token} MGET {b}"));
    let (quiet, number) = registered(&mut stage, Tracking { no_loop: true, ..Tracking::default() });
    stage.send(quiet, &format!("SET {a} v|GET {a}|MULTI|GET {a}|EXEC"));
    let sent = stage.sent_on(first);
    assert!(
        sent.starts_with(&format!("SLOTWAY-TRACK 2 {number} SET"))
            || sent.starts_with(&format!("SLOTWAY-TRACK 3 {number} SET")),
        "{sent}"
    );
    assert!(sent.contains(&format!("|SLOTWAY-TRACK 3 {number} SLOTWAY-EXEC")), "{sent}");
}

#[test]
fn what_is_to_be_forgotten_does_not_overtake_the_reply_that_told_it() {
    let mut stage = Stage::new();
    let (client, token) = registered(&mut stage, Tracking::default());
    let (a, b) = (key(0, 0), key(1, 0));
    stage.send(client, &format!("GET {a}|GET {b}"));
    let (first, second) = (link(&stage, 0), link(&stage, 1));
    stage.answer_on(second, &format!("$1|b|{}", invalidate(token, &b)));
    assert_eq!(stage.got(client), "");
    stage.answer_on(first, "$1|a|");
    assert_eq!(stage.got(client), format!("$1|a|$1|b|>2|$10|invalidate|*1|${}|{b}|", b.len()));
    // A request that waits holds nothing back.
    stage.send(client, &format!("GET {a}"));
    stage.answer_on(second, &invalidate(token, &b));
    assert_eq!(stage.got(client), format!(">2|$10|invalidate|*1|${}|{b}|", b.len()));
}

#[test]
fn a_gathered_reply_comes_before_what_its_parts_are_to_be_forgotten_for() {
    let mut stage = Stage::new();
    let (client, token) = registered(&mut stage, Tracking::default());
    let (a, b) = (key(0, 0), key(1, 0));
    stage.send(client, &format!("MGET {a} {b}"));
    let (first, second) = (link(&stage, 0), link(&stage, 1));
    stage.answer_on(second, &format!("*1|$1|b|{}", invalidate(token, &b)));
    assert_eq!(stage.got(client), "");
    stage.answer_on(first, "*1|$1|a|");
    assert!(stage.got(client).starts_with("*2|$1|a|$1|b|>2|$10|invalidate|"));
}

#[test]
fn a_request_that_is_sent_again_keeps_its_mark() {
    let mut stage = Stage::new();
    let (client, token) = registered(&mut stage, Tracking::default());
    let a = key(0, 0);
    let slot = slotway_common::slot::slot_of(a.as_bytes());
    stage.send(client, &format!("GET {a}"));
    let first = link(&stage, 0);
    stage.sent_on(first);
    stage.answer_on(first, &format!("-MOVED {slot} h:2|"));
    assert_eq!(stage.sent_on(first), format!("SLOTWAY RESUME {slot}"));
    stage.answer_on(first, "+OK|");
    let second = link(&stage, 1);
    assert_eq!(stage.sent_on(second), format!("SLOTWAY-TRACK 1 {token} GET {a}"));
}

#[test]
fn a_lost_connection_makes_those_forget_everything_who_have_read_over_it() {
    let mut stage = Stage::new();
    let (client, _) = registered(&mut stage, Tracking::default());
    let (other, _) = registered(&mut stage, Tracking::default());
    stage.core.use_route(other, Protocol::Resp3, 3);
    stage.send(client, &format!("GET {}", key(0, 0)));
    stage.send(other, &format!("GET {}", key(0, 0)));
    let first = link(&stage, 0);
    stage.answer_on(first, "$1|a|");
    assert_eq!(stage.got(client), "$1|a|");
    stage.core.upstream_lost(first, "a test");
    assert_eq!(stage.got(client), ">2|$10|invalidate|_|");
    assert_eq!(stage.got(other), "");
}

#[test]
fn prefixes_are_told_to_every_shard_and_again_over_a_new_connection() {
    let mut stage = Stage::new();
    let prefixes = BTreeSet::from([Box::from(&b"p:"[..])]);
    let (client, token) = tracked(&mut stage, Tracking { broadcast: true, prefixes, ..Tracking::default() });
    for shard in 0..3 {
        let link = link(&stage, shard);
        assert_eq!(stage.sent_on(link), format!("SLOTWAY-TRACKING {token} LOOP p:"));
        stage.answer_on(link, "+OK|");
    }
    assert_eq!(stage.got(client), "");
    let first = link(&stage, 0);
    stage.core.upstream_lost(first, "a test");
    assert_eq!(stage.got(client), ">2|$10|invalidate|_|");
    stage.core.upstream_opened(first);
    assert_eq!(stage.sent_on(first), format!("SLOTWAY-TRACKING {token} LOOP p:"));
    stage.answer_on(first, "+OK|");
    assert_eq!(stage.got(client), ">2|$10|invalidate|_|", "it may have missed something until now");
    stage.core.stop_tracking(client);
    assert_eq!(stage.sent_on(first), format!("SLOTWAY-TRACKING {token}"));
    stage.answer_on(first, &format!("+OK|{}", invalidate(token, "p:1")));
    assert_eq!(stage.got(client), "");
}

#[test]
fn what_a_client_changes_itself_it_is_told_behind_the_reply_and_before_the_next() {
    let mut stage = Stage::new();
    let (client, token) = registered(&mut stage, Tracking::default());
    let (other, _) = registered(&mut stage, Tracking::default());
    let (a, b) = (key(0, 0), key(0, 1));
    stage.send(client, &format!("SET {a} v|PING"));
    stage.send(other, &format!("SET {b} v"));
    let first = link(&stage, 0);
    let behind = |key: &str| invalidate(token, key).replace("$10|invalidate", "$17|invalidate-behind");
    stage.answer_on(first, &format!("{}+OK|", behind(&a)));
    let told = |key: &str| format!(">2|$10|invalidate|*1|${}|{key}|", key.len());
    assert_eq!(stage.got(client), format!("+OK|{}+PONG|", told(&a)));
    // What another client of this proxy changes waits for nothing.
    stage.answer_on(first, &format!("{}+OK|", behind(&b)));
    assert_eq!((stage.got(client), stage.got(other)), (told(&b), "+OK|".to_owned()));
}

#[test]
fn what_all_shards_say_of_one_flush_is_told_once_and_of_two_twice() {
    let mut stage = Stage::new();
    let (client, token) = registered(&mut stage, Tracking::default());
    let length = token.to_string().len();
    let all = format!(">3|$10|invalidate|${length}|{token}|_|");
    let told = ">2|$10|invalidate|_|";
    let links = [0, 1, 2].map(|shard| link(&stage, shard));
    for _ in 0..2 {
        links.iter().for_each(|link| stage.answer_on(*link, &all));
        assert_eq!(stage.got(client), told);
    }
    // It has asked one of them for something in between.
    stage.answer_on(links[0], &all);
    stage.send(client, &format!("GET {}", key(1, 0)));
    stage.answer_on(links[1], &format!("$1|b|{all}"));
    assert_eq!(stage.got(client), format!("{told}$1|b|{told}"));
}
