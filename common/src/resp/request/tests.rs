use proptest::prelude::*;

use super::*;

fn whole(bytes: &[u8]) -> Result<Vec<Vec<u8>>, ProtocolError> {
    let mut parser = Parser::new();
    match parser.parse(bytes, &Limits::default())? {
        Parsed::Frame(length) => {
            assert_eq!(length, bytes.len());
            Ok(parser.args(bytes).iter().map(<[u8]>::to_vec).collect())
        }
        Parsed::Incomplete => panic!("incomplete: {}", bytes.escape_ascii()),
    }
}

#[test]
fn malformed_requests_get_redis_s_protocol_errors() {
    for (bytes, error) in [
        (&b"*a\r\n"[..], ProtocolError::InvalidCount),
        (b"*2147483648\r\n", ProtocolError::InvalidCount),
        (b"*1\r\n:3\r\n", ProtocolError::ExpectedDollar(b':')),
        (b"*1\r\n$-1\r\n", ProtocolError::InvalidBulk),
        (b"*1\r\n$x\r\n", ProtocolError::InvalidBulk),
        (b"*1\r\n$536870913\r\n", ProtocolError::InvalidBulk),
        (b"\"a\r\n", ProtocolError::UnbalancedQuotes),
        (b"\"a\"b\r\n", ProtocolError::UnbalancedQuotes),
    ] {
        let mut parser = Parser::new();
        assert_eq!(parser.parse(bytes, &Limits::default()), Err(error), "{}", bytes.escape_ascii());
    }
    let limits = Limits { authenticated: false, ..Limits::default() };
    assert_eq!(Parser::new().parse(b"*11\r\n", &limits), Err(ProtocolError::UnauthenticatedCount));
    assert_eq!(Parser::new().parse(b"*1\r\n$16385\r\n", &limits), Err(ProtocolError::UnauthenticatedBulk));
    let long = vec![b'1'; MAX_LINE + 2];
    assert_eq!(Parser::new().parse(&long, &limits), Err(ProtocolError::BigInline));
    let long = [&b"*"[..], &long].concat();
    assert_eq!(Parser::new().parse(&long, &limits), Err(ProtocolError::BigCount));
    let long = [&b"*1\r\n$"[..], &long].concat();
    assert_eq!(Parser::new().parse(&long, &limits), Err(ProtocolError::BigBulkCount));
}

#[test]
fn inline_words_are_unquoted_as_redis_cli_does() {
    assert_eq!(whole(b"SET k \"a\\x41\\n\" 'it\\'s'\r\n").unwrap(), [&b"SET"[..], b"k", b"aA\n", b"it's"]);
    assert_eq!(whole(b"  PING  \n").unwrap(), [&b"PING"[..]]);
    assert!(whole(b"\r\n").unwrap().is_empty());
}

/// `DEL a\0b` once ran as `DEL a`.
#[test]
fn an_inline_request_with_a_nul_is_not_cut_there() {
    for bytes in [&b"DEL a\0b\r\n"[..], b"\0\r\n", b"DEL \"a\0\"\r\n"] {
        assert_eq!(Parser::new().parse(bytes, &Limits::default()), Ok(Parsed::Incomplete));
    }
}

#[test]
fn empty_multibulk_requests_are_skipped() {
    assert!(whole(b"*0\r\n").unwrap().is_empty());
    assert!(whole(b"*-1\r\n").unwrap().is_empty());
}

proptest! {
    #[test]
    fn a_request_split_at_every_byte_parses_as_the_whole(
        args in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..8)
    ) {
        let mut bytes = Vec::new();
        encode(args.iter().map(Vec::as_slice), &mut bytes);
        let mut parser = Parser::new();
        for end in 0..bytes.len() {
            prop_assert_eq!(parser.parse(&bytes[..end], &Limits::default()), Ok(Parsed::Incomplete));
        }
        prop_assert_eq!(parser.parse(&bytes, &Limits::default()), Ok(Parsed::Frame(bytes.len())));
        prop_assert_eq!(parser.args(&bytes).iter().map(<[u8]>::to_vec).collect::<Vec<_>>(), args);
    }

    #[test]
    fn arbitrary_bytes_never_panic_and_never_read_past_the_end(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut parser = Parser::new();
        let mut rest = &bytes[..];
        while let Ok(Parsed::Frame(length)) = parser.parse(rest, &Limits::default()) {
            prop_assert!(length > 0 && length <= rest.len());
            let _ = parser.args(rest).iter().count();
            rest = &rest[length..];
        }
    }
}
