//! Reading numbers and strings.

use super::lzf;
use crate::types::item::IntText;

/// Longest string that is read: two together must stay below 4 GiB, which is what a stored element may have.
const MOST_BYTES: usize = (1 << 31) - 64;

/// The bytes are not a value, or not one of a type that is known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the encoding of a value")]
pub struct Corrupt;

/// Walks through encoded bytes.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

/// A string as it was encoded.
#[derive(Clone, Debug)]
pub enum Text<'a> {
    /// Bytes inside the encoding.
    Bytes(&'a [u8]),
    /// The text of this integer.
    Int(i64),
    /// What was compressed.
    Unpacked(Vec<u8>),
}

impl Text<'_> {
    /// The bytes, written to `room` if they are nowhere yet.
    #[must_use]
    #[inline]
    pub fn bytes<'b>(&'b self, room: &'b mut IntText) -> &'b [u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Int(number) => room.format(*number).as_bytes(),
            Self::Unpacked(bytes) => bytes,
        }
    }

    /// Bytes that are no text: an integer stands for none.
    pub(super) fn blob(&self) -> Result<&[u8], Corrupt> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            Self::Int(_) => Err(Corrupt),
            Self::Unpacked(bytes) => Ok(bytes),
        }
    }
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Bytes that were not read yet.
    pub(super) fn left(&self) -> usize {
        self.rest.len()
    }

    pub(super) fn byte(&mut self) -> Result<u8, Corrupt> {
        let (&byte, rest) = self.rest.split_first().ok_or(Corrupt)?;
        self.rest = rest;
        Ok(byte)
    }

    pub(super) fn bytes(&mut self, len: usize) -> Result<&'a [u8], Corrupt> {
        let (bytes, rest) = self.rest.split_at_checked(len).ok_or(Corrupt)?;
        self.rest = rest;
        Ok(bytes)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Corrupt> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(Corrupt)?;
        self.rest = rest;
        Ok(*bytes)
    }

    /// A number of elements or bytes.
    pub(super) fn len(&mut self) -> Result<u64, Corrupt> {
        let head = self.byte()?;
        self.len_after(head)
    }

    fn len_after(&mut self, head: u8) -> Result<u64, Corrupt> {
        Ok(match head {
            0..0x40 => u64::from(head),
            0x40..0x80 => u64::from(head & 0x3F) << 8 | u64::from(self.byte()?),
            0x80 => u64::from(u32::from_be_bytes(self.array()?)),
            0x81 => u64::from_be_bytes(self.array()?),
            _ => return Err(Corrupt),
        })
    }

    /// The length of a string.
    fn byte_count(&mut self) -> Result<usize, Corrupt> {
        let head = self.byte()?;
        self.byte_count_after(head)
    }

    fn byte_count_after(&mut self, head: u8) -> Result<usize, Corrupt> {
        usize::try_from(self.len_after(head)?).ok().filter(|len| *len <= MOST_BYTES).ok_or(Corrupt)
    }

    /// A string of any form.
    #[inline]
    pub(super) fn string(&mut self) -> Result<Text<'a>, Corrupt> {
        Ok(match self.byte()? {
            0xC0 => Text::Int(i8::from_le_bytes(self.array()?).into()),
            0xC1 => Text::Int(i16::from_le_bytes(self.array()?).into()),
            0xC2 => Text::Int(i32::from_le_bytes(self.array()?).into()),
            0xC3 => {
                let (compressed, len) = (self.byte_count()?, self.byte_count()?);
                Text::Unpacked(lzf::decompress(self.bytes(compressed)?, len).ok_or(Corrupt)?)
            }
            head => {
                let len = self.byte_count_after(head)?;
                Text::Bytes(self.bytes(len)?)
            }
        })
    }
}

/// The unsigned number in up to 8 little-endian bytes.
pub(super) fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// The integer in 1 to 8 little-endian bytes in two's complement.
pub(super) fn integer(bytes: &[u8]) -> i64 {
    let unused = 64 - 8 * bytes.len().clamp(1, 8);
    ((number(bytes) << unused) as i64) >> unused
}
