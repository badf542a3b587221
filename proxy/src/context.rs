//! What all threads of the process share: nothing of it is touched by an ordinary request.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use slotway_common::acl::AclLog;
use slotway_common::admin::Pulse;
use slotway_common::handshake::Identity;
use slotway_common::secret::Secret;
use slotway_common::settings::Settings;
use slotway_common::topology::Topology;
use tokio::sync::Notify;

use crate::budgets::Budgets;
use crate::counters::Counters;
use crate::fleet::Fleet;
use crate::locked::Locked;
use crate::slow_log::MergedSlowLog;
use crate::users::KnownUsers;

/// Shared by all threads.
pub struct Context {
    pub identity: Identity,
    /// 40 hexadecimal digits, drawn at the start.
    pub run_id: String,
    /// Names this process in the transactions that it leads, drawn at the start.
    pub incarnation: u64,
    /// The number of the next transaction over several shards.
    pub transactions: AtomicU64,
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
    /// What was slow of its clients.
    pub slow_log: Arc<Locked<MergedSlowLog>>,
    /// The newest topology that a shard has told, or the file's.
    pub topology: Locked<Arc<Topology>>,
    /// Held while the settings or users are being changed.
    pub changing_settings: tokio::sync::Mutex<()>,
    /// Tells the control task that a shard knows a newer topology.
    pub refresh: Notify,
    /// Tells it that clients entered or left MONITOR mode.
    pub monitors: Notify,
    /// What of the counters came before CONFIG RESETSTAT.
    pub connections_before: Locked<[u64; 2]>,
    pub denied_before: Locked<[u64; 4]>,
    /// Asks the process to stop.
    pub stop: Notify,
}

impl Context {
    /// Clients that were accepted and turned away since the start or CONFIG RESETSTAT.
    pub fn connections(&self) -> [u64; 2] {
        let before = *self.connections_before.lock();
        let all = self.all_connections();
        [0, 1].map(|index| all[index].saturating_sub(before[index]))
    }

    fn all_connections(&self) -> [u64; 2] {
        let accepted = self.counters.iter().map(|counters| counters.connections_accepted.get()).sum();
        [accepted, self.fleet.rejected()]
    }

    /// Sets what is counted of the process back to zero (CONFIG RESETSTAT). Metrics go on counting.
    pub fn reset_statistics(&self) {
        *self.connections_before.lock() = self.all_connections();
        *self.denied_before.lock() = self.all_denied();
    }

    /// What was denied to clients, by reason, since the start or CONFIG RESETSTAT.
    pub fn denied(&self) -> [u64; 4] {
        let before = *self.denied_before.lock();
        let all = self.all_denied();
        [0, 1, 2, 3].map(|reason| all[reason].saturating_sub(before[reason]))
    }

    fn all_denied(&self) -> [u64; 4] {
        [0, 1, 2, 3].map(|reason| self.counters.iter().map(|counters| counters.denied.at(reason).get()).sum())
    }
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
