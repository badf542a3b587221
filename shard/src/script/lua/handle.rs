//! What suspends a script from inside. Why it is sound: see `fiber.rs`.

use std::cell::Cell;
use std::ptr::NonNull;
use std::rc::Rc;

use corosensei::Yielder;

/// Why the owner's stack is running again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The script calls a command: it is in the context's exchange, and so goes the reply.
    Call,
    /// The script has run for longer than it should.
    Slow,
    /// It has ended.
    Ended,
}

/// What a fiber is told when it is resumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    GoOn,
    /// The script is to end.
    Kill,
    /// The fiber is to end, between two scripts.
    Quit,
}

pub(super) type Inside = Yielder<Verdict, Event>;

/// Lets code that runs on a fiber suspend it.
#[derive(Clone, Default)]
pub struct Handle(pub(super) Rc<Place>);

#[derive(Default)]
pub(super) struct Place {
    pub(super) yielder: Cell<Option<NonNull<Inside>>>,
    pub(super) inside: Cell<bool>,
}

impl Handle {
    /// Gives the owner its turn. Does nothing when it is not a fiber that is running.
    pub fn suspend(&self, event: Event) -> Verdict {
        match self.0.yielder.get() {
            // SAFETY: the coroutine of this yielder is running, so it lives, and this is its stack.
            Some(yielder) if self.0.inside.get() => unsafe { yielder.as_ref() }.suspend(event),
            _ => Verdict::GoOn,
        }
    }
}
