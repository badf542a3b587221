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

mod cursor;
mod decode;
mod encode;
mod footer;
mod intset;
mod kind;
mod libraries;
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

pub use cursor::PartCursor;
pub use decode::{Value, decode};
pub use encode::{encode, encode_object, encode_string};
pub use footer::{open, seal};
pub use libraries::{decode_libraries, encode_libraries};
pub use parts::{append_part, encode_part};
pub use read::Corrupt as DecodeError;
pub use write::Compression;
