//! CLUSTER SLOT-STATS: what single slots hold and how much they are used. The form is that of Redis 8.2; of its metrics
//! there is `key-count`, and beside it `memory-bytes` (keys and values) and `operations` (commands on keys since the slot
//! came to this shard).

use slotway_common::error::Error;
use slotway_common::number::parse_i64;
use slotway_common::slot::{SLOTS, Slot};

use crate::engine::Engine;
use crate::node::NodeCall;

const METRICS: [&str; 3] = ["key-count", "memory-bytes", "operations"];

fn figures(engine: &Engine, slot: Slot) -> [u64; 3] {
    let space = engine.slot(slot);
    [space.keys() as u64, space.bytes(), engine.operations(slot)]
}

/// `CLUSTER SLOT-STATS SLOTSRANGE <start> <end>` or `CLUSTER SLOT-STATS ORDERBY <metric> [LIMIT <n>] [ASC | DESC]`, of
/// the slots that this shard owns.
pub(super) fn slot_stats(call: &mut NodeCall<'_>) -> Result<(), Error> {
    let slots: Vec<Slot> = if call.args.is(2, "SLOTSRANGE") && call.args.len() == 5 {
        let (start, end) = (slot(call.args.at(3))?, slot(call.args.at(4))?);
        if start > end {
            return Err(Error::err(format!(
                "Start slot number {start} is greater than end slot number {end}"
            )));
        }
        (start..=end).filter(|slot| call.node.owns(*slot)).collect()
    } else if call.args.is(2, "ORDERBY") && call.args.len() >= 4 {
        ordered(call)?
    } else {
        return Err(Error::Syntax);
    };
    call.reply.array(slots.len());
    for slot in slots {
        call.reply.array(2);
        call.reply.int(i64::from(slot));
        call.reply.map(METRICS.len());
        for (name, value) in METRICS.iter().zip(figures(call.engine, slot)) {
            call.reply.bulk(name.as_bytes());
            call.reply.int(i64::try_from(value).unwrap_or(i64::MAX));
        }
    }
    Ok(())
}

fn slot(text: &[u8]) -> Result<Slot, Error> {
    super::slot_argument(text, "Invalid or out of range slot")
}

fn ordered(call: &NodeCall<'_>) -> Result<Vec<Slot>, Error> {
    let metric = METRICS
        .iter()
        .position(|name| call.args.is(3, name))
        .ok_or(Error::err("Unrecognized sort metric for ORDERBY."))?;
    let (mut most, mut ascending) = (usize::from(SLOTS), false);
    let mut at = 4;
    while at < call.args.len() {
        if call.args.is(at, "LIMIT") && at + 1 < call.args.len() {
            most = parse_i64(call.args.at(at + 1))
                .filter(|limit| (1..=i64::from(SLOTS)).contains(limit))
                .and_then(|limit| usize::try_from(limit).ok())
                .ok_or(Error::err("Limit has to lie in between 1 and 16384 (maximum number of slots)."))?;
            at += 2;
        } else if call.args.is(at, "ASC") || call.args.is(at, "DESC") {
            ascending = call.args.is(at, "ASC");
            at += 1;
        } else {
            return Err(Error::Syntax);
        }
    }
    let mut slots: Vec<(u64, Slot)> = (0..SLOTS)
        .filter(|slot| call.node.owns(*slot))
        .map(|slot| (figures(call.engine, slot).get(metric).copied().unwrap_or(0), slot))
        .collect();
    slots.sort_by(|one, other| {
        let by_value = if ascending { one.0.cmp(&other.0) } else { other.0.cmp(&one.0) };
        by_value.then(one.1.cmp(&other.1))
    });
    Ok(slots.into_iter().take(most).map(|(_, slot)| slot).collect())
}
