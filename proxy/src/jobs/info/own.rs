//! The sections of INFO that the proxy fills itself.

use std::rc::Rc;

use slotway_common::platform::{clock, process};
use slotway_common::settings::Name;

use super::sections::Section;
use crate::commands::connection::REDIS_VERSION;
use crate::session::Session;
use crate::worker::Worker;

/// What each worker has run itself, in sections that are merged with those of the shards.
pub(super) async fn statistics(worker: &Rc<Worker>) -> Vec<String> {
    let percentiles = worker.context.settings.lock().values.percentiles().to_vec();
    let of_worker = move |worker: &Rc<Worker>| {
        let core = worker.core.borrow();
        let run = &core.run;
        format!(
            "# Stats\r\ntotal_commands_processed:{}\r\ntotal_error_replies:{}\r\n# Commandstats\r\n{}# Errorstats\r\n{}\
             # Latencystats\r\n{}",
            run.calls,
            run.errors,
            run.command_lines(),
            run.error_lines(),
            core.latency.percentile_lines(&percentiles),
        )
    };
    worker.context.fleet.each(of_worker).await
}

/// The proxy's own sections, and whether each is the whole one or only some fields of it.
pub(super) async fn sections(worker: &Rc<Worker>) -> Vec<(Section, bool)> {
    let each = worker.context.fleet.each(|worker| {
        let core = worker.core.borrow();
        let largest = |size: fn(&Session) -> usize| {
            core.sessions.iter().map(|(_, session)| size(session)).max().unwrap_or(0)
        };
        (
            core.sessions.len(),
            largest(Session::input_bytes),
            largest(Session::output_bytes),
            core.sessions.iter().filter(|(_, session)| session.waits()).count(),
            core.tracked_clients(),
            core.transfers,
        )
    });
    let each = each.await;
    let clients: usize = each.iter().map(|(clients, ..)| clients).sum();
    let input = each.iter().map(|(_, input, ..)| *input).max().unwrap_or(0);
    let output = each.iter().map(|(_, _, output, ..)| *output).max().unwrap_or(0);
    let blocked: usize = each.iter().map(|(.., blocked, _, _)| blocked).sum();
    let tracking: usize = each.iter().map(|(.., tracking, _)| tracking).sum();
    let [reads, writes] =
        [0, 1].map(|index| each.iter().map(|(.., transfers)| transfers[index]).sum::<u64>());
    let context = &worker.context;
    let [accepted, rejected] = context.connections();
    let (max_clients, hz) = {
        let settings = context.settings.lock();
        (settings.values.number(Name::Maxclients), settings.values.number(Name::Hz))
    };
    let uptime = context.started.elapsed().as_secs();
    let port = context.listen.rsplit_once(':').map_or("0", |(_, port)| port);
    let now = clock::now_us();
    let text = |fields: &[(&str, String)]| -> Vec<(String, String)> {
        fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
    };
    let section = |title: &str, fields: &[(&str, String)], whole: bool| {
        (Section { title: title.to_owned(), fields: text(fields) }, whole)
    };
    vec![
        section(
            "Server",
            &[
                ("redis_version", REDIS_VERSION.to_owned()),
                ("redis_git_sha1", "00000000".to_owned()),
                ("redis_git_dirty", "0".to_owned()),
                ("redis_build_id", "0".to_owned()),
                ("redis_mode", "standalone".to_owned()),
                ("os", process::system()),
                ("arch_bits", usize::BITS.to_string()),
                ("monotonic_clock", "POSIX clock_gettime".to_owned()),
                ("multiplexing_api", "epoll".to_owned()),
                ("atomicvar_api", "c11-builtin".to_owned()),
                ("gcc_version", "0.0.0".to_owned()),
                ("process_id", std::process::id().to_string()),
                ("process_supervised", "no".to_owned()),
                ("run_id", context.run_id.clone()),
                ("tcp_port", port.to_owned()),
                ("server_time_usec", now.to_string()),
                ("uptime_in_seconds", uptime.to_string()),
                ("uptime_in_days", (uptime / 86_400).to_string()),
                ("hz", hz.to_string()),
                ("configured_hz", hz.to_string()),
                ("lru_clock", ((now / 1_000_000) & 0xff_ffff).to_string()),
                ("executable", process::executable()),
                ("config_file", String::new()),
                ("io_threads_active", "0".to_owned()),
                ("slotway_version", env!("CARGO_PKG_VERSION").to_owned()),
                ("slotway_workers", context.fleet.workers().len().to_string()),
            ],
            true,
        ),
        section(
            "Clients",
            &[
                ("connected_clients", clients.to_string()),
                ("cluster_connections", "0".to_owned()),
                ("maxclients", max_clients.to_string()),
                ("client_recent_max_input_buffer", input.to_string()),
                ("client_recent_max_output_buffer", output.to_string()),
                ("blocked_clients", blocked.to_string()),
                ("tracking_clients", tracking.to_string()),
                ("clients_in_timeout_table", "0".to_owned()),
            ],
            true,
        ),
        section(
            "Stats",
            &[
                ("total_connections_received", accepted.to_string()),
                ("rejected_connections", rejected.to_string()),
                ("total_reads_processed", reads.to_string()),
                ("total_writes_processed", writes.to_string()),
            ],
            false,
        ),
        section(
            "Replication",
            &[
                ("role", "master".to_owned()),
                ("connected_slaves", "0".to_owned()),
                ("master_failover_state", "no-failover".to_owned()),
                ("master_replid", context.run_id.clone()),
                ("master_replid2", "0".repeat(40)),
                ("master_repl_offset", "0".to_owned()),
                ("second_repl_offset", "-1".to_owned()),
                ("repl_backlog_active", "0".to_owned()),
                ("repl_backlog_size", "1048576".to_owned()),
                ("repl_backlog_first_byte_offset", "0".to_owned()),
                ("repl_backlog_histlen", "0".to_owned()),
            ],
            true,
        ),
        section("Modules", &[], true),
        section("Cluster", &[("cluster_enabled", "0".to_owned())], true),
        section("Keyspace", &[], false),
    ]
}
