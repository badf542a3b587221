//! The type bytes.

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
