//! Finding keys: for commands that read them, for those that change them, and without any side effect.

use slotway_common::error::Error;

use super::events::EventClass;
use super::key::{DbIndex, Key};
use super::record::Record;
use super::state::Engine;
use crate::types::table::Place;
use crate::types::{Kind, Object};

impl Engine {
    /// Where the key's record lies, unless the key is absent or has expired (then it is removed).
    #[inline]
    pub(super) fn locate(&mut self, db: DbIndex, key: &Key<'_>) -> Option<Place> {
        self.settle();
        let database = self.database(db, key.slot)?;
        let place = database.find(key)?;
        if database.at(place)?.expire_at().is_some_and(|at| at <= self.expired_by) {
            self.expire_now(db, key);
            return None;
        }
        Some(place)
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
    pub(super) fn find_write(&mut self, db: DbIndex, key: &Key<'_>) -> Option<Place> {
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
}

fn of_kind<T: Kind>(record: &Record) -> Result<&T, Error> {
    record.value().and_then(T::of).ok_or(Error::WrongType)
}
