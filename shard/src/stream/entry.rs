//! Keys with their values in payloads.

use slotway_common::fields::{Fields, put_bytes, put_number};

use crate::engine::Record;

const EXPIRES: u8 = 1;
const RAW: u8 = 2;
const TEXT: u8 = 4;

/// What belongs to a key beside its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head<'a> {
    pub key: &'a [u8],
    /// Milliseconds since 1970.
    pub expire_at: Option<i64>,
    /// The access clock of [`Record::access`].
    pub access: u32,
    /// A string that was changed in place, and one that is no integer even if it reads as one: OBJECT ENCODING tells them.
    pub raw: bool,
    pub text: bool,
}

/// An entry of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    pub head: Head<'a>,
    /// In the RDB object encoding.
    pub value: &'a [u8],
}

impl<'a> Head<'a> {
    /// What the record says.
    #[must_use]
    pub fn of(record: &'a Record) -> Self {
        Self {
            key: record.key(),
            expire_at: record.expire_at(),
            access: record.access(),
            raw: record.is_raw(),
            text: record.is_text(),
        }
    }

    /// Brings what is not part of the value into a new record.
    pub fn finish(&self, record: &mut Record) {
        record.set_access(self.access);
        if self.raw {
            record.set_raw(true);
        }
        if self.text {
            record.mark_text();
        }
    }

    fn put(&self, out: &mut Vec<u8>) {
        put_bytes(self.key, out);
        let flag = |set: bool, flag: u8| if set { flag } else { 0 };
        out.push(flag(self.expire_at.is_some(), EXPIRES) | flag(self.raw, RAW) | flag(self.text, TEXT));
        if let Some(at) = self.expire_at {
            out.extend_from_slice(&at.to_le_bytes());
        }
        out.extend_from_slice(&self.access.to_le_bytes());
    }

    fn read(fields: &mut Fields<'a>) -> Option<Self> {
        let key = fields.bytes()?;
        let flags = fields.byte().filter(|flags| *flags <= EXPIRES | RAW | TEXT)?;
        let expire_at =
            if flags & EXPIRES != 0 { Some(i64::from_le_bytes(fields.fixed::<8>()?)) } else { None };
        let access = u32::from_le_bytes(fields.fixed::<4>()?);
        Some(Self { key, expire_at, access, raw: flags & RAW != 0, text: flags & TEXT != 0 })
    }
}

/// Appends an entry; `value` appends the encoded value.
pub fn put_entry(
    head: &Head<'_>,
    out: &mut Vec<u8>,
    scratch: &mut Vec<u8>,
    value: impl FnOnce(&mut Vec<u8>),
) {
    head.put(out);
    scratch.clear();
    value(scratch);
    put_bytes(scratch, out);
}

/// Appends the payload of an effect: a command to repeat, with the time that it saw.
#[inline]
pub fn put_effect<'a>(now: i64, words: impl ExactSizeIterator<Item = &'a [u8]>, out: &mut Vec<u8>) {
    out.extend_from_slice(&now.to_le_bytes());
    put_number(words.len() as u64, out);
    words.for_each(|word| put_bytes(word, out));
}

/// Appends a part of a value, the payload of a frame of its own.
pub fn put_part(head: &Head<'_>, number: u64, value: &[u8], out: &mut Vec<u8>) {
    head.put(out);
    put_number(number, out);
    put_bytes(value, out);
}

/// The entries of a payload. An unreadable one is the last that is given.
#[derive(Clone, Copy, Debug)]
pub struct Entries<'a>(Fields<'a>);

impl<'a> Entries<'a> {
    #[must_use]
    pub fn new(payload: &'a [u8]) -> Self {
        Self(Fields::new(payload))
    }

    /// The one part in the payload, with its number.
    #[must_use]
    pub fn part(payload: &'a [u8]) -> Option<(u64, Entry<'a>)> {
        let mut fields = Fields::new(payload);
        let head = Head::read(&mut fields)?;
        let number = fields.number()?;
        let value = fields.bytes()?;
        fields.is_empty().then_some((number, Entry { head, value }))
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<Entry<'a>, &'static str>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let fields = &mut self.0;
        let entry = Head::read(fields).and_then(|head| fields.bytes().map(|value| Entry { head, value }));
        if entry.is_none() {
            self.0 = Fields::new(&[]);
        }
        Some(entry.ok_or("an entry ends too early"))
    }
}
