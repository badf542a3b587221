//! The sections about the process and its connections.

use slotway_common::platform::process;
use slotway_common::pubsub::Kind;
use slotway_common::settings::Name;

use super::section::{Facts, Section};

const SECONDS_OF_A_DAY: i64 = 86_400;

pub(super) fn server(facts: &Facts<'_>, section: &mut Section) {
    let (node, uptime) = (facts.node, (facts.now - facts.node.started_at).max(0) / 1000);
    section.add_all(&[
        ("redis_version", "7.0.15"),
        ("redis_git_sha1", "00000000"),
        ("redis_git_dirty", "0"),
        ("redis_build_id", "0"),
        ("redis_mode", "cluster"),
    ]);
    section.add("os", process::system());
    section.add("arch_bits", usize::BITS);
    section.add_all(&[
        ("monotonic_clock", "POSIX clock_gettime"),
        ("multiplexing_api", "epoll"),
        ("atomicvar_api", "c11-builtin"),
        ("gcc_version", "0.0.0"),
    ]);
    section.add("process_id", std::process::id());
    section.add("process_supervised", "no");
    section.add("run_id", &node.run_id);
    section.add("tcp_port", node.settings.values.number(Name::Port));
    section.add("server_time_usec", slotway_common::platform::clock::now_us());
    section.add("uptime_in_seconds", uptime);
    section.add("uptime_in_days", uptime / SECONDS_OF_A_DAY);
    section.add("hz", 10);
    section.add("configured_hz", node.settings.values.number(Name::Hz));
    section.add("lru_clock", (facts.now / 1000) & 0x00ff_ffff);
    section.add("executable", process::executable());
    section.add_all(&[("config_file", ""), ("io_threads_active", "0")]);
}

pub(super) fn clients(facts: &Facts<'_>, section: &mut Section) {
    let clients = &facts.node.clients;
    section.add("connected_clients", clients.len());
    section.add("cluster_connections", 0);
    section.add("maxclients", facts.node.hot.max_clients);
    let largest = |bytes: &dyn Fn(&crate::client::Client) -> usize| {
        clients.iter().map(|client| bytes(client)).max().unwrap_or(0)
    };
    section.add("client_recent_max_input_buffer", largest(&|client| client.input_bytes.get()));
    section.add("client_recent_max_output_buffer", largest(&|client| client.output_bytes.get()));
    section.add_all(&[
        ("blocked_clients", &facts.node.waiting_clients().to_string()),
        ("tracking_clients", &facts.node.tracking.len().to_string()),
        ("clients_in_timeout_table", "0"),
    ]);
}

pub(super) fn stats(facts: &Facts<'_>, section: &mut Section) {
    let (stats, engine) = (&facts.node.stats, &facts.engine.stats);
    let [commands, input, output] = stats.rates.per_second();
    let kibibytes = |bytes: f64| format!("{:.2}", bytes / 1024.0);
    section.add("total_connections_received", facts.node.clients.total_received);
    section.add("total_commands_processed", stats.run.calls);
    section.add("instantaneous_ops_per_sec", commands as u64);
    section.add("total_net_input_bytes", stats.input_bytes);
    section.add("total_net_output_bytes", stats.output_bytes);
    section.add_all(&[("total_net_repl_input_bytes", "0"), ("total_net_repl_output_bytes", "0")]);
    section.add("instantaneous_input_kbps", kibibytes(input));
    section.add("instantaneous_output_kbps", kibibytes(output));
    section.add_all(&[("instantaneous_input_repl_kbps", "0.00"), ("instantaneous_output_repl_kbps", "0.00")]);
    section.add("rejected_connections", facts.node.clients.rejected);
    section.add_all(&[("sync_full", "0"), ("sync_partial_ok", "0"), ("sync_partial_err", "0")]);
    section.add("expired_keys", engine.expired_keys);
    section.add_all(&[
        ("expired_stale_perc", "0.00"),
        ("expired_time_cap_reached_count", "0"),
        ("expire_cycle_cpu_milliseconds", "0"),
    ]);
    section.add("evicted_keys", engine.evicted_keys);
    section.add("evicted_clients", 0);
    section.add_all(&[("total_eviction_exceeded_time", "0"), ("current_eviction_exceeded_time", "0")]);
    section.add("keyspace_hits", engine.hits);
    section.add("keyspace_misses", engine.misses);
    let pubsub = &facts.node.pubsub;
    section.add("pubsub_channels", pubsub.names(Kind::Channel).len());
    section.add("pubsub_patterns", pubsub.names(Kind::Pattern).len());
    section.add("pubsubshard_channels", pubsub.names(Kind::Shard).len());
    let (keys, items, prefixes) = facts.node.tracking.totals();
    section.add_all(&[
        ("latest_fork_usec", "0"),
        ("total_forks", "0"),
        ("migrate_cached_sockets", "0"),
        ("slave_expires_tracked_keys", "0"),
        ("active_defrag_hits", "0"),
        ("active_defrag_misses", "0"),
        ("active_defrag_key_hits", "0"),
        ("active_defrag_key_misses", "0"),
        ("total_active_defrag_time", "0"),
        ("current_active_defrag_time", "0"),
        ("tracking_total_keys", &keys.to_string()),
        ("tracking_total_items", &items.to_string()),
        ("tracking_total_prefixes", &prefixes.to_string()),
        ("unexpected_error_replies", "0"),
    ]);
    let [command, key, channel, auth] = stats.denied;
    section.add("acl_access_denied_auth", auth);
    section.add("acl_access_denied_cmd", command);
    section.add("acl_access_denied_key", key);
    section.add("acl_access_denied_channel", channel);
    section.add("total_error_replies", stats.run.errors);
    section.add_all(&[
        ("dump_payload_sanitizations", "0"),
        ("total_reads_processed", &stats.reads.to_string()),
        ("total_writes_processed", &stats.writes.to_string()),
        ("io_threaded_reads_processed", "0"),
        ("io_threaded_writes_processed", "0"),
        ("reply_buffer_shrinks", "0"),
        ("reply_buffer_expands", "0"),
    ]);
    section.add("client_query_buffer_limit_disconnections", stats.closed_for_input);
    section.add("client_output_buffer_limit_disconnections", stats.closed_for_output);
}

pub(super) fn replication(facts: &Facts<'_>, section: &mut Section) {
    section.add_all(&[
        ("role", "master"),
        ("connected_slaves", "0"),
        ("master_failover_state", "no-failover"),
    ]);
    section.add("master_replid", &facts.node.run_id);
    section.add("master_replid2", "0".repeat(40));
    section.add_all(&[
        ("master_repl_offset", "0"),
        ("second_repl_offset", "-1"),
        ("repl_backlog_active", "0"),
    ]);
    section.add("repl_backlog_size", facts.node.settings.values.number(Name::ReplBacklogSize));
    section.add_all(&[("repl_backlog_first_byte_offset", "0"), ("repl_backlog_histlen", "0")]);
}

pub(super) fn cpu(_: &Facts<'_>, section: &mut Section) {
    let (all, main) = (process::cpu_times(), process::cpu_times_of_thread());
    let seconds = |time: std::time::Duration| format!("{:.6}", time.as_secs_f64());
    section.add("used_cpu_sys", seconds(all.system));
    section.add("used_cpu_user", seconds(all.user));
    section.add_all(&[("used_cpu_sys_children", "0.000000"), ("used_cpu_user_children", "0.000000")]);
    section.add("used_cpu_sys_main_thread", seconds(main.system));
    section.add("used_cpu_user_main_thread", seconds(main.user));
}

pub(super) fn cluster(_: &Facts<'_>, section: &mut Section) {
    section.add("cluster_enabled", 1);
}

pub(super) fn slotway(facts: &Facts<'_>, section: &mut Section) {
    let node = facts.node;
    section.add("slotway_version", env!("CARGO_PKG_VERSION"));
    section.add("cluster", &node.identity.cluster);
    section.add("node", &node.identity.node);
    let shard = node.topology.shards.get(node.shard_index);
    section.add("shard", shard.map_or("", |shard| shard.name.as_str()));
    section.add("topology_version", node.topology.version);
    section.add("slots_owned", node.owned());
    section.add("redirects", node.stats.redirects);
}
