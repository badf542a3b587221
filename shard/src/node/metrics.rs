//! Copies what the data thread counts elsewhere to where Prometheus reads it.

use slotway_common::pubsub::Kind;

use super::Node;
use crate::engine::{DATABASES, Engine};
use crate::metrics::ShardCells;

impl Node {
    /// Copies what the data thread counts elsewhere.
    pub fn publish(&self, engine: &Engine) {
        let cells = &*self.cells;
        cells.redirects.set(self.stats.redirects);
        for (position, count) in self.stats.denied.iter().enumerate() {
            cells.denied.at(position).set(*count);
        }
        cells.received_bytes.set(self.stats.input_bytes);
        cells.sent_bytes.set(self.stats.output_bytes);
        cells.connections.set(self.clients.total_received);
        cells.connections_rejected.set(self.clients.rejected);
        cells.clients.set_count(self.clients.len());
        cells.messages_delivered.set(self.stats.messages);
        let names = |kind| self.pubsub.names(kind).len();
        cells.channels.set_count(names(Kind::Channel) + names(Kind::Shard));
        cells.patterns.set_count(names(Kind::Pattern));
        let waiting: usize = self.clients.iter().map(|client| client.output_bytes.get()).sum();
        cells.clients_waiting_output_bytes.set_count(waiting);
        cells.budget_exceeded.at(0).set(self.stats.closed_for_input);
        cells.budget_exceeded.at(1).set(self.stats.closed_for_output);
        cells.keyspace_hits.set(engine.stats.hits);
        cells.keyspace_misses.set(engine.stats.misses);
        cells.expired_keys.set(engine.stats.expired_keys);
        cells.evicted_keys.set(engine.stats.evicted_keys);
        for db in 0..DATABASES {
            cells.keys.at(db).set(engine.totals(db).keys() as i64);
            cells.expires.at(db).set(engine.totals(db).expires() as i64);
        }
        cells.slots_owned.set_count(self.owned());
        cells.memory_used_bytes.set(engine.memory.used() as i64);
        cells.memory_peak_bytes.set(engine.memory.peak() as i64);
        cells.memory_resident_bytes.set(engine.memory.figures().resident as i64);
        cells.memory_limit_bytes.set(engine.memory.limit as i64);
        cells.dataset_bytes.set(engine.dataset_bytes() as i64);
        cells.lazy_free_pending_objects.set(engine.lazy_free_pending() as i64);
        cells.lazy_freed_objects.set(engine.lazy_freed());
        self.publish_moves(cells);
        self.publish_transactions(cells);
    }

    fn publish_transactions(&self, cells: &ShardCells) {
        let standing = self.parts.standing();
        cells.transactions_waiting.set_count(standing.waiting);
        cells.transactions_prepared.set_count(standing.prepared);
        cells.transactions_kept.set_count(standing.kept);
        cells.transactions_ended.at(0).set(self.parts.counts.committed);
        cells.transactions_ended.at(1).set(self.parts.counts.aborted);
        cells.transactions_resolved.set(self.parts.counts.resolved);
        cells.slots_locked.set_count(self.locks.held_by_transactions());
    }

    fn publish_moves(&self, cells: &ShardCells) {
        let moves = &self.moves;
        cells.moves_outgoing.set_count(moves.outgoing.len());
        cells.moves_incoming.set_count(moves.expected.len());
        cells.moved_slots.set(moves.stats.slots_left);
        cells.arrived_slots.set(moves.stats.slots_arrived);
        let copies = moves.batches.iter().filter_map(|batch| self.changes.copy(batch.copy));
        let under_way = copies.map(|copy| (copy.keys, copy.bytes));
        let (keys, bytes) = under_way.fold((0, 0), |sum, part| (sum.0 + part.0, sum.1 + part.1));
        cells.moved_keys.set(moves.stats.keys + keys);
        cells.moved_bytes.set(moves.stats.bytes + bytes);
        cells.move_lag_bytes.set_count(moves.batches.iter().map(|batch| batch.lag(&self.changes)).sum());
        for (position, count) in moves.stats.aborts.iter().enumerate() {
            cells.moves_aborted.at(position).set(*count);
        }
    }
}
