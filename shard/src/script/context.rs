//! What the functions of a machine share with whoever runs it.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Instant;

use slotway_common::acl::User;
use slotway_common::platform::clock;
use slotway_common::resp::Protocol;
use slotway_common::resp::request::Span;

use super::draft::Draft;
use super::library::drand48::Random;
use super::lua::handle::{Event, Handle, Verdict};

/// A command that a script calls, and its reply.
#[derive(Default)]
pub struct Exchange {
    /// The arguments, one after the other, and where each is.
    pub args: Vec<u8>,
    pub spans: Vec<Span>,
    /// The whole reply, in the protocol that the script has chosen.
    pub reply: Vec<u8>,
}

/// What the functions of a machine share with whoever runs it.
#[derive(Default)]
pub struct Context {
    pub handle: Handle,
    pub exchange: RefCell<Exchange>,
    /// The protocol in which the script wants replies (`redis.setresp`).
    pub protocol: Cell<Protocol>,
    pub random: Cell<Random>,
    /// When the script in progress has run for longer than it should; `None`: never.
    pub slow_at: Cell<Option<Instant>>,
    /// What a script is told that has to end before its time.
    pub killed_by: Cell<&'static str>,
    /// Whom the script runs as, unless that may do all.
    pub user: RefCell<Option<Arc<User>>>,
    /// The library that is being loaded.
    pub library: RefCell<Option<Draft>>,
}

impl Context {
    /// Has what is in the exchange run; false when there is nobody who does.
    pub fn call(&self) -> bool {
        self.exchange.borrow_mut().reply.clear();
        self.handle.suspend(Event::Call);
        !self.exchange.borrow().reply.is_empty()
    }

    /// Lets others have their turn if the script has run for too long; true when it is to end.
    pub fn is_over(&self) -> bool {
        match self.slow_at.get() {
            Some(at) if clock::monotonic() >= at => self.handle.suspend(Event::Slow) == Verdict::Kill,
            _ => false,
        }
    }
}
