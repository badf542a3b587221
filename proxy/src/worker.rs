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

mod client;
mod mailbox;
mod shard;
mod turn;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use slotway_common::platform::clock;
use tokio::net::tcp::OwnedWriteHalf;

pub use mailbox::{Mailbox, Message, WorkerHandle};

use crate::context::Context;
use crate::core::{Core, Membership, SessionId, UpstreamId};
use crate::slab::Beside;

/// Bytes read at once.
const SCRATCH: usize = 64 * 1024;

/// One worker. Everything in it belongs to its thread.
pub struct Worker {
    pub core: RefCell<Core>,
    pub context: Arc<Context>,
    /// Position among the workers.
    pub index: usize,
    clients: RefCell<Beside<Rc<OwnedWriteHalf>>>,
    shards: RefCell<Beside<Rc<OwnedWriteHalf>>>,
    /// Clients whose tasks wait until their input is wanted again.
    unread: RefCell<HashMap<SessionId, Waker>>,
    scratch: RefCell<Box<[u8]>>,
    turn: turn::Schedule,
    attempts: RefCell<shard::Attempts>,
    /// Clients in MONITOR mode.
    pub(crate) monitors: RefCell<Vec<SessionId>>,
    draining: Cell<bool>,
}

impl Worker {
    fn new(index: usize, context: Arc<Context>) -> Self {
        let mut core = Core::new(context.budgets);
        core.acl_log = Arc::clone(&context.acl_log);
        core.slow_log = Arc::clone(&context.slow_log);
        core.counters = Arc::clone(&context.counters[index]);
        core.membership = Some(Arc::new(Membership::new(context.identity.clone(), context.secret.clone())));
        Self {
            core: RefCell::new(core),
            context,
            index,
            clients: RefCell::default(),
            shards: RefCell::default(),
            unread: RefCell::default(),
            scratch: RefCell::new(vec![0; SCRATCH].into()),
            turn: turn::Schedule::default(),
            attempts: RefCell::default(),
            monitors: RefCell::default(),
            draining: Cell::new(false),
        }
    }

    /// Microseconds since the process started.
    #[inline]
    pub fn now(&self) -> u64 {
        self.context.started.elapsed().as_micros() as u64
    }

    /// Does something with the core, and what follows from it at the end of the turn.
    pub fn with<R>(&self, run: impl FnOnce(&mut Core) -> R) -> R {
        let mut core = self.core.borrow_mut();
        core.now = self.now();
        let result = run(&mut core);
        let work = core.has_work();
        drop(core);
        if work {
            self.turn.wake();
        }
        result
    }

    fn client_writer(&self, id: SessionId) -> Option<Rc<OwnedWriteHalf>> {
        self.clients.borrow().get(id).map(Rc::clone)
    }

    fn shard_writer(&self, id: UpstreamId) -> Option<Rc<OwnedWriteHalf>> {
        self.shards.borrow().get(id).map(Rc::clone)
    }
}

/// Runs a worker until it has drained. To be called on a thread of its own.
pub fn run(index: usize, context: Arc<Context>, mailbox: Mailbox) -> std::io::Result<()> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    // A turn ends when nothing is ready any more: looking for new events in the middle of one would only split writes
    // that could have been shared.
    builder.enable_all().event_interval(512).global_queue_interval(512);
    let runtime = builder.build_local(tokio::runtime::LocalOptions::default())?;
    runtime.block_on(async move {
        let worker = Rc::new(Worker::new(index, context));
        tokio::task::spawn_local(turn::run(Rc::clone(&worker)));
        mailbox::serve(&worker, mailbox).await;
    });
    Ok(())
}

/// When something began, for what counts time from the process's start.
pub fn process_start() -> Instant {
    clock::monotonic()
}
