//! The hash of everything that is stored.

use std::sync::atomic::{AtomicU64, Ordering};

use xxhash_rust::xxh3::xxh3_64_with_seed;

static SEED: AtomicU64 = AtomicU64::new(0);

/// Sets the seed of [`hash_bytes`]. It must be the same on all shards of a cluster, since SCAN
/// cursors are made of hashes, and must be set before anything is stored.
pub fn set_hash_seed(seed: u64) {
    SEED.store(seed, Ordering::Relaxed);
}

/// The hash of keys, hash fields and set members: XXH3 under the cluster's seed.
#[must_use]
#[inline]
pub fn hash_bytes(bytes: &[u8]) -> u64 {
    xxh3_64_with_seed(bytes, SEED.load(Ordering::Relaxed))
}
