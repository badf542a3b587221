//! Figures of the slots that are used most: few, so that there are not 16,384 series for each figure.

use std::sync::{Mutex, PoisonError};

use slotway_common::metrics::{Snapshot, Source, Value};
use slotway_common::slot::{SLOTS, Slot};

use crate::engine::Engine;

/// Slots that are shown.
const SHOWN: usize = 16;

/// One slot's figures.
#[derive(Clone, Copy, Debug)]
struct Row {
    slot: Slot,
    keys: u64,
    bytes: u64,
    operations: u64,
}

/// The slots with the most operations, as they were published last.
#[derive(Debug, Default)]
pub struct BusySlots(Mutex<Vec<Row>>);

impl BusySlots {
    /// Takes the figures anew. Looks at every slot, so not to be called for every request.
    pub fn publish(&self, engine: &Engine) {
        let mut rows: Vec<Row> = Vec::with_capacity(SHOWN + 1);
        for slot in 0..SLOTS {
            let space = engine.slot(slot);
            let operations = engine.operations(slot);
            if operations == 0
                || rows.len() == SHOWN && rows.last().is_some_and(|least| least.operations >= operations)
            {
                continue;
            }
            let at = rows.partition_point(|row| row.operations >= operations);
            rows.insert(at, Row { slot, keys: space.keys() as u64, bytes: space.bytes(), operations });
            rows.truncate(SHOWN);
        }
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = rows;
    }
}

impl Source for BusySlots {
    fn collect(&self, snapshot: &mut Snapshot<'_>) {
        let rows = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for row in rows {
            let slot = row.slot.to_string();
            let label = Some(("slot", slot.as_str()));
            snapshot.add(
                "slotway_shard_slot_keys",
                "Keys, of the slots with the most operations.",
                label,
                Value::Gauge(row.keys as f64),
            );
            snapshot.add(
                "slotway_shard_slot_bytes",
                "Bytes of keys and values, of the slots with the most operations.",
                label,
                Value::Gauge(row.bytes as f64),
            );
            snapshot.add(
                "slotway_shard_slot_operations_total",
                "Commands on keys since the slot came here, of the slots with the most of them.",
                label,
                Value::Counter(row.operations as f64),
            );
        }
    }
}
