//! The sections about the data and the memory that it takes.

use slotway_common::settings::Name;

use super::super::memory::{MemoryFigures, excess, ratio};
use super::{Facts, Section};
use crate::engine::DATABASES;

pub(super) fn memory(facts: &Facts<'_>, section: &mut Section) {
    let figures = MemoryFigures::of(facts.engine, facts.node);
    let percentage = |value: f64| format!("{value:.2}%");
    let two = |value: f64| format!("{value:.2}");
    section.add_bytes("used_memory", figures.used);
    section.add_bytes("used_memory_rss", figures.physical);
    section.add_bytes("used_memory_peak", figures.peak);
    section.add("used_memory_peak_perc", percentage(figures.peak_percentage()));
    section.add("used_memory_overhead", figures.overhead);
    section.add("used_memory_startup", figures.startup);
    section.add("used_memory_dataset", figures.dataset);
    section.add("used_memory_dataset_perc", percentage(figures.dataset_percentage()));
    section.add("allocator_allocated", figures.allocated);
    section.add("allocator_active", figures.active);
    section.add("allocator_resident", figures.resident);
    section.add_bytes("total_system_memory", slotway_common::platform::process::total_memory_bytes());
    section.add_bytes("used_memory_lua", 0);
    section.add("used_memory_vm_eval", 0);
    section.add_all(&[
        ("used_memory_scripts_eval", "0"),
        ("number_of_cached_scripts", "0"),
        ("number_of_functions", "0"),
        ("number_of_libraries", "0"),
        ("used_memory_vm_functions", "0"),
    ]);
    section.add_bytes("used_memory_vm_total", 0);
    section.add("used_memory_functions", 0);
    section.add_bytes("used_memory_scripts", 0);
    section.add_bytes("maxmemory", facts.engine.memory.limit);
    section.add("maxmemory_policy", facts.node.settings.values.choice(Name::MaxmemoryPolicy));
    section.add("allocator_frag_ratio", two(ratio(figures.active, figures.allocated)));
    section.add("allocator_frag_bytes", excess(figures.active, figures.allocated));
    section.add("allocator_rss_ratio", two(ratio(figures.resident, figures.active)));
    section.add("allocator_rss_bytes", excess(figures.resident, figures.active));
    section.add("rss_overhead_ratio", two(ratio(figures.physical, figures.resident)));
    section.add("rss_overhead_bytes", excess(figures.physical, figures.resident));
    section.add("mem_fragmentation_ratio", two(ratio(figures.physical, figures.used)));
    section.add("mem_fragmentation_bytes", excess(figures.physical, figures.used));
    section.add_all(&[
        ("mem_not_counted_for_evict", "0"),
        ("mem_replication_backlog", "0"),
        ("mem_total_replication_buffers", "0"),
        ("mem_clients_slaves", "0"),
    ]);
    section.add("mem_clients_normal", figures.clients);
    section.add_all(&[
        ("mem_cluster_links", "0"),
        ("mem_aof_buffer", "0"),
        ("mem_allocator", "jemalloc-5.3.1"),
        ("active_defrag_running", "0"),
    ]);
    section.add("lazyfree_pending_objects", facts.engine.lazy_free_pending());
    section.add("lazyfreed_objects", facts.engine.lazy_freed());
}

pub(super) fn persistence(facts: &Facts<'_>, section: &mut Section) {
    section.add_all(&[
        ("loading", "0"),
        ("async_loading", "0"),
        ("current_cow_peak", "0"),
        ("current_cow_size", "0"),
        ("current_cow_size_age", "0"),
        ("current_fork_perc", "0.00"),
        ("current_save_keys_processed", "0"),
        ("current_save_keys_total", "0"),
    ]);
    section.add("rdb_changes_since_last_save", facts.engine.changes());
    section.add("rdb_bgsave_in_progress", 0);
    section.add("rdb_last_save_time", facts.node.started_at / 1000);
    section.add_all(&[
        ("rdb_last_bgsave_status", "ok"),
        ("rdb_last_bgsave_time_sec", "-1"),
        ("rdb_current_bgsave_time_sec", "-1"),
        ("rdb_saves", "0"),
        ("rdb_last_cow_size", "0"),
        ("rdb_last_load_keys_expired", "0"),
        ("rdb_last_load_keys_loaded", "0"),
        ("aof_enabled", "0"),
        ("aof_rewrite_in_progress", "0"),
        ("aof_rewrite_scheduled", "0"),
        ("aof_last_rewrite_time_sec", "-1"),
        ("aof_current_rewrite_time_sec", "-1"),
        ("aof_last_bgrewrite_status", "ok"),
        ("aof_rewrites", "0"),
        ("aof_rewrites_consecutive_failures", "0"),
        ("aof_last_write_status", "ok"),
        ("aof_last_cow_size", "0"),
        ("module_fork_in_progress", "0"),
        ("module_fork_last_cow_size", "0"),
    ]);
}

pub(super) fn keyspace(facts: &Facts<'_>, section: &mut Section) {
    for db in 0..DATABASES {
        let totals = facts.engine.totals(db);
        if totals.keys() > 0 {
            let value = format!("keys={},expires={},avg_ttl=0", totals.keys(), totals.expires());
            section.add(&format!("db{db}"), value);
        }
    }
}
