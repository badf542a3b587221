//! Frames in files of the log: those of the slot stream ([`crate::stream`]), with one more bit.
//!
//! The data thread writes frames without their checksums, since it has better things to do; [`seal`] adds them on the
//! thread that writes the file.

use slotway_common::slot::{SLOTS, Slot};

use crate::engine::{DATABASES, DbIndex};
use crate::stream::{HEADER, Kind, LONGEST, MAGIC};

/// Bit of the kind: what the next frame says belongs to the same command, and counts only together with this one.
pub const GOES_ON: u8 = 0x80;

/// A frame of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    pub kind: Kind,
    pub goes_on: bool,
    pub db: DbIndex,
    pub slot: Slot,
    pub sequence: u64,
    pub payload: &'a [u8],
}

impl Frame<'_> {
    /// Bytes of the frame in its file.
    pub fn length(&self) -> usize {
        HEADER + self.payload.len()
    }
}

/// Why there is no frame where one should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bad {
    /// The bytes end within it; it would take so many if that is known already.
    Short(usize),
    /// What is wrong.
    Damaged(&'static str),
}

/// Begins a frame at the end of `out`; its payload follows, then [`end`]. Gives what [`end`] needs.
#[inline]
pub fn begin(kind: Kind, db: DbIndex, slot: Slot, sequence: u64, out: &mut Vec<u8>) -> usize {
    let start = out.len();
    let mut header = [0; HEADER];
    header[..4].copy_from_slice(&MAGIC);
    header[4] = kind as u8;
    header[5] = db as u8;
    header[6..8].copy_from_slice(&slot.to_le_bytes());
    header[8..16].copy_from_slice(&sequence.to_le_bytes());
    out.extend_from_slice(&header);
    start
}

/// Ends the frame that began at `start`.
#[inline]
pub fn end(start: usize, out: &mut [u8]) {
    let length = (out.len() - start - HEADER) as u32;
    if let Some(place) = out.get_mut(start + 16..start + 20) {
        place.copy_from_slice(&length.to_le_bytes());
    }
}

/// Marks the frame at `start` as one that the next one belongs to.
#[inline]
pub fn set_goes_on(start: usize, out: &mut [u8]) {
    if let Some(kind) = out.get_mut(start + 4) {
        *kind |= GOES_ON;
    }
}

/// Makes frames without checksums count only together.
pub fn join(mut frames: &mut [u8]) {
    while let Some(header) = frames.first_chunk::<HEADER>() {
        let length = HEADER + word(header, 16) as usize;
        let Some((frame, rest)) = frames.split_at_mut_checked(length) else { return };
        if rest.is_empty() {
            return;
        }
        set_goes_on(0, frame);
        frames = rest;
    }
}

/// Appends a whole frame without its checksums.
pub fn put(kind: Kind, db: DbIndex, slot: Slot, sequence: u64, payload: &[u8], out: &mut Vec<u8>) {
    let start = begin(kind, db, slot, sequence, out);
    out.extend_from_slice(payload);
    end(start, out);
}

/// Adds the checksums to whole frames.
pub fn seal(mut frames: &mut [u8]) {
    while let Some(header) = frames.first_chunk::<HEADER>() {
        let length = HEADER + word(header, 16) as usize;
        let Some((frame, rest)) = frames.split_at_mut_checked(length) else { return };
        let (header, payload) = frame.split_at_mut(HEADER);
        header[20..24].copy_from_slice(&crc32c::crc32c(payload).to_le_bytes());
        let sum = crc32c::crc32c(&header[..24]);
        header[24..28].copy_from_slice(&sum.to_le_bytes());
        frames = rest;
    }
}

#[inline]
fn word(header: &[u8; HEADER], at: usize) -> u32 {
    header.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_le_bytes)
}

/// The frame at the start of `bytes`, its checksums checked.
///
/// # Errors
/// When there is none.
pub fn read(bytes: &[u8]) -> Result<Frame<'_>, Bad> {
    let header = bytes.first_chunk::<HEADER>().ok_or(Bad::Short(HEADER))?;
    if !header.starts_with(&MAGIC) || crc32c::crc32c(&header[..24]) != word(header, 24) {
        return Err(Bad::Damaged("the header of a frame is damaged"));
    }
    let length = word(header, 16);
    if length > LONGEST {
        return Err(Bad::Damaged("a frame is too long"));
    }
    let frame = parse(bytes)?;
    if crc32c::crc32c(frame.payload) != word(header, 20) {
        return Err(Bad::Damaged("the content of a frame is damaged"));
    }
    Ok(frame)
}

/// As [`read`] for frames whose checksums were checked already.
///
/// # Errors
/// When there is none.
pub fn parse(bytes: &[u8]) -> Result<Frame<'_>, Bad> {
    let header = bytes.first_chunk::<HEADER>().ok_or(Bad::Short(HEADER))?;
    let (db, slot) = (usize::from(header[5]), u16::from_le_bytes([header[6], header[7]]));
    let kind = Kind::of(header[4] & !GOES_ON).ok_or(Bad::Damaged("a frame is of an unknown kind"))?;
    if db >= DATABASES || slot >= SLOTS {
        return Err(Bad::Damaged("a frame is of no slot or database that there is"));
    }
    let length = HEADER + word(header, 16) as usize;
    let payload = bytes.get(HEADER..length).ok_or(Bad::Short(length))?;
    let sequence = u64::from(word(header, 8)) | u64::from(word(header, 12)) << 32;
    Ok(Frame { kind, goes_on: header[4] & GOES_ON != 0, db, slot, sequence, payload })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_comes_back_and_no_flipped_bit_goes_unseen() {
        let mut bytes = Vec::new();
        put(Kind::Effect, 3, 77, 9, b"payload", &mut bytes);
        let second = begin(Kind::Deleted, 0, 16383, u64::MAX, &mut bytes);
        end(second, &mut bytes);
        set_goes_on(second, &mut bytes);
        seal(&mut bytes);
        let first = read(&bytes).unwrap();
        let expected =
            Frame { kind: Kind::Effect, goes_on: false, db: 3, slot: 77, sequence: 9, payload: b"payload" };
        assert_eq!(first, expected);
        let rest = &bytes[first.length()..];
        let second = read(rest).unwrap();
        assert_eq!((second.kind, second.goes_on, second.sequence), (Kind::Deleted, true, u64::MAX));
        assert_eq!(second.length(), rest.len());
        let length = first.length();
        for at in 0..length * 8 {
            let mut changed = bytes.clone();
            changed[at / 8] ^= 1 << (at % 8);
            assert!(read(&changed).is_err(), "bit {at}");
        }
        for length in 0..length {
            assert!(matches!(read(&bytes[..length]), Err(Bad::Short(_))), "{length}");
        }
    }
}
