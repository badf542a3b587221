//! Consumer groups: how far a group has read, and who has what.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::id::Id;
use super::pending::{ById, Ordered};
use crate::memory::size_class;

/// An entry that was delivered to a consumer and not acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    pub id: Id,
    /// The number of the consumer that has it.
    pub consumer: u32,
    /// How often it was delivered.
    pub deliveries: u64,
    /// When it was last delivered, in milliseconds since 1970.
    pub delivered_at: i64,
}

impl ById for Pending {
    fn id(&self) -> Id {
        self.id
    }
}

/// One that reads for a group.
#[derive(Clone, Default)]
pub struct Consumer {
    /// Which of the group's consumers it is; never given again while it has entries.
    pub number: u32,
    /// When it last did anything, in milliseconds since 1970.
    pub seen_at: i64,
    pub(super) pending: Ordered<Id>,
}

impl Consumer {
    /// The entries it has.
    #[must_use]
    pub fn pending(&self) -> &Ordered<Id> {
        &self.pending
    }
}

/// A consumer group.
#[derive(Clone, Default)]
pub struct Group {
    /// The last id delivered.
    pub last: Id,
    /// Entries read since the stream began; unknown after the group was set to an arbitrary id.
    pub read: Option<u64>,
    pending: Ordered<Pending>,
    /// By name, in the order of bytes.
    consumers: BTreeMap<Arc<[u8]>, Consumer>,
    names: BTreeMap<u32, Arc<[u8]>>,
    /// Bytes of the allocator below the consumers, nearly: the nodes of the maps are estimated.
    consumers_heap: usize,
}

/// What a consumer costs beside its entries.
fn consumer_bytes(name: &[u8]) -> usize {
    size_of::<Consumer>()
        + 3 * size_of::<Arc<[u8]>>()
        + 2 * size_of::<u32>()
        + size_class(name.len() + 2 * size_of::<usize>())
}

impl Group {
    #[must_use]
    pub fn new(last: Id, read: Option<u64>) -> Self {
        Self { last, read, ..Self::default() }
    }

    /// Everything delivered and not acknowledged.
    #[must_use]
    pub fn pending(&self) -> &Ordered<Pending> {
        &self.pending
    }

    pub fn consumers(&self) -> impl ExactSizeIterator<Item = (&[u8], &Consumer)> {
        self.consumers.iter().map(|(name, consumer)| (&**name, consumer))
    }

    #[must_use]
    pub fn consumer(&self, name: &[u8]) -> Option<&Consumer> {
        self.consumers.get(name)
    }

    /// The name of a consumer by its number.
    #[must_use]
    pub fn name(&self, number: u32) -> &[u8] {
        self.names.get(&number).map_or(&[], |name| name)
    }

    /// Finds a consumer or makes it, and says whether it was made. One that is found was seen at `now`.
    pub fn meet(&mut self, name: &[u8], now: i64) -> (u32, bool) {
        if let Some(consumer) = self.consumers.get_mut(name) {
            consumer.seen_at = now;
            return (consumer.number, false);
        }
        let number = self.names.last_key_value().map_or(0, |(last, _)| last.wrapping_add(1));
        let number = (number..=u32::MAX).chain(0..number).find(|number| !self.names.contains_key(number));
        let number = number.unwrap_or_default();
        self.consumers_heap += consumer_bytes(name);
        let name: Arc<[u8]> = name.into();
        self.names.insert(number, name.clone());
        self.consumers.insert(name, Consumer { number, seen_at: now, ..Consumer::default() });
        (number, true)
    }

    /// Removes a consumer with all that it has; gives the number of its entries.
    pub fn forget(&mut self, name: &[u8]) -> Option<usize> {
        let consumer = self.consumers.remove(name)?;
        self.names.remove(&consumer.number);
        self.consumers_heap -= consumer_bytes(name) + consumer.pending.heap_bytes();
        consumer.pending.iter().for_each(|id| {
            self.pending.remove(*id);
        });
        Some(consumer.pending.len())
    }

    fn edit_consumer(&mut self, number: u32, change: impl FnOnce(&mut Ordered<Id>)) {
        let Some(consumer) = self.names.get(&number).and_then(|name| self.consumers.get_mut(name)) else {
            return;
        };
        let before = consumer.pending.heap_bytes();
        change(&mut consumer.pending);
        self.consumers_heap = self.consumers_heap + consumer.pending.heap_bytes() - before;
    }

    /// Notes that a consumer has an entry, whoever had it before.
    pub fn deliver(&mut self, pending: Pending) {
        if let Some(before) = self.pending.insert(pending)
            && before.consumer != pending.consumer
        {
            self.edit_consumer(before.consumer, |ids| {
                ids.remove(pending.id);
            });
        }
        self.edit_consumer(pending.consumer, |ids| {
            ids.insert(pending.id);
        });
    }

    /// Changes what is noted of an entry but who has it; true when there is such an entry.
    pub fn change(&mut self, id: Id, change: impl FnOnce(&mut Pending)) -> bool {
        self.pending.change(id, |pending| {
            let consumer = pending.consumer;
            change(pending);
            (pending.id, pending.consumer) = (id, consumer);
        })
    }

    /// An entry is done: true when somebody had it.
    pub fn acknowledge(&mut self, id: Id) -> bool {
        let Some(pending) = self.pending.remove(id) else { return false };
        self.edit_consumer(pending.consumer, |ids| {
            ids.remove(id);
        });
        true
    }

    /// Bytes of the allocator, nearly.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.consumers_heap + self.pending.heap_bytes()
    }

    #[must_use]
    pub(super) fn free_effort(&self) -> usize {
        self.pending.free_effort() + self.consumers.len()
    }
}
