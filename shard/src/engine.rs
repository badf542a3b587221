//! The engine: everything the shard stores, by slot and database.
//!
//! It is owned by the data thread alone and takes no locks. Slots hold their own small tables, one
//! per database in use; see the crate's README for why.

mod access;
mod edit;
mod events;
mod evict;
mod expire;
mod journal;
pub mod key;
mod lazy_free;
pub mod prefetch;
pub mod record;
mod scan;
mod slots;
mod stats;
mod totals;
mod transfer;
mod watches;

use std::sync::Arc;

use slotway_common::error::Error;
use slotway_common::platform::random;
use slotway_common::slot::{SLOTS, Slot};

pub use access::{AccessClock, Policy};
pub use edit::Edit;
pub use events::{Event, EventClass, Wanted};
pub use expire::SweepReport;
pub use journal::{Note, NotedKey, Notes, Watcher};
pub use key::{DATABASES, DbIndex, Key};
pub use lazy_free::LazyFree;
pub use record::Record;
pub use scan::Cursor;
pub use slots::{Database, SlotSpace};
pub use stats::Stats;
pub use totals::DbTotals;
pub use transfer::prefix_of;
pub use watches::{WatchId, WatchState};

pub use crate::memory::{GarbageBytes, HandedOver, Limits, Memory, hash_bytes, set_hash_seed};
use crate::types::table::{Hashed, Place};
use crate::types::{Kind, Object};

/// A key that a command emptied and that must go before anyone looks again.
struct Emptied {
    db: DbIndex,
    slot: Slot,
    hash: u64,
}

/// All data of a shard.
pub struct Engine {
    slots: Box<[SlotSpace]>,
    /// Commands on keys of each slot since it came here. Close together, since every request adds to one.
    operations: Box<[u64]>,
    totals: [DbTotals; DATABASES],
    emptied: Vec<Emptied>,
    /// The time that the command in progress sees, in milliseconds since 1970.
    now: i64,
    /// Keys whose time is up by then have expired: `now`, or never where keys do not expire by themselves.
    expired_by: i64,
    keeps_expired: bool,
    journal: journal::Journal,
    watches: watches::Watches,
    events: events::Events,
    changes: u64,
    random: rand::rngs::SmallRng,
    sweep: expire::Sweep,
    pool: evict::Pool,
    lazy_free: LazyFree,
    /// The clock and policy by which keys are judged idle.
    pub clock: AccessClock,
    pub limits: Limits,
    pub stats: Stats,
    expiry_times: stats::ExpiryTimes,
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
            journal: journal::Journal::default(),
            watches: watches::Watches::default(),
            events: events::Events::default(),
            changes: 0,
            random: random::generator(),
            sweep: expire::Sweep::default(),
            pool: evict::Pool::default(),
            lazy_free,
            clock: AccessClock::default(),
            limits: Limits::default(),
            stats: Stats::default(),
            expiry_times: stats::ExpiryTimes::default(),
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
    fn database(&self, db: DbIndex, slot: Slot) -> Option<&Database> {
        self.slots.get(usize::from(slot))?.database(db)
    }

    #[inline]
    fn database_mut(&mut self, db: DbIndex, slot: Slot) -> Option<&mut Database> {
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

    /// Removes what the commands so far have emptied.
    #[inline]
    pub fn settle(&mut self) {
        if !self.emptied.is_empty() {
            self.settle_emptied();
        }
    }

    #[cold]
    fn settle_emptied(&mut self) {
        for Emptied { db, slot, hash } in std::mem::take(&mut self.emptied) {
            let taken =
                self.take_where(db, slot, hash, |record| record.value().is_some_and(Object::is_empty));
            if let Some(record) = taken {
                self.notify(EventClass::GENERIC, "del", db, record.key());
            }
        }
    }

    fn take_where(
        &mut self,
        db: DbIndex,
        slot: Slot,
        hash: u64,
        wanted: impl Fn(&Record) -> bool,
    ) -> Option<Record> {
        let record = self.database_mut(db, slot)?.take(hash, wanted)?;
        self.totals[db].remove(slot, 1, u64::from(record.expire_at().is_some()));
        Some(record)
    }

    /// Drops a record that has been taken out, on another thread if that is much work.
    fn discard(&self, mut record: Record) {
        if record.value().is_some_and(|value| value.free_effort() > lazy_free::THRESHOLD)
            && let Some(value) = record.take_value()
        {
            self.lazy_free.value(value);
        }
    }

    /// Where the key's record lies, unless the key is absent or has expired (then it is removed).
    #[inline]
    fn locate(&mut self, db: DbIndex, key: &Key<'_>) -> Option<Place> {
        self.settle();
        let database = self.database(db, key.slot)?;
        let place = database.find(key)?;
        if database.at(place)?.expire_at().is_some_and(|at| at <= self.expired_by) {
            self.expire_now(db, key);
            return None;
        }
        Some(place)
    }

    #[cold]
    fn expire_now(&mut self, db: DbIndex, key: &Key<'_>) {
        let began = self.expiry_times.begin();
        if let Some(record) = self.take(db, key) {
            self.note_gone(db, key.slot, key.hash, key.bytes);
            self.notify(EventClass::EXPIRED, "expired", db, key.bytes);
            self.stats.expired_keys += 1;
            self.discard(record);
        }
        self.expiry_times.end(began);
    }

    /// The record for a command that reads it: counts a hit or a miss and notes the access.
    #[inline]
    fn find_read(&mut self, db: DbIndex, key: &Key<'_>) -> Option<&mut Record> {
        let Some(place) = self.locate(db, key) else {
            self.stats.misses += 1;
            self.notify(EventClass::MISS, "keymiss", db, key.bytes);
            return None;
        };
        self.stats.hits += 1;
        self.touched(db, key, place)
    }

    /// The record for a command that changes it: notes the access, counts no hit or miss.
    #[inline]
    fn find_write(&mut self, db: DbIndex, key: &Key<'_>) -> Option<Place> {
        let place = self.locate(db, key)?;
        self.touched(db, key, place)?;
        Some(place)
    }

    #[inline]
    fn touched(&mut self, db: DbIndex, key: &Key<'_>, place: Place) -> Option<&mut Record> {
        let clock = self.clock;
        let record = self.slots.get_mut(usize::from(key.slot))?.database_mut(db)?.at_mut(place)?;
        clock.touch(record, &mut self.random);
        Some(record)
    }

    /// The record of a key for a command that reads it: `None` if absent or expired.
    #[inline]
    pub fn record(&mut self, db: DbIndex, key: &Key<'_>) -> Option<&Record> {
        self.find_read(db, key).map(|record| &*record)
    }

    /// The record without any side effect: no hit counted, no access noted, nothing removed.
    #[must_use]
    pub fn peek_record(&self, db: DbIndex, key: &Key<'_>) -> Option<&Record> {
        let database = self.database(db, key.slot)?;
        let record = database.at(database.find(key)?)?;
        let live = record.expire_at().is_none_or(|at| at > self.expired_by)
            && !record.value().is_some_and(Object::is_empty);
        live.then_some(record)
    }

    /// The value of type `T` for a command that reads it.
    ///
    /// # Errors
    /// `WRONGTYPE` when the key holds another type.
    pub fn read<T: Kind>(&mut self, db: DbIndex, key: &Key<'_>) -> Result<Option<&T>, Error> {
        self.record(db, key).map(of_kind).transpose()
    }

    /// As [`Engine::read`] without side effects, so that several can be held at once; call
    /// [`Engine::touch`] for each key before.
    ///
    /// # Errors
    /// `WRONGTYPE` when the key holds another type.
    pub fn peek<T: Kind>(&self, db: DbIndex, key: &Key<'_>) -> Result<Option<&T>, Error> {
        self.peek_record(db, key).map(of_kind).transpose()
    }

    /// The string at `key` for a command that reads it.
    ///
    /// # Errors
    /// `WRONGTYPE` when the key holds another type.
    #[inline]
    pub fn read_string(&mut self, db: DbIndex, key: &Key<'_>) -> Result<Option<&[u8]>, Error> {
        match self.record(db, key) {
            None => Ok(None),
            Some(record) => record.bytes().map(Some).ok_or(Error::WrongType),
        }
    }

    /// The string at `key` without side effects.
    ///
    /// # Errors
    /// `WRONGTYPE` when the key holds another type.
    #[inline]
    pub fn peek_string(&self, db: DbIndex, key: &Key<'_>) -> Result<Option<&[u8]>, Error> {
        match self.peek_record(db, key) {
            None => Ok(None),
            Some(record) => record.bytes().map(Some).ok_or(Error::WrongType),
        }
    }

    /// Counts and notes an access, as a read does; true when the key exists.
    pub fn touch(&mut self, db: DbIndex, key: &Key<'_>) -> bool {
        self.find_read(db, key).is_some()
    }

    /// True when the key exists; counts a hit or a miss, but notes no access.
    pub fn look(&mut self, db: DbIndex, key: &Key<'_>) -> bool {
        let found = self.look_unseen(db, key);
        if !found {
            self.notify(EventClass::MISS, "keymiss", db, key.bytes);
        }
        found
    }

    /// As [`Engine::look`], of which nobody is told.
    pub fn look_unseen(&mut self, db: DbIndex, key: &Key<'_>) -> bool {
        let found = self.locate(db, key).is_some();
        self.stats.hits += u64::from(found);
        self.stats.misses += u64::from(!found);
        found
    }

    /// True when the key exists; no hit or miss is counted.
    pub fn exists(&mut self, db: DbIndex, key: &Key<'_>) -> bool {
        self.locate(db, key).is_some()
    }

    /// When the key expires, in milliseconds since 1970; an expired key is removed.
    pub fn live_expire_at(&mut self, db: DbIndex, key: &Key<'_>) -> Option<Option<i64>> {
        self.locate(db, key)?;
        self.expire_at(db, key)
    }

    /// When the key expires, in milliseconds since 1970: `None` without such a key, `Some(None)`
    /// without an expiry.
    #[must_use]
    pub fn expire_at(&self, db: DbIndex, key: &Key<'_>) -> Option<Option<i64>> {
        self.peek_record(db, key).map(Record::expire_at)
    }

    /// The value of type `T` for a command that changes it.
    ///
    /// # Errors
    /// `WRONGTYPE` when the key holds another type.
    pub fn edit<T: Kind>(&mut self, db: DbIndex, key: &Key<'_>) -> Result<Option<Edit<'_, T>>, Error> {
        match self.find_write(db, key) {
            Some(place) => self.edit_at(db, key, place),
            None => Ok(None),
        }
    }

    #[inline]
    fn edit_at<T: Kind>(
        &mut self,
        db: DbIndex,
        key: &Key<'_>,
        place: Place,
    ) -> Result<Option<Edit<'_, T>>, Error> {
        let emptied = Emptied { db, slot: key.slot, hash: key.hash };
        let watched = self.watched(key.slot);
        let Some(database) = self.slots.get_mut(usize::from(key.slot)).and_then(|slot| slot.database_mut(db))
        else {
            return Ok(None);
        };
        let Some((record, bytes)) = database.record_and_bytes(place) else { return Ok(None) };
        let value = record.value_mut().and_then(T::of_mut).ok_or(Error::WrongType)?;
        if watched != 0 {
            self.journal.written(watched, db, key);
        }
        Ok(Some(Edit::new(value, bytes, &mut self.emptied, emptied)))
    }

    /// The value of type `T`, made new if the key is absent. A new value that is still empty when
    /// the edit ends is removed again.
    ///
    /// # Errors
    /// `WRONGTYPE` when the key holds another type.
    pub fn edit_or_create<T: Kind>(&mut self, db: DbIndex, key: &Key<'_>) -> Result<Edit<'_, T>, Error> {
        let place = match self.find_write(db, key) {
            Some(place) => Some(place),
            None => {
                self.insert_new(db, key, Record::object(key.bytes, T::empty().into_object(), None));
                self.notify(EventClass::NEW, "new", db, key.bytes);
                self.database(db, key.slot).and_then(|database| database.find(key))
            }
        };
        let edit = place.map(|place| self.edit_at(db, key, place)).transpose()?.flatten();
        // The record was found or made just now.
        edit.ok_or(Error::NoSuchKey)
    }

    /// Inserts a record for a key that is known to be absent.
    fn insert_new(&mut self, db: DbIndex, key: &Key<'_>, mut record: Record) {
        self.clock.start(&mut record);
        self.note_written(db, key.slot, key.hash, key.bytes);
        self.totals[db].add(key.slot, 1, u64::from(record.expire_at().is_some()));
        if let Some(slot) = self.slots.get_mut(usize::from(key.slot)) {
            slot.database_or_create(db).insert(key.hash, record);
        }
    }

    /// Sets the key to a collection or long string, without an expiry, whatever it was before.
    pub fn set(&mut self, db: DbIndex, key: &Key<'_>, value: Object) {
        self.put(db, key, Record::object(key.bytes, value, None));
    }

    /// Sets the key to a string with an expiry or none, whatever it was before.
    #[inline]
    pub fn set_string(&mut self, db: DbIndex, key: &Key<'_>, value: &[u8], expire_at: Option<i64>) {
        self.settle();
        if self.wants_events() {
            // Whoever overwrites a key that has expired tells of both.
            self.locate(db, key);
        }
        let place = self.database(db, key.slot).and_then(|database| database.find(key));
        if let Some(place) = place
            && self.change(db, key.slot, place, |record| {
                let embedded = record.value().is_none() && value.len() <= record::MAX_EMBEDDED;
                if embedded {
                    record.set_string(value);
                    record.set_expire_at(expire_at);
                }
                embedded
            }) == Some(true)
        {
            let clock = self.clock;
            if let Some(record) = self.database_mut(db, key.slot).and_then(|database| database.at_mut(place))
            {
                clock.start(record);
            }
            return;
        }
        self.put(db, key, Record::string(key.bytes, value, expire_at));
    }

    /// Changes a record in place and keeps all counts true: bytes, expiries, the next expiry.
    #[inline]
    fn change<R>(
        &mut self,
        db: DbIndex,
        slot: Slot,
        place: Place,
        change: impl FnOnce(&mut Record) -> R,
    ) -> Option<R> {
        let space = self.slots.get_mut(usize::from(slot))?;
        let watched = space.watched;
        let database = space.database_mut(db)?;
        let (result, expires) = database.change(place, change)?;
        if watched != 0
            && let Some(record) = database.at(place)
        {
            let key = Key { bytes: record.key(), slot, hash: record.hash() };
            self.journal.written(watched, db, &key);
        }
        match expires {
            1 => self.totals[db].add(slot, 0, 1),
            -1 => self.totals[db].remove(slot, 0, 1),
            _ => {}
        }
        Some(result)
    }

    /// Puts a record in the place of whatever the key was before.
    pub fn put(&mut self, db: DbIndex, key: &Key<'_>, record: Record) {
        self.settle();
        if self.wants_events() && self.locate(db, key).is_none() {
            self.notify(EventClass::NEW, "new", db, key.bytes);
        }
        if let Some(old) = self.take(db, key) {
            self.discard(old);
        }
        self.insert_new(db, key, record);
    }

    /// Sets how long ago a key was used, or how often, whichever the eviction policy goes by.
    pub fn restore_access(
        &mut self,
        db: DbIndex,
        key: &Key<'_>,
        idle_seconds: Option<u64>,
        frequency: Option<u8>,
    ) {
        let clock = self.clock;
        let Some(place) = self.database(db, key.slot).and_then(|database| database.find(key)) else { return };
        if let Some(record) = self.database_mut(db, key.slot).and_then(|database| database.at_mut(place)) {
            clock.restore(record, idle_seconds, frequency);
        }
    }

    /// Changes a string in part: `change` gets the bytes and may resize them; the expiry stays.
    /// An absent key is taken as an empty string, and made unless it stays empty.
    ///
    /// # Errors
    /// `WRONGTYPE` when the key holds another type.
    pub fn edit_string<R>(
        &mut self,
        db: DbIndex,
        key: &Key<'_>,
        change: impl FnOnce(&mut Vec<u8>) -> R,
    ) -> Result<R, Error> {
        let Some(place) = self.find_write(db, key) else {
            let mut bytes = Vec::new();
            let result = change(&mut bytes);
            if !bytes.is_empty() {
                let mut record = Record::string(key.bytes, &bytes, None);
                record.set_raw(true);
                self.insert_new(db, key, record);
                self.notify(EventClass::NEW, "new", db, key.bytes);
            }
            return Ok(result);
        };
        self.change(db, key.slot, place, |record| {
            let result = match record.value_mut() {
                Some(Object::String(bytes)) => change(Arc::make_mut(bytes)),
                Some(_) => return Err(Error::WrongType),
                None => {
                    let mut bytes = record.bytes().unwrap_or_default().to_vec();
                    let result = change(&mut bytes);
                    record.set_string(&bytes);
                    result
                }
            };
            record.set_raw(true);
            Ok(result)
        })
        .ok_or(Error::NoSuchKey)?
    }

    /// Sets the key to bytes that are no integer even if they read as one, without an expiry, whatever it was before.
    pub fn set_raw_string(&mut self, db: DbIndex, key: &Key<'_>, value: &[u8]) {
        let mut record = Record::string(key.bytes, value, None);
        record.set_raw(true);
        self.put(db, key, record);
    }

    /// Replaces a string by another, keeping the expiry; the key is made if absent.
    pub fn replace_string(&mut self, db: DbIndex, key: &Key<'_>, value: &[u8]) {
        self.replace(db, key, value, |_| {});
    }

    /// As [`Engine::replace_string`] with a text that is no integer even if it reads as one.
    pub fn replace_text(&mut self, db: DbIndex, key: &Key<'_>, value: &[u8]) {
        self.replace(db, key, value, Record::mark_text);
    }

    fn replace(&mut self, db: DbIndex, key: &Key<'_>, value: &[u8], finish: impl FnOnce(&mut Record)) {
        match self.find_write(db, key) {
            Some(place) => {
                self.change(db, key.slot, place, |record| {
                    record.set_string(value);
                    finish(record);
                });
            }
            None => {
                let mut record = Record::string(key.bytes, value, None);
                finish(&mut record);
                self.insert_new(db, key, record);
                self.notify(EventClass::NEW, "new", db, key.bytes);
            }
        }
    }

    /// Takes the key out, expired or not.
    fn take(&mut self, db: DbIndex, key: &Key<'_>) -> Option<Record> {
        self.take_where(db, key.slot, key.hash, |record| record.key() == key.bytes)
    }

    /// Takes a live key out, to be put elsewhere.
    pub fn take_live(&mut self, db: DbIndex, key: &Key<'_>) -> Option<Record> {
        self.locate(db, key)?;
        self.note_written(db, key.slot, key.hash, key.bytes);
        self.take(db, key)
    }

    /// Removes the key; true when it was there and had not expired.
    pub fn remove(&mut self, db: DbIndex, key: &Key<'_>) -> bool {
        match self.take_live(db, key) {
            Some(record) => {
                self.discard(record);
                true
            }
            None => false,
        }
    }

    /// Sets or clears the expiry of a live key; false without such a key.
    pub fn set_expire_at(&mut self, db: DbIndex, key: &Key<'_>, expire_at: Option<i64>) -> bool {
        let Some(place) = self.locate(db, key) else { return false };
        self.change(db, key.slot, place, |record| record.set_expire_at(expire_at)).is_some()
    }

    /// Removes all keys of one database, or of all, in the slots that `wanted` names; gives their number.
    pub fn flush(&mut self, db: Option<DbIndex>, wanted: impl Fn(Slot) -> bool) -> u64 {
        self.settle();
        self.break_watches(|slot, index| wanted(slot) && db.is_none_or(|db| db == index), |_| None);
        let mut removed = 0;
        for (slot, space) in (0..SLOTS).zip(self.slots.iter_mut()).filter(|(slot, _)| wanted(*slot)) {
            for index in (0..DATABASES).filter(|index| db.is_none_or(|db| db == *index)) {
                let Some(database) = space.take_database(index) else { continue };
                removed += database.len() as u64;
                if journal::is_noted(space.watched) {
                    self.journal.note(Note::Flushed { slot, db: index });
                }
                self.totals[index].remove(slot, database.len() as u64, database.expires());
                self.lazy_free.database(database);
            }
        }
        removed
    }

    /// Swaps two databases in the slots that `wanted` names.
    pub fn swap(&mut self, a: DbIndex, b: DbIndex, wanted: impl Fn(Slot) -> bool) {
        self.settle();
        let other = |db| if db == a { Some(b) } else { Some(a) };
        self.break_watches(|slot, db| wanted(slot) && (db == a || db == b), other);
        for (slot, space) in (0..SLOTS).zip(self.slots.iter_mut()).filter(|(slot, _)| wanted(*slot)) {
            let (first, second) = (space.take_database(a), space.take_database(b));
            if journal::is_noted(space.watched) && (first.is_some() || second.is_some()) {
                self.journal.note(Note::Swapped { slot, a, b });
            }
            for (from, to, database) in [(a, b, first), (b, a, second)] {
                let Some(database) = database else { continue };
                let (keys, expires) = (database.len() as u64, database.expires());
                self.totals[from].remove(slot, keys, expires);
                self.totals[to].add(slot, keys, expires);
                space.put_database(to, database);
            }
        }
    }
}

fn of_kind<T: Kind>(record: &Record) -> Result<&T, Error> {
    record.value().and_then(T::of).ok_or(Error::WrongType)
}

#[cfg(test)]
mod tests;
