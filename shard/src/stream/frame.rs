//! Frames: written whole, read from whatever pieces arrive.

use slotway_common::slot::{SLOTS, Slot};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::StreamError;
use crate::engine::{DATABASES, DbIndex};

/// The bytes that every frame begins with.
pub const MAGIC: [u8; 4] = *b"SLS1";

/// Bytes of a frame before its payload.
pub const HEADER: usize = 28;

/// A longer payload is not one of ours: an effect holds a command, whose arguments are at most 512 MiB each.
pub const LONGEST: u32 = 2_000_000_000;

/// What a frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    Begin = 1,
    Values = 2,
    Part = 3,
    Effect = 4,
    Deleted = 5,
    Flushed = 6,
    Swapped = 7,
    End = 8,
    Final = 9,
    // What only the files of the log have: what a file is, how far it was on disk, how a base ends,
    Head = 10,
    Mark = 11,
    Complete = 12,
    // a frame of a stream that brings slots here, a batch of such that is complete, and slots that came and went.
    Staged = 13,
    Arrived = 14,
    Attached = 15,
    Detached = 19,
    // What only the sink of a stream sends.
    Applied = 16,
    Ready = 17,
    Failed = 18,
    // What only the files of the log have: a part of a transaction across shards, and how one has ended.
    Prepared = 20,
    Outcome = 21,
}

const KINDS: [Kind; 21] = [
    Kind::Begin,
    Kind::Values,
    Kind::Part,
    Kind::Effect,
    Kind::Deleted,
    Kind::Flushed,
    Kind::Swapped,
    Kind::End,
    Kind::Final,
    Kind::Head,
    Kind::Mark,
    Kind::Complete,
    Kind::Staged,
    Kind::Arrived,
    Kind::Attached,
    Kind::Applied,
    Kind::Ready,
    Kind::Failed,
    Kind::Detached,
    Kind::Prepared,
    Kind::Outcome,
];

impl Kind {
    pub(crate) fn of(number: u8) -> Option<Self> {
        KINDS.get(usize::from(number).checked_sub(1)?).copied()
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
    out.extend_from_slice(&[kind as u8, db as u8]);
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
