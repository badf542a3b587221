//! A slot's storage: one table for each numbered database in use.

use super::key::{DATABASES, DbIndex, Key};
use super::record::Record;
use crate::types::table::{Place, SegmentTable};

/// All that is stored in one hash slot.
#[derive(Default)]
pub struct SlotSpace {
    /// Database 0, which nearly everybody uses alone.
    zero: Database,
    others: Option<Box<[Option<Box<Database>>; DATABASES]>>,
    /// Who wants its changes noted in the engine's journal; 0: nobody.
    pub(super) watched: u8,
    /// Copies of it that are under way.
    pub(super) copies: u8,
    /// Nothing here may change: the slot is about to be handed over.
    pub(super) parked: bool,
}

impl SlotSpace {
    /// The database, if it was ever used here; database 0 always is.
    #[must_use]
    #[inline]
    pub fn database(&self, db: DbIndex) -> Option<&Database> {
        match db {
            0 => Some(&self.zero),
            _ => self.others.as_ref()?.get(db)?.as_deref(),
        }
    }

    #[inline]
    pub(super) fn database_mut(&mut self, db: DbIndex) -> Option<&mut Database> {
        match db {
            0 => Some(&mut self.zero),
            _ => self.others.as_mut()?.get_mut(db)?.as_deref_mut(),
        }
    }

    #[inline]
    pub(super) fn database_or_create(&mut self, db: DbIndex) -> &mut Database {
        match db {
            0 => &mut self.zero,
            _ => self.others.get_or_insert_default()[db].get_or_insert_default(),
        }
    }

    /// Takes a database that holds keys out and leaves an empty one.
    pub(super) fn take_database(&mut self, db: DbIndex) -> Option<Database> {
        let database = self.database_mut(db)?;
        (!database.is_empty()).then(|| std::mem::take(database))
    }

    pub(super) fn put_database(&mut self, db: DbIndex, database: Database) {
        *self.database_or_create(db) = database;
    }

    /// Keys of all databases.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.databases().map(|(_, database)| database.len()).sum()
    }

    /// Bytes of the allocator that the keys and values of all databases take, tables not counted.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.databases().map(|(_, database)| database.bytes()).sum()
    }

    pub fn databases(&self) -> impl Iterator<Item = (DbIndex, &Database)> {
        (0..DATABASES).filter_map(|db| Some((db, self.database(db)?)))
    }
}

/// One numbered database of one slot.
pub struct Database {
    table: SegmentTable<Record>,
    /// Sum of the records' `heap_bytes`. Signed, so that an edit in progress may dip below zero.
    bytes: i64,
    expires: u64,
    /// No key expires before this time (milliseconds since 1970).
    next_expiry: i64,
}

impl Default for Database {
    fn default() -> Self {
        Self { table: SegmentTable::new(), bytes: 0, expires: 0, next_expiry: i64::MAX }
    }
}

impl Database {
    /// Number of keys, expired ones included until they are removed.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.table.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Keys with an expiry.
    #[must_use]
    pub fn expires(&self) -> u64 {
        self.expires
    }

    /// Bytes of the allocator that keys and values take.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        u64::try_from(self.bytes).unwrap_or(0)
    }

    #[inline]
    pub(super) fn find(&self, key: &Key<'_>) -> Option<Place> {
        self.table.find(key.hash, |record| record.key() == key.bytes)
    }

    /// The record that a lookup of this hash would compare first.
    #[inline]
    pub(super) fn candidate(&self, hash: u64) -> Option<&Record> {
        self.table.candidate(hash)
    }

    #[inline]
    pub(super) fn at(&self, place: Place) -> Option<&Record> {
        self.table.at(place)
    }

    /// The record for changes that touch neither its size nor its expiry.
    #[inline]
    pub(super) fn at_mut(&mut self, place: Place) -> Option<&mut Record> {
        self.table.at_mut(place)
    }

    /// The record and the byte count that a change of its value must be added to.
    #[inline]
    pub(super) fn record_and_bytes(&mut self, place: Place) -> Option<(&mut Record, &mut i64)> {
        Some((self.table.at_mut(place)?, &mut self.bytes))
    }

    /// Changes a record in place; gives the result and by how much the number of expiries changed.
    #[inline]
    pub(super) fn change<R>(
        &mut self,
        place: Place,
        change: impl FnOnce(&mut Record) -> R,
    ) -> Option<(R, i64)> {
        let record = self.table.at_mut(place)?;
        let (bytes, had) = (record.heap_bytes(), record.expire_at());
        let result = change(record);
        self.bytes += record.heap_bytes() as i64 - bytes as i64;
        let has = record.expire_at();
        if let Some(at) = has {
            self.next_expiry = self.next_expiry.min(at);
        }
        let expires = i64::from(has.is_some()) - i64::from(had.is_some());
        self.expires = self.expires.wrapping_add_signed(expires);
        Some((result, expires))
    }

    /// Inserts a record whose key is known to be absent.
    #[inline]
    pub(super) fn insert(&mut self, hash: u64, record: Record) {
        self.bytes += record.heap_bytes() as i64;
        if let Some(at) = record.expire_at() {
            self.expires += 1;
            self.next_expiry = self.next_expiry.min(at);
        }
        self.table.insert(hash, record);
    }

    pub(super) fn take(&mut self, hash: u64, wanted: impl Fn(&Record) -> bool) -> Option<Record> {
        let record = self.table.remove(hash, wanted)?;
        self.bytes -= record.heap_bytes() as i64;
        self.expires -= u64::from(record.expire_at().is_some());
        Some(record)
    }

    /// True when some key may have expired by `now`.
    #[inline]
    pub(super) fn is_due(&self, now: i64) -> bool {
        self.expires > 0 && self.next_expiry <= now
    }

    /// Takes out every key that has expired by `now`.
    pub(super) fn take_expired(&mut self, now: i64, mut sink: impl FnMut(Record)) {
        let mut next = i64::MAX;
        let (mut bytes, mut expires) = (0, 0);
        self.table.extract(
            |record| match record.expire_at() {
                Some(at) if at <= now => true,
                Some(at) => {
                    next = next.min(at);
                    false
                }
                None => false,
            },
            |record| {
                bytes += record.heap_bytes() as i64;
                expires += 1;
                sink(record);
            },
        );
        self.bytes -= bytes;
        self.expires -= expires;
        self.next_expiry = next;
    }

    pub(super) fn random(&self, random: &mut impl rand::Rng) -> Option<&Record> {
        self.table.random(random)
    }

    /// All records, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Record> {
        self.table.iter()
    }

    /// Visits about `count` records from hash prefix `from` on in the order of their prefixes, those of
    /// equal prefix together; gives the prefix to go on from, or `None` at the end.
    pub(super) fn scan(&self, from: u64, count: usize, visit: impl FnMut(&Record)) -> Option<u64> {
        match self.table.scan(from, count, visit) {
            0 => None,
            next => Some(next),
        }
    }
}
