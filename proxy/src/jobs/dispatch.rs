//! Which function runs a job.

use std::rc::Rc;

use slotway_common::command::{self, Route};
use slotway_common::error::Error;
use slotway_common::pubsub::subscription;
use slotway_common::resp::Reply;

use super::{
    acl, blocking, clients, config, debug, flush, functions, info, keyspace, latency, memory, one,
    persistence, pubsub, scan, scripts, server, slowlog, tracking, watch,
};
use crate::core::Job;
use crate::worker::Worker;

pub(super) async fn execute(worker: &Rc<Worker>, job: &Job, reply: &mut Reply<'_>) -> Result<(), Error> {
    match job.command.name {
        _ if job.command.blocks.is_some() => blocking::run(worker, job, reply).await,
        "watch" => watch::watch(worker, job, reply).await,
        "client|unblock" => clients::unblock(worker, job, reply).await,
        _ if matches!(job.command.route, Route::Slot | Route::Split) => one::run(worker, job, reply).await,
        "keys" => keyspace::keys(worker, job, reply).await,
        "dbsize" => keyspace::dbsize(worker, job, reply).await,
        "randomkey" => keyspace::randomkey(worker, job, reply).await,
        "scan" => scan::scan(worker, job, reply).await,
        "flushall" | "flushdb" | "swapdb" => flush::all_or_nothing(worker, job, reply).await,
        "info" => info::info(worker, job, reply).await,
        "memory|stats" => memory::stats(worker, job, reply).await,
        "memory|doctor" => memory::doctor(worker, job, reply).await,
        "memory|malloc-stats" => memory::malloc_stats(worker, job, reply).await,
        "memory|purge" => memory::purge(worker, job, reply).await,
        "slowlog|get" => slowlog::get(worker, job, reply).await,
        "slowlog|len" => slowlog::len(worker, job, reply).await,
        "slowlog|reset" => slowlog::reset(worker, job, reply).await,
        "latency|latest" => latency::latest(worker, job, reply).await,
        "latency|history" => latency::history(worker, job, reply).await,
        "latency|reset" => latency::reset(worker, job, reply).await,
        "latency|graph" | "latency|doctor" => latency::text(worker, job, reply).await,
        "latency|histogram" => latency::histogram(worker, job, reply).await,
        "config|get" => config::get(worker, job, reply),
        "config|set" => config::set(worker, job, reply).await,
        "config|resetstat" => config::resetstat(worker, job, reply).await,
        "config|rewrite" => config::rewrite(reply),
        "acl|setuser" | "acl|deluser" => acl::change(worker, job, reply).await,
        "acl|log" => acl::log(worker, job, reply).await,
        "client|list" => clients::list(worker, job, reply).await,
        "client|kill" => clients::kill(worker, job, reply).await,
        "client|pause" => clients::pause(worker, job, reply).await,
        "client|unpause" => clients::unpause(worker, reply).await,
        "client|tracking" => tracking::tracking(worker, job, reply).await,
        "function|load" | "function|delete" | "function|flush" | "function|restore" => {
            functions::change(worker, job, reply).await
        }
        "function|list" | "function|dump" => functions::any(worker, job, reply).await,
        "function|stats" => functions::stats(worker, job, reply).await,
        "script|load" => scripts::load(worker, job, reply).await,
        "script|exists" => scripts::exists(worker, job, reply).await,
        "script|flush" | "script|debug" => scripts::everywhere(worker, job, reply).await,
        "script|kill" | "function|kill" => scripts::kill(worker, job, reply).await,
        "pubsub|channels" | "pubsub|shardchannels" => pubsub::channels(worker, job, reply).await,
        "pubsub|numsub" | "pubsub|shardnumsub" => pubsub::numsub(worker, job, reply).await,
        "pubsub|numpat" => pubsub::numpat(worker, reply).await,
        _ if job.command.publishes() => pubsub::publish(worker, job, reply).await,
        _ if subscription(job.command).is_some() => pubsub::subscribe(worker, job, reply).await,
        "monitor" => server::monitor(worker, job, reply).await,
        "pfselftest" => server::selftest(worker, reply).await,
        "shutdown" => server::shutdown(worker, job, reply),
        "bgsave" | "bgrewriteaof" => persistence::in_background(worker, job, reply).await,
        "save" => persistence::save(worker, reply).await,
        "lastsave" => persistence::lastsave(worker, reply).await,
        "debug" => debug::debug(worker, job, reply).await,
        _ => Err(command::unsupported(job.command)),
    }
}
