//! Writing numbers and strings.

use slotway_common::number::parse_i64;

use super::lzf;
use crate::types::item::{IntText, Item};

/// Strings up to this length are not compressed, as in Redis.
const NEVER_COMPRESSED: usize = 20;
/// Bytes that a compressed string must be shorter.
const LEAST_GAIN: usize = 4;
/// Room for what stands before the bytes of a string: a control byte and two numbers.
const MOST_HEAD: usize = 19;

/// Writes a number of elements or bytes.
#[inline]
pub(super) fn len(out: &mut Vec<u8>, len: usize) {
    match len {
        0..0x40 => out.push(len as u8),
        0x40..0x4000 => out.extend_from_slice(&[0x40 | (len >> 8) as u8, len as u8]),
        _ => match u32::try_from(len) {
            Ok(len) => long_len(out, len),
            Err(_) => {
                out.push(0x81);
                out.extend_from_slice(&(len as u64).to_be_bytes());
            }
        },
    }
}

fn long_len(out: &mut Vec<u8>, len: u32) {
    out.push(0x80);
    out.extend_from_slice(&len.to_be_bytes());
}

/// A number that is known only later, in the place that was left for it.
pub(super) struct LaterLen {
    at: usize,
    below_64: bool,
}

impl LaterLen {
    /// Leaves the place at the end of `out`; a shorter one if the number will be `below_64`.
    pub(super) fn new(out: &mut Vec<u8>, below_64: bool) -> Self {
        let at = out.len();
        if below_64 {
            out.push(0);
        } else {
            long_len(out, 0);
        }
        Self { at, below_64 }
    }

    /// Writes the number into its place.
    pub(super) fn set(self, out: &mut [u8], len: usize) {
        let Some((head, rest)) = out.get_mut(self.at..).and_then(|place| place.split_first_mut()) else {
            return;
        };
        if self.below_64 {
            debug_assert!(len < 64, "the number was said to be small");
            *head = len as u8;
        } else if let Some(place) = rest.first_chunk_mut() {
            *place = (len as u32).to_be_bytes();
        }
    }
}

/// Whether strings of more than 20 bytes are compressed where that makes them shorter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// As long as they are, in about the time of a copy.
    None,
    /// As `rdbcompression yes` of Redis.
    Lzf,
}

/// Writes a string in the form that takes the least space: as an integer of up to 32 bits, compressed, or as it is.
#[inline]
pub(super) fn string(out: &mut Vec<u8>, bytes: &[u8], compression: Compression) {
    if bytes.len() <= 11
        && let Some(number) = parse_i64(bytes)
        && integer(out, number)
    {
        return;
    }
    if compression == Compression::Lzf && bytes.len() > NEVER_COMPRESSED && compressed(out, bytes) {
        return;
    }
    len(out, bytes.len());
    out.extend_from_slice(bytes);
}

/// Writes an element as a string.
#[inline]
pub(super) fn item(out: &mut Vec<u8>, item: Item<'_>, compression: Compression) {
    match item {
        Item::Bytes(bytes) => string(out, bytes, compression),
        Item::Int(number) => {
            if !integer(out, number) {
                let mut room = IntText::new();
                let text = room.format(number);
                len(out, text.len());
                out.extend_from_slice(text.as_bytes());
            }
        }
    }
}

/// Writes an integer's text, if the integer has at most 32 bits.
fn integer(out: &mut Vec<u8>, number: i64) -> bool {
    let raw = number.to_le_bytes();
    match number {
        -0x80..0x80 => out.extend_from_slice(&[0xC0, raw[0]]),
        -0x8000..0x8000 => out.extend_from_slice(&[0xC1, raw[0], raw[1]]),
        -0x8000_0000..0x8000_0000 => out.extend_from_slice(&[0xC2, raw[0], raw[1], raw[2], raw[3]]),
        _ => return false,
    }
    true
}

/// Writes a string compressed, if that makes it shorter.
fn compressed(out: &mut Vec<u8>, bytes: &[u8]) -> bool {
    let start = out.len();
    out.resize(start + MOST_HEAD + bytes.len() - LEAST_GAIN, 0);
    let written = out.get_mut(start + MOST_HEAD..).and_then(|room| lzf::compress(bytes, room));
    out.truncate(start + MOST_HEAD + written.unwrap_or(0));
    match written {
        Some(_) => close_gap(out, start, start + MOST_HEAD, Some(bytes.len())),
        None => out.truncate(start),
    }
    written.is_some()
}

/// Writes the bytes that `build` appends as a string, in whichever form is shorter.
pub(super) fn built<R>(
    out: &mut Vec<u8>,
    compression: Compression,
    build: impl FnOnce(&mut Vec<u8>) -> R,
) -> R {
    let start = out.len();
    out.resize(start + MOST_HEAD, 0);
    let body = out.len();
    let result = build(out);
    let end = out.len();
    let size = end - body;
    if compression == Compression::Lzf && size > NEVER_COMPRESSED {
        out.resize(end + size - LEAST_GAIN, 0);
        let (plain, room) = out.split_at_mut(end);
        if let Some(written) = lzf::compress(&plain[body..], room) {
            out.truncate(end + written);
            close_gap(out, start, end, Some(size));
            return result;
        }
        out.truncate(end);
    }
    close_gap(out, start, body, None);
    result
}

/// Moves the bytes from `body` to the end next to `start`, with the head of a string before them: of one that was
/// `compressed` from so many bytes, or of one as it is.
fn close_gap(out: &mut Vec<u8>, start: usize, body: usize, compressed: Option<usize>) {
    let size = out.len() - body;
    let end = out.len();
    // The head is made at the end and then moved into its place.
    if let Some(plain) = compressed {
        out.push(0xC3);
        len(out, size);
        len(out, plain);
    } else {
        len(out, size);
    }
    let head = out.len() - end;
    out.copy_within(end.., start);
    out.copy_within(body..end, start + head);
    out.truncate(start + head + size);
}
