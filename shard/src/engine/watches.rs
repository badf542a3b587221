//! Keys that clients watch (WATCH): whether one was changed since.
//!
//! A watch is broken by any change of one of its keys, by whomever: a command, expiry, eviction, FLUSHALL, or the slot's
//! going to another shard. A key that had expired before it was watched may go without that; it was not there anyway.

use std::collections::HashMap;

use slotway_common::slot::Slot;

use super::key::{DbIndex, Key};

/// Who watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WatchId {
    /// The connection of this number.
    Client(u64),
    /// A client of a proxy, by the number that the proxy gave it.
    Token(u64),
}

/// How a watch has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchState {
    /// Nothing was changed.
    Whole,
    Broken,
    /// There is no such watch: what made it was on another connection, or another shard.
    Unknown,
}

#[derive(Debug)]
pub(super) struct Watched {
    pub(super) db: DbIndex,
    pub(super) slot: Slot,
    pub(super) key: Box<[u8]>,
    /// It was there and had expired.
    pub(super) expired: bool,
}

#[derive(Debug, Default)]
pub(super) struct Watch {
    pub(super) keys: Vec<Watched>,
    pub(super) broken: bool,
}

/// All watches of a shard.
#[derive(Debug, Default)]
pub(super) struct Watches {
    pub(super) watches: HashMap<WatchId, Watch>,
    watchers: HashMap<(DbIndex, Box<[u8]>), Vec<WatchId>>,
    /// How many keys of each slot clients watch or wait for.
    pub(super) interests: HashMap<Slot, usize>,
}

impl Watches {
    /// Adds a key to a watch; false if it is there already, or does not matter any more.
    pub(super) fn add(&mut self, id: WatchId, db: DbIndex, key: &Key<'_>, expired: bool) -> bool {
        let watch = self.watches.entry(id).or_default();
        if watch.broken || watch.keys.iter().any(|watched| watched.db == db && *watched.key == *key.bytes) {
            return false;
        }
        watch.keys.push(Watched { db, slot: key.slot, key: key.bytes.into(), expired });
        self.watchers.entry((db, key.bytes.into())).or_default().push(id);
        true
    }

    /// Forgets the keys of a watch; gives their slots.
    pub(super) fn clear(&mut self, id: WatchId) -> Vec<Slot> {
        let Some(watch) = self.watches.get_mut(&id) else { return Vec::new() };
        let mut left = Vec::new();
        for watched in std::mem::take(&mut watch.keys) {
            let entry = (watched.db, watched.key);
            if let Some(watchers) = self.watchers.get_mut(&entry) {
                watchers.retain(|other| *other != id);
                if watchers.is_empty() {
                    self.watchers.remove(&entry);
                }
            }
            left.push(watched.slot);
        }
        left
    }

    fn watchers_of(&self, db: DbIndex, key: &[u8]) -> Vec<WatchId> {
        self.watchers.get(&(db, key.into())).cloned().unwrap_or_default()
    }

    pub(super) fn break_watch(&mut self, id: WatchId) {
        if let Some(watch) = self.watches.get_mut(&id) {
            watch.broken = true;
        }
    }

    /// A key was changed.
    pub(super) fn touch(&mut self, db: DbIndex, key: &[u8]) {
        for id in self.watchers_of(db, key) {
            self.break_watch(id);
        }
    }

    /// A key expired or was evicted.
    pub(super) fn gone(&mut self, db: DbIndex, key: &[u8]) {
        for id in self.watchers_of(db, key) {
            let Some(watch) = self.watches.get_mut(&id) else { continue };
            let watched = watch.keys.iter_mut().find(|watched| watched.db == db && *watched.key == *key);
            match watched {
                Some(watched) if watched.expired => watched.expired = false,
                _ => watch.broken = true,
            }
        }
    }

    /// The watched keys of some slots in some databases.
    pub(super) fn keys_in(
        &self,
        wanted: impl Fn(Slot, DbIndex) -> bool,
    ) -> Vec<(WatchId, DbIndex, Box<[u8]>)> {
        let of = |(id, watch): (&WatchId, &Watch)| {
            let keys = watch.keys.iter().filter(|watched| wanted(watched.slot, watched.db));
            keys.map(|watched| (*id, watched.db, watched.key.clone())).collect::<Vec<_>>()
        };
        self.watches.iter().flat_map(of).collect()
    }
}
