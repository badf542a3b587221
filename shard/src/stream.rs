//! The slot stream: how the contents of slots, and the changes made to them meanwhile, travel.
//!
//! A stream is a sequence of frames. All numbers are little-endian.
//!
//! ```text
//! offset 0   magic           u32   "SLS1"
//!        4   kind            u8
//!        5   database        u8    0 where the kind has none
//!        6   slot            u16   0 where the kind has none
//!        8   sequence        u64   1 for the first frame of a stream, then one more each
//!        16  payload length  u32
//!        20  payload CRC32C  u32
//!        24  header CRC32C   u32   of the 24 bytes before
//!        28  payload
//! ```
//!
//! | kind | payload |
//! |---|---|
//! | 1 begin | none: the slot follows; what came for it before is void |
//! | 2 values | entries, each a key's head (below), a length and a value |
//! | 3 part | a key's head, the part's number, a length and a value that holds some of the elements |
//! | 4 effect | time in ms since 1970 (i64), number of words, and each word with its length: a command to repeat |
//! | 5 deleted | keys, each with its length |
//! | 6 flushed | none: the database of the slot is empty |
//! | 7 swapped | two database numbers (u8): they changed places |
//! | 8 end | none: the slot has been sent whole; effects may follow |
//! | 9 final | of a move's batch, when its slots are parked: digest (u64), number of slots; of each slot its number (u16) and the number of keys of each of 16 databases |
//! | 10 head | of a file of the log, see [`crate::log`] |
//! | 11 mark | of a file of the log |
//! | 12 complete | of a file of the log |
//! | 13 staged | of the log: what a move brings |
//! | 14 arrived | of the log: a batch of a move is here whole |
//! | 15 attached | of the log: a slot that a move has brought is served here |
//! | 19 detached | of the log: the slot is served elsewhere |
//! | 20 prepared | of the log: a part of a transaction across shards, see [`crate::across`] |
//! | 21 outcome | of the log: how such a transaction has ended |
//! | 16 applied | the highest sequence number applied (u64) |
//! | 17 ready | none: the batch is complete and kept |
//! | 18 failed | the kind of the reason (u8, its place in [`AbortKind::ALL`]), and the reason as text |
//!
//! A key's head: length and bytes of the key; flags (u8: 1 it expires, 2 raw string, 4 text that reads as a number); the
//! expiry in ms since 1970 (i64) if it expires; the access clock (u32). Lengths and counts are LEB128. Values are in the
//! object encoding of Redis's RDB files ([`crate::rdb`]). Kinds from 16 on go from the sink to the source.
//!
//! [`AbortKind::ALL`]: slotway_common::cluster_state::AbortKind::ALL

mod entry;
mod frame;
mod sink;
#[cfg(test)]
mod tests;

pub use entry::{Entries, Entry, Head, put_effect, put_entry, put_part};
pub use frame::{Digest, Frame, Frames, HEADER, Kind, LONGEST, MAGIC, put_frame};
pub use sink::{Sink, SinkError};
pub use slotway_common::fields::{Fields, put_bytes, put_number};

/// What is wrong with a stream.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    #[error("frame {sequence} of the slot stream has no valid header")]
    Header { sequence: u64 },
    #[error("frame {sequence} of the slot stream came as number {found}")]
    Sequence { sequence: u64, found: u64 },
    #[error("frame {sequence} of the slot stream is of the unknown kind {kind}")]
    Kind { sequence: u64, kind: u8 },
    #[error("frame {sequence} of the slot stream is too long: {length} bytes")]
    Length { sequence: u64, length: u32 },
    #[error("the checksum of frame {sequence} of the slot stream is wrong")]
    Checksum { sequence: u64 },
    #[error("frame {sequence} of the slot stream cannot be read: {what}")]
    Content { sequence: u64, what: &'static str },
}
