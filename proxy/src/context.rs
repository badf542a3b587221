//! What all threads of the process share: nothing of it is touched by an ordinary request.

use std::sync::Arc;
use std::time::Instant;

use slotway_common::handshake::Identity;
use slotway_common::secret::Secret;
use tokio::sync::Notify;

use crate::core::Budgets;
use crate::counters::Counters;
use crate::fleet::Fleet;

/// Shared by all threads.
pub struct Context {
    pub identity: Identity,
    pub secret: Secret,
    pub budgets: Budgets,
    /// When the process started; the workers' clocks count from here.
    pub started: Instant,
    pub fleet: Fleet,
    /// Of each worker.
    pub counters: Vec<Arc<Counters>>,
    /// Tells the control task that a shard knows a newer topology.
    pub refresh: Notify,
}
