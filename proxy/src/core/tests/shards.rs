//! Shards that are down, and connections that break.

use super::*;

#[test]
fn requests_of_a_shard_that_is_down_fail_at_once_and_others_go_on() {
    let mut stage = Stage::new();
    let client = stage.client();
    let (a, b) = (key(0, 0), key(1, 0));
    stage.send(client, &format!("GET {a}|GET {b}"));
    let id = stage.upstream(0);
    stage.core.upstream_lost(id, "reset");
    stage.core.upstream_failed(id, "connection refused");
    stage.sent(1);
    stage.answer(1, "$1|b|");
    assert_eq!(stage.got(client), "-CLUSTERDOWN shard 'a' at h:1 is down: connection refused|$1|b|");
    stage.send(client, &format!("GET {a}|MGET {a} {b}|SELECT 1|GET {a}"));
    let error = "-CLUSTERDOWN shard 'a' at h:1 is down: connection refused|";
    assert_eq!(stage.got(client), format!("{error}{error}+OK|{error}"));
    assert_eq!(stage.sent(1), "", "nothing of a request is sent that cannot be sent whole");
}

#[test]
fn a_cluster_that_was_founded_anew_is_followed_although_its_versions_are_lower() {
    use crate::fixtures::topology;
    let mut core = Stage::new().core;
    let of = |id: &str, version, slots: [&str; 2]| {
        let shards = [("a", "h:1", slots[0]), ("b", "h:2", slots[1])];
        slotway_common::topology::Topology { id: id.to_owned(), ..topology(version, &shards) }
    };
    core.apply_topology(&of("old", 50, ["", "0-16383"]));
    core.apply_topology(&of("old", 49, ["0-16383", ""]));
    assert_eq!(core.view.owner(0), Some(1), "an earlier topology of the same cluster");
    core.apply_topology(&of("", 3, ["0-16383", ""]));
    assert_eq!(core.view.owner(0), Some(1), "one of a cluster that is not known");
    core.apply_topology(&of("new", 3, ["0-16383", ""]));
    assert_eq!(core.view.owner(0), Some(0));
    core.apply_topology(&of("new", 4, ["", "0-16383"]));
    assert_eq!(core.view.owner(0), Some(1));
}

#[test]
fn it_heals_with_the_next_connection() {
    let mut stage = Stage::new();
    let client = stage.client();
    let key = key(0, 0);
    stage.send(client, &format!("GET {key}"));
    stage.sent(0);
    let id = stage.upstream(0);
    stage.core.upstream_lost(id, "reset");
    stage.core.upstream_failed(id, "connection refused");
    stage.got(client);
    stage.core.upstream_opened(id);
    stage.send(client, &format!("GET {key}"));
    assert_eq!(stage.sent(0), format!("GET {key}"));
}

#[test]
fn what_was_written_gets_an_error_and_what_was_not_waits_for_the_next_attempt() {
    let mut stage = Stage::new();
    let client = stage.client();
    let key = key(0, 0);
    stage.send(client, &format!("SET {key} 1|GET {key}"));
    stage.sent(0);
    stage.send(client, &format!("SET {key} 2"));
    let id = stage.upstream(0);
    stage.core.upstream_lost(id, "reset");
    stage.core.upstream_opened(id);
    assert_eq!(stage.sent(0), format!("SET {key} 2"), "what may have run is not sent again");
    stage.answer(0, "+OK|");
    assert_eq!(
        stage.got(client),
        "-ERR the connection to shard 'a' broke before its reply (reset): the command may have been executed|\
         -CLUSTERDOWN the connection to shard 'a' broke before its reply (reset)|+OK|"
    );
}

#[test]
fn a_reply_that_breaks_off_half_way_closes_the_client() {
    let mut stage = Stage::new();
    let client = stage.client();
    stage.send(client, &format!("GET {}", key(0, 0)));
    stage.sent(0);
    stage.answer(0, "$100|abc");
    let id = stage.upstream(0);
    stage.core.upstream_lost(id, "reset");
    stage.turn();
    assert!(stage.closed(client));
}

#[test]
fn a_split_write_tells_what_was_applied() {
    let mut stage = Stage::new();
    let client = stage.client();
    let (a, b) = (key(0, 0), key(1, 0));
    stage.send(client, &format!("DEL {a} {b}"));
    stage.sent(0);
    stage.sent(1);
    stage.answer(0, ":1|");
    let id = stage.upstream(1);
    stage.core.upstream_lost(id, "reset");
    assert_eq!(
        stage.got(client),
        "-ERR the connection to shard 'b' broke before its reply (reset): the command may have been executed \
         (applied: 1 key on shard 'a'; unknown whether applied: 1 key on shard 'b')|"
    );
}

#[test]
fn a_slot_without_an_owner_is_an_error() {
    let mut stage = Stage::new();
    let client = stage.client();
    stage.core.apply_topology(&topology(2, &[("a", "h:1", "0-5460"), ("b", "h:2", "5461-10922")]));
    let key = key(2, 0);
    stage.send(client, &format!("GET {key}|MGET {key} {}", super::key(0, 0)));
    let error = format!("-CLUSTERDOWN Hash slot {} is not served by any shard|", slot_of(key.as_bytes()));
    assert_eq!(stage.got(client), format!("{error}{error}"));
}

#[test]
fn a_shard_at_a_new_address_is_connected_to_there() {
    let mut stage = Stage::new();
    let client = stage.client();
    let key = key(0, 0);
    stage.send(client, &format!("GET {key}"));
    stage.core.apply_topology(&topology(2, &[("a", "h:8", "0-16383")]));
    stage.turn();
    let id = stage.upstream(0);
    assert_eq!(&*stage.core.upstream_target(id).unwrap().1, "h:8");
}

#[test]
fn replies_that_nobody_asked_for_end_the_connection() {
    let mut stage = Stage::new();
    let client = stage.client();
    stage.send(client, &format!("GET {}", key(0, 0)));
    stage.sent(0);
    let id = stage.upstream(0);
    assert!(stage.core.upstream_received(id, b"$1\r\nx\r\n+OK\r\n").is_err());
    assert!(stage.core.upstream_received(id, b"?\r\n").is_err());
}

#[test]
fn connections_of_other_databases_close_when_idle() {
    let mut stage = Stage::new();
    let client = stage.client();
    stage.send(client, &format!("GET {0}|SELECT 2|GET {0}", key(0, 0)));
    stage.sent(0);
    stage.answer(0, "$-1|");
    let id = stage.upstream_of(0, 2);
    stage.sent_on(id);
    stage.answer_on(id, "$-1|");
    stage.core.now += 61_000_000;
    stage.core.tick();
    stage.turn();
    let left: Vec<u32> = stage.core.upstreams.iter().map(|(_, upstream)| upstream.database).collect();
    assert_eq!(left, [0, 0, 0]);
}
