//! What the table of settings promises.

use super::*;
use crate::resp::request::encode;
use crate::resp::{Limits, Parser, Protocol};

/// Calls `check` with `words` as arguments.
fn with_args<T>(words: &[&[u8]], check: impl FnOnce(&Args<'_>) -> T) -> T {
    let mut buffer = Vec::new();
    encode(words.iter().copied(), &mut buffer);
    let mut parser = Parser::new();
    parser.parse(&buffer, &Limits::default()).expect("a request");
    check(&parser.args(&buffer))
}

fn set(settings: &mut Settings, words: &[&[u8]]) -> Result<Vec<Name>, String> {
    let changes = with_args(words, |args| settings.config_set(args)).map_err(|error| error.to_string())?;
    Ok(settings.apply(changes))
}

fn get(settings: &Settings, words: &[&[u8]]) -> String {
    let mut out = Vec::new();
    with_args(words, |args| settings.config_get(args, &mut Reply::new(&mut out, Protocol::Resp2)));
    out.escape_ascii().to_string()
}

#[test]
fn every_default_is_a_value_in_its_canonical_text() {
    for parameter in TABLE {
        let value = Value::parse(parameter.kind, parameter.default.as_bytes(), None).expect(parameter.name);
        assert_eq!(
            value.text().escape_ascii().to_string(),
            parameter.default.as_bytes().escape_ascii().to_string()
        );
    }
}

#[test]
fn a_set_changes_everything_or_nothing() {
    let mut settings = Settings::new();
    assert_eq!(
        set(&mut settings, &[b"timeout", b"5", b"MAXMEMORY", b"1gb"]),
        Ok(vec![Name::Timeout, Name::Maxmemory])
    );
    assert_eq!(settings.bytes(Name::Maxmemory), 1 << 30);
    assert_eq!(
        set(&mut settings, &[b"timeout", b"6", b"maxmemory", b"x"]),
        Err("ERR CONFIG SET failed (possibly related to argument 'maxmemory') - argument must be a memory value".into())
    );
    assert_eq!(settings.number(Name::Timeout), 5);
    // The value that it has already is no change.
    assert_eq!(set(&mut settings, &[b"timeout", b"5"]), Ok(vec![]));
}

#[test]
fn what_is_fixed_can_be_set_to_the_value_it_has() {
    let mut settings = Settings::new();
    assert_eq!(set(&mut settings, &[b"activedefrag", b"NO"]), Ok(vec![]));
    assert_eq!(
        set(&mut settings, &[b"activedefrag", b"yes"]),
        Err(
            "ERR CONFIG SET failed (possibly related to argument 'activedefrag') - memory in use is not moved"
                .into()
        )
    );
    assert!(
        set(&mut settings, &[b"appendonly", b"maybe"]).is_err_and(|e| e.contains("must be 'yes' or 'no'"))
    );
}

#[test]
fn names_are_shown_as_written_and_patterns_show_aliases() {
    let settings = Settings::new();
    assert_eq!(get(&settings, &[b"TimeOut", b"timeout"]), r"*2\r\n$7\r\nTimeOut\r\n$1\r\n0\r\n");
    assert_eq!(get(&settings, &[b"nosuch"]), r"*0\r\n");
    assert_eq!(
        get(&settings, &[b"[rs]*-PRIORITY"]),
        r"*4\r\n$16\r\nreplica-priority\r\n$3\r\n100\r\n$14\r\nslave-priority\r\n$3\r\n100\r\n"
    );
}

#[test]
fn what_is_stored_comes_back_and_the_rest_is_the_default() {
    let mut settings = Settings::new();
    settings.fix(Name::Port, "7001");
    set(&mut settings, &[b"requirepass", b"p\xff\x00q", b"save", b"", b"hz", b"20", b"maxmemory", b"1k"])
        .unwrap();
    set(&mut settings, &[b"client-output-buffer-limit", b"pubsub 1 2 3"]).unwrap();
    let json = serde_json::to_string(&settings.stored()).unwrap();
    assert!(!json.contains("port"), "{json}");

    let mut other = Settings::new();
    set(&mut other, &[b"timeout", b"9"]).unwrap();
    let changed = other.restore(&serde_json::from_str(&json).unwrap()).unwrap();
    assert_eq!(*other.text(Name::Requirepass), *b"p\xff\x00q");
    assert_eq!(other.number(Name::Hz), 20);
    assert_eq!(other.number(Name::Timeout), 0);
    assert_eq!(other.number(Name::Port), 6379);
    assert_eq!(other.output_limits(), settings.output_limits());
    assert!(
        changed.contains(&Name::Timeout) && changed.contains(&Name::Hz) && !changed.contains(&Name::Port)
    );

    let wrong = BTreeMap::from([("hz".to_owned(), StoredText::new(b"x"))]);
    assert!(other.restore(&wrong).is_err());
    assert_eq!(other.number(Name::Hz), 20);
}

#[test]
fn a_file_can_set_what_can_be_set_at_the_start_only() {
    assert_eq!(check("Enable-Debug-Command", "local"), Ok(()));
    assert_eq!(
        check("maxmemory", "1.5gb"),
        Err("setting `maxmemory` cannot be `1.5gb`: argument must be a memory value".into())
    );
    assert_eq!(check("databases", "16"), Ok(()));
    assert!(check("databases", "32").is_err());
    assert_eq!(check("nosuch", "1"), Err("there is no setting `nosuch`".into()));
    assert_eq!(
        check("activedefrag", "yes"),
        Err("setting `activedefrag` cannot be `yes`: memory in use is not moved".into())
    );
}
