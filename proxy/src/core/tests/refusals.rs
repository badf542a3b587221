//! Slots that moved or are parked.

use super::*;

fn resume(key: &str) -> String {
    format!("SLOTWAY RESUME {}", slot_of(key.as_bytes()))
}

#[test]
fn moved_requests_follow_in_their_order_and_nobody_sees_the_redirect() {
    let mut stage = Stage::new();
    let client = stage.client();
    let (key, other) = (key(0, 0), key(0, 1));
    let slot = slot_of(key.as_bytes());
    stage.send(client, &format!("SET {key} 1|GET {other}|APPEND {key} 2|APPEND {key} 3"));
    stage.sent(0);
    stage.answer(0, &format!("-MOVED {slot} h:2|"));
    assert_eq!(stage.sent(0), resume(&key));
    stage.send(client, &format!("GET {key}"));
    assert_eq!(stage.sent(1), "", "new requests for the slot wait for the refused ones");
    stage.answer(0, "$1|o|");
    stage.answer(0, &format!("-MOVED {slot} h:2|-MOVED {slot} h:2|+OK|"));
    assert_eq!(stage.sent(1), format!("SET {key} 1|APPEND {key} 2|APPEND {key} 3|GET {key}"));
    stage.answer(1, "+OK|:2|:3|$3|123|");
    assert_eq!(stage.got(client), "+OK|$1|o|:2|:3|$3|123|");
    assert!(stage.actions.iter().any(|action| matches!(action, Action::Refresh)));
    stage.send(client, &format!("GET {key}"));
    assert_eq!(stage.sent(1), format!("GET {key}"), "the slot is known to be there from now on");
    assert_eq!(stage.sent(0), "");
}

/// Requests on their way to the old owner were overtaken by those that came after the new topology.
#[test]
fn nothing_overtakes_what_is_on_its_way_to_the_old_owner_when_the_topology_comes_first() {
    let mut stage = Stage::new();
    let client = stage.client();
    let (key, other) = (key(0, 0), key(0, 1));
    let slot = slot_of(key.as_bytes());
    stage.send(client, &format!("APPEND {key} 1|APPEND {key} 2|GET {other}"));
    stage.sent(0);
    let kept: Vec<u16> = (0..=5460).filter(|kept| *kept != slot).collect();
    let kept = slotway_common::topology::SlotRanges::from_slots(kept).to_string();
    let given = format!("{slot},5461-10922");
    stage.core.apply_topology(&topology(
        2,
        &[("a", "h:1", &kept), ("b", "h:2", &given), ("c", "h:3", "10923-16383")],
    ));
    assert_eq!(stage.sent(0), resume(&key), "the other slot stays");
    stage.send(client, &format!("APPEND {key} 3"));
    assert_eq!(stage.sent(1), "");
    // The first had run before the slot was parked.
    stage.answer(0, &format!(":1|-MOVED {slot} h:2|$1|o|+OK|"));
    assert_eq!(stage.sent(1), format!("APPEND {key} 2|APPEND {key} 3"));
    stage.answer(1, ":2|:3|");
    assert_eq!(stage.got(client), ":1|:2|$1|o|:3|");
}

/// The redirect of a client of one database had those of another go on to the new owner, past their own requests.
#[test]
fn a_redirect_on_one_connection_lets_nothing_overtake_what_is_on_its_way_over_another() {
    let mut stage = Stage::new();
    let (client, other) = (stage.client(), stage.client());
    let key = key(0, 0);
    let slot = slot_of(key.as_bytes());
    stage.send(other, "SELECT 3");
    assert_eq!(stage.got(other), "+OK|");
    stage.send(client, &format!("GET {key}"));
    stage.sent(0);
    stage.send(other, &format!("APPEND {key} 1"));
    let third = stage.upstream_of(0, 3);
    assert_eq!(stage.sent_on(third), format!("APPEND {key} 1"));
    stage.answer(0, &format!("-MOVED {slot} h:2|"));
    assert_eq!(stage.sent_on(third), resume(&key));
    stage.answer(0, "+OK|");
    stage.send(other, &format!("APPEND {key} 2"));
    assert_eq!(stage.sent(1), "", "the slot waits for both connections");
    stage.answer_on(third, &format!("-MOVED {slot} h:2|+OK|"));
    let new = stage.upstream_of(1, 3);
    assert_eq!(stage.sent_on(new), format!("APPEND {key} 1|APPEND {key} 2"));
    assert_eq!(stage.sent(1), format!("GET {key}"));
}

#[test]
fn a_detained_slot_delays_nobody_else() {
    let mut stage = Stage::new();
    let (client, other) = (stage.client(), stage.client());
    let (key, free) = (key(0, 0), key(0, 1));
    stage.send(client, &format!("GET {key}"));
    stage.sent(0);
    stage.answer(0, &format!("-PARKED {}|", slot_of(key.as_bytes())));
    stage.sent(0);
    stage.send(other, &format!("GET {free}"));
    assert_eq!(stage.sent(0), format!("GET {free}"));
}

#[test]
fn parked_requests_are_tried_again_after_a_while() {
    let mut stage = Stage::new();
    let client = stage.client();
    let key = key(0, 0);
    stage.send(client, &format!("INCR {key}"));
    stage.sent(0);
    stage.answer(0, &format!("-PARKED {}|", slot_of(key.as_bytes())));
    assert_eq!(stage.sent(0), resume(&key));
    stage.answer(0, "+OK|");
    let Some(Action::Release { detention, .. }) = stage.actions.pop() else { panic!("a timer") };
    assert_eq!(stage.sent(0), "");
    stage.core.release(detention);
    assert_eq!(stage.sent(0), format!("INCR {key}"));
    stage.answer(0, ":1|");
    assert_eq!(stage.got(client), ":1|");
}

#[test]
fn parked_requests_go_on_as_soon_as_slots_have_changed_hands() {
    let mut stage = Stage::new();
    let client = stage.client();
    let key = key(0, 0);
    stage.send(client, &format!("INCR {key}"));
    stage.sent(0);
    stage.answer(0, &format!("-PARKED {}|+OK|", slot_of(key.as_bytes())));
    stage.sent(0);
    let Some(Action::Release { detention, .. }) = stage.actions.pop() else { panic!("a timer") };
    stage.core.apply_topology(&topology(
        2,
        &[("a", "h:1", ""), ("b", "h:2", "0-10922"), ("c", "h:3", "10923-16383")],
    ));
    assert_eq!(stage.sent(1), format!("INCR {key}"));
    stage.core.release(detention);
    assert_eq!((stage.sent(0), stage.sent(1)), (String::new(), String::new()), "it was sent once");
    stage.answer(1, ":1|");
    assert_eq!(stage.got(client), ":1|");
}

#[test]
fn a_refused_part_is_split_again() {
    let mut stage = Stage::new();
    let client = stage.client();
    let (first, second, elsewhere) = (key(0, 0), key(0, 1), key(1, 0));
    let slot = slot_of(first.as_bytes());
    stage.send(client, &format!("MGET {first} {elsewhere} {second} {first}"));
    stage.sent(0);
    stage.sent(1);
    stage.answer(1, "*1|$1|e|");
    stage.answer(0, &format!("-MOVED {slot} h:3|"));
    let resumes = stage.sent(0);
    assert!(resumes.contains(&resume(&first)) && resumes.contains(&resume(&second)), "{resumes}");
    stage.answer(0, "+OK|+OK|");
    assert_eq!(stage.sent(0), format!("MGET {second}"));
    assert_eq!(stage.sent(2), format!("SLOTWAY-QUIET MGET {first} {first}"));
    stage.answer(2, "*2|$1|1|$1|1|");
    stage.answer(0, "*1|$1|2|");
    assert_eq!(stage.got(client), "*4|$1|1|$1|e|$1|2|$1|1|");
}

#[test]
fn redirects_in_a_circle_slow_down_and_end() {
    let mut stage = Stage::new();
    let client = stage.client();
    let key = key(0, 0);
    let slot = slot_of(key.as_bytes());
    stage.send(client, &format!("GET {key}"));
    let mut at = 0;
    let mut delayed = 0;
    for round in 0..200 {
        let id = stage.upstream(at);
        if !stage.sent_on(id).contains("GET") {
            break;
        }
        at = 1 - at;
        stage.core.now += 100_000;
        stage.answer_on(id, &format!("-MOVED {slot} h:{}|", at + 1));
        stage.sent_on(id);
        stage.answer_on(id, "+OK|");
        if let Some(Action::Release { detention, after_ms }) = stage.actions.pop() {
            assert!(after_ms > 0 && round > 1);
            delayed += 1;
            stage.core.release(detention);
        }
        stage.turn();
    }
    assert!(delayed > 10);
    assert!(stage.got(client).starts_with("-TRYAGAIN "));
}

#[test]
fn a_redirect_to_an_unknown_shard_waits_for_the_topology() {
    let mut stage = Stage::new();
    let client = stage.client();
    let key = key(0, 0);
    stage.send(client, &format!("GET {key}"));
    stage.sent(0);
    stage.answer(0, &format!("-MOVED {} h:9|", slot_of(key.as_bytes())));
    stage.sent(0);
    stage.answer(0, "+OK|");
    let Some(Action::Release { detention, .. }) = stage.actions.pop() else { panic!("a timer") };
    stage.core.apply_topology(&topology(2, &[("a", "h:1", "10923-16383"), ("d", "h:9", "0-10922")]));
    stage.turn();
    stage.core.release(detention);
    assert_eq!(stage.sent(3), format!("GET {key}"));
}

#[test]
fn a_lost_connection_has_forgotten_its_refusals() {
    let mut stage = Stage::new();
    let client = stage.client();
    let key = key(0, 0);
    stage.send(client, &format!("GET {key}|GET {key}"));
    stage.sent(0);
    stage.answer(0, &format!("-MOVED {} h:2|", slot_of(key.as_bytes())));
    stage.sent(0);
    let id = stage.upstream(0);
    stage.core.upstream_lost(id, "gone");
    assert_eq!(stage.sent(1), format!("GET {key}"), "the refused request never ran and goes on");
    stage.answer(1, "$1|x|");
    assert!(stage.got(client).starts_with("$1|x|-CLUSTERDOWN the connection to shard 'a' broke"));
}
