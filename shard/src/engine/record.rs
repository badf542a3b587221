//! A key with its value, expiry and access clock, in one allocation behind a thin pointer.
//!
//! The keyspace holds one pointer a key; what a small string costs beyond its bytes is this header
//! of 12 bytes and the table's share. Separate key and value allocations with fat pointers took
//! 40 bytes more a key.
//!
//! ```text
//! offset 0   key length    u32
//!        4   value length  u32   bytes of an embedded string; 0 for an object
//!        8   access        u32   low 24 bits: LRU clock or LFU counter; high 8 bits: flags
//!        12  (object only) 4 bytes of padding, then the Object
//!        …   expiry        i64   unaligned, only with the EXPIRE flag: milliseconds since 1970
//!        …   key bytes
//!        …   embedded string's bytes
//! ```
//!
//! # Invariants
//! 1. `pointer` comes from `alloc(layout(self))`, is never shared, and is freed only in `Drop`.
//! 2. The lengths and the EXPIRE and OBJECT flags never change after construction unless the
//!    allocation is remade to match, so `layout` always gives the layout it was made with.
//! 3. With the OBJECT flag a valid `Object` stands at `OBJECT_AT`; without it none does.
//! 4. All bytes up to the layout's size are initialised.
#![allow(unsafe_code)]

use std::sync::Arc;

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ptr::{self, NonNull};

use slotway_common::number::parse_i64;

use crate::memory::{hash_bytes, size_class};
use crate::types::Object;
use crate::types::table::Hashed;

const HEADER: usize = 12;
const OBJECT_AT: usize = 16;
const OBJECT_END: usize = OBJECT_AT + size_of::<Object>();

const OBJECT: u32 = 1 << 24;
const EXPIRE: u32 = 1 << 25;
const RAW: u32 = 1 << 26;
const TEXT: u32 = 1 << 27;
const FLAGS: u32 = 0xff00_0000;

/// Longest string that is kept inside its record; longer ones are an [`Object::String`].
pub const MAX_EMBEDDED: usize = 512;

/// A key with its value. See the module's documentation for the layout.
pub struct Record {
    pointer: NonNull<u8>,
}

// SAFETY: a record owns its allocation alone (invariant 1) and holds bytes and an Object, which is Send and Sync.
unsafe impl Send for Record {}
// SAFETY: as above; nothing is changed through a shared reference.
unsafe impl Sync for Record {}

const _: () = {
    const fn is_send_sync<T: Send + Sync>() {}
    is_send_sync::<Object>();
    assert!(align_of::<Object>() <= 8 && OBJECT_AT.is_multiple_of(align_of::<Object>()));
};

impl Record {
    /// A record of a string of at most [`MAX_EMBEDDED`] bytes (longer ones are made an object).
    #[must_use]
    pub fn string(key: &[u8], value: &[u8], expire_at: Option<i64>) -> Self {
        if value.len() > MAX_EMBEDDED {
            return Self::object(key, Object::String(Arc::new(value.to_vec())), expire_at);
        }
        let record = Self::allocate(key, value.len(), expire_at, 0);
        // SAFETY: the allocation has room for the value behind the key (layout), and is ours alone.
        unsafe {
            let at = record.pointer.as_ptr().add(record.key_at() + key.len());
            ptr::copy_nonoverlapping(value.as_ptr(), at, value.len());
        }
        record
    }

    /// A record of any other value.
    #[must_use]
    pub fn object(key: &[u8], value: Object, expire_at: Option<i64>) -> Self {
        let record = Self::allocate(key, 0, expire_at, OBJECT);
        // SAFETY: with the OBJECT flag the layout has room for an aligned Object at OBJECT_AT.
        unsafe { ptr::write(record.pointer.as_ptr().add(OBJECT_AT).cast::<Object>(), value) };
        record
    }

    /// Allocates and writes everything but the value.
    fn allocate(key: &[u8], value_len: usize, expire_at: Option<i64>, flags: u32) -> Self {
        let flags = flags | if expire_at.is_some() { EXPIRE } else { 0 };
        // Keys come from requests, whose arguments are shorter than 4 GiB.
        let key_len = u32::try_from(key.len()).unwrap_or(u32::MAX);
        let key = &key[..key_len as usize];
        let layout = layout(key_len, value_len as u32, flags);
        // SAFETY: the layout is never empty (it has the header).
        let Some(pointer) = NonNull::new(unsafe { alloc(layout) }) else { handle_alloc_error(layout) };
        let record = Self { pointer };
        // SAFETY: all offsets lie inside the layout just allocated with at least 8-byte alignment.
        unsafe {
            let base = pointer.as_ptr();
            base.cast::<u32>().write(key_len);
            base.add(4).cast::<u32>().write(value_len as u32);
            base.add(8).cast::<u32>().write(flags);
            base.add(12).cast::<u32>().write(0);
            if let Some(at) = expire_at {
                base.add(expire_offset(flags)).cast::<i64>().write_unaligned(at);
            }
            ptr::copy_nonoverlapping(key.as_ptr(), base.add(record.key_at()), key.len());
        }
        record
    }

    #[inline]
    fn word(&self, index: usize) -> u32 {
        debug_assert!(index < 3);
        // SAFETY: the header's three words are initialised and aligned.
        unsafe { self.pointer.as_ptr().cast::<u32>().add(index).read() }
    }

    #[inline]
    fn set_word(&mut self, index: usize, value: u32) {
        debug_assert!(index < 3);
        // SAFETY: as in `word`; `&mut self` excludes readers.
        unsafe { self.pointer.as_ptr().cast::<u32>().add(index).write(value) }
    }

    #[inline]
    fn flags(&self) -> u32 {
        self.word(2) & FLAGS
    }

    #[inline]
    fn key_at(&self) -> usize {
        let flags = self.flags();
        expire_offset(flags) + if flags & EXPIRE != 0 { 8 } else { 0 }
    }

    #[must_use]
    #[inline]
    pub fn key(&self) -> &[u8] {
        // SAFETY: the key's bytes are initialised and inside the allocation.
        unsafe { std::slice::from_raw_parts(self.pointer.as_ptr().add(self.key_at()), self.word(0) as usize) }
    }

    /// The string, if the value is one.
    #[must_use]
    #[inline]
    pub fn bytes(&self) -> Option<&[u8]> {
        match self.value() {
            Some(Object::String(bytes)) => Some(bytes),
            Some(_) => None,
            // SAFETY: without the OBJECT flag the embedded bytes follow the key, initialised.
            None => Some(unsafe {
                let at = self.key_at() + self.word(0) as usize;
                std::slice::from_raw_parts(self.pointer.as_ptr().add(at), self.word(1) as usize)
            }),
        }
    }

    /// The value, unless it is an embedded string.
    #[must_use]
    #[inline]
    pub fn value(&self) -> Option<&Object> {
        // SAFETY: invariant 3.
        (self.flags() & OBJECT != 0)
            .then(|| unsafe { &*self.pointer.as_ptr().add(OBJECT_AT).cast::<Object>() })
    }

    #[must_use]
    #[inline]
    pub fn value_mut(&mut self) -> Option<&mut Object> {
        // SAFETY: invariant 3, and `&mut self` excludes every other reference.
        (self.flags() & OBJECT != 0)
            .then(|| unsafe { &mut *self.pointer.as_ptr().add(OBJECT_AT).cast::<Object>() })
    }

    /// The embedded string's bytes, to be overwritten in place; `None` for an object.
    #[must_use]
    pub fn embedded_mut(&mut self) -> Option<&mut [u8]> {
        if self.flags() & OBJECT != 0 {
            return None;
        }
        let at = self.key_at() + self.word(0) as usize;
        // SAFETY: as in `bytes`, and `&mut self` excludes every other reference.
        Some(unsafe { std::slice::from_raw_parts_mut(self.pointer.as_ptr().add(at), self.word(1) as usize) })
    }

    /// Milliseconds since 1970 at which the key expires.
    #[must_use]
    #[inline]
    pub fn expire_at(&self) -> Option<i64> {
        let flags = self.flags();
        // SAFETY: with the EXPIRE flag the 8 bytes at its offset are initialised.
        (flags & EXPIRE != 0).then(|| unsafe {
            self.pointer.as_ptr().add(expire_offset(flags)).cast::<i64>().read_unaligned()
        })
    }

    /// Sets or clears the expiry; the record moves when it had no room for one.
    pub fn set_expire_at(&mut self, expire_at: Option<i64>) {
        let flags = self.flags();
        match expire_at {
            // SAFETY: with the EXPIRE flag there is room at its offset.
            Some(at) if flags & EXPIRE != 0 => unsafe {
                self.pointer.as_ptr().add(expire_offset(flags)).cast::<i64>().write_unaligned(at);
            },
            None if flags & EXPIRE == 0 => {}
            _ => self.rebuild(expire_at),
        }
    }

    fn rebuild(&mut self, expire_at: Option<i64>) {
        let (access, marks) = (self.access(), self.marks());
        let mut new = match self.take_object() {
            Some(object) => Self::object(self.key(), object, expire_at),
            None => Self::string(self.key(), self.bytes().unwrap_or_default(), expire_at),
        };
        new.set_access(access);
        new.set_marks(marks);
        *self = new;
    }

    /// Takes the object out and leaves an empty string in its place.
    fn take_object(&mut self) -> Option<Object> {
        let object = self.value_mut()?;
        Some(std::mem::replace(object, Object::String(Arc::default())))
    }

    /// Takes the value out, to be dropped elsewhere, and leaves an empty one.
    #[must_use]
    pub fn take_value(&mut self) -> Option<Object> {
        self.take_object()
    }

    /// Replaces the value by a string, in place where it has the same length. Keeps the expiry and
    /// the access clock.
    #[inline]
    pub fn set_string(&mut self, value: &[u8]) {
        match self.embedded_mut() {
            Some(bytes) if bytes.len() == value.len() => bytes.copy_from_slice(value),
            _ => {
                let mut new = Self::string(self.key(), value, self.expire_at());
                new.set_access(self.access());
                *self = new;
            }
        }
        let word = self.word(2);
        self.set_word(2, word & !(RAW | TEXT));
    }

    /// The low 24 bits of the access word: LRU clock, or LFU decrement time and counter.
    #[must_use]
    #[inline]
    pub fn access(&self) -> u32 {
        self.word(2) & !FLAGS
    }

    #[inline]
    pub fn set_access(&mut self, access: u32) {
        let flags = self.flags();
        self.set_word(2, flags | (access & !FLAGS));
    }

    /// The flags that a record keeps when it is remade.
    fn marks(&self) -> u32 {
        self.word(2) & (RAW | TEXT)
    }

    fn set_marks(&mut self, marks: u32) {
        let word = self.word(2);
        self.set_word(2, word & !(RAW | TEXT) | marks);
    }

    /// Marks a string as a text even if it reads as an integer (INCRBYFLOAT), which OBJECT ENCODING tells.
    pub fn mark_text(&mut self) {
        self.set_marks(TEXT);
    }

    /// True when a string is marked as a text.
    #[must_use]
    pub fn is_text(&self) -> bool {
        self.flags() & TEXT != 0
    }

    /// True when a string was changed in part (APPEND, SETRANGE), which OBJECT ENCODING calls `raw`.
    #[must_use]
    pub fn is_raw(&self) -> bool {
        self.flags() & RAW != 0
    }

    pub fn set_raw(&mut self, raw: bool) {
        let word = self.word(2);
        self.set_word(2, if raw { word | RAW } else { word & !RAW });
    }

    /// The type's name as TYPE tells it.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        self.value().map_or("string", Object::type_name)
    }

    /// The encoding's name as OBJECT ENCODING tells it: a string is an `int` if it is the canonical
    /// text of a 64-bit integer, `embstr` up to 44 bytes, and `raw` else or after a change in part.
    #[must_use]
    pub fn encoding(&self) -> &'static str {
        match self.bytes() {
            None => self.value().map_or("raw", Object::encoding),
            Some(_) if self.is_raw() => "raw",
            Some(bytes) if self.word(2) & TEXT == 0 && bytes.len() <= 20 && parse_i64(bytes).is_some() => {
                "int"
            }
            Some(bytes) if bytes.len() <= 44 => "embstr",
            Some(_) => "raw",
        }
    }

    /// The same value and expiry under another key.
    #[must_use]
    pub fn renamed(mut self, key: &[u8]) -> Self {
        let mut new = match self.take_object() {
            Some(object) => Self::object(key, object, self.expire_at()),
            None => Self::string(key, self.bytes().unwrap_or_default(), self.expire_at()),
        };
        new.set_marks(self.marks());
        new
    }

    /// A copy of the value and expiry under another key.
    #[must_use]
    pub fn copied(&self, key: &[u8]) -> Self {
        let mut new = match self.value() {
            Some(object) => Self::object(key, object.clone(), self.expire_at()),
            None => Self::string(key, self.bytes().unwrap_or_default(), self.expire_at()),
        };
        new.set_marks(self.marks());
        new
    }

    /// Bytes of the allocator that the record and its value take.
    #[must_use]
    #[inline]
    pub fn heap_bytes(&self) -> usize {
        let own = size_class(layout(self.word(0), self.word(1), self.flags()).size());
        own + self.value().map_or(0, Object::heap_bytes)
    }
}

impl Clone for Record {
    fn clone(&self) -> Self {
        let mut new = self.copied(self.key());
        new.set_access(self.access());
        new
    }
}

impl Hashed for Record {
    fn hash(&self) -> u64 {
        hash_bytes(self.key())
    }
}

#[inline]
fn expire_offset(flags: u32) -> usize {
    if flags & OBJECT != 0 { OBJECT_END } else { HEADER }
}

#[inline]
fn layout(key_len: u32, value_len: u32, flags: u32) -> Layout {
    let expire = if flags & EXPIRE != 0 { 8 } else { 0 };
    // At least 16 bytes, so that the padding word can always be written.
    let size = (expire_offset(flags) + expire + key_len as usize + value_len as usize).max(16);
    match Layout::from_size_align(size, 8) {
        Ok(layout) => layout,
        Err(_) => handle_alloc_error(Layout::new::<Record>()),
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if let Some(object) = self.value_mut() {
            // SAFETY: invariant 3; the record is not used afterwards.
            unsafe { ptr::drop_in_place(object) };
        }
        // SAFETY: invariants 1 and 2.
        unsafe { dealloc(self.pointer.as_ptr(), layout(self.word(0), self.word(1), self.flags())) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_keeps_key_value_expiry_and_clock_through_every_change() {
        for key_len in [0, 1, 4, 5, 16, 300] {
            for value_len in [0, 1, 3, 16, MAX_EMBEDDED, MAX_EMBEDDED + 1] {
                let (key, value) = (vec![b'k'; key_len], vec![b'v'; value_len]);
                let mut record = Record::string(&key, &value, None);
                record.set_access(0x00ab_cdef);
                for expire in [Some(7), Some(i64::MAX), None, None, Some(1)] {
                    record.set_expire_at(expire);
                    assert_eq!(record.expire_at(), expire);
                    assert_eq!(record.key(), key);
                    assert_eq!(record.bytes(), Some(&value[..]));
                    assert_eq!(record.access(), 0x00ab_cdef);
                }
                let longer = vec![b'w'; value_len + 1];
                record.set_string(&longer);
                assert_eq!((record.bytes(), record.expire_at()), (Some(&longer[..]), Some(1)));
            }
        }
    }

    #[test]
    fn an_object_is_dropped_once() {
        let mut record = Record::object(b"k", Object::String(Arc::new(vec![1; 2000])), Some(5));
        record.set_expire_at(None);
        assert_eq!(record.bytes().map(<[u8]>::len), Some(2000));
        drop(record.take_value());
        record.set_string(b"short");
        assert_eq!(record.bytes(), Some(&b"short"[..]));
    }
}
