//! Ids as clients write them.

use slotway_common::error::Error;
use slotway_common::number::parse_i64;
use slotway_common::resp::Reply;

use crate::call::Call;
use crate::types::stream::Id;

/// Texts of ids are shorter than this.
const MOST: usize = 128;

pub(super) fn invalid() -> Error {
    Error::err("Invalid stream ID specified as stream command argument")
}

/// Writes an id as a bulk string.
pub(super) fn put_id(reply: &mut Reply<'_>, id: Id) {
    let mut text = [0u8; 41];
    let (mut ms, mut seq) = (itoa::Buffer::new(), itoa::Buffer::new());
    let (ms, seq) = (ms.format(id.ms).as_bytes(), seq.format(id.seq).as_bytes());
    text[..ms.len()].copy_from_slice(ms);
    text[ms.len()] = b'-';
    let end = ms.len() + 1 + seq.len();
    text[ms.len() + 1..end].copy_from_slice(seq);
    reply.bulk(&text[..end]);
}

/// Reads an unsigned number; as in Redis in its canonical form or in whatever form `strtoull` takes.
fn unsigned(text: &[u8]) -> Option<u64> {
    if let Some(number) = parse_i64(text) {
        return u64::try_from(number).ok();
    }
    let is_blank = |byte: &u8| byte.is_ascii_whitespace() || *byte == 0x0b;
    let start = text.iter().position(|byte| !is_blank(byte))?;
    let (negative, digits) = match text.get(start..)? {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = digits
        .iter()
        .try_fold(0u64, |number, digit| number.checked_mul(10)?.checked_add(u64::from(digit - b'0')))?;
    Some(if negative { number.wrapping_neg() } else { number })
}

/// Reads `ms`, `ms-seq`, or where `any_seq` says so `ms-*`, which gives no second part.
fn parts(text: &[u8], any_seq: bool) -> Option<(u64, Option<u64>, bool)> {
    if text.len() >= MOST {
        return None;
    }
    // As Redis reads them, as C strings.
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    match text.iter().position(|byte| *byte == b'-') {
        None => Some((unsigned(text)?, None, false)),
        Some(dash) => {
            let (ms, seq) = (unsigned(&text[..dash])?, &text[dash + 1..]);
            if any_seq && seq == b"*" {
                Some((ms, None, true))
            } else {
                Some((ms, Some(unsigned(seq)?), false))
            }
        }
    }
}

/// Reads an id that is no `-` or `+`; without a second part, that is 0.
pub(super) fn exact(text: &[u8]) -> Result<Id, Error> {
    exact_or(text, 0)
}

fn exact_or(text: &[u8], missing: u64) -> Result<Id, Error> {
    let (ms, seq, _) = parts(text, false).ok_or_else(invalid)?;
    Ok(Id { ms, seq: seq.unwrap_or(missing) })
}

/// Reads an id for a new entry; `Err` has the first part of one whose second part is to be found.
pub(super) fn of_new(text: &[u8]) -> Result<Result<Id, u64>, Error> {
    let (ms, seq, any) = parts(text, true).ok_or_else(invalid)?;
    Ok(if any { Err(ms) } else { Ok(Id { ms, seq: seq.unwrap_or(0) }) })
}

/// Reads an id, or `-` or `+` for the first or last possible one.
pub(super) fn special_or(text: &[u8], missing: u64) -> Result<Id, Error> {
    match text.split(|byte| *byte == 0).next().unwrap_or_default() {
        b"-" => Ok(Id::MIN),
        b"+" => Ok(Id::MAX),
        _ => exact_or(text, missing),
    }
}

/// Reads the start of an interval: `(` before it leaves the id itself out.
pub(super) fn start(text: &[u8]) -> Result<Id, Error> {
    match text {
        [b'(', rest @ ..] if !rest.is_empty() => {
            exact(rest)?.next().ok_or(Error::err("invalid start ID for the interval"))
        }
        _ => special_or(text, 0),
    }
}

fn end(text: &[u8]) -> Result<Id, Error> {
    match text {
        [b'(', rest @ ..] if !rest.is_empty() => {
            exact_or(rest, u64::MAX)?.previous().ok_or(Error::err("invalid end ID for the interval"))
        }
        _ => special_or(text, u64::MAX),
    }
}

/// Reads the start and the end of an interval from two arguments.
pub(super) fn bounds(call: &Call<'_>, from: usize, to: usize) -> Result<(Id, Id), Error> {
    Ok((start(call.args.at(from))?, end(call.args.at(to))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_as_redis_reads_them() {
        assert_eq!(exact(b"5"), Ok(Id::new(5, 0)));
        assert_eq!(exact(b"5-7"), Ok(Id::new(5, 7)));
        assert_eq!(exact(b"18446744073709551615-18446744073709551615"), Ok(Id::MAX));
        assert_eq!(exact(b" 5-+007"), Ok(Id::new(5, 7)));
        assert_eq!(special_or(b"+", 0), Ok(Id::MAX));
        assert_eq!(start(b"(5-18446744073709551615"), Ok(Id::new(6, 0)));
        assert_eq!(end(b"(5-0"), Ok(Id::new(4, u64::MAX)));
        assert_eq!(of_new(b"5-*"), Ok(Err(5)));
        for text in ["", "-", "+", "a", "5-", "5-a", "-5", "5--1", "5-6-7", "5-*", "18446744073709551616"] {
            assert_eq!(exact(text.as_bytes()), Err(invalid()), "{text}");
        }
        assert!(start(b"(18446744073709551615-18446744073709551615").is_err());
        assert!(end(b"(0-0").is_err());
    }
}
