//! Hash slots: which of the 16,384 partitions a key belongs to.

use std::sync::LazyLock;

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
    checksum(hash_tag(key)) % SLOTS
}

/// Bytes of a key that are worked on together.
const STEP: usize = 8;

/// What a byte adds to the checksum when so many more bytes follow it, at most seven.
static ADDS: LazyLock<[[u16; 256]; STEP]> = LazyLock::new(|| {
    std::array::from_fn(|following| {
        std::array::from_fn(|byte| {
            let mut bytes = [0; STEP];
            bytes[0] = byte as u8;
            State::<XMODEM>::calculate(&bytes[..=following])
        })
    })
});

/// CRC16 (XMODEM) of `bytes`: the crate's, eight bytes a step instead of one, since each step waits for the one before
/// (Kounavis and Berry, "A Systematic Approach to Building High Performance Software-based CRC Generators", 2005).
fn checksum(bytes: &[u8]) -> u16 {
    let adds = &*ADDS;
    let add = |following: usize, byte: u8| adds[following][usize::from(byte)];
    let (steps, rest) = bytes.as_chunks::<STEP>();
    let mut sum = 0;
    for [a, b, c, d, e, f, g, h] in steps {
        let [high, low] = u16::to_be_bytes(sum);
        let first = add(7, a ^ high) ^ add(6, b ^ low) ^ add(5, *c) ^ add(4, *d);
        sum = first ^ add(3, *e) ^ add(2, *f) ^ add(1, *g) ^ add(0, *h);
    }
    for byte in rest {
        let [high, low] = u16::to_be_bytes(sum);
        sum = u16::from_be_bytes([low, 0]) ^ add(0, byte ^ high);
    }
    sum
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
    fn checksums_of_every_length_are_the_crate_s() {
        let bytes: Vec<u8> = (0..100u32).map(|at| (at.wrapping_mul(0x9E37_79B9) >> 13) as u8).collect();
        for (from, to) in (0..100).flat_map(|from| (from..=100).map(move |to| (from, to))) {
            assert_eq!(checksum(&bytes[from..to]), State::<XMODEM>::calculate(&bytes[from..to]));
        }
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
