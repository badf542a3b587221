//! Histories made by hand: good ones are accepted, and each kind of damage is found.

use slotway_common::resp::Value;

use super::*;

/// A reply as it is written in these tests.
fn reply(text: &str) -> Outcome {
    let value = |text: &str| match text {
        "null" => Value::NullBulk,
        "OK" => Value::Simple(b"OK".to_vec()),
        _ => match text.strip_prefix(':') {
            Some(number) => Value::Int(number.parse().unwrap()),
            None => Value::Bulk(text.as_bytes().to_vec()),
        },
    };
    match text {
        "?" => Outcome::Unknown("broken".to_owned()),
        "refused" => Outcome::Refused("CLUSTERDOWN".to_owned()),
        _ => Outcome::Reply(match text.strip_prefix('[') {
            Some(items) => Value::Array(items.trim_end_matches(']').split_whitespace().map(value).collect()),
            None => match text.strip_prefix('-') {
                Some(error) => Value::Error(error.as_bytes().to_vec()),
                None => value(text),
            },
        }),
    }
}

/// Lines of `client sent-answered command -> reply`; the client `last` reads at the end.
fn history(lines: &str) -> History {
    let mut operations: Vec<Operation> = Vec::new();
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (call, outcome) = line.split_once(" -> ").unwrap();
        let mut parts = call.splitn(3, ' ');
        let client = match parts.next().unwrap() {
            "last" => LAST,
            number => number.parse().unwrap(),
        };
        let (invoked, returned) = parts.next().unwrap().split_once('-').unwrap();
        operations.push(Operation {
            client,
            number: operations.len() as u32,
            database: 0,
            words: commands::words(parts.next().unwrap()),
            invoked: invoked.parse().unwrap(),
            returned: returned.parse().unwrap(),
            outcome: reply(outcome),
        });
    }
    History { operations, ..History::default() }
}

#[track_caller]
fn good(lines: &str) {
    assert_eq!(history(lines).check(Errors::OfFaults), Vec::<String>::new());
}

#[track_caller]
fn bad(lines: &str, because: &str) {
    let wrong = history(lines).check(Errors::OfFaults);
    assert!(wrong.len() == 1 && wrong[0].contains(because), "not {because:?}: {wrong:#?}");
}

#[test]
fn appended_elements_are_there_once_and_at_their_places() {
    good(
        "1 0-9 RPUSH list:x a -> :1
         2 0-9 RPUSH list:x b -> :2
         2 10-19 RPUSH list:x c -> ?
         1 10-19 RPUSH list:x d -> :4
         1 20-29 RPUSH list:x e -> ?
         1 30-39 RPUSH list:x f -> refused
         last 90-99 LRANGE list:x 0 -1 -> [a b c d]",
    );
    let pushes = "1 0-9 RPUSH list:x a -> :1\n 1 10-19 RPUSH list:x b -> :2\n";
    bad(&format!("{pushes} last 90-99 LRANGE list:x 0 -1 -> [a]"), "lost from the list");
    bad(&format!("{pushes} last 90-99 LRANGE list:x 0 -1 -> [b a]"), "at place 0");
    bad(&format!("{pushes} last 90-99 LRANGE list:x 0 -1 -> [a b a]"), "is there twice");
    bad(&format!("{pushes} last 90-99 LRANGE list:x 0 -1 -> [a b c]"), "never appended");
    bad(&format!("{pushes} last 90-99 LRANGE list:x 0 -1 -> []"), "lost from the list");
    bad("1 0-9 RPUSH list:x a -> :1\n 2 0-9 RPUSH list:x b -> :1", "the same place");
    bad("1 0-9 RPUSH list:x a -> :2\n 2 20-29 RPUSH list:x b -> :1", "which had ended when it began");
    // Both were under way at once, but one client's commands keep their order.
    good("1 0-9 RPUSH list:x a -> :2\n 2 1-9 RPUSH list:x b -> :1");
    bad("1 0-9 RPUSH list:x a -> :2\n 1 1-9 RPUSH list:x b -> :1", "overtook");
}

#[test]
fn an_unknown_element_is_there_at_most_once() {
    let push = "1 0-9 RPUSH list:x a -> ?\n";
    good(&format!("{push} last 90-99 LRANGE list:x 0 -1 -> []"));
    good(&format!("{push} last 90-99 LRANGE list:x 0 -1 -> [a]"));
    bad(&format!("{push} last 90-99 LRANGE list:x 0 -1 -> [a a]"), "is there twice");
    bad("1 0-9 RPUSH list:x a -> refused\n last 90-99 LRANGE list:x 0 -1 -> [a]", "never appended");
}

#[test]
fn sums_are_within_what_was_added() {
    let adds = "1 0-9 INCR counter:x -> :1\n 1 10-19 INCR counter:x -> ?\n 2 20-29 INCR counter:x -> :2\n";
    good(&format!("{adds} last 90-99 GET counter:x -> 2"));
    good(&format!("{adds} last 90-99 GET counter:x -> 3"));
    bad(&format!("{adds} last 90-99 GET counter:x -> 1"), "the sum is 1");
    bad(&format!("{adds} last 90-99 GET counter:x -> 4"), "the sum is 4");
    bad(&format!("{adds} last 90-99 GET counter:x -> null"), "the sum is 0");
    bad("1 0-9 INCR counter:x -> :2\n 1 10-19 INCR counter:x -> :2", "the same place");
    bad("1 0-9 HINCRBY tally:x sum 1 -> :3\n 1 10-19 HINCRBY tally:x sum 1 -> :2", "came before");
}

#[test]
fn registers_are_linearizable() {
    good(
        "1 0-9 SET register:x a -> OK
         2 5-15 SET register:x b -> OK
         3 8-12 GET register:x -> a
         3 20-25 GET register:x -> b
         4 30-40 GETSET register:x c -> b
         5 32-38 GET register:x -> c
         5 50-60 SETNX register:x d -> :0
         5 61-70 DEL register:x -> :1
         5 71-75 SETNX register:x e -> :1
         last 90-99 GET register:x -> e",
    );
    let writes = "1 0-9 SET register:x a -> OK\n 1 10-19 SET register:x b -> OK\n";
    bad(&format!("{writes} 2 20-29 GET register:x -> a"), "no order explains");
    bad(&format!("{writes} 2 20-29 GET register:x -> null"), "no order explains");
    bad(&format!("{writes} 2 20-29 GET register:x -> z"), "never written");
    bad(&format!("{writes} 2 20-29 SETNX register:x c -> :1"), "no order explains");
    bad(&format!("{writes} 2 20-29 DEL register:x -> :0"), "no order explains");
    // Read twice while both are written: not back again.
    bad(
        "1 0-90 SET register:x a -> OK
         2 0-90 SET register:x b -> OK
         3 10-19 GET register:x -> a
         3 20-29 GET register:x -> b
         3 30-39 GET register:x -> a",
        "no order explains",
    );
    bad("1 20-29 SET register:x a -> OK\n 2 0-9 GET register:x -> a", "no order explains");
}

#[test]
fn an_unknown_write_takes_effect_at_any_later_time_or_never() {
    let write = "1 0-9 SET register:x a -> OK\n 1 10-19 SET register:x b -> ?\n";
    good(&format!("{write} 2 40-49 GET register:x -> a\n 2 50-59 GET register:x -> b"));
    good(&format!("{write} 2 40-49 GET register:x -> a\n last 90-99 GET register:x -> a"));
    bad(&format!("{write} 2 40-49 GET register:x -> b\n 2 50-59 GET register:x -> a"), "no order explains");
    bad("1 0-9 SET register:x a -> refused\n 2 40-49 GET register:x -> a", "never written");
    // It may be what a deletion has found.
    good("1 0-9 SET register:x a -> ?\n 2 10-19 DEL register:x -> :1");
}

#[test]
fn commands_of_one_connection_keep_their_order() {
    let sent = "1 0-90 SET register:x a -> OK\n 1 1-91 GET register:x ->";
    good(&format!("{sent} a"));
    bad(&format!("{sent} null"), "no order explains");
    // Of two connections either can be first.
    good("1 0-90 SET register:x a -> OK\n 2 1-91 GET register:x -> null");
}

#[test]
fn several_keys_at_once_are_never_torn() {
    let write = "1 0-9 MSET pair:{x}:a v pair:{x}:b v -> OK\n";
    good(&format!("{write} 2 10-19 MGET pair:{{x}}:a pair:{{x}}:b -> [v v]"));
    bad(&format!("{write} 2 10-19 MGET pair:{{x}}:a pair:{{x}}:b -> [v null]"), "torn");
    bad(&format!("{write} 2 10-19 MGET pair:{{x}}:a pair:{{x}}:b -> [null null]"), "no order explains");
}

#[test]
fn members_are_there_or_were_taken_once() {
    good(
        "1 0-9 SADD set:x a -> :1
         1 10-19 SADD set:x b -> :1
         1 20-29 SADD set:x c -> ?
         2 5-15 SPOP set:x -> a
         2 30-39 SPOP set:x -> ?
         last 90-99 SMEMBERS set:x -> [c]",
    );
    let adds = "1 0-9 ZADD zset:x 1 a -> :1\n 1 10-19 ZADD zset:x 2 b -> :1\n";
    good(&format!("{adds} 2 20-29 ZPOPMIN zset:x -> [a 1]\n last 90-99 ZRANGE zset:x -> [b 2]"));
    bad(&format!("{adds} 2 20-29 ZPOPMIN zset:x -> [a 1]\n last 90-99 ZRANGE zset:x -> []"), "are lost");
    bad(&format!("{adds} last 90-99 ZRANGE zset:x -> [a 1 b 3]"), "comes with 3 and not with 2");
    bad(
        &format!("{adds} 2 20-29 ZPOPMIN zset:x -> [a 1]\n last 90-99 ZRANGE zset:x -> [a 1 b 2]"),
        "still there",
    );
    bad(&format!("{adds} 1 20-29 ZADD zset:x 1 a -> :0"), "there already");
    let takes = "1 0-9 SADD set:x a -> :1\n 2 20-29 SPOP set:x -> a\n";
    bad(&format!("{takes} 2 30-39 SPOP set:x -> a"), "second time");
    bad("1 0-9 SADD set:x a -> :1\n 2 20-29 SPOP set:x -> b", "never added");
    bad("1 20-29 SADD set:x a -> :1\n 2 0-9 SPOP set:x -> a", "before it was added");
    bad("1 0-9 HSET hash:x f v -> :1\n last 90-99 HGETALL hash:x -> []", "are lost");
    bad("1 0-9 HSET hash:x f v -> :1\n last 90-99 HGETALL hash:x -> [f w]", "comes with w");
}

#[test]
fn expiring_keys_live_as_long_as_they_should() {
    let set = "1 0-900 SET expiring:x v PX 100 -> OK\n";
    good(&format!("{set} 1 1000-1100 GET expiring:x -> v\n 1 102000-102100 GET expiring:x -> null"));
    bad(&format!("{set} 1 1000-1100 GET expiring:x -> null"), "gone too early");
    bad(&format!("{set} 1 200000-200100 GET expiring:x -> v"), "there for too long");
    bad(&format!("{set} 1 1000-1100 GET expiring:x -> w"), "another value");
    good("1 0-900 SET expiring:x v PX 100 -> ?\n 1 1000-1100 GET expiring:x -> null");
}

#[test]
fn errors_are_wrong_unless_they_come_of_a_fault() {
    for error in ["-MOVED 1 127.0.0.1:1", "-ASK 1 127.0.0.1:1", "-PARKED 1", "-WRONGTYPE x"] {
        bad(&format!("1 0-9 GET register:x -> {error}"), "an error");
    }
    let unknown = history("1 0-9 GET register:x -> ?\n 1 10-19 GET register:x -> refused");
    assert_eq!(unknown.check(Errors::OfFaults), Vec::<String>::new());
    assert_eq!(unknown.check(Errors::None).len(), 2);
}

#[test]
fn a_lost_slot_begins_anew() {
    let lossy = |lines: &str| {
        let losses =
            vec![Loss { slots: vec![slot_of(b"list:x"), slot_of(b"register:x")], from: 100, until: 200 }];
        History { losses, ..history(lines) }.check(Errors::OfFaults)
    };
    let lists =
        "1 0-9 RPUSH list:x a -> :1\n 1 150-160 RPUSH list:x b -> :2\n 1 210-220 RPUSH list:x c -> :1\n";
    assert_eq!(lossy(&format!("{lists} last 900-990 LRANGE list:x 0 -1 -> [c]")), Vec::<String>::new());
    let back = lossy(&format!("{lists} last 900-990 LRANGE list:x 0 -1 -> [a c]"));
    assert!(back[0].contains("never appended since the slot was empty"), "{back:?}");
    let lost = lossy(&format!("{lists} last 900-990 LRANGE list:x 0 -1 -> []"));
    assert!(lost[0].contains("lost from the list"), "{lost:?}");
    let registers = "1 0-9 SET register:x a -> OK\n 1 90-99 GET register:x -> a\n";
    assert_eq!(lossy(&format!("{registers} 1 210-220 GET register:x -> null")), Vec::<String>::new());
    assert_eq!(lossy(&format!("{registers} 1 210-220 GET register:x -> a")).len(), 1);
    assert_eq!(lossy("1 0-9 SET register:x a -> OK\n 1 90-99 GET register:x -> null").len(), 1);
}
