//! A block of a stream: entries that follow each other, packed as Redis packs them, so that a dump is a copy.
//!
//! The body of a listpack ([`listpack`]). Redis puts two integers before it, the number of entries that are left and
//! that of deleted ones, which stand in fields here:
//!
//! ```text
//! head  = number-of-fields field* 0            ; those of the first entry
//! entry = flags ms seq ( value* | number-of-fields ( field value )* ) length
//! ```
//! `ms` and `seq` are relative to the block's first id. Flag 1: deleted; flag 2: the fields are those of the head and
//! are left out. `length` is the number of the entry's elements before it, by which the entry is found from behind.

use super::id::Id;
use crate::memory::size_class;
use crate::types::item::Item;
use crate::types::listpack::{self, put};
use crate::types::spine::Leaf;

const DELETED: i64 = 1;
const SAME_FIELDS: i64 = 2;

/// Entries in a row.
#[derive(Clone, Debug)]
pub struct Block {
    first: Id,
    live: u32,
    deleted: u32,
    /// Where the entries begin.
    start: u32,
    body: Vec<u8>,
}

/// One entry.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    pub id: Id,
    /// Those of the head, if the entry has no own.
    head: Option<&'a [u8]>,
    values: &'a [u8],
    count: usize,
}

/// An entry as it lies in a block.
struct Found<'a> {
    entry: Entry<'a>,
    is_deleted: bool,
    /// Where it begins, and where the next one does.
    at: usize,
    next: usize,
}

impl<'a> Entry<'a> {
    /// Number of fields.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is no field, which no command makes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Fields with their values.
    pub fn fields(&self) -> impl Iterator<Item = (Item<'a>, Item<'a>)> + use<'a> {
        let (head, values) = (self.head, self.values);
        let (mut head_at, mut at) = (0, 0);
        (0..self.count).map_while(move |_| {
            let field = match head {
                Some(head) => {
                    let (field, next) = listpack::read(head, head_at)?;
                    head_at = next;
                    field
                }
                None => {
                    let (field, next) = listpack::read(values, at)?;
                    at = next;
                    field
                }
            };
            let (value, next) = listpack::read(values, at)?;
            at = next;
            Some((field, value))
        })
    }
}

fn integer(bytes: &[u8], at: usize) -> Option<(i64, usize)> {
    let (item, next) = listpack::read(bytes, at)?;
    match item {
        Item::Int(number) => Some((number, next)),
        Item::Bytes(_) => None,
    }
}

fn put_int(out: &mut Vec<u8>, number: i64) {
    put(out, Item::Int(number));
}

impl Block {
    /// A block with one entry. `pairs` has fields and values in turns.
    #[must_use]
    pub fn new(id: Id, pairs: &[&[u8]]) -> Self {
        let mut body = Vec::new();
        put_int(&mut body, (pairs.len() / 2) as i64);
        pairs.iter().step_by(2).for_each(|field| put(&mut body, Item::compact(field)));
        put_int(&mut body, 0);
        let start = body.len() as u32;
        let mut block = Self { first: id, live: 0, deleted: 0, start, body };
        block.push(id, pairs);
        block
    }

    /// A block from the elements of a listpack, as Redis dumps it. Everything in it is checked.
    #[must_use]
    pub fn of_elements(first: Id, elements: &[Item<'_>]) -> Option<Self> {
        let count = |index: usize| match elements.get(index)? {
            Item::Int(number) => u32::try_from(*number).ok(),
            Item::Bytes(_) => None,
        };
        let (live, deleted, fields) = (count(0)?, count(1)?, count(2)? as usize);
        let head_end = 3usize.checked_add(fields)?;
        if !matches!(elements.get(head_end), Some(Item::Int(0))) {
            return None;
        }
        let mut body = Vec::new();
        elements[2..=head_end].iter().for_each(|element| put(&mut body, *element));
        let start = body.len() as u32;
        elements[head_end + 1..].iter().for_each(|element| put(&mut body, *element));
        let block = Self { first, live, deleted, start, body };
        block.is_sound(elements.len() - head_end - 1).then_some(block)
    }

    /// Whether the entries are whole, ascending and as many as is told, in so many elements.
    fn is_sound(&self, elements: usize) -> bool {
        let (mut at, mut live, mut deleted, mut seen) = (self.start as usize, 0, 0, 0);
        let mut last = None;
        while at < self.body.len() {
            let Some(found) = self.read(at) else { return false };
            let own = found.entry.count * if found.entry.head.is_some() { 1 } else { 2 };
            let before = own + if found.entry.head.is_some() { 3 } else { 4 };
            // Deleting an entry changes one byte.
            let flags = integer(&self.body, at).map(|(flags, _)| flags);
            let told = listpack::previous(&self.body, found.next).and_then(|at| integer(&self.body, at));
            if told.map(|(told, _)| told) != Some(before as i64)
                || !matches!(flags, Some(0..=3))
                || last.is_some_and(|last| last >= found.entry.id)
                || found.entry.id < self.first
                || found.entry.fields().count() != found.entry.count
            {
                return false;
            }
            last = Some(found.entry.id);
            if found.is_deleted {
                deleted += 1
            } else {
                live += 1
            }
            seen += before + 1;
            at = found.next;
        }
        live == self.live && deleted == self.deleted && seen == elements
    }

    /// The elements of the listpack that Redis would have.
    pub fn elements(&self) -> impl Iterator<Item = Item<'_>> {
        let mut at = 0;
        [self.live, self.deleted].into_iter().map(|count| Item::Int(i64::from(count))).chain(
            std::iter::from_fn(move || {
                let (item, next) = listpack::read(&self.body, at)?;
                at = next;
                Some(item)
            }),
        )
    }

    /// The first id, which may be deleted: ids are kept relative to it.
    #[must_use]
    pub fn first(&self) -> Id {
        self.first
    }

    /// Entries that are left, and deleted ones that still take room.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        (self.live as usize, self.deleted as usize)
    }

    /// The bytes that Redis's listpack would have.
    #[must_use]
    pub fn packed_bytes(&self) -> usize {
        let mut counts = Vec::with_capacity(16);
        put_int(&mut counts, i64::from(self.live));
        put_int(&mut counts, i64::from(self.deleted));
        // The header, and the byte at the end.
        6 + counts.len() + self.body.len() + 1
    }

    /// The last id, deleted or not.
    #[must_use]
    pub fn last(&self) -> Id {
        self.before(self.body.len()).map_or(self.first, |found| found.entry.id)
    }

    /// Appends an entry.
    pub fn push(&mut self, id: Id, pairs: &[&[u8]]) {
        let same = self.has_head(pairs);
        let body = &mut self.body;
        put_int(body, if same { SAME_FIELDS } else { 0 });
        put_int(body, id.ms.wrapping_sub(self.first.ms) as i64);
        put_int(body, id.seq.wrapping_sub(self.first.seq) as i64);
        let count = pairs.len() / 2;
        if !same {
            put_int(body, count as i64);
        }
        let from = usize::from(same);
        pairs.iter().skip(from).step_by(1 + from).for_each(|item| put(body, Item::compact(item)));
        put_int(body, (3 + if same { count } else { 2 * count + 1 }) as i64);
        self.live += 1;
    }

    /// Whether these are the fields of the head, in the same order.
    fn has_head(&self, pairs: &[&[u8]]) -> bool {
        let Some((count, mut at)) = integer(&self.body, 0) else { return false };
        count as usize == pairs.len() / 2
            && pairs.iter().step_by(2).all(|field| {
                let Some((item, next)) = listpack::read(&self.body, at) else { return false };
                at = next;
                item.is(field)
            })
    }

    /// The fields of the head: their number and their bytes.
    fn head(&self) -> Option<(usize, &[u8])> {
        let (count, at) = integer(&self.body, 0)?;
        Some((usize::try_from(count).ok()?, self.body.get(at..self.start as usize)?))
    }

    fn read(&self, at: usize) -> Option<Found<'_>> {
        let (flags, next) = integer(&self.body, at)?;
        let (ms, next) = integer(&self.body, next)?;
        let (seq, mut next) = integer(&self.body, next)?;
        let id =
            Id { ms: self.first.ms.wrapping_add(ms as u64), seq: self.first.seq.wrapping_add(seq as u64) };
        let (head, count) = if flags & SAME_FIELDS != 0 {
            let (count, head) = self.head()?;
            (Some(head), count)
        } else {
            let (count, after) = integer(&self.body, next)?;
            next = after;
            (None, usize::try_from(count).ok()?)
        };
        let from = next;
        for _ in 0..count.checked_mul(if head.is_some() { 1 } else { 2 })? {
            next = listpack::read(&self.body, next)?.1;
        }
        let values = self.body.get(from..next)?;
        let (_, next) = integer(&self.body, next)?;
        let entry = Entry { id, head, values, count };
        Some(Found { entry, is_deleted: flags & DELETED != 0, at, next })
    }

    /// The entry that ends before `end`.
    fn before(&self, end: usize) -> Option<Found<'_>> {
        if end <= self.start as usize {
            return None;
        }
        let mut at = listpack::previous(&self.body, end)?;
        let (elements, _) = integer(&self.body, at)?;
        for _ in 0..elements {
            at = listpack::previous(&self.body, at)?;
        }
        self.read(at)
    }

    /// The entries that are left, from the first on whose id is at least `from`.
    pub fn forward(&self, from: Id) -> impl Iterator<Item = Entry<'_>> {
        let mut at = self.start as usize;
        std::iter::from_fn(move || {
            loop {
                let found = self.read(at)?;
                at = found.next;
                if !found.is_deleted && found.entry.id >= from {
                    return Some(found.entry);
                }
            }
        })
    }

    /// The entries that are left, from the last on whose id is at most `from`.
    pub fn backward(&self, from: Id) -> impl Iterator<Item = Entry<'_>> {
        let mut end = self.body.len();
        std::iter::from_fn(move || {
            loop {
                let found = self.before(end)?;
                end = found.at;
                if !found.is_deleted && found.entry.id <= from {
                    return Some(found.entry);
                }
            }
        })
    }

    /// Deletes an entry; true when it was there.
    pub fn delete(&mut self, id: Id) -> bool {
        let mut at = self.start as usize;
        while let Some(found) = self.read(at) {
            if found.entry.id == id && !found.is_deleted {
                self.mark(at);
                return true;
            }
            if found.entry.id > id {
                break;
            }
            at = found.next;
        }
        false
    }

    /// Deletes up to `most` entries from the first on, and of these only those below an id; gives their number.
    pub fn delete_first(&mut self, most: usize, below: Option<Id>) -> usize {
        let (mut at, mut gone) = (self.start as usize, 0);
        while gone < most
            && let Some(found) = self.read(at)
        {
            let (is_deleted, next, id) = (found.is_deleted, found.next, found.entry.id);
            if below.is_some_and(|below| id >= below) {
                break;
            }
            if !is_deleted {
                self.mark(at);
                gone += 1;
            }
            at = next;
        }
        gone
    }

    /// Marks the entry at a place as deleted. Its flags are one byte, whatever they say.
    fn mark(&mut self, at: usize) {
        if let Some(flags) = self.body.get_mut(at) {
            *flags |= DELETED as u8;
            self.live -= 1;
            self.deleted += 1;
        }
    }

    /// Gives back the room that was left for more entries.
    pub fn shrink(&mut self) {
        self.body.shrink_to_fit();
    }
}

impl Leaf for Block {
    type Key = Id;

    /// Deleted entries count: as in Redis, a block of which trimming has left nothing else stays.
    #[inline]
    fn len(&self) -> usize {
        self.live as usize + self.deleted as usize
    }

    #[inline]
    fn key(&self) -> Id {
        self.first
    }

    #[inline]
    fn heap_bytes(&self) -> usize {
        size_class(self.body.capacity())
    }
}
