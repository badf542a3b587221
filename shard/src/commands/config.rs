//! CONFIG.

use slotway_common::error::Error;

use crate::engine::Stats;
use crate::node::ServerStats;
use crate::node::settings::take_effect;
use crate::node::{NodeCall, NodeHandler};

pub(super) const HANDLERS: &[(&str, NodeHandler)] =
    &[("config|get", get), ("config|set", set), ("config|resetstat", resetstat), ("config|rewrite", rewrite)];

fn get(call: &mut NodeCall<'_>) -> Result<(), Error> {
    call.node.settings.values.config_get(&call.args.rest(2), &mut call.reply);
    Ok(())
}

/// For this process, until it ends. What is set through a proxy comes over `SLOTWAY SETTINGS`.
fn set(call: &mut NodeCall<'_>) -> Result<(), Error> {
    let changes = call.node.settings.values.config_set(&call.args.rest(2))?;
    call.node.settings.values.apply(changes);
    take_effect(call.engine, call.node);
    call.reply.ok();
    Ok(())
}

fn resetstat(call: &mut NodeCall<'_>) -> Result<(), Error> {
    call.engine.stats = Stats { lazy_freed_before: call.engine.lazy_freed(), ..Stats::default() };
    call.node.stats = ServerStats::default();
    call.node.clients.total_received = 0;
    call.node.clients.rejected = 0;
    call.node.latency.forget_histograms();
    call.reply.ok();
    Ok(())
}

/// What is set through a proxy lasts by itself.
fn rewrite(_: &mut NodeCall<'_>) -> Result<(), Error> {
    Err(Error::err("what is set at a shard lasts until it stops: set it through a proxy"))
}
