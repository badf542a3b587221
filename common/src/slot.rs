//! Hash slots: which of the 16,384 partitions a key belongs to.

use crc16::{State, XMODEM};

/// A hash slot, `0..SLOTS`.
pub type Slot = u16;

/// Number of hash slots of a cluster (Redis cluster specification, "Key distribution model").
pub const SLOTS: u16 = 16_384;

/// The slot of `key`: CRC16 (XMODEM) of its hash tag, modulo [`SLOTS`].
///
/// The hash tag is what stands between the first `{` and the first `}` after it, if that is not
/// empty; otherwise the whole key counts (Redis cluster specification, "Hash tags").
#[must_use]
pub fn slot_of(key: &[u8]) -> Slot {
    State::<XMODEM>::calculate(hash_tag(key)) % SLOTS
}

/// The part of `key` that is hashed.
#[must_use]
pub fn hash_tag(key: &[u8]) -> &[u8] {
    let Some(open) = memchr::memchr(b'{', key) else { return key };
    let after = &key[open + 1..];
    match memchr::memchr(b'}', after) {
        Some(close) if close > 0 => &after[..close],
        _ => key,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_specification_s_check_value_holds() {
        assert_eq!(State::<XMODEM>::calculate(b"123456789"), 0x31C3);
    }

    #[test]
    fn only_the_first_non_empty_tag_counts() {
        assert_eq!(slot_of(b"{user1000}.following"), slot_of(b"{user1000}.followers"));
        assert_eq!(hash_tag(b"foo{}{bar}"), b"foo{}{bar}");
        assert_eq!(hash_tag(b"foo{{bar}}zap"), b"{bar");
        assert_eq!(hash_tag(b"foo{bar}{zap}"), b"bar");
        assert_eq!(hash_tag(b"foo{bar"), b"foo{bar");
        assert_eq!(hash_tag(b""), b"");
    }
}
