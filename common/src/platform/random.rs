//! Randomness.

use rand::RngCore;
use rand::SeedableRng;
use rand::rngs::SmallRng;

/// A fast generator for choices that need no secrecy, seeded from the system.
#[must_use]
pub fn generator() -> SmallRng {
    #[cfg(feature = "simulation")]
    if super::simulation::is_active() {
        return SmallRng::seed_from_u64(super::simulation::random::next());
    }
    SmallRng::from_os_rng()
}

/// `N` unpredictable bytes, fit for identities and nonces.
#[must_use]
pub fn secret_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    fill(&mut bytes);
    bytes
}

/// Fills a buffer with unpredictable bytes.
pub fn fill(bytes: &mut [u8]) {
    #[cfg(feature = "simulation")]
    if super::simulation::is_active() {
        return super::simulation::random::fill(bytes);
    }
    rand::rng().fill_bytes(bytes);
}

/// `2 * N` lower-case hexadecimal digits of unpredictable bytes.
#[must_use]
pub fn hex_id<const N: usize>() -> String {
    secret_bytes::<N>().iter().map(|byte| format!("{byte:02x}")).collect()
}
