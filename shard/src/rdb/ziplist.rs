//! Ziplists: what Redis kept small collections in before listpacks.
//!
//! The total length in bytes (u32), the offset of the last entry (u32), the number of entries (u16; 65535 if there are
//! as many or more), the entries, and the byte 255; all little-endian but where noted. An entry is the length of the one
//! before it (one byte below 254, or 254 and a u32), a head, and for most heads a payload:
//!
//! | head | payload | what it is |
//! |---|---|---|
//! | `00nnnnnn` | n bytes | a byte string |
//! | `01nnnnnn b` | n·256 + b bytes | a byte string |
//! | `10000000` + u32, big-endian | that many bytes | a byte string |
//! | `11000000`, `11010000`, `11100000` | 2, 4, 8 bytes | an integer in two's complement |
//! | `11110000`, `11111110` | 3, 1 bytes | an integer in two's complement |
//! | `1111nnnn` | | the integer n − 1, for n of 1..=13 |

use super::read::{Corrupt, Reader, integer, number};
use crate::types::item::Item;

const HEADER: usize = 10;
const END: u8 = 0xFF;
const UNCOUNTED: usize = u16::MAX as usize;

/// Calls `each` for all entries and checks everything that can be checked. Gives their number.
pub(super) fn walk<'a>(bytes: &'a [u8], mut each: impl FnMut(Item<'a>)) -> Result<usize, Corrupt> {
    let (header, entries) = bytes.split_at_checked(HEADER).ok_or(Corrupt)?;
    let (told_len, told_last, told_count) =
        (number(&header[..4]) as usize, number(&header[4..8]) as usize, number(&header[8..]) as usize);
    if told_len != bytes.len() {
        return Err(Corrupt);
    }
    let mut reader = Reader::new(entries);
    let (mut count, mut before, mut last) = (0, 0, HEADER);
    loop {
        let left = reader.left();
        let told_before = match reader.byte()? {
            END => break,
            254 => u32::from_le_bytes(reader.array()?) as usize,
            short => usize::from(short),
        };
        if told_before != before {
            return Err(Corrupt);
        }
        last = bytes.len() - left;
        let head = reader.byte()?;
        let item = match head {
            0..0x40 => Item::Bytes(reader.bytes(usize::from(head))?),
            0x40..0x80 => {
                let len = usize::from(head & 0x3F) << 8 | usize::from(reader.byte()?);
                Item::Bytes(reader.bytes(len)?)
            }
            0x80 => {
                let len = u32::from_be_bytes(reader.array()?) as usize;
                Item::Bytes(reader.bytes(len)?)
            }
            0xC0 => Item::Int(integer(reader.bytes(2)?)),
            0xD0 => Item::Int(integer(reader.bytes(4)?)),
            0xE0 => Item::Int(integer(reader.bytes(8)?)),
            0xF0 => Item::Int(integer(reader.bytes(3)?)),
            0xFE => Item::Int(integer(reader.bytes(1)?)),
            0xF1..0xFE => Item::Int(i64::from(head) - 0xF1),
            _ => return Err(Corrupt),
        };
        before = left - reader.left();
        each(item);
        count += 1;
    }
    let sound = reader.left() == 0 && told_last == last && (told_count == UNCOUNTED || told_count == count);
    if sound { Ok(count) } else { Err(Corrupt) }
}
