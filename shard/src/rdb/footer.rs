//! What DUMP appends to a value: the version (u16) and a checksum of everything before (CRC64 after Jones), both
//! little-endian.

use crc::{CRC_64_REDIS, Crc, Table};

/// The RDB version of Redis 7.0.
const VERSION: u16 = 10;
const SIZE: usize = 10;

static CHECKSUM: Crc<u64, Table<16>> = Crc::<u64, Table<16>>::new(&CRC_64_REDIS);

/// Appends the footer to an encoded value, which is all that `payload` holds.
pub fn seal(payload: &mut Vec<u8>) {
    payload.extend_from_slice(&VERSION.to_le_bytes());
    let checksum = CHECKSUM.checksum(payload);
    payload.extend_from_slice(&checksum.to_le_bytes());
}

/// The encoded value before a footer; None if the footer's checksum is wrong or its version newer than ours.
#[must_use]
pub fn open(payload: &[u8]) -> Option<&[u8]> {
    let (sealed, checksum) = payload.split_last_chunk::<8>()?;
    let (value, version) = sealed.split_last_chunk::<2>()?;
    let sound = payload.len() >= SIZE
        && u16::from_le_bytes(*version) <= VERSION
        && CHECKSUM.checksum(sealed) == u64::from_le_bytes(*checksum);
    sound.then_some(value)
}
