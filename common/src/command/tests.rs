//! What the rows promise to those that use them.

use super::*;
use crate::resp::Args;

/// Calls `check` with the words of `line` as arguments.
fn with_args<T>(words: &[&[u8]], check: impl FnOnce(&Args<'_>) -> T) -> T {
    let mut buffer = Vec::new();
    let mut spans = Vec::new();
    for word in words {
        spans.push((buffer.len() as u32, word.len() as u32));
        buffer.extend_from_slice(word);
    }
    check(&Args::new(&buffer, &spans))
}

fn words(line: &str) -> Vec<&[u8]> {
    line.split(' ').map(str::as_bytes).collect()
}

fn key_positions(line: &str) -> Option<Vec<usize>> {
    with_args(&words(line), |args| {
        let command = find(args).expect("command");
        keys(command, args).ok().map(|keys| keys.positions().collect())
    })
}

fn error_of(words: &[&[u8]]) -> Vec<u8> {
    with_args(words, |args| resolve(args, false).expect_err("an error").wire().into_owned())
}

#[test]
fn every_command_is_found_in_any_case_and_nothing_else_is() {
    for row in commands() {
        assert_eq!(lookup(row.name.as_bytes()).map(|r| r.id), Some(row.id), "{}", row.name);
        assert_eq!(
            lookup(row.name.to_ascii_uppercase().as_bytes()).map(|r| r.id),
            Some(row.id),
            "{}",
            row.name
        );
        // Any one byte changed, and any byte more or less, is another name.
        for position in 0..row.name.len() {
            let mut name = row.name.as_bytes().to_vec();
            for byte in [
                0,
                b'@',
                b'[',
                b'`',
                b'{',
                name[position] | 0x80,
                name[position] ^ 0x20,
                name[position] ^ 0x10,
            ] {
                name[position] = byte;
                let expected = commands().find(|r| r.name.as_bytes().eq_ignore_ascii_case(&name));
                assert_eq!(lookup(&name).map(|r| r.id), expected.map(|r| r.id), "{}", name.escape_ascii());
            }
            let cut = &row.name.as_bytes()[..position];
            let expected = commands().find(|r| r.name.as_bytes().eq_ignore_ascii_case(cut));
            assert_eq!(lookup(cut).map(|r| r.id), expected.map(|r| r.id));
        }
        let longer = [row.name.as_bytes(), b"\0"].concat();
        assert!(lookup(&longer).is_none());
    }
    assert!(lookup(b"").is_none());
    assert!(lookup(&[b'a'; 1000]).is_none());
}

#[test]
fn ids_are_dense_and_subcommands_stand_behind_their_container() {
    for (index, row) in TABLE.iter().enumerate() {
        assert_eq!(usize::from(row.id), index);
        match row.container {
            Some(container) => {
                let container = &TABLE[usize::from(container)];
                assert_eq!(row.name, format!("{}|{}", container.name, row.last_name()));
                assert_eq!(container.subcommand(row.last_name().as_bytes()).map(|r| r.id), Some(row.id));
                assert_eq!(container.group, row.group);
            }
            None => assert_eq!(row.name, row.last_name()),
        }
    }
    assert_eq!(listed().count(), 240);
}

#[test]
fn every_row_has_a_route_that_its_keys_allow() {
    for row in TABLE.iter().filter(|row| !row.is_container()) {
        match row.route {
            Route::Slot | Route::Split => assert!(row.has_keys(), "{}", row.name),
            Route::FanOut => assert!(!row.has_keys(), "{}", row.name),
            Route::Proxy => assert!(!row.has_keys() || row.name == "watch", "{}", row.name),
            Route::Job => assert!(!row.has_keys() || row.blocks.is_some(), "{}", row.name),
            Route::Internal => {}
            Route::Unsupported => assert!(matches!(row.support, Support::Later(_)), "{}", row.name),
        }
        if row.route == Route::Split {
            assert!(
                matches!(row.key_specs, [KeySpec { find: Find::Range { last: -1, .. }, .. }]),
                "{}",
                row.name
            );
        }
        assert_eq!(
            row.merge == Merge::Pass,
            !matches!(row.route, Route::Split | Route::FanOut),
            "{}",
            row.name
        );
        assert!(row.summary.ends_with('.') && !row.summary.contains('\n'), "{}", row.name);
    }
}

#[test]
fn a_row_that_blocks_says_what_it_waits_for() {
    for row in &TABLE {
        // Redis does not say it of WAIT.
        let blocks = row.blocks.filter(|blocks| *blocks != Blocks::Replicas);
        assert_eq!(row.flags.contains(Flags::BLOCKING), blocks.is_some(), "{}", row.name);
    }
}

#[test]
fn keys_are_found_where_the_specs_say() {
    assert_eq!(key_positions("GET a"), Some(vec![1]));
    assert_eq!(key_positions("MSET a 1 b 2 c 3"), Some(vec![1, 3, 5]));
    assert_eq!(key_positions("RENAME a b"), Some(vec![1, 2]));
    assert_eq!(key_positions("PFMERGE a b c"), Some(vec![1, 2, 3]));
    assert_eq!(key_positions("PFMERGE a"), Some(vec![1]));
    assert_eq!(key_positions("OBJECT ENCODING a"), Some(vec![2]));
    assert_eq!(key_positions("SINTERCARD 2 a b LIMIT 1"), Some(vec![2, 3]));
    assert_eq!(key_positions("ZUNIONSTORE d 2 a b WEIGHTS 1 2"), Some(vec![1, 3, 4]));
    assert_eq!(key_positions("BLPOP a b 0"), Some(vec![1, 2]));
    assert_eq!(key_positions("XREAD COUNT 2 STREAMS a b 0 0"), Some(vec![4, 5]));
    assert_eq!(key_positions("SORT a BY STORE LIMIT 0 1 STORE d"), Some(vec![1, 8]));
    assert_eq!(key_positions("GEORADIUS a 1 2 3 m STOREDIST d"), Some(vec![1, 7]));
    assert_eq!(key_positions("GEORADIUS a 1 2 3 m STORE"), Some(vec![1]));
    assert_eq!(key_positions("EVAL s 0 a"), None);
    assert_eq!(key_positions("PING"), Some(vec![]));
    for wrong in ["SINTERCARD 3 a b", "SINTERCARD -1 a", "SINTERCARD x a", "LMPOP 9223372036854775807 a LEFT"]
    {
        assert_eq!(key_positions(wrong), None, "{wrong}");
    }
}

#[test]
fn what_is_unknown_is_quoted_up_to_128_bytes() {
    assert_eq!(error_of(&words("Foo a b")), b"ERR unknown command 'Foo', with args beginning with: 'a' 'b' ");
    assert_eq!(error_of(&words("foo")), b"ERR unknown command 'foo', with args beginning with: ");
    assert_eq!(
        error_of(&[b"f\r\no\0o", b"\0x"]),
        b"ERR unknown command 'f  o', with args beginning with: '' "
    );
    assert_eq!(
        error_of(&words("SlotWay x")),
        b"ERR unknown command 'SlotWay', with args beginning with: 'x' "
    );
    assert_eq!(error_of(&words("cONFIG fOo a")), b"ERR unknown subcommand 'fOo'. Try CONFIG HELP.");
    assert_eq!(error_of(&words("cONFIG GET")), b"ERR wrong number of arguments for 'config|get' command");
    assert_eq!(error_of(&words("GeT")), b"ERR wrong number of arguments for 'get' command");
    let long = [b'x'; 300];
    let error = error_of(&[&long, &long, &long]);
    let expected =
        [&b"ERR unknown command '"[..], &long[..128], b"', with args beginning with: '", &long[..128], b"' "];
    assert_eq!(error, expected.concat());
}
