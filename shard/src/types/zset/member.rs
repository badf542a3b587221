//! A member of a large sorted set, with its score.

use crate::memory::{Blob, hash_bytes};
use crate::types::item::Item;
use crate::types::table::Hashed;

/// A member; the header is its score.
#[derive(Clone)]
pub(super) struct Member(pub(super) Blob<f64>);

impl Member {
    pub(super) fn new(member: &[u8], score: f64) -> Self {
        Member(Blob::new(score, &[member]))
    }

    #[inline]
    pub(super) fn bytes(&self) -> &[u8] {
        self.0.bytes()
    }

    #[inline]
    pub(super) fn score(&self) -> f64 {
        self.0.header()
    }

    pub(super) fn pair(&self) -> (Item<'_>, f64) {
        (Item::Bytes(self.bytes()), self.score())
    }
}

impl Hashed for Member {
    #[inline]
    fn hash(&self) -> u64 {
        hash_bytes(self.bytes())
    }
}
