//! The process: its workers, its acceptor and its control task.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use slotway_common::admin::Health;
use slotway_common::handshake::Identity;
use slotway_common::platform::net::Listener;
use slotway_common::platform::{clock, random, threads};
use slotway_common::secret::Secret;
use slotway_common::settings::Settings;
use slotway_common::topology::Topology;
use tokio::sync::{Notify, oneshot};
use tokio::time::timeout;

use crate::acceptor::accept;
use crate::budgets::Budgets;
use crate::context::{Context, KnownSettings};
use crate::control;
use crate::counters::Counters;
use crate::driver;
use crate::fleet::{Fleet, Mailbox, Message, WorkerHandle};
use crate::locked::Locked;

/// A worker that shows no sign of life for so long is not well.
const SILENCE: Duration = Duration::from_secs(5);
/// Longest time that [`Server::drain`] takes.
const DRAIN: Duration = Duration::from_secs(10);

/// What a proxy is started with.
pub struct Start {
    pub identity: Identity,
    pub secret: Secret,
    /// Where clients connect; only shown.
    pub listen: String,
    /// The cluster as its file has it.
    pub topology: Topology,
    /// The settings as the cluster's file has them.
    pub settings: Settings,
    /// Threads that serve clients, at least 1.
    pub workers: usize,
    pub budgets: Budgets,
    pub health: Arc<Health>,
}

/// A proxy whose workers run.
pub struct Server {
    context: Arc<Context>,
    health: Arc<Health>,
}

impl Server {
    /// Starts the workers.
    ///
    /// # Errors
    /// When the system cannot start a thread.
    pub fn start(start: Start) -> io::Result<Self> {
        let (workers, mailboxes): (Vec<WorkerHandle>, Vec<Mailbox>) =
            (0..start.workers.max(1)).map(|_| WorkerHandle::new()).unzip();
        let counters: Vec<Arc<Counters>> = workers.iter().map(|_| Arc::default()).collect();
        let context = Arc::new(Context {
            identity: start.identity,
            run_id: random::hex_id::<20>(),
            incarnation: u64::from_le_bytes(random::secret_bytes()),
            transactions: AtomicU64::default(),
            listen: start.listen,
            secret: start.secret,
            budgets: start.budgets,
            started: clock::monotonic(),
            pulses: workers.iter().map(|_| start.health.watch("worker", SILENCE)).collect(),
            fleet: Fleet::new(workers),
            counters,
            settings: Locked::new(KnownSettings { version: 0, values: start.settings, known: false }),
            users: Locked::default(),
            acl_log: Arc::default(),
            slow_log: Arc::default(),
            connections_before: Locked::default(),
            denied_before: Locked::default(),
            topology: Locked::new(Arc::new(Topology { version: 0, ..start.topology })),
            changing_settings: tokio::sync::Mutex::new(()),
            refresh: Notify::new(),
            monitors: Notify::new(),
            stop: Notify::new(),
        });
        for (index, mailbox) in mailboxes.into_iter().enumerate() {
            let context = Arc::clone(&context);
            threads::spawn(&format!("worker-{index}"), move || {
                if let Err(error) = driver::run(index, context, mailbox) {
                    tracing::error!(%error, index, "worker not started");
                }
            })?;
        }
        Ok(Self { context, health: start.health })
    }

    /// What all threads share.
    pub fn context(&self) -> &Arc<Context> {
        &self.context
    }

    /// Accepts clients and follows the cluster until `stop` ends or a client sends SHUTDOWN; tells which.
    pub async fn serve(&self, listener: Listener, stop: impl Future<Output = String>) -> String {
        let ready = |known: bool| {
            if known {
                self.health.set_ready();
            } else {
                self.health.set_not_ready("no shard has told topology and settings yet");
            }
        };
        let reason = tokio::select! {
            () = accept(listener, Arc::clone(&self.context)) => "the acceptor ended".to_owned(),
            () = control::run(Arc::clone(&self.context), ready) => "control ended".to_owned(),
            () = control::watch_for_monitors(Arc::clone(&self.context)) => "control ended".to_owned(),
            reason = stop => reason,
            () = self.context.stop.notified() => "SHUTDOWN".to_owned(),
        };
        self.health.set_not_ready("stopping");
        reason
    }

    /// Has every worker finish what is in flight, and ends them. Takes a bounded time.
    pub async fn drain(&self) {
        let mut drained = Vec::new();
        for worker in self.context.fleet.workers() {
            let (sender, receiver) = oneshot::channel();
            worker.send(Message::Drain(sender));
            drained.push(receiver);
        }
        let all = async {
            for receiver in drained {
                let _ = receiver.await;
            }
        };
        let _ = timeout(DRAIN, all).await;
    }
}
