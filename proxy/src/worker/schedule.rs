//! When a turn of the event loop ends.

use std::cell::{Cell, RefCell};
use std::task::Waker;

/// Whether the turn's task is to run.
#[derive(Default)]
pub(crate) struct Schedule {
    wanted: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Schedule {
    /// Has the turn's task run behind the tasks that are ready already.
    #[inline]
    pub(crate) fn wake(&self) {
        if !self.wanted.replace(true)
            && let Some(waker) = &*self.waker.borrow()
        {
            waker.wake_by_ref();
        }
    }

    /// Takes note of the turn's task, which [`Schedule::wake`] wakes from now on.
    pub(crate) fn set_task(&self, task: &Waker) {
        let mut waker = self.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(task)) {
            *waker = Some(task.clone());
        }
    }

    /// Whether the turn is to be ended.
    pub(crate) fn is_wanted(&self) -> bool {
        self.wanted.get()
    }

    /// The turn has ended.
    pub(crate) fn ended(&self) {
        self.wanted.set(false);
    }
}
