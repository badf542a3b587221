//! The data thread: accepts connections, runs their commands on the engine, and does what is due
//! between them.

mod ahead;
mod background;
mod connection;
mod held;
mod import;
mod logging;
mod moves;
mod scripts;
mod tick;
mod users;
mod waiting;

use std::cell::RefCell;
use std::io;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use slotway_common::acl::Login;
use slotway_common::admin::Health;
use slotway_common::platform::clock;
use slotway_common::platform::net::{self, TcpListener};
use slotway_common::shutdown;
use tokio::task::LocalSet;

use ahead::Ahead;
use background::Background;
pub use logging::Data;

use crate::control::Control;
use crate::node::Shard;

/// Connections that wait to be accepted (`tcp-backlog`).
pub const BACKLOG: i32 = 511;

/// How long a stopping server waits for replies to be written.
const DRAIN: Duration = Duration::from_secs(5);

/// What the connections of one data thread share.
struct Server {
    shard: RefCell<Shard>,
    /// Read buffer of whichever connection is being polled: an idle connection has none.
    scratch: RefCell<Box<[u8]>>,
    /// Requests that were read ahead on the connection being polled.
    ahead: RefCell<Ahead>,
    /// The cluster's committed state, if this process follows one.
    control: Option<Control>,
    /// Clients whose replies are held until the log has what they tell of.
    waiting: RefCell<logging::Waiting>,
    /// The log has got further, or has failed.
    log_news: tokio::sync::Notify,
    background: Background,
}

/// Bytes read at once from a connection.
const READ_SIZE: usize = 32 * 1024;

/// Serves clients as the cluster's state says, until `requests` asks to stop or SHUTDOWN is called, then writes out what is owed.
///
/// # Errors
/// When the listening socket breaks, or what the node has stored cannot be used, in one line.
pub async fn run(
    shard: Shard,
    listener: TcpListener,
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
    listener: TcpListener,
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
        waiting: RefCell::default(),
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
            let following = async {
                if let Some(data) = data {
                    logging::load(&server, data, &health).await?;
                }
                moves::follow(server.clone(), control, health.clone()).await
            };
            tokio::select! {
                reason = requests.next() => tracing::info!("{reason}: stopping"),
                _ = ticker => tracing::info!("SHUTDOWN: stopping"),
                result = accept(&server, &listener) => return result.map_err(|error| error.to_string()),
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

async fn accept(server: &Rc<Server>, listener: &TcpListener) -> io::Result<()> {
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, most likely: the listener stays readable, so do not spin.
                tracing::warn!("a connection could not be accepted: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let shard = &mut *server.shard.borrow_mut();
        if shard.node.clients.len() >= shard.node.hot.max_clients {
            shard.node.clients.rejected += 1;
            // Best effort: the client is told if its socket takes the line at once.
            let _ = stream.try_write(b"-ERR max number of clients reached\r\n");
            continue;
        }
        if net::tune(&stream, shard.node.hot.keepalive).is_err() {
            continue;
        }
        let local = stream.local_addr().map_or_else(|_| String::new(), |address| address.to_string());
        let client = shard.node.clients.add(peer.to_string(), local, clock::now_ms());
        client.descriptor.set(std::os::fd::AsRawFd::as_raw_fd(&stream));
        client.set_login(Login::new(&shard.node.users));
        tokio::task::spawn_local(connection::serve(server.clone(), stream, client));
    }
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
