//! How settings take effect.

use std::time::Duration;

use slotway_common::settings::{Name, OutputLimit};
use slotway_common::slot::SLOTS;

use super::Node;
use crate::engine::{Engine, Limits, Policy, Wanted};
use crate::log::Fsync;
use crate::role::Durability;
use crate::settings::{HotSettings, OutputBounds};

/// Brings the settings, and the slots that this shard owns, to where they take effect.
pub fn take_effect(engine: &mut Engine, node: &mut Node) {
    let values = &node.settings.values;
    engine.limits = Limits {
        hash_max_listpack_entries: values.size(Name::HashMaxListpackEntries),
        hash_max_listpack_value: values.size(Name::HashMaxListpackValue),
        list_max_listpack_size: values.number(Name::ListMaxListpackSize),
        set_max_intset_entries: values.size(Name::SetMaxIntsetEntries),
        zset_max_listpack_entries: values.size(Name::ZsetMaxListpackEntries),
        zset_max_listpack_value: values.size(Name::ZsetMaxListpackValue),
        hll_sparse_max_bytes: values.size(Name::HllSparseMaxBytes),
        stream_node_max_bytes: values.size(Name::StreamNodeMaxBytes),
        stream_node_max_entries: values.size(Name::StreamNodeMaxEntries),
        max_string: values.size(Name::ProtoMaxBulkLen),
    };
    engine.want_events(Wanted::of_letters(&values.text(Name::NotifyKeyspaceEvents)));
    engine.clock.policy = Policy::named(values.choice(Name::MaxmemoryPolicy)).unwrap_or_default();
    engine.clock.log_factor = values.number(Name::LfuLogFactor) as u32;
    engine.clock.decay_minutes = values.number(Name::LfuDecayTime) as u32;
    let appendonly = values.is(Name::Appendonly);
    let fsync = match values.choice(Name::Appendfsync) {
        "always" => Fsync::Always,
        "no" => Fsync::No,
        _ => Fsync::EverySecond,
    };
    let owned = node.assigned() as u64;
    engine.memory.limit = share(values.bytes(Name::Maxmemory), owned);

    let limits = values.output_limits();
    let output = limits.normal;
    let requirepass = values.text(Name::Requirepass).into_owned();
    let new_password = requirepass != node.hot.requirepass;
    node.hot = HotSettings {
        requirepass,
        acl_log: values.size(Name::AcllogMaxLen),
        maxmemory_samples: values.size(Name::MaxmemorySamples),
        max_clients: values.size(Name::Maxclients),
        timeout: seconds(values.number(Name::Timeout)),
        keepalive: Some(seconds(values.number(Name::TcpKeepalive))).filter(|time| !time.is_zero()),
        output_limit: usize::try_from(output.hard).unwrap_or(usize::MAX),
        soft_output_limit: bounds(&output).soft,
        pubsub_output: bounds(&limits.pubsub),
        query_limit: values.size(Name::ClientQueryBufferLimit),
    };
    node.scripts.threshold = u64::try_from(values.number(Name::BusyReplyThreshold))
        .ok()
        .filter(|threshold| *threshold > 0)
        .map(Duration::from_millis);
    engine.time_expiry(node.latency.threshold.is_some());
    let tracked = values.size(Name::TrackingTableMaxKeys) as u64;
    let remembered = usize::try_from(share(tracked, owned)).unwrap_or(usize::MAX);
    node.slow_log.threshold =
        u64::try_from(values.number(Name::SlowlogLogSlowerThan)).ok().map(Duration::from_micros);
    node.slow_log.set_max_len(values.size(Name::SlowlogMaxLen));
    node.latency.threshold = Some(values.number(Name::LatencyMonitorThreshold) as u64)
        .filter(|threshold| *threshold > 0)
        .map(Duration::from_millis);
    node.latency.set_tracking(values.is(Name::LatencyTracking));
    node.follow_users(new_password);
    node.limit_remembered(engine, remembered);
    follow_log(engine, node, appendonly, fsync);
}

/// Switches the log on or off. Nothing is known of the cluster before the first state, and nothing has been stored.
fn follow_log(engine: &mut Engine, node: &mut Node, on: bool, fsync: Fsync) {
    node.log.set_fsync(fsync);
    if node.log.place().is_none() || node.standing.loading().is_some() || !node.state.is_founded() {
        return;
    }
    if on && !node.log.is_on() && node.log.failure().is_none() {
        let (cluster, hash_seed) = (node.state.id.clone(), node.state.hash_seed);
        if let Err(reason) = node.log.switch_on(engine, &mut node.changes, &cluster, hash_seed, fsync) {
            tracing::error!("the log cannot be begun: {reason}");
            node.stop_writing(reason);
        }
    } else if !on && node.log.is_on() {
        node.log.switch_off(engine, &mut node.changes);
        node.standing.set_durability(Durability::Kept);
    }
}

/// This shard's part of the cluster's `maxmemory`, in proportion to its slots; 0 stays 0, no limit.
pub fn share(total: u64, owned: u64) -> u64 {
    let share = u128::from(total) * u128::from(owned) / u128::from(SLOTS);
    if total > 0 { u64::try_from(share).unwrap_or(u64::MAX).max(1) } else { 0 }
}

fn bounds(limit: &OutputLimit) -> OutputBounds {
    let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    let soft = (limit.soft > 0).then(|| (size(limit.soft), Duration::from_secs(limit.seconds.into())));
    OutputBounds { hard: size(limit.hard), soft }
}

fn seconds(seconds: i64) -> Duration {
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_shared_out_by_slots() {
        assert_eq!(share(0, 16384), 0);
        assert_eq!(share(1000, 16384), 1000);
        assert_eq!(share(1000, 4096), 250);
        assert_eq!(share(u64::MAX, 8192), u64::MAX / 2);
        // A shard without slots keeps nothing, but has a limit.
        assert_eq!(share(1000, 0), 1);
    }
}
