//! The fields of INFO, and how those of several shards become one.
//!
//! To its clients a proxy is one Redis, so each field has to mean there what it means on one: a table, since only a table can
//! be compared with what a real redis-server prints.

/// How the values that shards have for a field become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merge {
    /// Numbers add up.
    Sum,
    /// The largest number: a time, an age, or something that every shard has the same of.
    Largest,
    /// The smallest number: what holds for the whole once it holds everywhere.
    Smallest,
    /// 1 where any shard says so, else 0.
    Any,
    /// `ok` where all shards say so, else `err`.
    AllOk,
    /// The same everywhere, or nothing that could be merged: the first.
    First,
    /// Made anew from other fields: a quotient, or bytes for people.
    Derived,
    /// `key=value` pairs, merged one by one.
    Pairs,
    /// The proxy's own, whatever shards say.
    Own,
}

use Merge::{AllOk, Any, Derived, First, Largest, Own, Pairs, Smallest, Sum};

/// Fields by section, as redis-server 7.0 prints them; names that end with `*` stand for all that begin so.
const FIELDS: &[(Merge, &[&str])] = &[
    // Server, Clients and Replication: the endpoint.
    (
        Own,
        &[
            "redis_version",
            "redis_git_sha1",
            "redis_git_dirty",
            "redis_build_id",
            "redis_mode",
            "os",
            "arch_bits",
            "monotonic_clock",
            "multiplexing_api",
            "atomicvar_api",
            "gcc_version",
            "process_id",
            "process_supervised",
            "run_id",
            "tcp_port",
            "server_time_usec",
            "uptime_in_seconds",
            "uptime_in_days",
            "hz",
            "configured_hz",
            "lru_clock",
            "executable",
            "config_file",
            "io_threads_active",
            "slotway_version",
            "slotway_workers",
            "connected_clients",
            "cluster_connections",
            "maxclients",
            "client_recent_max_input_buffer",
            "client_recent_max_output_buffer",
            "blocked_clients",
            "tracking_clients",
            "clients_in_timeout_table",
            "total_connections_received",
            "rejected_connections",
            "total_reads_processed",
            "total_writes_processed",
            "role",
            "connected_slaves",
            "master_failover_state",
            "master_replid",
            "master_replid2",
            "master_repl_offset",
            "second_repl_offset",
            "repl_backlog_active",
            "repl_backlog_size",
            "repl_backlog_first_byte_offset",
            "repl_backlog_histlen",
            "cluster_enabled",
        ],
    ),
    // Memory: each shard has a part of the data.
    (
        Sum,
        &[
            "used_memory",
            "used_memory_rss",
            "used_memory_peak",
            "used_memory_overhead",
            "used_memory_startup",
            "used_memory_dataset",
            "allocator_allocated",
            "allocator_active",
            "allocator_resident",
            "used_memory_lua",
            "used_memory_vm_eval",
            "used_memory_scripts_eval",
            "used_memory_vm_functions",
            "used_memory_vm_total",
            "used_memory_functions",
            "used_memory_scripts",
            "maxmemory",
            "allocator_frag_bytes",
            "allocator_rss_bytes",
            "rss_overhead_bytes",
            "mem_fragmentation_bytes",
            "mem_not_counted_for_evict",
            "mem_replication_backlog",
            "mem_total_replication_buffers",
            "mem_clients_slaves",
            "mem_clients_normal",
            "mem_cluster_links",
            "mem_aof_buffer",
            "lazyfree_pending_objects",
            "lazyfreed_objects",
        ],
    ),
    (
        Derived,
        &[
            "used_memory_human",
            "used_memory_rss_human",
            "used_memory_peak_human",
            "used_memory_peak_perc",
            "used_memory_dataset_perc",
            "total_system_memory_human",
            "used_memory_lua_human",
            "used_memory_vm_total_human",
            "used_memory_scripts_human",
            "maxmemory_human",
            "allocator_frag_ratio",
            "allocator_rss_ratio",
            "rss_overhead_ratio",
            "mem_fragmentation_ratio",
            "loading_loaded_perc",
        ],
    ),
    // A script is where it was called, a function everywhere.
    (Largest, &["number_of_cached_scripts", "number_of_functions", "number_of_libraries"]),
    (First, &["total_system_memory", "maxmemory_policy", "mem_allocator"]),
    (Any, &["active_defrag_running"]),
    // Persistence: each shard has a log.
    (
        Any,
        &[
            "loading",
            "async_loading",
            "rdb_bgsave_in_progress",
            "aof_enabled",
            "aof_rewrite_in_progress",
            "aof_rewrite_scheduled",
            "aof_pending_rewrite",
            "module_fork_in_progress",
        ],
    ),
    (
        Sum,
        &[
            "current_cow_peak",
            "current_cow_size",
            "current_save_keys_processed",
            "current_save_keys_total",
            "rdb_changes_since_last_save",
            "rdb_last_cow_size",
            "rdb_last_load_keys_expired",
            "rdb_last_load_keys_loaded",
            "aof_last_cow_size",
            "module_fork_last_cow_size",
            "aof_current_size",
            "aof_base_size",
            "aof_buffer_length",
            "aof_pending_bio_fsync",
            "aof_delayed_fsync",
            "loading_total_bytes",
            "loading_rdb_used_mem",
            "loading_loaded_bytes",
        ],
    ),
    (
        Largest,
        &[
            "current_cow_size_age",
            "current_fork_perc",
            "rdb_last_bgsave_time_sec",
            "rdb_current_bgsave_time_sec",
            "rdb_saves",
            "aof_last_rewrite_time_sec",
            "aof_current_rewrite_time_sec",
            "aof_rewrites",
            "aof_rewrites_consecutive_failures",
            "loading_eta_seconds",
        ],
    ),
    (Smallest, &["rdb_last_save_time", "loading_start_time"]),
    (AllOk, &["rdb_last_bgsave_status", "aof_last_bgrewrite_status", "aof_last_write_status"]),
    // Stats.
    (
        Sum,
        &[
            "total_commands_processed",
            "instantaneous_ops_per_sec",
            "total_net_input_bytes",
            "total_net_output_bytes",
            "total_net_repl_input_bytes",
            "total_net_repl_output_bytes",
            "instantaneous_input_kbps",
            "instantaneous_output_kbps",
            "instantaneous_input_repl_kbps",
            "instantaneous_output_repl_kbps",
            "sync_full",
            "sync_partial_ok",
            "sync_partial_err",
            "expired_keys",
            "expired_time_cap_reached_count",
            "expire_cycle_cpu_milliseconds",
            "evicted_keys",
            "evicted_clients",
            "total_eviction_exceeded_time",
            "current_eviction_exceeded_time",
            "keyspace_hits",
            "keyspace_misses",
            "pubsub_channels",
            "pubsubshard_channels",
            "total_forks",
            "migrate_cached_sockets",
            "slave_expires_tracked_keys",
            "active_defrag_hits",
            "active_defrag_misses",
            "active_defrag_key_hits",
            "active_defrag_key_misses",
            "total_active_defrag_time",
            "current_active_defrag_time",
            "tracking_total_keys",
            "tracking_total_items",
            "unexpected_error_replies",
            "total_error_replies",
            "acl_access_denied_auth",
            "acl_access_denied_cmd",
            "acl_access_denied_key",
            "acl_access_denied_channel",
            "dump_payload_sanitizations",
            "io_threaded_reads_processed",
            "io_threaded_writes_processed",
            "reply_buffer_shrinks",
            "reply_buffer_expands",
            "client_query_buffer_limit_disconnections",
            "client_output_buffer_limit_disconnections",
        ],
    ),
    // Every shard is told of every pattern, and of every prefix that is tracked.
    (Largest, &["expired_stale_perc", "pubsub_patterns", "latest_fork_usec", "tracking_total_prefixes"]),
    (
        Sum,
        &[
            "used_cpu_sys",
            "used_cpu_user",
            "used_cpu_sys_children",
            "used_cpu_user_children",
            "used_cpu_sys_main_thread",
            "used_cpu_user_main_thread",
        ],
    ),
    (Pairs, &["cmdstat_*", "errorstat_*", "latency_percentiles_usec_*", "db*"]),
];

/// How the values of a field become one; `None` for a field that is not known.
#[must_use]
pub fn merge(field: &str) -> Option<Merge> {
    let is = |name: &&str| match name.strip_suffix('*') {
        Some(start) => field.starts_with(start),
        None => field == *name,
    };
    FIELDS.iter().find(|(_, names)| names.iter().any(is)).map(|(merge, _)| *merge)
}

/// All fields that have a rule.
pub fn fields() -> impl Iterator<Item = (&'static str, Merge)> {
    FIELDS.iter().flat_map(|(merge, names)| names.iter().map(|name| (*name, *merge)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_field_has_one_rule() {
        let mut names: Vec<&str> = fields().map(|(name, _)| name).collect();
        names.sort_unstable();
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all);
        assert_eq!((merge("db12"), merge("nosuch")), (Some(Pairs), None));
    }
}
