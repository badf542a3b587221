//! Changes on their way into the stream: numbered in any case, and made frames of while somebody follows.

use slotway_common::slot::Slot;

use super::encode::{PART, Recipient};
use super::{Changes, frame};
use crate::engine::{DbIndex, Record};
use crate::rdb::{self, Compression, PartCursor};
use crate::stream::{Head, Kind, put_part};

/// Takes the changes of one command, which count only together.
pub(super) struct Recorder<'a> {
    changes: &'a mut Changes,
    /// Where their frames begin.
    starts: Vec<usize>,
}

impl<'a> Recorder<'a> {
    pub(super) fn new(changes: &'a mut Changes) -> Self {
        Self { changes, starts: Vec::new() }
    }

    /// Makes the frames count only together.
    pub(super) fn finish(mut self) {
        self.starts.pop();
        for start in self.starts {
            frame::set_goes_on(start, &mut self.changes.frames);
        }
    }
}

impl Recipient for Recorder<'_> {
    fn has(&self, _: Slot, _: DbIndex, _: u64) -> bool {
        true
    }

    fn put(&mut self, kind: Kind, db: DbIndex, slot: Slot, write: impl FnOnce(&mut Vec<u8>)) {
        self.starts.push(self.changes.frames.len());
        self.changes.put(kind, db, slot, write);
    }

    fn put_large(&mut self, db: DbIndex, slot: Slot, record: &Record) {
        let Some(object) = record.value().filter(|_| self.changes.is_followed) else {
            self.changes.number(slot);
            return;
        };
        let head = Head::of(record);
        let mut next = Some(PartCursor::default());
        let mut number = 0;
        while let Some(cursor) = next {
            let mut value = Vec::with_capacity(PART + PART / 4);
            next = rdb::encode_part(object, cursor, PART, Compression::None, &mut value);
            self.put(Kind::Part, db, slot, |out| put_part(&head, number, &value, out));
            number += 1;
        }
    }

    fn swapped(&mut self, slot: Slot, a: DbIndex, b: DbIndex) {
        self.put(Kind::Swapped, 0, slot, |out| out.extend_from_slice(&[a as u8, b as u8]));
    }
}
