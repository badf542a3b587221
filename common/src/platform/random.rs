//! Randomness.

use rand::RngCore;
use rand::SeedableRng;
use rand::rngs::SmallRng;

/// A fast generator for choices that need no secrecy, seeded from the system.
#[must_use]
pub fn generator() -> SmallRng {
    SmallRng::from_os_rng()
}

/// `N` unpredictable bytes, fit for identities and nonces.
#[must_use]
pub fn secret_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::rng().fill_bytes(&mut bytes);
    bytes
}

/// `2 * N` lower-case hexadecimal digits of unpredictable bytes.
#[must_use]
pub fn hex_id<const N: usize>() -> String {
    secret_bytes::<N>().iter().map(|byte| format!("{byte:02x}")).collect()
}
