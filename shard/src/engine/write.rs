//! Changing keys and their values.

use std::sync::Arc;

use slotway_common::error::Error;
use slotway_common::slot::Slot;

use super::edit::{Edit, Emptied};
use super::events::EventClass;
use super::key::{DbIndex, Key};
use super::record::{self, Record};
use super::state::Engine;
use crate::types::table::{Hashed, Place};
use crate::types::{Kind, Object};

impl Engine {
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
        // Whoever overwrites a key that has expired tells of both: who repeats the command may have it still.
        let Some(place) = self.locate(db, key) else {
            self.notify(EventClass::NEW, "new", db, key.bytes);
            self.insert_new(db, key, Record::string(key.bytes, value, expire_at));
            return;
        };
        if self.change(db, key.slot, place, |record| {
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
    pub(super) fn change<R>(
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
            && !self.journal.written_alone(watched)
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
        if self.locate(db, key).is_none() {
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

    /// Sets or clears the expiry of a live key; false without such a key.
    pub fn set_expire_at(&mut self, db: DbIndex, key: &Key<'_>, expire_at: Option<i64>) -> bool {
        let Some(place) = self.locate(db, key) else { return false };
        self.change(db, key.slot, place, |record| record.set_expire_at(expire_at)).is_some()
    }
}
