//! What a shard shows to Prometheus.

mod busy_slots;

pub use busy_slots::BusySlots;

use slotway_common::acl::Reason;
use slotway_common::cells;
use slotway_common::cluster_state::AbortKind;
use slotway_common::command::{Command, Group};

use crate::engine::DATABASES;

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
        gauge transactions_waiting "Parts of transactions over several shards that wait for slots.";
        gauge transactions_prepared "Parts of transactions over several shards that are prepared: their outcome is open here.";
        gauge transactions_kept "Transactions decided here that some shard may not know of yet.";
        counters transactions_ended[outcome: ["committed", "aborted"]] "Parts of transactions over several shards, by how they have ended.";
        counter transactions_resolved "Parts whose outcome the shard asked for itself, since their proxy was silent.";
        gauge slots_locked "Hash slots that transactions hold.";
        histogram transaction_part_duration "Time from the request for a part of a transaction to its end, while it waits for slots and holds them.";
        counters moves_aborted[reason: abort_reasons()] "Moves from this shard that ended early, by reason.";
    }
}

impl ShardCells {
    /// Notes one command.
    #[inline]
    pub fn observe(&self, command: &Command, nanoseconds: u64) {
        let family = command.group as usize;
        self.requests.at(family).inc();
        self.request_duration.at(family).observe_nanoseconds(nanoseconds);
    }
}
