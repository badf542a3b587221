//! The data thread: accepts connections, runs their commands on the engine, and does what is due
//! between them.

mod accept;
mod across;
mod ahead;
mod background;
mod connection;
mod held;
mod import;
mod logging;
mod moves;
mod pace;
mod pending;
mod scripts;
mod state;
mod tick;
mod users;
mod waiting;

use std::cell::RefCell;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use slotway_common::admin::Health;
use slotway_common::platform::clock;
use slotway_common::platform::net::Listener;
use slotway_common::shutdown;
use tokio::task::LocalSet;

use background::Background;
pub use logging::Data;
use state::Server;

use crate::control::Control;
use crate::node::Shard;

/// Connections that wait to be accepted (`tcp-backlog`).
pub const BACKLOG: i32 = 511;

/// How long a stopping server waits for replies to be written.
const DRAIN: Duration = Duration::from_secs(5);

/// Bytes read at once from a connection.
const READ_SIZE: usize = 32 * 1024;

/// Serves clients as the cluster's state says, until `requests` asks to stop or SHUTDOWN is called, then writes out what is owed.
///
/// # Errors
/// When the listening socket breaks, or what the node has stored cannot be used, in one line.
pub async fn run(
    shard: Shard,
    listener: Listener,
    health: Arc<Health>,
    requests: shutdown::Requests,
    control: Control,
    data: impl Into<Option<Data>>,
) -> Result<(), String> {
    run_watched(shard, listener, health, requests, control, data.into(), drop).await
}

/// As [`run`]; tells a test how to look at what the server holds.
///
/// # Errors
/// As [`run`].
#[allow(clippy::too_many_arguments, reason = "all that a server is made of")]
pub async fn run_watched(
    shard: Shard,
    listener: Listener,
    health: Arc<Health>,
    mut requests: shutdown::Requests,
    control: Control,
    data: Option<Data>,
    tell: impl FnOnce(Window),
) -> Result<(), String> {
    let server = Rc::new(Server {
        shard: RefCell::new(shard),
        scratch: RefCell::new(vec![0; READ_SIZE].into_boxed_slice()),
        ahead: RefCell::default(),
        control: Some(control.clone()),
        pending: RefCell::default(),
        log_news: tokio::sync::Notify::new(),
        background: Background::default(),
    });
    tell(Window(Rc::downgrade(&server)));
    let tasks = LocalSet::new();
    tasks
        .run_until(async {
            let pulse = health.watch("data", Duration::from_secs(10));
            let ticker = tokio::task::spawn_local(tick::run(server.clone(), pulse));
            logging::start(&server, &health);
            tokio::task::spawn_local(waiting::time_out(server.clone()));
            tokio::task::spawn_local(scripts::run(server.clone()));
            tokio::task::spawn_local(across::go_on(server.clone()));
            tokio::task::spawn_local(across::resolve(server.clone()));
            let following = async {
                if let Some(data) = data {
                    logging::load(&server, data, &health).await?;
                }
                moves::follow(server.clone(), control, health.clone()).await
            };
            tokio::select! {
                reason = requests.next() => tracing::info!("{reason}: stopping"),
                _ = ticker => tracing::info!("SHUTDOWN: stopping"),
                result = accept::run(&server, &listener) => return result.map_err(|error| error.to_string()),
                refused = following => return refused,
            }
            health.set_not_ready("stopping");
            drop(listener);
            server.drain().await;
            let node = &mut server.shard.borrow_mut().node;
            node.log.close(&mut node.changes);
            Ok(())
        })
        .await
}

/// A look at a running server, from its own thread.
pub struct Window(Weak<Server>);

impl Window {
    /// What `look` finds; `None` once the server has ended.
    pub fn look<R>(&self, look: impl FnOnce(&Shard) -> R) -> Option<R> {
        let server = self.0.upgrade()?;
        let shard = server.shard.try_borrow().ok()?;
        Some(look(&shard))
    }
}

impl Server {
    /// Lets every connection write what it has and close, for a bounded time.
    async fn drain(&self) {
        {
            let shard = &mut *self.shard.borrow_mut();
            shard.node.stopping = true;
            shard.node.clients.wake_all();
        }
        let deadline = clock::monotonic() + DRAIN;
        while !self.shard.borrow().node.clients.is_empty() && clock::monotonic() < deadline {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}
