//! The shard's figures as it tells them to proxies and to the operator's command.

use serde::{Deserialize, Serialize};
use slotway_common::cluster_state::MoveProgress;
use slotway_common::platform::clock;
use slotway_common::slot::SLOTS;

use crate::across;
use crate::engine::{DATABASES, Engine};
use crate::migration::Outgoing;
use crate::node::Node;

/// Counters and gauges of one shard; the field names are those of INFO where it has the like.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Figures {
    pub node: String,
    pub shard: String,
    pub slots: u64,
    pub uptime_in_seconds: u64,
    pub connected_clients: u64,
    pub total_connections_received: u64,
    pub total_commands_processed: u64,
    pub instantaneous_ops_per_sec: f64,
    pub instantaneous_input_bytes_per_sec: f64,
    pub instantaneous_output_bytes_per_sec: f64,
    pub total_net_input_bytes: u64,
    pub total_net_output_bytes: u64,
    pub keyspace_hits: u64,
    pub keyspace_misses: u64,
    pub expired_keys: u64,
    pub evicted_keys: u64,
    pub total_error_replies: u64,
    pub changes: u64,
    pub used_memory: u64,
    pub used_memory_peak: u64,
    pub used_memory_rss: u64,
    pub allocator_active: u64,
    pub allocator_resident: u64,
    pub maxmemory: u64,
    /// Bytes of all keys and values, by the engine's own count.
    pub dataset_bytes: u64,
    pub lazyfree_pending_objects: u64,
    pub lazyfreed_objects: u64,
    pub slowlog_len: u64,
    /// Keys and keys with an expiry, by database.
    pub databases: Vec<DatabaseFigures>,
    /// Moves under way that lead away from here.
    pub moves: Vec<MoveProgress>,
    /// The script for which everybody is answered BUSY.
    pub busy: Option<BusyFigures>,
    pub transactions: TransactionFigures,
}

/// Transactions over several shards that have a part here.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TransactionFigures {
    /// Parts that wait for slots, and that are prepared.
    pub waiting: u64,
    pub prepared: u64,
    pub slots_locked: u64,
    /// Parts that are prepared, and whose proxy has been silent for so long that their decider is asked.
    pub in_doubt: Vec<InDoubtFigures>,
}

/// A part whose outcome is asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct InDoubtFigures {
    pub id: String,
    /// The shard that knows the outcome.
    pub decider: String,
    pub slots: u64,
    pub seconds: f64,
}

fn transactions(node: &Node) -> TransactionFigures {
    let standing = node.parts.standing();
    let now = clock::monotonic();
    let in_doubt = across::in_doubt(node, now).into_iter().filter_map(|(id, decider)| {
        let part = node.parts.get(id)?;
        Some(InDoubtFigures {
            id: id.to_string(),
            decider: decider.to_string(),
            slots: part.slots.len() as u64,
            seconds: now.duration_since(part.since).as_secs_f64(),
        })
    });
    TransactionFigures {
        waiting: standing.waiting as u64,
        prepared: standing.prepared as u64,
        slots_locked: node.locks.held_by_transactions() as u64,
        in_doubt: in_doubt.collect(),
    }
}

/// A script or function that runs for longer than it should.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BusyFigures {
    /// The function's name, or the script's digest.
    pub name: String,
    pub seconds: f64,
    pub is_function: bool,
}

/// How far a move away from here is.
fn progress(outgoing: &Outgoing, engine: &Engine, node: &Node) -> MoveProgress {
    let Outgoing { id, done, remaining } = outgoing;
    let ended = node.moves.progress.get(id).copied().unwrap_or_default();
    let batch = node.moves.batches.iter().find(|batch| batch.id == *id);
    let copy = batch.and_then(|batch| node.changes.copy(batch.copy));
    let copied = copy.map_or((0, 0), |copy| (copy.keys, copy.bytes));
    let lag = batch.map_or(0, |batch| batch.lag(&node.changes) as u64);
    let (mut keys, mut bytes) = (0, 0);
    for slot in remaining.slots() {
        keys += engine.slot(slot).keys() as u64;
        bytes += engine.slot(slot).bytes();
    }
    MoveProgress {
        id: id.clone(),
        slots_done: *done as u64,
        slots_total: (*done + remaining.count()) as u64,
        keys: ended.keys + copied.0,
        bytes: ended.bytes + copied.1,
        keys_total: ended.keys + keys,
        bytes_total: ended.bytes + bytes,
        lag_bytes: lag,
        parked_ms_max: ended.longest_park.as_secs_f64() * 1000.0,
    }
}

/// What each slot holds and how much it is used, as `SLOTWAY SLOTS` tells it: `{"slots":[[slot,keys,bytes,ops],…]}` for the
/// slots of this shard that hold a key or were used. Operations are counted since the slot came here.
#[must_use]
pub fn slots_json(engine: &Engine, node: &Node) -> String {
    let rows: Vec<[u64; 4]> = (0..SLOTS)
        .filter(|slot| node.owns(*slot))
        .map(|slot| {
            let space = engine.slot(slot);
            [u64::from(slot), space.keys() as u64, space.bytes(), engine.operations(slot)]
        })
        .filter(|row| row[1] > 0 || row[3] > 0)
        .collect();
    serde_json::json!({ "slots": rows }).to_string()
}

/// One numbered database of one shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DatabaseFigures {
    pub keys: u64,
    pub expires: u64,
}

impl Figures {
    #[must_use]
    pub fn of(engine: &Engine, node: &Node) -> Self {
        let [ops, input, output] = node.stats.rates.per_second();
        let memory = engine.memory.figures();
        Self {
            node: node.identity.node.clone(),
            shard: node
                .topology
                .shards
                .get(node.shard_index)
                .map(|shard| shard.name.clone())
                .unwrap_or_default(),
            slots: node.owned() as u64,
            uptime_in_seconds: ((clock::now_ms() - node.started_at) / 1000).max(0) as u64,
            connected_clients: node.clients.len() as u64,
            total_connections_received: node.clients.total_received,
            total_commands_processed: node.stats.run.calls,
            instantaneous_ops_per_sec: ops,
            instantaneous_input_bytes_per_sec: input,
            instantaneous_output_bytes_per_sec: output,
            total_net_input_bytes: node.stats.input_bytes,
            total_net_output_bytes: node.stats.output_bytes,
            keyspace_hits: engine.stats.hits,
            keyspace_misses: engine.stats.misses,
            expired_keys: engine.stats.expired_keys,
            evicted_keys: engine.stats.evicted_keys,
            total_error_replies: node.stats.run.errors,
            changes: engine.changes(),
            used_memory: engine.memory.used(),
            used_memory_peak: engine.memory.peak(),
            used_memory_rss: memory.resident,
            allocator_active: memory.active,
            allocator_resident: memory.resident,
            maxmemory: engine.memory.limit,
            dataset_bytes: engine.dataset_bytes(),
            lazyfree_pending_objects: engine.lazy_free_pending(),
            lazyfreed_objects: engine.lazy_freed(),
            slowlog_len: node.slow_log.len() as u64,
            databases: (0..DATABASES)
                .map(|db| DatabaseFigures {
                    keys: engine.totals(db).keys(),
                    expires: engine.totals(db).expires(),
                })
                .collect(),
            busy: node.scripts.suspended.describe().map(|(name, _, running, is_function)| BusyFigures {
                name: name.to_owned(),
                seconds: running.as_secs_f64(),
                is_function,
            }),
            transactions: transactions(node),
            moves: node.moves.outgoing.iter().map(|outgoing| progress(outgoing, engine, node)).collect(),
        }
    }

    /// One line of JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}
