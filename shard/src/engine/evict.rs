//! Eviction: which keys go when memory is full.
//!
//! As in Redis, a few keys are sampled and the best candidates of all samples so far are kept in a
//! small pool, which comes close to the exact order at a constant cost.

use rand::Rng;
use slotway_common::slot::{SLOTS, Slot};

use super::access::Policy;
use super::events::EventClass;
use super::key::{DATABASES, DbIndex, Key};
use super::record::Record;
use super::state::Engine;
use super::victims::Candidate;

/// Draws in a row that may hit a parked slot.
const PARKED_TRIES: usize = 64;

impl Engine {
    /// Evicts one key by the policy in force; false when there is none that may go.
    pub fn evict_one(&mut self, samples: usize) -> bool {
        self.settle();
        let mut chosen = None;
        // What is parked must stay; slots are parked for milliseconds and are few, so other victims are soon found.
        for _ in 0..PARKED_TRIES {
            chosen = self.choose_victim(samples.max(1));
            match &chosen {
                Some((_, key)) if self.slot(Key::new(key).slot).parked => chosen = None,
                _ => break,
            }
        }
        let Some((db, key)) = chosen else { return false };
        let key = Key::new(&key);
        let Some(record) = self.take(db, &key) else { return true };
        self.note_gone(db, key.slot, key.hash, key.bytes);
        self.notify(EventClass::EVICTED, "evicted", db, key.bytes);
        self.stats.evicted_keys += 1;
        self.discard(record);
        true
    }

    /// Whether keys may go when memory is full.
    #[must_use]
    pub fn evicts(&self) -> bool {
        self.clock.policy != Policy::NoEviction
    }

    fn choose_victim(&mut self, samples: usize) -> Option<(DbIndex, Vec<u8>)> {
        let policy = self.clock.policy;
        match policy {
            Policy::NoEviction => None,
            Policy::AllKeysRandom | Policy::VolatileRandom => {
                let start = self.random.random_range(0..DATABASES);
                (0..DATABASES).find_map(|step| {
                    let db = (start + step) % DATABASES;
                    self.sample(db, policy.is_volatile()).map(|record| (db, record.key().to_vec()))
                })
            }
            _ => {
                self.fill_pool(samples);
                while let Some(Candidate { db, key, .. }) = self.pool.candidates.pop() {
                    let found = Key::new(&key);
                    let record = self.peek_record(db, &found);
                    if record.is_some_and(|record| !policy.is_volatile() || record.expire_at().is_some()) {
                        return Some((db, key));
                    }
                }
                None
            }
        }
    }

    fn fill_pool(&mut self, samples: usize) {
        let clock = self.clock;
        // A pool of victims that are all gone by now must not end in "nothing to evict".
        for _ in 0..samples {
            for db in 0..DATABASES {
                let offer = self
                    .sample(db, clock.policy.is_volatile())
                    .map(|record| (clock.eviction_rank(record), record.key().to_vec()));
                if let Some((rank, key)) = offer {
                    self.pool.offer(rank, db, &key);
                }
            }
        }
    }

    /// A random key of the database, or a random one of those with an expiry.
    fn sample(&mut self, db: DbIndex, volatile: bool) -> Option<&Record> {
        if !volatile {
            return self.random_record(db);
        }
        if self.totals[db].expires() == 0 {
            return None;
        }
        let start = self.random.random_range(0..SLOTS);
        let slot = (0..SLOTS).map(|step| (start + step) % SLOTS).find(|&slot| {
            self.slots[usize::from(slot)].database(db).is_some_and(|database| database.expires() > 0)
        })?;
        let database = self.slots[usize::from(slot)].database(db)?;
        for _ in 0..32 {
            let record = database.random(&mut self.random)?;
            if record.expire_at().is_some() {
                return Some(record);
            }
        }
        database.iter().find(|record| record.expire_at().is_some())
    }

    /// A random key of the database, expired ones included.
    pub(super) fn random_record(&mut self, db: DbIndex) -> Option<&Record> {
        let slots = &self.slots;
        let keys_of =
            |slot: Slot| slots[usize::from(slot)].database(db).map_or(0, |database| database.len() as u64);
        let slot = self.totals[db].random_slot(&mut self.random, keys_of)?;
        self.slots[usize::from(slot)].database(db)?.random(&mut self.random)
    }

    /// A random live key in the slots that `wanted` names (RANDOMKEY).
    pub fn random_key(&mut self, db: DbIndex, wanted: impl Fn(Slot) -> bool) -> Option<Vec<u8>> {
        // Most keys are live and most slots wanted, so a few draws do; else all are looked at.
        for _ in 0..100 {
            let now = self.now;
            let record = self.random_record(db)?;
            if record.expire_at().is_none_or(|at| at > now) {
                let key = record.key().to_vec();
                if wanted(Key::new(&key).slot) {
                    return Some(key);
                }
            }
        }
        let mut live = Vec::new();
        self.for_each_key(db, &wanted, |record| live.push(record.key().to_vec()));
        if live.is_empty() {
            return None;
        }
        let index = self.random.random_range(0..live.len());
        Some(live.swap_remove(index))
    }
}
