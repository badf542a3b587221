//! The bytes of one entry of a packed sequence.
//!
//! An entry is a head, for some heads a payload, and in sequences that are walked both ways a tail:
//!
//! | head | payload | what it is |
//! |---|---|---|
//! | `0nnnnnnn` | n bytes | a byte string of n (0..=127) bytes |
//! | `10nnnnnn` | | the integer n (0..=63) |
//! | `110nnnnn b` | | the integer n·256 + b − 4096 (−4096..=4095) |
//! | `1110nnnn b` | n·256 + b + 128 bytes | a byte string of 128..=4223 bytes |
//! | `11110000` + u32 | that many bytes | a longer byte string |
//! | `11110001` … `11110110` | 2, 3, 4, 5, 6, 8 bytes | an integer, two's complement |
//!
//! All numbers are little-endian. The tail is the length of head and payload in groups of 7 bits, written so that it
//! is read from its last byte backwards: the last byte has the lowest bits, and a set top bit says that another byte
//! stands before it. So a sequence with tails can be walked both ways from any entry's edge. In the usual case an entry
//! costs one byte beside its text, or two with a tail.
//!
//! `TAILS` says throughout whether the sequence has tails.

use crate::types::item::Item;

const INT_SMALL: u8 = 0b1000_0000;
const INT_13: u8 = 0b1100_0000;
const BYTES_12: u8 = 0b1110_0000;
const BYTES_32: u8 = 0b1111_0000;
/// Heads of the wider integers, with the bytes each takes.
const INT_WIDTHS: [(u8, usize); 6] = [(0xF1, 2), (0xF2, 3), (0xF3, 4), (0xF4, 5), (0xF5, 6), (0xF6, 8)];
const BYTES_12_LEAST: usize = 128;
const BYTES_12_MOST: usize = BYTES_12_LEAST + 0xFFF;

/// An entry ready to be copied into a sequence: head and tail beside the caller's bytes.
pub struct Encoded<'a, const TAILS: bool> {
    head: [u8; 9],
    head_len: u8,
    tail: [u8; 5],
    tail_len: u8,
    payload: &'a [u8],
}

impl<'a, const TAILS: bool> Encoded<'a, TAILS> {
    /// The entry of an element: as an integer if its bytes are exactly the text of one.
    #[inline]
    pub fn element(bytes: &'a [u8]) -> Self {
        Self::item(Item::compact(bytes))
    }

    /// The entry of an element in the form it has.
    #[inline]
    pub fn item(item: Item<'a>) -> Self {
        match item {
            Item::Bytes(bytes) => Self::raw(bytes),
            Item::Int(number) => Self::int(number),
        }
    }

    /// The entry of a byte string that stays one, whatever its bytes look like.
    #[inline]
    pub fn raw(bytes: &'a [u8]) -> Self {
        let mut head = [0; 9];
        let head_len = if bytes.len() < BYTES_12_LEAST {
            head[0] = bytes.len() as u8;
            1
        } else if bytes.len() <= BYTES_12_MOST {
            let rest = bytes.len() - BYTES_12_LEAST;
            head[0] = BYTES_12 | (rest >> 8) as u8;
            head[1] = rest as u8;
            2
        } else {
            head[0] = BYTES_32;
            head[1..5].copy_from_slice(&(bytes.len() as u32).to_le_bytes());
            5
        };
        Self::finish(head, head_len, bytes)
    }

    /// The entry of an integer.
    #[inline]
    pub fn int(number: i64) -> Self {
        let mut head = [0; 9];
        let head_len = if (0..64).contains(&number) {
            head[0] = INT_SMALL | number as u8;
            1
        } else if (-4096..4096).contains(&number) {
            let shifted = (number + 4096) as u16;
            head[0] = INT_13 | (shifted >> 8) as u8;
            head[1] = shifted as u8;
            2
        } else {
            let bits = 65 - (number ^ (number >> 63)).leading_zeros() as usize;
            let (kind, width) = match bits.div_ceil(8) {
                ..=2 => INT_WIDTHS[0],
                3 => INT_WIDTHS[1],
                4 => INT_WIDTHS[2],
                5 => INT_WIDTHS[3],
                6 => INT_WIDTHS[4],
                _ => INT_WIDTHS[5],
            };
            head[0] = kind;
            head[1..].copy_from_slice(&number.to_le_bytes());
            1 + width as u8
        };
        Self::finish(head, head_len, &[])
    }

    #[inline]
    fn finish(head: [u8; 9], head_len: u8, payload: &'a [u8]) -> Self {
        let body = head_len as usize + payload.len();
        let (tail, tail_len) = if TAILS { tail_of(body) } else { ([0; 5], 0) };
        Encoded { head, head_len, tail, tail_len, payload }
    }

    /// Bytes the entry takes.
    #[inline]
    pub fn len(&self) -> usize {
        self.head_len as usize + self.payload.len() + self.tail_len as usize
    }

    /// Head, payload and tail, to be copied one after the other.
    #[inline]
    pub fn parts(&self) -> [&[u8]; 3] {
        [&self.head[..self.head_len as usize], self.payload, &self.tail[..self.tail_len as usize]]
    }

    /// Writes the entry over the first [`len`](Self::len) bytes of `to`.
    #[inline]
    pub fn write(&self, to: &mut [u8]) {
        let (head, rest) = to.split_at_mut(self.head_len as usize);
        head.copy_from_slice(&self.head[..self.head_len as usize]);
        let (payload, tail) = rest.split_at_mut(self.payload.len());
        payload.copy_from_slice(self.payload);
        tail[..self.tail_len as usize].copy_from_slice(&self.tail[..self.tail_len as usize]);
    }
}

#[inline]
fn tail_of(body: usize) -> ([u8; 5], u8) {
    if body < 128 {
        return ([body as u8, 0, 0, 0, 0], 1);
    }
    let len = tail_len::<true>(body);
    let mut tail = [0; 5];
    let mut rest = body;
    for place in (0..len).rev() {
        tail[place] = (rest & 0x7F) as u8 | if place > 0 { 0x80 } else { 0 };
        rest >>= 7;
    }
    (tail, len as u8)
}

#[inline]
fn tail_len<const TAILS: bool>(body: usize) -> usize {
    match body {
        _ if !TAILS => 0,
        0..0x80 => 1,
        0x80..0x4000 => 2,
        0x4000..0x20_0000 => 3,
        0x20_0000..0x1000_0000 => 4,
        _ => 5,
    }
}

/// Where the payload of the entry at `at` begins and ends, and whether it is a byte string. For an integer in the
/// head both are the end of the head.
#[inline]
fn payload(bytes: &[u8], at: usize) -> (usize, usize, bool) {
    let head = bytes[at];
    match head {
        0..0x80 => (at + 1, at + 1 + head as usize, true),
        0x80..0xC0 => (at + 1, at + 1, false),
        0xC0..0xE0 => (at + 2, at + 2, false),
        0xE0..0xF0 => {
            let len = BYTES_12_LEAST + ((head as usize & 0xF) << 8 | bytes[at + 1] as usize);
            (at + 2, at + 2 + len, true)
        }
        BYTES_32 => {
            let mut len = [0; 4];
            len.copy_from_slice(&bytes[at + 1..at + 5]);
            (at + 5, at + 5 + u32::from_le_bytes(len) as usize, true)
        }
        _ => (at + 1, at + 1 + int_width(head), false),
    }
}

#[inline]
fn int_width(head: u8) -> usize {
    match head {
        0xF1 => 2,
        0xF2 => 3,
        0xF3 => 4,
        0xF4 => 5,
        0xF5 => 6,
        _ => 8,
    }
}

#[inline]
fn int_at(bytes: &[u8], at: usize, payload: usize, end: usize) -> i64 {
    let head = bytes[at];
    match head {
        0x80..0xC0 => (head & 0x3F) as i64,
        0xC0..0xE0 => ((head as i64 & 0x1F) << 8 | bytes[at + 1] as i64) - 4096,
        _ => {
            let mut raw = [0; 8];
            let width = end - payload;
            raw[8 - width..].copy_from_slice(&bytes[payload..end]);
            i64::from_le_bytes(raw) >> (64 - 8 * width)
        }
    }
}

/// The element of the entry that begins at `at`, and where the next entry begins. `at` must be the edge of an entry
/// and not the end of the sequence.
#[inline]
pub fn read<const TAILS: bool>(bytes: &[u8], at: usize) -> (Item<'_>, usize) {
    let (start, end, is_bytes) = payload(bytes, at);
    let next = end + tail_len::<TAILS>(end - at);
    if is_bytes {
        (Item::Bytes(&bytes[start..end]), next)
    } else {
        (Item::Int(int_at(bytes, at, start, end)), next)
    }
}

/// Where the entry after the one at `at` begins.
#[inline]
pub fn next<const TAILS: bool>(bytes: &[u8], at: usize) -> usize {
    let (_, end, _) = payload(bytes, at);
    end + tail_len::<TAILS>(end - at)
}

/// Where the entry that ends at `end` begins, in a sequence with tails. `end` must be the edge of an entry and not 0.
#[inline]
pub fn previous(bytes: &[u8], end: usize) -> usize {
    let mut at = end - 1;
    let mut body = (bytes[at] & 0x7F) as usize;
    let mut shift = 7;
    while bytes[at] & 0x80 != 0 {
        at -= 1;
        body |= ((bytes[at] & 0x7F) as usize) << shift;
        shift += 7;
    }
    at - body
}

/// Where the entry number `index` (from 0) of `count` begins, walked to from the nearer end if there are tails.
pub fn nth<const TAILS: bool>(bytes: &[u8], count: usize, index: usize) -> usize {
    if !TAILS || index <= count / 2 {
        (0..index).fold(0, |at, _| next::<TAILS>(bytes, at))
    } else {
        (index..count).fold(bytes.len(), |at, _| previous(bytes, at))
    }
}

/// Finds the first entry whose element is `needle`, looking at the entry at `at` and then at every `stride`-th one.
/// Returns where it begins and how many strides were passed over.
#[inline]
pub fn find<const TAILS: bool>(
    bytes: &[u8],
    mut at: usize,
    needle: &[u8],
    stride: usize,
) -> Option<(usize, usize)> {
    // Parsed only once a stored integer asks for it.
    let mut number = None;
    let mut passed = 0;
    while at < bytes.len() {
        let (start, end, is_bytes) = payload(bytes, at);
        let hit = if is_bytes {
            end - start == needle.len() && &bytes[start..end] == needle
        } else {
            let wanted = *number.get_or_insert_with(|| match Item::compact(needle) {
                Item::Int(number) => Some(number),
                Item::Bytes(_) => None,
            });
            wanted.is_some() && wanted == Some(int_at(bytes, at, start, end))
        };
        if hit {
            return Some((at, passed));
        }
        at = end + tail_len::<TAILS>(end - at);
        for _ in 1..stride {
            at = next::<TAILS>(bytes, at);
        }
        passed += 1;
    }
    None
}
