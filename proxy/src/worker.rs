//! One worker, as jobs and other threads know it: a core, and what all workers share.
//!
//! Its sockets are the driver's.

mod schedule;

use std::cell::RefCell;
use std::sync::Arc;

use crate::context::Context;
use crate::core::{Core, Membership, SessionId};

use schedule::Schedule;

/// One worker. Everything in it belongs to its thread.
pub struct Worker {
    pub core: RefCell<Core>,
    pub context: Arc<Context>,
    /// Position among the workers.
    pub index: usize,
    pub(crate) turn: Schedule,
    /// Clients in MONITOR mode.
    monitors: RefCell<Vec<SessionId>>,
}

impl Worker {
    pub(crate) fn new(index: usize, context: Arc<Context>) -> Self {
        let mut core = Core::new(context.budgets);
        core.acl_log = Arc::clone(&context.acl_log);
        core.slow_log = Arc::clone(&context.slow_log);
        core.counters = Arc::clone(&context.counters[index]);
        core.membership = Some(Arc::new(Membership::new(context.identity.clone(), context.secret.clone())));
        Self {
            core: RefCell::new(core),
            context,
            index,
            turn: Schedule::default(),
            monitors: RefCell::default(),
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

    /// Shows a line to the clients in MONITOR mode.
    pub(crate) fn show(&self, line: &[u8]) {
        let monitors = self.monitors.borrow().clone();
        self.with(|core| monitors.iter().for_each(|id| core.show_line(*id, line)));
    }

    /// Puts a client into MONITOR mode.
    pub(crate) fn add_monitor(&self, id: SessionId) {
        self.monitors.borrow_mut().push(id);
        self.context.fleet.monitors_changed(1);
        self.context.monitors.notify_one();
    }

    pub(crate) fn forget_monitor(&self, id: SessionId) {
        let mut monitors = self.monitors.borrow_mut();
        let before = monitors.len();
        monitors.retain(|monitor| *monitor != id);
        if monitors.len() < before {
            self.context.fleet.monitors_changed(-1);
            self.context.monitors.notify_one();
        }
    }
}
