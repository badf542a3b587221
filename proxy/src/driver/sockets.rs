//! The sockets of a worker's clients and shards.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::task::Waker;

use slotway_common::platform::net::WriteHalf;

use super::attempts::Attempts;
use crate::core::{SessionId, UpstreamId};
use crate::slab::Beside;
use crate::worker::Worker;

/// Bytes read at once.
const SCRATCH: usize = 64 * 1024;

/// A worker with its sockets. Everything in it belongs to its thread.
pub(super) struct Driver {
    pub(super) worker: Rc<Worker>,
    pub(super) clients: RefCell<Beside<Rc<WriteHalf>>>,
    pub(super) shards: RefCell<Beside<Rc<WriteHalf>>>,
    /// Clients whose tasks wait until their input is wanted again.
    pub(super) unread: RefCell<HashMap<SessionId, Waker>>,
    pub(super) scratch: RefCell<Box<[u8]>>,
    pub(super) attempts: RefCell<Attempts>,
}

impl Driver {
    pub(super) fn new(worker: Worker) -> Self {
        Self {
            worker: Rc::new(worker),
            clients: RefCell::default(),
            shards: RefCell::default(),
            unread: RefCell::default(),
            scratch: RefCell::new(vec![0; SCRATCH].into()),
            attempts: RefCell::default(),
        }
    }

    pub(super) fn client_writer(&self, id: SessionId) -> Option<Rc<WriteHalf>> {
        self.clients.borrow().get(id).map(Rc::clone)
    }

    pub(super) fn shard_writer(&self, id: UpstreamId) -> Option<Rc<WriteHalf>> {
        self.shards.borrow().get(id).map(Rc::clone)
    }
}
