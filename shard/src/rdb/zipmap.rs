//! Zipmaps: what Redis kept small hashes in before ziplists.
//!
//! The number of fields (one byte; 254 if there are as many or more), the fields and values, and the byte 255. A field
//! is its length and its bytes; a value its length, a byte with a number of unused bytes, its bytes, and the unused
//! ones. A length is one byte below 254, or 254 and a u32, little-endian.

use super::read::{Corrupt, Reader};

const END: u8 = 0xFF;
const LONG: u8 = 0xFE;

/// Calls `each` for all fields and values. Gives their number.
pub(super) fn walk<'a>(bytes: &'a [u8], mut each: impl FnMut(&'a [u8], &'a [u8])) -> Result<usize, Corrupt> {
    if bytes.last() != Some(&END) {
        return Err(Corrupt);
    }
    let mut reader = Reader::new(bytes);
    let told = reader.byte()?;
    let mut count = 0;
    loop {
        let field = match reader.byte()? {
            END => break,
            first => string_of(&mut reader, first)?,
        };
        let first = reader.byte()?;
        let len = len_of(&mut reader, first)?;
        let unused = usize::from(reader.byte()?);
        let value = reader.bytes(len)?;
        reader.bytes(unused)?;
        each(field, value);
        count += 1;
    }
    if told < LONG && usize::from(told) != count { Err(Corrupt) } else { Ok(count) }
}

fn string_of<'a>(reader: &mut Reader<'a>, first: u8) -> Result<&'a [u8], Corrupt> {
    let len = len_of(reader, first)?;
    reader.bytes(len)
}

fn len_of(reader: &mut Reader<'_>, first: u8) -> Result<usize, Corrupt> {
    Ok(match first {
        END => return Err(Corrupt),
        LONG => u32::from_le_bytes(reader.array()?) as usize,
        short => usize::from(short),
    })
}
