//! The settings of this node: where they come from and how they take effect.
//!
//! The committed state of the cluster has them; CONFIG SET through a proxy changes it. Until a node has applied a state, and
//! for what can be set at the start only, the cluster file's `settings` hold. CONFIG SET sent to the shard itself lasts
//! until the process ends, or the cluster sets the same parameter.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Serialize;
use slotway_common::cluster_state::ClusterState;
use slotway_common::settings::{Name, OutputLimit, Settings, StoredText};
use slotway_common::slot::SLOTS;

use crate::engine::{Engine, Limits, Policy, Wanted};
use crate::log::Fsync;
use crate::node::{HotSettings, Node, OutputBounds};
use crate::role::Durability;
use crate::tracking;

/// What `SLOTWAY SETTINGS` answers.
#[derive(Serialize)]
struct Told<'a> {
    version: u64,
    values: &'a BTreeMap<String, StoredText>,
}

/// A node's settings.
#[derive(Debug, Default)]
pub struct NodeSettings {
    pub values: Settings,
    /// The generation at which the cluster's settings were last changed; 0 before a state was applied.
    version: u64,
    /// What the cluster has set, or the file before a state was applied.
    committed: BTreeMap<String, StoredText>,
}

impl NodeSettings {
    /// The settings at the start, of the cluster file.
    ///
    /// # Errors
    /// One line: a value that is none.
    pub fn load(from_file: &BTreeMap<String, String>) -> Result<Self, String> {
        let mut values = Settings::new();
        for (name, text) in from_file {
            values.load(name, text.as_bytes())?;
        }
        let committed = values.stored();
        Ok(Self { values, version: 0, committed })
    }

    /// Sets what the cluster has set otherwise than before.
    pub fn follow(&mut self, state: &ClusterState) {
        if state.settings_version == self.version {
            return;
        }
        self.version = state.settings_version;
        let before = std::mem::replace(&mut self.committed, state.settings.clone());
        let names: BTreeSet<&String> = before.keys().chain(state.settings.keys()).collect();
        for name in names {
            let value = state.settings.get(name);
            if before.get(name) == value {
                continue;
            }
            let text = match (value, Name::find(name.as_bytes())) {
                (Some(value), _) => value.bytes().into_owned(),
                (None, Some(known)) => known.parameter().default.as_bytes().to_vec(),
                (None, None) => continue,
            };
            // It was checked before it was committed; a node of another version may still know it otherwise.
            if let Err(reason) = self.values.load(name, &text) {
                tracing::error!("a setting of the cluster is not in force here: {reason}");
            }
        }
    }

    /// What `SLOTWAY SETTINGS` answers.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(&Told { version: self.version, values: &self.committed }).unwrap_or_default()
    }
}

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
    tracking::set_most(engine, node, remembered);
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
pub(crate) fn share(total: u64, owned: u64) -> u64 {
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

    fn state(version: u64, pairs: &[(&str, &str)]) -> ClusterState {
        let mut state = ClusterState::default();
        state.settings_version = version;
        let stored = |(name, text): &(&str, &str)| ((*name).to_owned(), StoredText::new(text.as_bytes()));
        state.settings = pairs.iter().map(stored).collect();
        state
    }

    #[test]
    fn what_the_cluster_has_set_comes_before_the_file_and_what_it_does_not_touch_stays() {
        let file = [("hz", "20"), ("timeout", "7"), ("enable-debug-command", "yes")];
        let file = file.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        let mut settings = NodeSettings::load(&file).unwrap();
        assert_eq!(settings.values.number(Name::Timeout), 7);
        settings.values.load("maxmemory-samples", b"9").unwrap();

        settings.follow(&state(3, &[("hz", "20"), ("requirepass", "secret")]));
        let values = &settings.values;
        assert_eq!((values.number(Name::Hz), values.number(Name::Timeout)), (20, 0));
        assert_eq!(*values.text(Name::Requirepass), *b"secret");
        assert_eq!(values.choice(Name::EnableDebugCommand), "yes");
        assert_eq!(values.number(Name::MaxmemorySamples), 9);
        assert_eq!(settings.to_json(), r#"{"version":3,"values":{"hz":"20","requirepass":"secret"}}"#);

        settings.values.load("hz", b"30").unwrap();
        settings.follow(&state(3, &[("hz", "25")]));
        assert_eq!(settings.values.number(Name::Hz), 30);
        settings.follow(&state(4, &[("hz", "20")]));
        assert_eq!(settings.values.number(Name::Hz), 30);
        assert_eq!(*settings.values.text(Name::Requirepass), *b"");
    }

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
