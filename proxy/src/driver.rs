//! One thread of the proxy: its event loop, its clients and its connections to shards.
//!
//! A request at depth 1 costs two system calls of its own, the read and the write of its client; the reads and writes of
//! the shards' sockets, and the wait for events, are shared by all clients that were ready in the same turn. So:
//! - a client has one task, which only reads. Reading less than the buffer holds tells that the socket is empty, so
//!   there is no second read that would say so.
//! - nothing is written while events are handled. The first byte that is to be written wakes the turn's task, which is
//!   then behind every task that is ready already; it writes to all shards and clients straight away. Only a socket
//!   that is full gets a task that waits for it.
//! - all clients and shards are read into one buffer of the thread: an idle client holds none.

mod attempts;
mod client;
mod mailbox;
mod shard;
mod sockets;
mod turn;

use std::rc::Rc;
use std::sync::Arc;

use crate::context::Context;
use crate::fleet::Mailbox;
use crate::worker::Worker;

use sockets::Driver;

/// Runs a worker until it has drained. To be called on a thread of its own.
pub fn run(index: usize, context: Arc<Context>, mailbox: Mailbox) -> std::io::Result<()> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    // A turn ends when nothing is ready any more: looking for new events in the middle of one would only split writes
    // that could have been shared.
    builder.enable_all().event_interval(512).global_queue_interval(512);
    let runtime = builder.build_local(tokio::runtime::LocalOptions::default())?;
    runtime.block_on(async move {
        let driver = Rc::new(Driver::new(Worker::new(index, context)));
        tokio::task::spawn_local(turn::run(Rc::clone(&driver)));
        mailbox::serve(&driver, mailbox).await;
    });
    Ok(())
}
