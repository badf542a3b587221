//! The hash: fields with values.

#[cfg(test)]
mod tests;

use rand::Rng;

use super::item::{IntText, Item};
use super::near::Near;
use super::packed::{Packed, entry::Encoded};
use super::table::{Hashed, SegmentTable};
use crate::memory::{Blob, Form, Limits, Thin, hash_bytes, size_class};

/// A hash. Small ones are a packed sequence of fields, each followed by its value, in the order of insertion; once a
/// limit is passed they become a table, and stay one.
#[derive(Clone)]
pub struct Hash(Thin<Packed, Table>);

#[derive(Clone)]
struct Table {
    fields: SegmentTable<Field>,
    /// Allocator bytes of all fields' blobs.
    bytes: usize,
}

/// A field followed by its value; the header is the field's length.
#[derive(Clone)]
struct Field(Blob<u32>);

impl Field {
    fn new(field: &[u8], value: &[u8]) -> Self {
        Field(Blob::new(field.len() as u32, &[field, value]))
    }

    #[inline]
    fn split(&self) -> (&[u8], &[u8]) {
        self.0.bytes().split_at(self.0.header() as usize)
    }

    #[inline]
    fn is(&self, field: &[u8]) -> bool {
        self.0.header() as usize == field.len() && self.0.bytes().starts_with(field)
    }

    fn items(&self) -> (Item<'_>, Item<'_>) {
        let (field, value) = self.split();
        (Item::Bytes(field), Item::Bytes(value))
    }
}

impl Hashed for Field {
    #[inline]
    fn hash(&self) -> u64 {
        hash_bytes(self.split().0)
    }
}

impl Default for Hash {
    fn default() -> Self {
        Self::new()
    }
}

impl Hash {
    /// An empty hash; allocates nothing.
    pub const fn new() -> Self {
        Hash(Thin::new())
    }

    /// A hash that is a table from the start.
    pub fn unpacked() -> Self {
        let mut hash = Self::new();
        hash.unpack();
        hash
    }

    /// The hash of fields, all different, each followed by its value.
    pub fn of_packed(fields: Packed) -> Self {
        Hash(Thin::small(fields))
    }

    /// Fields and values, as long as the hash is packed.
    pub fn packed(&self) -> Option<&Packed> {
        match self.0.get() {
            Form::Small(packed) => Some(packed),
            Form::Large(_) => None,
        }
    }

    /// Number of fields.
    #[inline]
    pub fn len(&self) -> usize {
        match self.0.get() {
            Form::Small(packed) => packed.len() / 2,
            Form::Large(table) => table.fields.len(),
        }
    }

    /// Whether there is no field.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Allocator bytes below this value.
    #[inline]
    pub fn heap_bytes(&self) -> usize {
        match self.0.get() {
            Form::Small(packed) => packed.heap_bytes(),
            Form::Large(table) => size_class(size_of::<Table>()) + table.fields.heap_bytes() + table.bytes,
        }
    }

    /// The name that OBJECT ENCODING tells.
    pub fn encoding(&self) -> &'static str {
        match self.0.get() {
            Form::Small(_) => "listpack",
            Form::Large(_) => "hashtable",
        }
    }

    /// About how many allocations dropping the hash touches.
    pub fn free_effort(&self) -> usize {
        match self.0.get() {
            Form::Small(_) => 1,
            Form::Large(table) => table.fields.len(),
        }
    }

    /// The value of a field.
    #[inline]
    pub fn get(&self, field: &[u8]) -> Option<Item<'_>> {
        match self.0.get() {
            Form::Small(packed) => {
                let (at, _) = packed.find(field, 2)?;
                let (_, value) = packed.read(at);
                Some(packed.read(value).0)
            }
            Form::Large(table) => {
                let entry = table.fields.get(hash_bytes(field), |entry| entry.is(field))?;
                Some(Item::Bytes(entry.split().1))
            }
        }
    }

    /// What looking `field` up would look at first.
    #[inline]
    pub(super) fn near(&self, field: &[u8]) -> Option<Near<'_>> {
        match self.0.get() {
            Form::Small(packed) => Some(Near::Packed(packed)),
            Form::Large(table) => {
                table.fields.candidate(hash_bytes(field)).map(|entry| Near::Field(&entry.0))
            }
        }
    }

    /// Sets a field's value. Says whether the field is new.
    #[inline]
    pub fn set(&mut self, field: &[u8], value: &[u8], limits: &Limits) -> bool {
        if let Form::Small(packed) = self.0.get_mut() {
            let longest = limits.hash_max_listpack_value;
            if field.len() <= longest && value.len() <= longest {
                if let Some((at, _)) = packed.find(field, 2) {
                    let (_, old) = packed.read(at);
                    packed.replace(old, Encoded::element(value));
                    return false;
                }
                packed.push([Encoded::element(field), Encoded::element(value)]);
                if packed.len() / 2 > limits.hash_max_listpack_entries {
                    self.unpack();
                }
                return true;
            }
        }
        self.unpack().set(field, value)
    }

    /// Removes a field. Says whether it was there.
    pub fn remove(&mut self, field: &[u8]) -> bool {
        match self.0.get_mut() {
            Form::Small(packed) => {
                let found = packed.find(field, 2);
                if let Some((at, _)) = found {
                    packed.remove(at, 2);
                }
                found.is_some()
            }
            Form::Large(table) => {
                let gone = table.fields.remove(hash_bytes(field), |entry| entry.is(field));
                table.bytes -= gone.as_ref().map_or(0, |entry| entry.0.heap_bytes());
                gone.is_some()
            }
        }
    }

    /// All fields with their values: in the order of insertion while packed, else in no order that means anything.
    pub fn iter(&self) -> impl Iterator<Item = (Item<'_>, Item<'_>)> {
        let (packed, table) = match self.0.get() {
            Form::Small(packed) => (Some(packed), None),
            Form::Large(table) => (None, Some(table)),
        };
        let mut packed = packed.map(|packed| packed.iter());
        let pairs = std::iter::from_fn(move || {
            let walk = packed.as_mut()?;
            Some((walk.next()?, walk.next()?))
        });
        pairs.chain(table.into_iter().flat_map(|table| table.fields.iter().map(Field::items)))
    }

    /// A uniformly random field with its value.
    pub fn random(&self, rng: &mut impl Rng) -> Option<(Item<'_>, Item<'_>)> {
        match self.0.get() {
            Form::Small(packed) => {
                if packed.is_empty() {
                    return None;
                }
                let (field, value) = packed.read(packed.nth(rng.random_range(0..packed.len() / 2) * 2));
                Some((field, packed.read(value).0))
            }
            Form::Large(table) => table.fields.random(rng).map(Field::items),
        }
    }

    /// Visits about `count` fields from a cursor on and returns the next one, as [`SegmentTable::scan`] does. A packed
    /// hash is visited whole.
    pub fn scan<'a>(&'a self, cursor: u64, count: usize, mut each: impl FnMut(Item<'a>, Item<'a>)) -> u64 {
        match self.0.get() {
            Form::Small(_) => {
                self.iter().for_each(|(field, value)| each(field, value));
                0
            }
            Form::Large(table) => table.fields.scan(cursor, count, |entry| {
                let (field, value) = entry.items();
                each(field, value);
            }),
        }
    }

    /// Turns a packed hash into a table.
    fn unpack(&mut self) -> &mut Table {
        if let Form::Small(packed) = self.0.get() {
            let mut table = Box::new(Table { fields: SegmentTable::new(), bytes: 0 });
            let mut walk = packed.iter();
            while let (Some(field), Some(value)) = (walk.next(), walk.next()) {
                let (mut field_text, mut value_text) = (IntText::new(), IntText::new());
                table.insert(field.text(&mut field_text), value.text(&mut value_text));
            }
            self.0 = Thin::large(table);
        }
        match self.0.get_mut() {
            Form::Large(table) => table,
            Form::Small(_) => unreachable!("unpacked above"),
        }
    }
}

impl Table {
    fn insert(&mut self, field: &[u8], value: &[u8]) {
        let entry = Field::new(field, value);
        self.bytes += entry.0.heap_bytes();
        self.fields.insert(hash_bytes(field), entry);
    }

    fn set(&mut self, field: &[u8], value: &[u8]) -> bool {
        let hash = hash_bytes(field);
        match self.fields.get_mut(hash, |entry| entry.is(field)) {
            Some(Field(entry)) => {
                self.bytes -= entry.heap_bytes();
                entry.assign(field.len() as u32, &[field, value]);
                self.bytes += entry.heap_bytes();
                false
            }
            None => {
                let entry = Field::new(field, value);
                self.bytes += entry.0.heap_bytes();
                self.fields.insert(hash, entry);
                true
            }
        }
    }
}
