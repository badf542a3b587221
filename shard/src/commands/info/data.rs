//! The sections about the data and the memory that it takes.

use slotway_common::settings::Name;

use super::super::memory::{MemoryFigures, excess, ratio};
use super::section::{Facts, Section};
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
    let (scripts, script_bytes) = facts.node.scripts.cached();
    let (libraries, functions) = facts.node.scripts.libraries.count();
    section.add("used_memory_scripts_eval", script_bytes);
    section.add("number_of_cached_scripts", scripts);
    section.add("number_of_functions", functions);
    section.add("number_of_libraries", libraries);
    section.add("used_memory_vm_functions", 0);
    section.add_bytes("used_memory_vm_total", 0);
    section.add("used_memory_functions", 0);
    section.add_bytes("used_memory_scripts", script_bytes as u64);
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
    let freed_before = facts.engine.stats.lazy_freed_before;
    section.add("lazyfreed_objects", facts.engine.lazy_freed().saturating_sub(freed_before));
}

pub(super) fn persistence(facts: &Facts<'_>, section: &mut Section) {
    let log = &facts.node.log;
    section.add("loading", u8::from(facts.node.standing.loading().is_some()));
    section.add_all(&[
        ("async_loading", "0"),
        ("current_cow_peak", "0"),
        ("current_cow_size", "0"),
        ("current_cow_size_age", "0"),
        ("current_fork_perc", "0.00"),
    ]);
    let (saved, to_save) = log.save_progress(&facts.node.changes);
    section.add("current_save_keys_processed", saved);
    section.add("current_save_keys_total", to_save);
    let is_saving = u8::from(log.is_saving());
    let status = |good: bool| if good { "ok" } else { "err" };
    let (last, current) = log.save_seconds();
    let (bases, delayed, is_syncing) = log.counts();
    section.add("rdb_changes_since_last_save", log.changes_since_save(facts.engine));
    section.add("rdb_bgsave_in_progress", is_saving);
    let saved_at = log.saved_at();
    section.add("rdb_last_save_time", if saved_at > 0 { saved_at } else { facts.node.started_at / 1000 });
    section.add("rdb_last_bgsave_status", status(log.is_last_save_good()));
    section.add("rdb_last_bgsave_time_sec", last);
    section.add("rdb_current_bgsave_time_sec", current);
    section.add("rdb_saves", bases);
    section.add("rdb_last_cow_size", 0);
    section.add("rdb_last_load_keys_expired", 0);
    section.add("rdb_last_load_keys_loaded", facts.node.loaded.map_or(0, |(_, keys)| keys));
    section.add("aof_enabled", u8::from(log.is_on()));
    section.add("aof_rewrite_in_progress", is_saving);
    section.add("aof_rewrite_scheduled", u8::from(log.is_base_wanted()));
    section.add("aof_last_rewrite_time_sec", last);
    section.add("aof_current_rewrite_time_sec", current);
    section.add("aof_last_bgrewrite_status", status(log.is_last_save_good()));
    section.add("aof_rewrites", bases);
    section.add("aof_rewrites_consecutive_failures", u8::from(!log.is_last_save_good()));
    section.add("aof_last_write_status", status(log.failure().is_none()));
    section.add_all(&[
        ("aof_last_cow_size", "0"),
        ("module_fork_in_progress", "0"),
        ("module_fork_last_cow_size", "0"),
    ]);
    if log.is_on() {
        let (base, all) = log.sizes();
        section.add("aof_current_size", all);
        section.add("aof_base_size", base);
        section.add("aof_pending_rewrite", u8::from(log.is_base_wanted()));
        section.add("aof_buffer_length", log.waiting_bytes(&facts.node.changes));
        section.add("aof_pending_bio_fsync", u8::from(is_syncing));
        section.add("aof_delayed_fsync", delayed);
    }
    if let Some(loading) = facts.node.standing.loading() {
        let loaded = loading.loaded_bytes.load(std::sync::atomic::Ordering::Relaxed);
        let total = loading.total_bytes;
        let seconds = (facts.now / 1000 - loading.since).max(0) as u64;
        section.add("loading_start_time", loading.since);
        section.add("loading_total_bytes", total);
        section.add("loading_rdb_used_mem", 0);
        section.add("loading_loaded_bytes", loaded);
        section.add("loading_loaded_perc", format!("{:.2}", loaded as f64 * 100.0 / total.max(1) as f64));
        let left = total.saturating_sub(loaded) * seconds.max(1) / loaded.max(1);
        section.add("loading_eta_seconds", left);
    }
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
