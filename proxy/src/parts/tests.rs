use slotway_common::command;
use slotway_common::resp::request::Parsed;
use slotway_common::resp::{Limits, Parser};
use slotway_common::slot::slot_of;

use super::*;

/// Of two shards, `two` has the second half of the slots; it stands first by position and last by name.
fn owner(slot: u16) -> Option<usize> {
    Some(usize::from(slot < 8192))
}

/// A key of shard `one`, or of shard `two`.
fn key(shard: &str, number: usize) -> String {
    let wanted = usize::from(shard == "one");
    let keys = (0..).map(|n| format!("k{n}"));
    keys.filter(|key| owner(slot_of(key.as_bytes())) == Some(wanted)).nth(number).unwrap()
}

fn shards() -> Vec<(usize, Rc<str>)> {
    vec![(0, Rc::from("two")), (1, Rc::from("one"))]
}

/// A batch of commands, one a line.
fn batch(lines: &[String]) -> Batch {
    let mut batch = Batch::empty(0);
    for line in lines {
        let words = OwnedArgs::from_words(line.split(' ').map(str::as_bytes));
        batch.push(command::resolve(&words.args(), false).unwrap(), &words.args());
    }
    batch
}

fn split(lines: &[String]) -> Parts {
    Parts::of(&batch(lines), None, shards(), owner).unwrap()
}

/// The commands of each part.
fn commands(parts: &Parts) -> Vec<Vec<String>> {
    let of = |part: &Part| {
        let mut lines = Vec::new();
        part.batch.each(|_, args| {
            let words: Vec<String> =
                args.iter().map(|word| String::from_utf8_lossy(word).into_owned()).collect();
            lines.push(words.join(" "));
        });
        lines
    };
    parts.parts.iter().map(of).collect()
}

fn joined(parts: &Parts, answers: &[Result<&str, &'static str>]) -> String {
    let answers: Vec<Result<Vec<u8>, Error>> = answers
        .iter()
        .map(|answer| match answer {
            Ok(array) => Ok(array.replace('|', "\r\n").into_bytes()),
            Err(text) => Err(Error::err(*text)),
        })
        .collect();
    let mut out = Vec::new();
    parts.join(&answers, &mut out);
    String::from_utf8(out).unwrap().replace("\r\n", "|")
}

#[test]
fn each_command_goes_to_the_shard_of_its_key_and_its_reply_to_its_place() {
    let (one, two) = (key("one", 0), key("two", 0));
    let parts = split(&[
        format!("INCR {two}"),
        format!("INCR {one}"),
        "PING".to_owned(),
        format!("PUBLISH {two} x"),
        format!("GET {one}"),
    ]);
    let own = vec![format!("INCR {one}"), "PING".to_owned(), format!("GET {one}")];
    assert_eq!(commands(&parts), [own, vec![format!("INCR {two}"), format!("PUBLISH {two} x")]]);
    assert_eq!((parts.decider(), parts.others()), ("two", "one".to_owned()));
    let replies = joined(&parts, &[Ok("*3|:1|+PONG|$1|1|"), Ok("*2|:2|:0|")]);
    assert_eq!(replies, ":2|:1|+PONG|:0|$1|1|");
}

#[test]
fn a_command_on_many_keys_is_split_and_its_replies_are_merged() {
    let (one, two, third) = (key("one", 0), key("two", 0), key("one", 1));
    let parts = split(&[
        format!("MGET {one} {two} {third}"),
        format!("MSET {two} v {one} w {two} x"),
        format!("DEL {one} {two} {third}"),
        format!("EXISTS {one} {third}"),
    ]);
    let own = [
        format!("MGET {one} {third}"),
        format!("MSET {one} w"),
        format!("DEL {one} {third}"),
        format!("EXISTS {one} {third}"),
    ];
    assert_eq!(commands(&parts)[0], own);
    assert_eq!(
        commands(&parts)[1],
        [format!("MGET {two}"), format!("MSET {two} v {two} x"), format!("DEL {two}")]
    );
    let replies = joined(&parts, &[Ok("*4|*2|$1|a|$-1|+OK|:2|:0|"), Ok("*3|*1|$1|b|+OK|:1|")]);
    assert_eq!(replies, "*3|$1|a|$1|b|$-1|+OK|:3|:0|");
}

#[test]
fn the_database_changes_in_every_part_and_is_answered_once() {
    let (one, two) = (key("one", 0), key("two", 0));
    let parts = split(&[format!("GET {one}"), "SELECT 2".to_owned(), format!("GET {two}")]);
    let select = "SELECT 2".to_owned();
    assert_eq!(
        commands(&parts),
        [vec![format!("GET {one}"), select.clone()], vec![select, format!("GET {two}")]]
    );
    assert_eq!(joined(&parts, &[Ok("*2|:1|+OK|"), Ok("*2|+OK|:2|")]), ":1|+OK|:2|");
    assert_eq!(joined(&parts, &[Err("lost"), Ok("*2|+OK|:2|")]), "-ERR lost|+OK|:2|");
}

#[test]
fn what_is_lost_is_an_error_in_its_place_alone() {
    let (one, two) = (key("one", 0), key("two", 0));
    let parts = split(&[format!("MSET {one} 1 {two} 2"), format!("GET {one}"), format!("GET {two}")]);
    assert_eq!(joined(&parts, &[Err("lost"), Ok("*2|+OK|$1|2|")]), "-ERR lost|-ERR lost|$1|2|");
    let short = joined(&parts, &[Ok("*1|+OK|"), Ok("*2|+OK|$1|2|")]);
    assert!(short.starts_with("+OK|-ERR a shard's reply") && short.ends_with("|$1|2|"), "{short}");
}

#[test]
fn a_key_without_its_value_fails_on_one_shard_and_any_other_command_refuses_the_whole() {
    let (one, two) = (key("one", 0), key("two", 0));
    let parts = split(&[format!("MSET {one} 1 {two}"), format!("GET {two}")]);
    assert_eq!(commands(&parts), [vec![format!("MSET {one} 1 {one}")], vec![format!("GET {two}")]]);
    assert_eq!(joined(&parts, &[Ok("*1|-ERR x|"), Ok("*1|$-1|")]), "-ERR x|$-1|");
    let refused = Parts::of(&batch(&[format!("RENAME {one} {two}")]), None, shards(), owner);
    assert!(matches!(refused, Err(Inseparable::Command)));
}

#[test]
fn a_shard_that_only_watches_has_a_part_without_commands() {
    let (one, two) = (key("one", 0), key("two", 0));
    let watched = |token, shard, key: &str| ShardWatch {
        token,
        shard,
        route: 0,
        keys: vec![(slot_of(key.as_bytes()), key.as_bytes().into())],
    };
    let watch = Watch { shards: vec![watched(7, 0, &two), watched(8, 1, &one)], broken: false };
    let parts = Parts::of(&batch(&[format!("GET {one}")]), Some(&watch), shards(), owner).unwrap();
    let words = |frame: Vec<u8>| {
        let mut parser = Parser::new();
        assert!(matches!(parser.parse(&frame, &Limits::default()), Ok(Parsed::Frame(_))));
        let args = parser.args(&frame);
        args.iter().map(|word| String::from_utf8_lossy(word).replace("\r\n", "|")).collect::<Vec<_>>()
    };
    let get = format!("*2|$3|GET|${}|{one}|", one.len());
    assert_eq!(
        words(parts.parts[0].prepare("f-1", "two", How::Part, true)),
        ["SLOTWAY-PREPARE", "f-1", "two", "8", "0", &get, "1", "part", &one]
    );
    assert_eq!(
        words(parts.parts[1].decide("f-1", "one", How::Part, true)),
        ["SLOTWAY-DECIDE", "f-1", "one", "7", "0", "", "0", "part", &two]
    );
}

#[test]
fn only_a_part_that_calls_digests_asks_whether_they_are_known() {
    let (one, two) = (key("one", 0), key("two", 0));
    let parts = split(&[format!("EVALSHA {} 1 {one}", "a".repeat(40)), format!("GET {two}")]);
    let has = |part: usize, known: bool, how: &str| {
        let frame = parts.parts[part].prepare("f-1", "two", How::Part, known);
        String::from_utf8(frame).unwrap().contains(&format!("\r\n{how}\r\n"))
    };
    assert!(has(0, true, "known part") && has(0, false, "part") && has(1, true, "part"));
}
