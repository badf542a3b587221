use super::*;
use proptest::prelude::*;

/// Scans `input` fed in pieces that end at `cuts`; returns the end of the first reply.
fn scan_pieces(input: &[u8], cuts: &[usize]) -> Result<Option<(usize, u8)>, FrameError> {
    let mut scanner = Scanner::new();
    let mut from = 0;
    for &to in cuts.iter().chain([&input.len()]) {
        if to <= from {
            continue;
        }
        match scanner.scan(&input[from..to])? {
            Progress::Complete(end) => {
                assert!(scanner.is_idle());
                return Ok(Some((from + end, scanner.kind())));
            }
            Progress::Partial => from = to,
        }
    }
    Ok(None)
}

const REPLIES: &[&[u8]] = &[
    b"+OK\r\n",
    b"-ERR no\r\n",
    b":-12\r\n",
    b"$0\r\n\r\n",
    b"$5\r\nhello\r\n",
    b"$2\r\n\r\n\r\n",
    b"$-1\r\n",
    b"*-1\r\n",
    b"*0\r\n",
    b"*2\r\n$1\r\na\r\n:1\r\n",
    b"*2\r\n*2\r\n+a\r\n*0\r\n$-1\r\n",
    b"*1\r\n*1\r\n*1\r\n*1\r\n_\r\n",
    b"_\r\n",
    b"#t\r\n",
    b",3.14\r\n",
    b",inf\r\n",
    b"(3492890328409238509324850943850943825024385\r\n",
    b"!9\r\nSYNTAX no\r\n",
    b"=7\r\ntxt:abc\r\n",
    b"%2\r\n+a\r\n:1\r\n+b\r\n*1\r\n:2\r\n",
    b"%0\r\n",
    b"~3\r\n:1\r\n:2\r\n:3\r\n",
    b">3\r\n+message\r\n+c\r\n$2\r\nhi\r\n",
    b"|1\r\n+ttl\r\n:3600\r\n$1\r\nv\r\n",
    b"*2\r\n|1\r\n+a\r\n*1\r\n:1\r\n:1\r\n:2\r\n",
    b"|0\r\n+OK\r\n",
    b"$?\r\n;4\r\nHell\r\n;1\r\no\r\n;0\r\n",
    b"$?\r\n;0\r\n",
    b"*?\r\n:1\r\n*2\r\n:2\r\n:3\r\n.\r\n",
    b"*?\r\n*?\r\n.\r\n%?\r\n+a\r\n:1\r\n.\r\n.\r\n",
    b"*2\r\n*?\r\n:1\r\n.\r\n:2\r\n",
    b"*1\r\n$?\r\n;1\r\nx\r\n;0\r\n",
];

#[test]
fn every_reply_ends_at_its_last_byte_however_it_is_split() {
    for reply in REPLIES {
        let mut input = reply.to_vec();
        input.extend_from_slice(b"+next\r\n");
        let kind =
            if reply[0] == b'|' { if reply.ends_with(b"OK\r\n") { b'+' } else { b'$' } } else { reply[0] };
        for first in 0..=input.len() {
            for second in first..=input.len() {
                let found = scan_pieces(&input, &[first, second]);
                assert_eq!(found, Ok(Some((reply.len(), kind))), "{:?}", reply.escape_ascii().to_string());
            }
        }
        let bytewise: Vec<usize> = (0..input.len()).collect();
        assert_eq!(scan_pieces(&input, &bytewise), Ok(Some((reply.len(), kind))));
    }
}

#[test]
fn an_incomplete_reply_is_partial() {
    for reply in REPLIES {
        for end in 0..reply.len() {
            assert_eq!(scan_pieces(&reply[..end], &[]), Ok(None), "{:?}", reply.escape_ascii().to_string());
        }
    }
}

#[test]
fn a_sequence_of_replies_is_cut_at_every_boundary() {
    let all: Vec<u8> = REPLIES.concat();
    let mut scanner = Scanner::new();
    let mut at = 0;
    for reply in REPLIES {
        assert_eq!(scanner.scan(&all[at..]), Ok(Progress::Complete(reply.len())));
        at += reply.len();
    }
    assert_eq!(at, all.len());
}

#[test]
fn malformed_replies_are_refused() {
    for (input, error) in [
        (&b"?1\r\n"[..], FrameError::Type(b'?')),
        (b"\r\n", FrameError::Type(b'\r')),
        (b"$x\r\n", FrameError::Length),
        (b"$\r\n", FrameError::Length),
        (b"$-2\r\n", FrameError::Length),
        (b"~-1\r\n", FrameError::Length),
        (b"*1-\r\n", FrameError::Length),
        (b"$99999999999999999999\r\n", FrameError::Length),
        (b"$3\r\nabcd\r\n", FrameError::LineEnd),
        (b"$3\r\nabc\rx", FrameError::LineEnd),
        (b"$3\rx", FrameError::LineEnd),
        (b"+OK\n", FrameError::LineEnd),
        (b"$8589934592\r\n", FrameError::Limit("string length")),
        (b"*8589934592\r\n", FrameError::Limit("elements")),
        (b"*2\r\n*4294967295\r\n", FrameError::Limit("elements")),
        (b".\r\n", FrameError::Streamed),
        (b";1\r\nx\r\n", FrameError::Streamed),
        (b"*1\r\n.\r\n", FrameError::Streamed),
        (b"*?\r\n*1\r\n.\r\n", FrameError::Streamed),
        (b"$?\r\n+a\r\n", FrameError::Streamed),
    ] {
        assert_eq!(scan_pieces(input, &[]), Err(error), "{:?}", input.escape_ascii().to_string());
    }
    let deep = b"*?\r\n".repeat(MAX_STREAMED_DEPTH + 1);
    assert_eq!(scan_pieces(&deep, &[]), Err(FrameError::Limit("streamed nesting")));
}

#[test]
fn nesting_costs_no_stack() {
    let mut deep = b"*1\r\n".repeat(1_000_000);
    deep.extend_from_slice(b":1\r\n");
    assert_eq!(Scanner::new().scan(&deep), Ok(Progress::Complete(deep.len())));
}

#[test]
fn elements_are_the_bytes_they_came_in() {
    let elements: Vec<&[u8]> =
        Elements::open(b"*4\r\n$1\r\na\r\n$-1\r\n*2\r\n:1\r\n:2\r\n_\r\n").unwrap().collect();
    assert_eq!(elements, [&b"$1\r\na\r\n"[..], b"$-1\r\n", b"*2\r\n:1\r\n:2\r\n", b"_\r\n"]);
    assert_eq!(Elements::open(b"%1\r\n+a\r\n:1\r\n").unwrap().count(), 2);
    assert!(Elements::open(b"*-1\r\n").is_none());
    assert!(Elements::open(b"-ERR x\r\n").is_none());
    assert_eq!(Elements::open(b"*3\r\n:1\r\n").unwrap().count(), 1, "a cut array ends instead of looping");
}

#[test]
fn single_values_are_read() {
    assert_eq!(integer(b":42\r\n"), Some(42));
    assert_eq!(integer(b":-1\r\n"), Some(-1));
    assert_eq!(integer(b"+42\r\n"), None);
    assert_eq!(string(b"$3\r\na\r\n\r\n"), Some(&b"a\r\n"[..]));
    assert_eq!(string(b"+PONG\r\n"), Some(&b"PONG"[..]));
    assert_eq!(string(b"=7\r\ntxt:abc\r\n"), Some(&b"abc"[..]));
    assert_eq!(string(b"$-1\r\n"), None);
    assert_eq!(string(b":1\r\n"), None);
}

/// Any reply that a server could send.
fn any_reply() -> impl Strategy<Value = Vec<u8>> {
    let leaf = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..40).prop_map(|body| {
            let mut frame = format!("${}\r\n", body.len()).into_bytes();
            frame.extend_from_slice(&body);
            frame.extend_from_slice(b"\r\n");
            frame
        }),
        any::<i64>().prop_map(|number| format!(":{number}\r\n").into_bytes()),
        Just(b"$-1\r\n".to_vec()),
        Just(b"_\r\n".to_vec()),
        "[-+,][a-zA-Z ]{0,20}".prop_map(|line| format!("{line}\r\n").into_bytes()),
    ];
    leaf.prop_recursive(4, 64, 6, |inner| {
        (
            prop_oneof![Just('*'), Just('~'), Just('>'), Just('%'), Just('?')],
            proptest::collection::vec(inner, 0..6),
        )
            .prop_map(|(kind, mut elements)| {
                if kind == '%' && elements.len() % 2 == 1 {
                    elements.pop();
                }
                let mut frame = match kind {
                    '%' => format!("%{}\r\n", elements.len() / 2),
                    '?' => "*?\r\n".to_owned(),
                    kind => format!("{kind}{}\r\n", elements.len()),
                }
                .into_bytes();
                frame.extend(elements.concat());
                if kind == '?' {
                    frame.extend_from_slice(b".\r\n");
                }
                frame
            })
    })
}

proptest! {
    #[test]
    fn any_reply_split_anywhere_ends_at_its_last_byte(reply in any_reply(), cuts in proptest::collection::vec(0usize..400, 0..6)) {
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut % (reply.len() + 1)).collect();
        cuts.sort_unstable();
        let mut input = reply.clone();
        input.extend_from_slice(b"$3\r\n");
        prop_assert_eq!(scan_pieces(&input, &cuts), Ok(Some((reply.len(), reply[0]))));
    }

    #[test]
    fn arbitrary_bytes_never_panic_and_do_not_depend_on_the_split(input in proptest::collection::vec(
        prop_oneof![proptest::sample::select(&b"*$%~>|+-:_.;?0123\r\n"[..]), any::<u8>()], 0..60), cut in 0usize..60) {
        let cut = cut % (input.len() + 1);
        prop_assert_eq!(scan_pieces(&input, &[]), scan_pieces(&input, &[cut]));
        let _ = Elements::open(&input).map(Iterator::count);
    }
}
