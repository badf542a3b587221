//! What all threads of the process share: nothing of it is touched by an ordinary request.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use slotway_common::acl::AclLog;
use slotway_common::admin::Pulse;
use slotway_common::handshake::Identity;
use slotway_common::secret::Secret;
use slotway_common::settings::Settings;
use slotway_common::topology::Topology;
use tokio::sync::Notify;

use crate::core::Budgets;
use crate::counters::Counters;
use crate::fleet::Fleet;
use crate::users::KnownUsers;

/// Shared by all threads.
pub struct Context {
    pub identity: Identity,
    /// 40 hexadecimal digits, drawn at the start.
    pub run_id: String,
    pub secret: Secret,
    pub budgets: Budgets,
    /// Where clients connect.
    pub listen: String,
    /// When the process started; the workers' clocks count from here.
    pub started: Instant,
    pub fleet: Fleet,
    /// Signs of life, by worker.
    pub pulses: Vec<Pulse>,
    /// Of each worker.
    pub counters: Vec<Arc<Counters>>,
    pub settings: Locked<KnownSettings>,
    pub users: Locked<KnownUsers>,
    /// What this process has denied to clients.
    pub acl_log: Arc<Locked<AclLog>>,
    /// The newest topology that a shard has told, or the file's.
    pub topology: Locked<Arc<Topology>>,
    /// Held while the settings or users are being changed.
    pub changing_settings: tokio::sync::Mutex<()>,
    /// Tells the control task that a shard knows a newer topology.
    pub refresh: Notify,
    /// Tells it that clients entered or left MONITOR mode.
    pub monitors: Notify,
    /// Asks the process to stop.
    pub stop: Notify,
}

/// The cluster's settings as this process knows them.
#[derive(Debug)]
pub struct KnownSettings {
    /// Grows with every change; 0 is what the cluster file says.
    pub version: u64,
    pub values: Settings,
    /// Whether a shard has told them.
    pub known: bool,
}

/// A value behind a mutex that is never held over anything that waits.
#[derive(Debug, Default)]
pub struct Locked<T>(Mutex<T>);

impl<T> Locked<T> {
    pub fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
