//! Entries of listpacks, Redis's form of small collections: here those that streams are made of.
//!
//! An entry is a head, for some heads a payload, and the length of both written backwards in groups of seven bits:
//!
//! | head | payload | what it is |
//! |---|---|---|
//! | `0nnnnnnn` | | the integer n (0..=127) |
//! | `10nnnnnn` | n bytes | a byte string |
//! | `110nnnnn b` | | the integer n·256 + b in two's complement of 13 bits |
//! | `1110nnnn b` | n·256 + b bytes | a byte string |
//! | `11110000` + u32 | that many bytes | a byte string |
//! | `11110001` … `11110100` | 2, 3, 4, 8 bytes | an integer in two's complement |
//!
//! After the specification in <https://github.com/antirez/listpack>, and Redis 7.0 where it differs.

use super::item::Item;

const BYTES_6: u8 = 0x80;
const INT_13: u8 = 0xC0;
const BYTES_12: u8 = 0xE0;
const BYTES_32: u8 = 0xF0;
const INT_16: u8 = 0xF1;
const INT_24: u8 = 0xF2;
const INT_32: u8 = 0xF3;
const INT_64: u8 = 0xF4;

/// Appends an entry.
#[inline]
pub fn put(out: &mut Vec<u8>, item: Item<'_>) {
    let start = out.len();
    match item {
        Item::Bytes(bytes) => {
            match bytes.len() {
                len @ 0..64 => out.push(BYTES_6 | len as u8),
                len @ 64..4096 => out.extend_from_slice(&[BYTES_12 | (len >> 8) as u8, len as u8]),
                len => {
                    out.push(BYTES_32);
                    out.extend_from_slice(&(len as u32).to_le_bytes());
                }
            }
            out.extend_from_slice(bytes);
        }
        Item::Int(number) => {
            let raw = number.to_le_bytes();
            match number {
                0..128 => out.push(number as u8),
                -4096..4096 => out.extend_from_slice(&[INT_13 | (number >> 8) as u8 & 0x1F, number as u8]),
                -0x8000..0x8000 => out.extend_from_slice(&[INT_16, raw[0], raw[1]]),
                -0x80_0000..0x80_0000 => out.extend_from_slice(&[INT_24, raw[0], raw[1], raw[2]]),
                -0x8000_0000..0x8000_0000 => {
                    out.extend_from_slice(&[INT_32, raw[0], raw[1], raw[2], raw[3]]);
                }
                _ => {
                    out.push(INT_64);
                    out.extend_from_slice(&raw);
                }
            }
        }
    }
    let (tail, size) = tail(out.len() - start);
    out.extend_from_slice(&tail[..size]);
}

/// The length of an entry's head and payload as it stands behind them, and how many bytes of that count.
#[inline]
fn tail(body: usize) -> ([u8; 5], usize) {
    let size = tail_len(body);
    let mut tail = [0; 5];
    for (index, byte) in tail[..size].iter_mut().enumerate() {
        // Read from its last byte backwards: a set top bit says that another one stands before it.
        let more = if index > 0 { 0x80 } else { 0 };
        *byte = (body >> (7 * (size - 1 - index))) as u8 & 0x7F | more;
    }
    (tail, size)
}

/// Bytes that the length of an entry's head and payload takes. The odd edges are those of Redis.
fn tail_len(body: usize) -> usize {
    match body {
        0..128 => 1,
        128..16_383 => 2,
        16_383..2_097_151 => 3,
        2_097_151..268_435_455 => 4,
        _ => 5,
    }
}

/// The entry at `at` and where the next one begins; `None` behind the last one, and where there is no sound entry.
#[must_use]
#[inline]
pub fn read(bytes: &[u8], at: usize) -> Option<(Item<'_>, usize)> {
    let (item, body) = entry(bytes, at)?;
    Some((item, at + body + tail_len(body)))
}

/// As [`read`], for bytes from elsewhere: the length behind the entry must be right too.
#[must_use]
pub fn read_checked(bytes: &[u8], at: usize) -> Option<(Item<'_>, usize)> {
    let (item, body) = entry(bytes, at)?;
    let (tail, size) = tail(body);
    let end = at + body + size;
    (bytes.get(at + body..end)? == &tail[..size]).then_some((item, end))
}

/// The entry at `at`, and the bytes of its head and payload.
#[inline]
fn entry(bytes: &[u8], at: usize) -> Option<(Item<'_>, usize)> {
    let rest = bytes.get(at..)?;
    let head = *rest.first()?;
    let number = |from: usize, len: usize| {
        Some(rest.get(from..from + len)?.iter().rev().fold(0u64, |all, byte| all << 8 | u64::from(*byte)))
    };
    let (item, body) = match head {
        0..BYTES_6 => (Item::Int(i64::from(head)), 1),
        INT_13..BYTES_12 => (Item::Int((((head as i64 & 0x1F) << 8 | number(1, 1)? as i64) << 51) >> 51), 2),
        INT_16..=INT_64 => {
            let len = [2, 3, 4, 8][usize::from(head - INT_16)];
            let unused = 64 - 8 * len as u32;
            (Item::Int(((number(1, len)? << unused) as i64) >> unused), 1 + len)
        }
        BYTES_6..INT_13 | BYTES_12..=BYTES_32 => {
            let (start, len) = match head {
                BYTES_6..INT_13 => (1, usize::from(head & 0x3F)),
                BYTES_32 => (5, number(1, 4)? as usize),
                _ => (2, usize::from(head & 0xF) << 8 | number(1, 1)? as usize),
            };
            (Item::Bytes(rest.get(start..start + len)?), start + len)
        }
        _ => return None,
    };
    Some((item, body))
}

/// Where the entry begins that ends before `end`.
#[must_use]
pub fn previous(bytes: &[u8], end: usize) -> Option<usize> {
    let (mut body, mut tail) = (0, 0);
    loop {
        let byte = *bytes.get(end.checked_sub(tail + 1)?)?;
        body |= usize::from(byte & 0x7F) << (7 * tail);
        tail += 1;
        if byte & 0x80 == 0 {
            return end.checked_sub(tail)?.checked_sub(body);
        }
        if tail == 5 {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_from_both_sides() {
        let long = [vec![b'x'; 63], vec![b'x'; 64], vec![b'x'; 4095], vec![b'x'; 4096], vec![b'x'; 20_000]];
        let mut items: Vec<Item<'_>> = long.iter().map(|bytes| Item::Bytes(bytes)).collect();
        for bits in 0..63 {
            let power = 1i64 << bits;
            items.extend([power, power - 1, -power, -power - 1].map(Item::Int));
        }
        let mut bytes = Vec::new();
        let mut ends = vec![0];
        for item in &items {
            put(&mut bytes, *item);
            ends.push(bytes.len());
        }
        for (index, item) in items.iter().enumerate() {
            let (found, end) = read(&bytes, ends[index]).unwrap();
            assert_eq!(found.to_vec(), item.to_vec());
            assert_eq!(end, ends[index + 1]);
            assert_eq!(previous(&bytes, end), Some(ends[index]));
        }
        assert!(read(&bytes, bytes.len()).is_none());
        assert_eq!(previous(&bytes, 0), None);
    }
}
