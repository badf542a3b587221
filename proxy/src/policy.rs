//! The settings that each request may need, in the form that it needs them.

use std::time::Duration;

use slotway_common::settings::{Name, OutputLimit, Settings};

/// Settings of the cluster that the proxy applies itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Whether the settings were read from a shard; before that nobody can be let in.
    pub known: bool,
    /// `acllog-max-len`.
    pub acl_log: usize,
    /// `slowlog-log-slower-than`: commands that take so long are noted; `None`: none are.
    pub slow_from: Option<Duration>,
    /// `slowlog-max-len`.
    pub slow_log: usize,
    /// `latency-tracking`.
    pub latency_tracking: bool,
    /// `databases`.
    pub databases: u32,
    /// `proto-max-bulk-len`, in bytes.
    pub max_bulk: usize,
    /// `client-query-buffer-limit`, in bytes.
    pub max_request: usize,
    /// `maxclients`, for the whole process.
    pub max_clients: usize,
    /// `timeout`: idle clients are closed after so many seconds; 0 never.
    pub idle_seconds: u64,
    /// `client-output-buffer-limit` of normal clients; 0 is no limit.
    pub output: OutputBounds,
    /// The same of clients that have subscriptions.
    pub pubsub_output: OutputBounds,
    /// There is a `maxmemory`.
    pub limits_memory: bool,
    /// `enable-debug-command`, as the client's address decides.
    pub debug: DebugAccess,
}

/// Bounds on the replies that a client has not read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutputBounds {
    /// Bytes at which the client is closed at once.
    pub hard: u64,
    /// Bytes at which it is closed if it stays above for `soft_seconds`.
    pub soft: u64,
    pub soft_seconds: u64,
}

impl OutputBounds {
    fn of(limit: &OutputLimit) -> Self {
        Self { hard: limit.hard, soft: limit.soft, soft_seconds: u64::from(limit.seconds) }
    }
}

/// Who may use DEBUG.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DebugAccess {
    #[default]
    Nobody,
    Local,
    Everybody,
}

impl Default for Policy {
    /// Redis's defaults, not known to be those of the cluster.
    fn default() -> Self {
        Self { known: false, ..Self::of(&Settings::new()) }
    }
}

impl Policy {
    /// The part of the settings that requests need.
    pub fn of(settings: &Settings) -> Self {
        let limits = settings.output_limits();
        Self {
            known: true,
            acl_log: settings.size(Name::AcllogMaxLen),
            slow_from: u64::try_from(settings.number(Name::SlowlogLogSlowerThan))
                .ok()
                .map(Duration::from_micros),
            slow_log: settings.size(Name::SlowlogMaxLen),
            latency_tracking: settings.is(Name::LatencyTracking),
            databases: u32::try_from(settings.number(Name::Databases)).unwrap_or(16),
            max_bulk: settings.size(Name::ProtoMaxBulkLen),
            max_request: settings.size(Name::ClientQueryBufferLimit),
            max_clients: settings.size(Name::Maxclients),
            idle_seconds: settings.size(Name::Timeout) as u64,
            output: OutputBounds::of(&limits.normal),
            pubsub_output: OutputBounds::of(&limits.pubsub),
            limits_memory: settings.bytes(Name::Maxmemory) > 0,
            debug: match settings.choice(Name::EnableDebugCommand) {
                "yes" => DebugAccess::Everybody,
                "local" => DebugAccess::Local,
                _ => DebugAccess::Nobody,
            },
        }
    }
}
