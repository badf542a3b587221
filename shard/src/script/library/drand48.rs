//! Redis's generator of random numbers.

/// The generator of `drand48` (POSIX), of which the 31 highest bits are used.
#[derive(Clone, Copy, Debug)]
pub struct Random(u64);

impl Default for Random {
    fn default() -> Self {
        // As every process of Redis begins.
        Self(0x1234_ABCD_330E)
    }
}

impl Random {
    #[must_use]
    pub fn seeded(seed: i32) -> Self {
        Self(u64::from(seed.cast_unsigned()) << 16 | 0x330E)
    }

    pub(super) fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(0x5_DEEC_E66D).wrapping_add(0xB) & ((1 << 48) - 1);
        let number = (self.0 >> 17) as u32 % i32::MAX.unsigned_abs();
        f64::from(number) / f64::from(i32::MAX)
    }
}
