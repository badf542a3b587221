//! Frames: written whole, read from whatever pieces arrive.

use slotway_common::slot::{SLOTS, Slot};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::StreamError;
use crate::engine::{DATABASES, DbIndex};

const MAGIC: [u8; 4] = *b"SLS1";

/// Bytes of a frame before its payload.
pub const HEADER: usize = 28;

/// A longer payload is not one of ours: an effect holds a command, whose arguments are at most 512 MiB each.
pub const LONGEST: u32 = 2_000_000_000;

/// What a frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Begin,
    Values,
    Part,
    Effect,
    Deleted,
    Flushed,
    Swapped,
    End,
    Prepare,
    Applied,
    Ready,
    Failed,
}

const KINDS: [(u8, Kind); 12] = [
    (1, Kind::Begin),
    (2, Kind::Values),
    (3, Kind::Part),
    (4, Kind::Effect),
    (5, Kind::Deleted),
    (6, Kind::Flushed),
    (7, Kind::Swapped),
    (8, Kind::End),
    (9, Kind::Prepare),
    (16, Kind::Applied),
    (17, Kind::Ready),
    (18, Kind::Failed),
];

impl Kind {
    fn number(self) -> u8 {
        KINDS.iter().find(|(_, kind)| *kind == self).map_or(0, |(number, _)| *number)
    }

    fn of(number: u8) -> Option<Self> {
        KINDS.iter().find(|(known, _)| *known == number).map(|(_, kind)| *kind)
    }
}

/// A frame that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    pub kind: Kind,
    pub db: DbIndex,
    pub slot: Slot,
    pub sequence: u64,
    pub payload: &'a [u8],
}

/// A digest over all frames in their order, the same at both ends if and only if the same frames passed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digest(pub u64);

impl Digest {
    /// A frame's header holds the checksums of all its parts.
    fn add(&mut self, header: &[u8]) {
        self.0 = xxh3_64_with_seed(header, self.0);
    }
}

/// Appends a frame.
pub fn put_frame(
    (kind, db, slot): (Kind, DbIndex, Slot),
    sequence: u64,
    payload: &[u8],
    digest: &mut Digest,
    out: &mut Vec<u8>,
) {
    let start = out.len();
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[kind.number(), db as u8]);
    out.extend_from_slice(&slot.to_le_bytes());
    out.extend_from_slice(&sequence.to_le_bytes());
    out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    out.extend_from_slice(&crc32c::crc32c(payload).to_le_bytes());
    let checksum = crc32c::crc32c(&out[start..]);
    out.extend_from_slice(&checksum.to_le_bytes());
    digest.add(&out[start..]);
    out.extend_from_slice(payload);
}

/// Finds frames in a stream of bytes.
#[derive(Debug, Default)]
pub struct Frames {
    received: Vec<u8>,
    /// Bytes of `received` that are done.
    used: usize,
    /// Sequence number of the last frame.
    last: u64,
    digest: Digest,
}

impl Frames {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Where arriving bytes are appended.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        if self.used == self.received.len() {
            self.received.clear();
            self.used = 0;
        } else if self.used > 256 * 1024 {
            self.received.drain(..self.used);
            self.used = 0;
        }
        &mut self.received
    }

    /// True when some bytes have not been given as frames yet, and perhaps a whole one is among them.
    #[must_use]
    pub fn has_more(&self) -> bool {
        let rest = self.received.get(self.used..).unwrap_or_default();
        let length = rest.get(16..20).and_then(|bytes| bytes.try_into().ok()).map(u32::from_le_bytes);
        length.is_some_and(|length| rest.len() >= HEADER + length as usize)
    }

    /// The sequence number of the last frame that [`Frames::take`] gave, 0 before the first.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.last
    }

    /// The digest of all frames that [`Frames::take`] gave.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The next frame if it is there whole.
    ///
    /// # Errors
    /// Whatever is not a sound frame with the next sequence number. The stream cannot be read on after that.
    pub fn take(&mut self) -> Result<Option<Frame<'_>>, StreamError> {
        let sequence = self.last + 1;
        let rest = self.received.get(self.used..).unwrap_or_default();
        let Some(header) = rest.first_chunk::<HEADER>() else { return Ok(None) };
        let word = |at: usize| {
            header.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_le_bytes)
        };
        let sound = header.starts_with(&MAGIC) && crc32c::crc32c(&header[..24]) == word(24);
        let (db, slot) = (usize::from(header[5]), u16::from_le_bytes([header[6], header[7]]));
        if !sound || db >= DATABASES || slot >= SLOTS {
            return Err(StreamError::Header { sequence });
        }
        let found = u64::from(word(8)) | u64::from(word(12)) << 32;
        if found != sequence {
            return Err(StreamError::Sequence { sequence, found });
        }
        let kind = Kind::of(header[4]).ok_or(StreamError::Kind { sequence, kind: header[4] })?;
        let length = word(16);
        if length > LONGEST {
            return Err(StreamError::Length { sequence, length });
        }
        let Some(payload) = rest.get(HEADER..HEADER + length as usize) else { return Ok(None) };
        if crc32c::crc32c(payload) != word(20) {
            return Err(StreamError::Checksum { sequence });
        }
        self.digest.add(header);
        self.last = sequence;
        self.used += HEADER + length as usize;
        Ok(Some(Frame { kind, db, slot, sequence, payload }))
    }
}
