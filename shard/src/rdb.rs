//! Values as bytes: the object encoding of RDB files, version 10 (Redis 7.0).
//!
//! A value is one type byte and a body. DUMP and RESTORE carry it with a footer ([`seal`], [`open`]); the slot stream
//! carries it bare, a large collection in parts ([`encode_part`]), each of which is a complete value with some of the
//! elements.
//!
//! Written are the types that Redis 7.0 writes:
//!
//! | value | type | body |
//! |---|---|---|
//! | string | 0 | a string |
//! | list | 18 | number of nodes; of each the number 2 and a listpack, or 1 and an element of a gigabyte or more |
//! | set of integers | 11 | an array of integers of one width |
//! | set | 2 | number of members, members |
//! | small hash | 16 | a listpack of fields and values |
//! | hash | 4 | number of fields; fields, each with its value |
//! | small sorted set | 17 | a listpack of members and scores, ascending |
//! | sorted set | 5 | number of members; members, each with its score as a double |
//! | stream | 19 | see [`stream`] |
//!
//! Read are those and what older versions wrote: lists, sets and hashes of plain strings, scores as texts, ziplists and
//! zipmaps. Arrays, listpacks, ziplists and zipmaps are themselves written as strings. A number of 6, 14, 32 or 64 bits
//! is written as
//!
//! | bytes | number |
//! |---|---|
//! | `00nnnnnn` | n |
//! | `01nnnnnn b` | n·256 + b |
//! | `10000000` + 4, `10000001` + 8 bytes | big-endian |
//!
//! and a string as its length and its bytes, or as
//!
//! | bytes | string |
//! |---|---|
//! | `11000000` + 1, `11000001` + 2, `11000010` + 4 bytes | the text of an integer, little-endian |
//! | `11000011`, two numbers c and n, c bytes | n bytes, compressed with LZF |
//!
//! Everything that is read is checked in full before it becomes a value: lengths, edges, order, duplicates. After
//! `rdb.c`, `ziplist.c`, `zipmap.c` and `intset.c` of Redis 7.0, and its document "listpack".

mod decode;
mod encode;
mod footer;
mod intset;
mod listpack;
mod lzf;
mod parts;
mod read;
mod stream;
#[cfg(test)]
mod tests;
mod write;
mod ziplist;
mod zipmap;

pub use decode::{Value, decode};
pub use encode::{encode, encode_object, encode_string};
pub use footer::{open, seal};
pub use parts::{PartCursor, append_part, encode_part};
pub use read::Corrupt as DecodeError;
pub use write::Compression;

/// The type bytes.
mod kind {
    pub(super) const STRING: u8 = 0;
    pub(super) const LIST: u8 = 1;
    pub(super) const SET: u8 = 2;
    pub(super) const ZSET: u8 = 3;
    pub(super) const HASH: u8 = 4;
    pub(super) const ZSET_2: u8 = 5;
    pub(super) const HASH_ZIPMAP: u8 = 9;
    pub(super) const LIST_ZIPLIST: u8 = 10;
    pub(super) const SET_INTSET: u8 = 11;
    pub(super) const ZSET_ZIPLIST: u8 = 12;
    pub(super) const HASH_ZIPLIST: u8 = 13;
    pub(super) const LIST_QUICKLIST: u8 = 14;
    pub(super) const HASH_LISTPACK: u8 = 16;
    pub(super) const ZSET_LISTPACK: u8 = 17;
    pub(super) const LIST_QUICKLIST_2: u8 = 18;
    pub(super) const STREAM: u8 = 15;
    pub(super) const STREAM_2: u8 = 19;

    /// Before each node of a [`LIST_QUICKLIST_2`]: one element, or a listpack.
    pub(super) const NODE_PLAIN: u64 = 1;
    pub(super) const NODE_PACKED: u64 = 2;
}

/// Longest string that is read: two together must stay below 4 GiB, which is what a stored element may have.
const MOST_BYTES: usize = (1 << 31) - 64;

/// The type byte of a library of functions in a dump of them.
const LIBRARY: u8 = 245;

/// Writes the codes of libraries.
pub fn encode_libraries<'a>(codes: impl Iterator<Item = &'a [u8]>, out: &mut Vec<u8>) {
    for code in codes {
        out.push(LIBRARY);
        write::string(out, code, Compression::Lzf);
    }
}

/// Reads what [`encode_libraries`] wrote.
///
/// # Errors
/// Bytes that are something else.
pub fn decode_libraries(bytes: &[u8]) -> Result<Vec<Vec<u8>>, DecodeError> {
    let mut reader = read::Reader::new(bytes);
    let mut codes = Vec::new();
    while reader.left() > 0 {
        if reader.byte()? != LIBRARY {
            return Err(read::Corrupt);
        }
        let mut room = crate::types::item::IntText::new();
        codes.push(reader.string()?.bytes(&mut room).to_vec());
    }
    Ok(codes)
}
