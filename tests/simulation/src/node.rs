//! A shard node: its control code and its server as they are, on a simulated host.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use anyhow::{Context, Error};
use slotway_common::admin::Health;
use slotway_common::handshake::Identity;
use slotway_common::platform::{net, random};
use slotway_common::shutdown::Requests;
use slotway_shard::commands::HANDLERS;
use slotway_shard::control;
use slotway_shard::engine::{Engine, LazyFree};
use slotway_shard::node::{Node, Shard};
use slotway_shard::server;
use std::sync::Arc;

use crate::shared::{Common, Process};

/// Entries of the Raft log between two snapshots: few, so that nodes get some, too.
const SNAPSHOT_EVERY: u64 = 40;

/// Runs a process of this node until its host crashes.
pub async fn run(common: Common, id: String) -> turmoil::Result {
    let ended = serve(&common, &id).await;
    // It is to crash, and not to end.
    common.wrong(format!("node {id} has ended: {ended:?}"));
    Ok(())
}

async fn serve(common: &Common, id: &str) -> Result<(), Error> {
    let file = &common.file;
    let (shard, place) = file.node(id).context("no such node")?;
    let identity = Identity { cluster: file.cluster.clone(), node: id.to_owned() };
    let incarnation = u64::from_le_bytes(random::secret_bytes());
    let health = Health::new();
    let listener = net::listen(&place.client.to_string(), server::BACKLOG)?;
    // Nodes here keep no logs: there is nothing to read before they can serve.
    let (loaded, is_loaded) = tokio::sync::oneshot::channel();
    let _ = loaded.send(());
    let (control, _running) = control::start(control::Start {
        identity: identity.clone(),
        secret: common.secret.clone(),
        file: file.clone(),
        address: place.control.to_string(),
        directory: place.directory.clone(),
        incarnation,
        snapshot_every: SNAPSHOT_EVERY,
        is_loaded,
        pulse: health.watch("control", Duration::from_secs(10)),
    })
    .await
    .map_err(Error::msg)?;
    common.note(format!("{id} has started as {incarnation:016x}"));
    let mut node = Node::new(identity, Some(common.secret.clone()), incarnation, Arc::default(), &HANDLERS);
    node.shard.clone_from(&shard.name);
    node.address = place.client.to_string();
    // No thread frees: there is only one.
    let data = Shard { engine: Engine::new(LazyFree::default()), node };
    let tell = |window| {
        let process = Process { incarnation, window, control: control.clone() };
        common.processes.borrow_mut().insert(id.to_owned(), process);
    };
    let requests = Requests::never();
    let served = pin!(server::run_watched(data, listener, health, requests, control.clone(), None, tell));
    unless_paused(common, id, served).await.map_err(Error::msg)?;
    Ok(())
}

/// The data thread, which stands still while it is paused.
async fn unless_paused<F: Future + Unpin>(common: &Common, id: &str, mut data_thread: F) -> F::Output {
    poll_fn(|context| {
        let pause = &common.pauses[id];
        if pause.paused.get() {
            *pause.waker.borrow_mut() = Some(context.waker().clone());
            return Poll::Pending;
        }
        std::pin::Pin::new(&mut data_thread).poll(context)
    })
    .await
}
