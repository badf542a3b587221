//! Randomness from the simulation's seed.

use std::cell::RefCell;

use rand::rngs::SmallRng;
use rand::{Rng, RngCore, SeedableRng};

thread_local! {
    static GENERATOR: RefCell<SmallRng> = RefCell::new(SmallRng::seed_from_u64(0));
}

pub(super) fn seed(seed: u64) {
    GENERATOR.set(SmallRng::seed_from_u64(seed));
}

pub(in crate::platform) fn next() -> u64 {
    GENERATOR.with_borrow_mut(RngCore::next_u64)
}

pub(in crate::platform) fn fill(bytes: &mut [u8]) {
    GENERATOR.with_borrow_mut(|generator| generator.fill_bytes(bytes));
}

/// A number below `end`, which is above 0.
pub(super) fn below(end: u64) -> u64 {
    GENERATOR.with_borrow_mut(|generator| generator.random_range(0..end))
}
