//! What the data thread does for the log beside running commands: reads it at the start, hands frames to the thread that
//! writes them, lets replies go that were held for them, and copies the slots into a new base.

use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use slotway_common::admin::Health;
use slotway_common::fault;
use slotway_common::platform::clock;
use tokio::sync::oneshot;
use tokio::task::{spawn_local, yield_now};
use tokio::time::sleep;

use super::pace::Pace;
use super::scripts::between_scripts;
use super::state::Server;
use crate::across;
use crate::engine::{DATABASES, set_hash_seed};
use crate::log::load::Loader;
use crate::log::{self, Opened, Progress, Watched};
use crate::node::Shard;
use crate::role::Role;

/// Between two looks at something that takes its time.
const LOOK: Duration = Duration::from_millis(1);
/// Between two lines that tell how far reading is.
const TELL: Duration = Duration::from_secs(1);

/// The log of a process that keeps one.
pub struct Data {
    /// What there is to be read.
    pub opened: Option<Opened>,
    /// Where the log is or will be.
    pub directory: PathBuf,
    /// Told when everything has been read.
    pub loaded: oneshot::Sender<()>,
}

/// Reads what there is. Then the process may serve.
///
/// # Errors
/// When the directory cannot be used, in one line.
pub(super) async fn load(server: &Rc<Server>, data: Data, health: &Health) -> Result<(), String> {
    let Data { opened, directory, loaded } = data;
    let node = server.shard.borrow().node.identity.node.clone();
    server.shard.borrow_mut().node.log.set_place(&directory, &node);
    match opened {
        Some(opened) => read(server, opened, health).await?,
        None => {
            let Shard { engine, node } = &mut *server.shard.borrow_mut();
            node.changes.begin(engine, 0);
        }
    }
    // The control thread waits for it, if it still runs.
    let _ = loaded.send(());
    Ok(())
}

async fn read(server: &Rc<Server>, opened: Opened, health: &Health) -> Result<(), String> {
    let started = clock::monotonic();
    let cluster = opened.cluster().to_owned();
    set_hash_seed(opened.hash_seed());
    let handlers = server.shard.borrow().node.handlers;
    let mut loader =
        Loader::start(opened, clock::now_ms(), &handlers.data).map_err(|error| error.to_string())?;
    let progress = loader.progress();
    let limits = {
        let shard = &mut *server.shard.borrow_mut();
        shard.node.standing.set_role(Role::Loading(progress.clone()));
        shard.engine.keep_expired();
        let limits = shard.engine.limits;
        // What was allowed once is repeated whatever is allowed now.
        shard.engine.limits.max_string = usize::MAX;
        limits
    };
    let mut told = started;
    loop {
        let done = progress.loaded_bytes.load(Ordering::Relaxed);
        let percent = done * 100 / progress.total_bytes.max(1);
        health.set_not_ready(format!("the data is being read: {percent} %"));
        if told.elapsed() >= TELL {
            told = clock::monotonic();
            tracing::info!("{percent} % of the data has been read: {done} of {} bytes", progress.total_bytes);
        }
        let piece = loader.next().await.map_err(|error| error.to_string())?;
        let more = {
            let mut shard = server.shard.borrow_mut();
            loader.apply(piece, &mut shard.loaded()).map_err(|error| error.to_string())?
        };
        if server.shard.borrow().node.stopping {
            return Ok(());
        }
        if !more {
            break;
        }
        yield_now().await;
    }
    let shard = &mut *server.shard.borrow_mut();
    let keys: u64 = (0..DATABASES).map(|db| shard.engine.totals(db).keys()).sum();
    let took = started.elapsed();
    shard.engine.limits = limits;
    shard.engine.memory.refresh();
    shard.node.standing.set_role(Role::Primary);
    across::hold_again(&mut shard.engine, &mut shard.node);
    shard.node.loaded = Some((took, keys));
    shard.node.log_cluster = Some(cluster);
    tracing::info!("{keys} keys were read from {} bytes in {took:.1?}", progress.total_bytes);
    Ok(())
}

/// Hands over what has gathered, once for all clients whose commands ran in the same turn.
pub(super) async fn hand_over(server: Rc<Server>) {
    let gathered = server.shard.borrow().node.changes.gathered.clone();
    loop {
        gathered.notified().await;
        let node = &mut server.shard.borrow_mut().node;
        node.log.hand_over(&mut node.changes);
    }
}

/// Follows the log: lets go what was held, and ends writing when it has failed.
pub(super) async fn follow(server: Rc<Server>, health: Arc<Health>) {
    let changed = server.shard.borrow().node.log.changed.clone();
    loop {
        let (watched, released) = {
            let shard = &mut *server.shard.borrow_mut();
            shard.node.log.look_after_base();
            let watched: Option<Watched> = shard.node.log.watched();
            match shard.node.log.failure().map(str::to_owned) {
                Some(reason) => {
                    health.set_broken(format!("the log cannot be written: {reason}"));
                    shard.node.stop_writing(reason);
                    (watched, u64::MAX)
                }
                None => (watched, shard.node.log.released()),
            }
        };
        server.pending.borrow_mut().wake(released);
        server.log_news.notify_waiters();
        match watched {
            Some(watched) => tokio::select! {
                () = log::Log::news(watched) => {}
                () = changed.notified() => {}
            },
            None => changed.notified().await,
        }
    }
}

/// Waits until all that was done so far is on disk, whatever `appendfsync` says.
///
/// # Errors
/// Why it will not be.
pub(super) async fn synced(server: &Server) -> Result<(), String> {
    let sequence = {
        let node = &mut server.shard.borrow_mut().node;
        node.log.sync(&mut node.changes)
    };
    loop {
        let news = server.log_news.notified();
        tokio::pin!(news);
        news.as_mut().enable();
        {
            let log = &server.shard.borrow().node.log;
            if let Some(reason) = log.failure() {
                return Err(format!("the log cannot be written: {reason}"));
            }
            if log.synced() >= sequence {
                return Ok(());
            }
        }
        news.await;
    }
}

/// Makes new bases when they are wanted.
pub(super) async fn save(server: Rc<Server>) {
    let wanted = server.shard.borrow().node.log.wanted.clone();
    loop {
        wanted.notified().await;
        // Frames that bring slots here would be lost with the increments that they are in.
        while is_arriving(&server) {
            sleep(LOOK).await;
        }
        between_scripts(&server).await;
        {
            let Shard { engine, node } = &mut *server.shard.borrow_mut();
            if !node.log.is_on() || !node.log.is_base_wanted() {
                continue;
            }
            node.log.rotate(engine, &mut node.changes);
        }
        // Nothing arrives while a base is wanted.
        if !rotated(&server).await {
            server.shard.borrow_mut().node.log.forget_base();
            server.shard.borrow().node.clients.wake_all();
            continue;
        }
        {
            let Shard { engine, node } = &mut *server.shard.borrow_mut();
            let (name, cluster) = (node.identity.node.clone(), node.state.id.clone());
            let started = clock::monotonic();
            if let Err(error) = node.log.begin_base(engine, &mut node.changes, &node.parts, &name, &cluster) {
                tracing::error!("no new base of the log is begun: {error}");
                continue;
            }
            node.latency.event("log-rewrite-begin", started.elapsed(), engine.now());
        }
        let started = clock::monotonic();
        let mut pace = Pace::new(server.clone());
        loop {
            between_scripts(&server).await;
            let (began, slice) = (clock::monotonic(), pace.slice());
            let progress = {
                let Shard { engine, node } = &mut *server.shard.borrow_mut();
                let progress = node.log.copy_base(engine, &mut node.changes, slice);
                node.latency.event("log-rewrite-slice", clock::since(began), engine.now());
                progress
            };
            fault::point("log-copying");
            match progress {
                Progress::Ended => break,
                Progress::Waiting => sleep(LOOK).await,
                Progress::Going => pace.rest(clock::since(began)).await,
            }
        }
        tracing::info!("all slots are copied to a new base of the log, in {:.1?}", started.elapsed());
        while server.shard.borrow().node.log.is_saving() && server.shard.borrow().node.log.failure().is_none()
        {
            server.shard.borrow_mut().node.log.look_after_base();
            if server.shard.borrow().node.log.is_base_wanted() {
                // The next one was asked for meanwhile.
                server.shard.borrow().node.log.wanted.notify_one();
                break;
            }
            sleep(LOOK).await;
        }
        server.shard.borrow().node.clients.wake_all();
    }
}

/// Waits until the log goes on in a new increment; false when it does not.
async fn rotated(server: &Server) -> bool {
    loop {
        let news = server.log_news.notified();
        tokio::pin!(news);
        news.as_mut().enable();
        if let Some(rotated) = server.shard.borrow().node.log.rotation() {
            return rotated;
        }
        news.await;
    }
}

fn is_arriving(server: &Server) -> bool {
    let node = &server.shard.borrow().node;
    node.log.is_on() && (node.log.is_staging() || !node.moves.arrived.is_empty())
}

/// Starts what runs as long as the process does.
pub(super) fn start(server: &Rc<Server>, health: &Arc<Health>) {
    spawn_local(hand_over(server.clone()));
    spawn_local(follow(server.clone(), health.clone()));
    spawn_local(save(server.clone()));
}
