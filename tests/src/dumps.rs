//! Payloads of RESTORE, put together byte by byte: encodings that no current server writes, and damaged ones.

use crc::{CRC_64_REDIS, Crc};

/// An element of a ziplist.
#[derive(Clone, Copy, Debug)]
pub enum Entry<'a> {
    Bytes(&'a [u8]),
    Int(i64),
}

/// An encoded value with a footer of that version, whose checksum is right.
#[must_use]
pub fn sealed(value: &[u8], version: u16) -> Vec<u8> {
    let mut payload = [value, &version.to_le_bytes()].concat();
    let checksum = Crc::<u64>::new(&CRC_64_REDIS).checksum(&payload);
    payload.extend_from_slice(&checksum.to_le_bytes());
    payload
}

/// The payload without its footer.
#[must_use]
pub fn opened(payload: &[u8]) -> &[u8] {
    payload.get(..payload.len().saturating_sub(10)).unwrap_or_default()
}

/// A length in the form that `width` says: 6, 14, 32 or 64 bits.
#[must_use]
pub fn length(len: usize, width: u32) -> Vec<u8> {
    match width {
        6 => vec![len as u8],
        14 => vec![0x40 | (len >> 8) as u8, len as u8],
        32 => [&[0x80][..], &(len as u32).to_be_bytes()].concat(),
        _ => [&[0x81][..], &(len as u64).to_be_bytes()].concat(),
    }
}

/// A string as it is, with a length of 32 bits.
#[must_use]
pub fn string(bytes: &[u8]) -> Vec<u8> {
    [&length(bytes.len(), 32)[..], bytes].concat()
}

/// A value of this type whose body is these bytes as one string.
#[must_use]
pub fn packed(kind: u8, blob: &[u8]) -> Vec<u8> {
    [&[kind][..], &string(blob)].concat()
}

/// A value of this type with a number of pieces, which follow one another.
#[must_use]
pub fn pieces(kind: u8, count: usize, pieces: &[Vec<u8>]) -> Vec<u8> {
    [&[kind][..], &length(count, 6), &pieces.concat()].concat()
}

/// A ziplist.
#[must_use]
pub fn ziplist(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut body = Vec::new();
    let (mut before, mut last) = (0, 10);
    for entry in entries {
        let start = body.len();
        last = 10 + start as u32;
        if before < 254 {
            body.push(before as u8);
        } else {
            body.push(254);
            body.extend_from_slice(&(before as u32).to_le_bytes());
        }
        match *entry {
            Entry::Bytes(bytes) => {
                match bytes.len() {
                    len @ 0..64 => body.push(len as u8),
                    len @ 64..16_384 => body.extend_from_slice(&[0x40 | (len >> 8) as u8, len as u8]),
                    len => {
                        body.push(0x80);
                        body.extend_from_slice(&(len as u32).to_be_bytes());
                    }
                }
                body.extend_from_slice(bytes);
            }
            Entry::Int(number) => {
                let (head, width) = match number {
                    0..=12 => (0xF1 + number as u8, 0),
                    -0x80..0x80 => (0xFE, 1),
                    -0x8000..0x8000 => (0xC0, 2),
                    -0x80_0000..0x80_0000 => (0xF0, 3),
                    -0x8000_0000..0x8000_0000 => (0xD0, 4),
                    _ => (0xE0, 8),
                };
                body.push(head);
                body.extend_from_slice(&number.to_le_bytes()[..width]);
            }
        }
        before = body.len() - start;
    }
    let total = 10 + body.len() as u32 + 1;
    [&total.to_le_bytes()[..], &last.to_le_bytes(), &(entries.len() as u16).to_le_bytes(), &body, &[0xFF]]
        .concat()
}

/// A zipmap whose values have so many unused bytes behind them.
#[must_use]
pub fn zipmap(fields: &[(&[u8], &[u8])], unused: u8) -> Vec<u8> {
    let len = |bytes: &[u8]| match bytes.len() {
        short @ 0..254 => vec![short as u8],
        long => [&[254][..], &(long as u32).to_le_bytes()].concat(),
    };
    let mut map = vec![fields.len().min(254) as u8];
    for (field, value) in fields {
        map.extend([&len(field)[..], field, &len(value), &[unused], value].concat());
        map.extend(std::iter::repeat_n(b'?', unused.into()));
    }
    map.push(0xFF);
    map
}
