//! What a shard shows to Prometheus.

mod busy_slots;

pub use busy_slots::BusySlots;

use slotway_common::acl::Reason;
use slotway_common::cells;
use slotway_common::cluster_state::AbortKind;
use slotway_common::command::{Command, Group};
use slotway_common::pubsub::Kind;

use crate::engine::{DATABASES, Engine};
use crate::node::Node;

fn families() -> impl Iterator<Item = &'static str> {
    Group::ALL.iter().map(|group| group.name())
}

fn abort_reasons() -> impl Iterator<Item = &'static str> {
    AbortKind::ALL.iter().map(|kind| kind.name())
}

fn databases() -> impl Iterator<Item = String> {
    (0..DATABASES).map(|db| db.to_string())
}

cells! {
    /// Figures of the data thread.
    pub struct ShardCells in "shard" {
        counters requests[family: families()] "Commands run, by family.";
        counters errors[family: families()] "Commands that ended with an error, by family.";
        histograms request_duration[family: families()] "Time from the end of the command before, or from the read, to the end of this one, by family.";
        counter redirects "Requests answered with MOVED.";
        counters denied[reason: Reason::ALL.into_iter().map(Reason::name)] "What users were denied, by what it was about.";
        counter received_bytes "Bytes read from connections.";
        counter sent_bytes "Bytes written to connections.";
        counter connections "Connections accepted.";
        counter connections_rejected "Connections refused because there were too many.";
        gauge clients "Open connections.";
        gauge clients_waiting_output_bytes "Bytes of replies that wait to be written.";
        counter messages_delivered "Clients that messages were sent to, once for each message.";
        gauge channels "Channels that have subscribers, shard channels included.";
        gauge patterns "Patterns that have subscribers.";
        counters budget_exceeded[budget: ["query", "output"]] "Connections closed because a budget was used up.";
        counter keyspace_hits "Keys found by commands that read.";
        counter keyspace_misses "Keys not found by commands that read.";
        counter expired_keys "Keys removed because they had expired.";
        counter evicted_keys "Keys removed because memory was full.";
        gauges keys[db: databases()] "Keys, by database.";
        gauges expires[db: databases()] "Keys with an expiry, by database.";
        gauge slots_owned "Hash slots that this shard owns.";
        gauge memory_used_bytes "Bytes allocated.";
        gauge memory_peak_bytes "The most bytes ever allocated.";
        gauge memory_resident_bytes "Bytes of physical memory that the allocator holds.";
        gauge memory_limit_bytes "This shard's share of maxmemory; 0 for none.";
        gauge dataset_bytes "Bytes of keys and values.";
        gauge lazy_free_pending_objects "Objects that wait to be freed.";
        counter lazy_freed_objects "Objects freed off the data thread.";
        gauge moves_outgoing "Moves of slots under way from this shard to another.";
        gauge moves_incoming "Moves of slots under way to this shard.";
        counter moved_keys "Keys copied to other shards.";
        counter moved_bytes "Bytes of keys and values copied to other shards.";
        counter moved_slots "Hash slots handed over to other shards.";
        counter arrived_slots "Hash slots taken over from other shards.";
        gauge move_lag_bytes "Bytes of slot streams that targets have yet to apply.";
        histogram slot_park_duration "How long slots were parked while they changed hands.";
        counters moves_aborted[reason: abort_reasons()] "Moves from this shard that ended early, by reason.";
    }
}

impl ShardCells {
    /// Copies what the data thread counts elsewhere.
    pub fn publish(&self, engine: &Engine, node: &Node) {
        self.redirects.set(node.stats.redirects);
        for (position, count) in node.stats.denied.iter().enumerate() {
            self.denied.at(position).set(*count);
        }
        self.received_bytes.set(node.stats.input_bytes);
        self.sent_bytes.set(node.stats.output_bytes);
        self.connections.set(node.clients.total_received);
        self.connections_rejected.set(node.clients.rejected);
        self.clients.set_count(node.clients.len());
        self.messages_delivered.set(node.stats.messages);
        let names = |kind| node.pubsub.names(kind).len();
        self.channels.set_count(names(Kind::Channel) + names(Kind::Shard));
        self.patterns.set_count(names(Kind::Pattern));
        let waiting: usize = node.clients.iter().map(|client| client.output_bytes.get()).sum();
        self.clients_waiting_output_bytes.set_count(waiting);
        self.budget_exceeded.at(0).set(node.stats.closed_for_input);
        self.budget_exceeded.at(1).set(node.stats.closed_for_output);
        self.keyspace_hits.set(engine.stats.hits);
        self.keyspace_misses.set(engine.stats.misses);
        self.expired_keys.set(engine.stats.expired_keys);
        self.evicted_keys.set(engine.stats.evicted_keys);
        for db in 0..DATABASES {
            self.keys.at(db).set(engine.totals(db).keys() as i64);
            self.expires.at(db).set(engine.totals(db).expires() as i64);
        }
        self.slots_owned.set_count(node.owned());
        self.memory_used_bytes.set(engine.memory.used() as i64);
        self.memory_peak_bytes.set(engine.memory.peak() as i64);
        self.memory_resident_bytes.set(engine.memory.figures().resident as i64);
        self.memory_limit_bytes.set(engine.memory.limit as i64);
        self.dataset_bytes.set(engine.dataset_bytes() as i64);
        self.lazy_free_pending_objects.set(engine.lazy_free_pending() as i64);
        self.lazy_freed_objects.set(engine.lazy_freed());
        self.publish_moves(node);
    }

    fn publish_moves(&self, node: &Node) {
        let moves = &node.moves;
        self.moves_outgoing.set_count(moves.outgoing.len());
        self.moves_incoming.set_count(moves.expected.len());
        self.moved_slots.set(moves.stats.slots_left);
        self.arrived_slots.set(moves.stats.slots_arrived);
        let copies = moves.batches.iter().filter_map(|batch| node.changes.copy(batch.copy));
        let under_way = copies.map(|copy| (copy.keys, copy.bytes));
        let (keys, bytes) = under_way.fold((0, 0), |sum, part| (sum.0 + part.0, sum.1 + part.1));
        self.moved_keys.set(moves.stats.keys + keys);
        self.moved_bytes.set(moves.stats.bytes + bytes);
        self.move_lag_bytes.set_count(moves.batches.iter().map(|batch| batch.lag(&node.changes)).sum());
        for (position, count) in moves.stats.aborts.iter().enumerate() {
            self.moves_aborted.at(position).set(*count);
        }
    }

    /// Notes one command.
    #[inline]
    pub fn observe(&self, command: &Command, nanoseconds: u64) {
        let family = command.group as usize;
        self.requests.at(family).inc();
        self.request_duration.at(family).observe_nanoseconds(nanoseconds);
    }
}
