//! The keys that are fittest to be evicted, of those that were sampled.

use super::key::DbIndex;

/// Candidates that are remembered between samples.
const POOL: usize = 16;

/// The best candidates so far, worst first.
#[derive(Debug, Default)]
pub(super) struct Pool {
    pub(super) candidates: Vec<Candidate>,
}

#[derive(Debug)]
pub(super) struct Candidate {
    rank: u64,
    pub(super) db: DbIndex,
    pub(super) key: Vec<u8>,
}

impl Pool {
    pub(super) fn offer(&mut self, rank: u64, db: DbIndex, key: &[u8]) {
        if self.candidates.len() == POOL && self.candidates.first().is_some_and(|worst| worst.rank >= rank) {
            return;
        }
        if self.candidates.iter().any(|candidate| candidate.db == db && candidate.key == key) {
            return;
        }
        let at = self.candidates.partition_point(|candidate| candidate.rank < rank);
        self.candidates.insert(at, Candidate { rank, db, key: key.to_vec() });
        if self.candidates.len() > POOL {
            self.candidates.remove(0);
        }
    }
}
