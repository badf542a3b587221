//! The table of one database of one slot.

use hashbrown::HashTable;
use rand::Rng;

use super::scan::prefix;
use super::{Record, hash_bytes};

/// Where a record lies; valid until the table is changed.
pub type Place = usize;

#[derive(Default)]
pub struct Table {
    records: HashTable<Record>,
}

impl Table {
    #[inline]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    #[inline]
    pub fn find(&self, hash: u64, wanted: impl FnMut(&Record) -> bool) -> Option<Place> {
        self.records.find_bucket_index(hash, wanted)
    }

    #[inline]
    pub fn at(&self, place: Place) -> Option<&Record> {
        self.records.get_bucket(place)
    }

    #[inline]
    pub fn at_mut(&mut self, place: Place) -> Option<&mut Record> {
        self.records.get_bucket_mut(place)
    }

    pub fn insert(&mut self, hash: u64, record: Record) {
        self.records.insert_unique(hash, record, |record| hash_bytes(record.key()));
    }

    pub fn take(&mut self, hash: u64, wanted: impl Fn(&Record) -> bool) -> Option<Record> {
        let (record, _) = self.records.find_entry(hash, wanted).ok()?.remove();
        Some(record)
    }

    pub fn extract(&mut self, mut wanted: impl FnMut(&Record) -> bool, mut sink: impl FnMut(Record)) {
        for record in self.records.extract_if(|record| wanted(record)) {
            sink(record);
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &Record> {
        self.records.iter()
    }

    pub fn random(&self, random: &mut impl Rng) -> Option<&Record> {
        if self.records.is_empty() {
            return None;
        }
        loop {
            let bucket = random.random_range(0..self.records.num_buckets());
            if let Some(record) = self.records.get_bucket(bucket) {
                return Some(record);
            }
        }
    }

    pub fn scan(&self, from: u64, count: usize, mut visit: impl FnMut(&Record)) -> Option<u64> {
        let mut ahead: Vec<(u64, &Record)> = self
            .records
            .iter()
            .map(|record| (prefix(hash_bytes(record.key())), record))
            .filter(|(prefix, _)| *prefix >= from)
            .collect();
        ahead.sort_unstable_by_key(|(prefix, _)| *prefix);
        let mut seen = 0;
        let mut last = None;
        for (prefix, record) in ahead {
            if seen >= count && last != Some(prefix) {
                return Some(prefix);
            }
            visit(record);
            seen += 1;
            last = Some(prefix);
        }
        None
    }
}
