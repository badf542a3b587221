//! What an engine is made of.

use slotway_common::platform::random;
use slotway_common::slot::{SLOTS, Slot};

use super::access::AccessClock;
use super::edit::Emptied;
use super::events::Events;
use super::journal::Journal;
use super::key::{DATABASES, DbIndex};
use super::lazy_free::LazyFree;
use super::slots::{Database, SlotSpace};
use super::stats::{ExpiryTimes, Stats};
use super::totals::DbTotals;
use super::victims::Pool;
use super::watches::Watches;
use crate::memory::{Limits, Memory};

/// Where the sweep of expired keys goes on.
#[derive(Debug, Default)]
pub(super) struct Sweep {
    pub(super) db: usize,
    pub(super) slot: u16,
}

/// All data of a shard.
pub struct Engine {
    pub(super) slots: Box<[SlotSpace]>,
    /// Commands on keys of each slot since it came here. Close together, since every request adds to one.
    pub(super) operations: Box<[u64]>,
    pub(super) totals: [DbTotals; DATABASES],
    pub(super) emptied: Vec<Emptied>,
    /// The time that the command in progress sees, in milliseconds since 1970.
    pub(super) now: i64,
    /// Keys whose time is up by then have expired: `now`, or never where keys do not expire by themselves.
    pub(super) expired_by: i64,
    pub(super) keeps_expired: bool,
    pub(super) journal: Journal,
    pub(super) watches: Watches,
    pub(super) events: Events,
    pub(super) changes: u64,
    pub(super) random: rand::rngs::SmallRng,
    pub(super) sweep: Sweep,
    pub(super) pool: Pool,
    pub(super) lazy_free: LazyFree,
    /// The clock and policy by which keys are judged idle.
    pub clock: AccessClock,
    pub limits: Limits,
    pub stats: Stats,
    pub(super) expiry_times: ExpiryTimes,
    pub memory: Memory,
}

impl Engine {
    /// An empty engine; what it frees in bulk goes to `lazy_free`.
    #[must_use]
    pub fn new(lazy_free: LazyFree) -> Self {
        let memory = Memory::new(lazy_free.bytes());
        let mut slots = Vec::new();
        slots.resize_with(usize::from(SLOTS), SlotSpace::default);
        Self {
            slots: slots.into_boxed_slice(),
            operations: vec![0; usize::from(SLOTS)].into_boxed_slice(),
            totals: std::array::from_fn(|_| DbTotals::default()),
            emptied: Vec::new(),
            now: slotway_common::platform::clock::now_ms(),
            expired_by: slotway_common::platform::clock::now_ms(),
            keeps_expired: false,
            journal: Journal::default(),
            watches: Watches::default(),
            events: Events::default(),
            changes: 0,
            random: random::generator(),
            sweep: Sweep::default(),
            pool: Pool::default(),
            lazy_free,
            clock: AccessClock::default(),
            limits: Limits::default(),
            stats: Stats::default(),
            expiry_times: ExpiryTimes::default(),
            memory,
        }
    }

    /// Fixes the time that everything sees until the next call.
    #[inline]
    pub fn set_now(&mut self, now: i64) {
        self.now = now;
        self.expired_by = if self.keeps_expired { i64::MIN } else { now };
        self.clock.set_now(now);
    }

    /// Milliseconds since 1970, the same throughout a command.
    #[must_use]
    #[inline]
    pub fn now(&self) -> i64 {
        self.now
    }

    /// Counts `changes` made by the command in progress.
    #[inline]
    pub fn dirty(&mut self, changes: u64) {
        self.changes += changes;
    }

    /// As [`Engine::dirty`], for changes that Redis does not tell clients of that watch the key: those of the state of
    /// consumer groups.
    pub fn dirty_unseen(&mut self, changes: u64) {
        self.changes += changes;
        self.forget_touched();
    }

    /// Changes since the start (INFO's `rdb_changes_since_last_save` counts from these).
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.changes
    }

    #[must_use]
    pub fn random(&mut self) -> &mut rand::rngs::SmallRng {
        &mut self.random
    }

    #[must_use]
    pub fn totals(&self, db: DbIndex) -> &DbTotals {
        &self.totals[db]
    }

    #[must_use]
    pub fn slot(&self, slot: Slot) -> &SlotSpace {
        &self.slots[usize::from(slot)]
    }

    #[inline]
    pub(super) fn database(&self, db: DbIndex, slot: Slot) -> Option<&Database> {
        self.slots.get(usize::from(slot))?.database(db)
    }

    #[inline]
    pub(super) fn database_mut(&mut self, db: DbIndex, slot: Slot) -> Option<&mut Database> {
        self.slots.get_mut(usize::from(slot))?.database_mut(db)
    }

    /// Counts a command on a key of the slot.
    #[inline]
    pub fn count_operation(&mut self, slot: Slot) {
        if let Some(operations) = self.operations.get_mut(usize::from(slot)) {
            *operations += 1;
        }
    }

    /// Commands on keys of the slot since it came here.
    #[must_use]
    pub fn operations(&self, slot: Slot) -> u64 {
        self.operations.get(usize::from(slot)).copied().unwrap_or(0)
    }

    /// Bytes of the allocator that all keys and values take.
    #[must_use]
    pub fn dataset_bytes(&self) -> u64 {
        self.slots.iter().map(SlotSpace::bytes).sum()
    }

    /// The thread that frees.
    #[must_use]
    pub fn lazy_free(&self) -> LazyFree {
        self.lazy_free.clone()
    }

    /// Objects that wait to be freed on the other thread.
    #[must_use]
    pub fn lazy_free_pending(&self) -> u64 {
        self.lazy_free.pending()
    }

    /// Objects freed on the other thread so far.
    #[must_use]
    pub fn lazy_freed(&self) -> u64 {
        self.lazy_free.freed()
    }
}
