//! What takes the system's place in a deterministic simulation (the turmoil crate): every thread of every process is a
//! task of one thread, and what they take from the system comes from one seed.
//!
//! It is chosen at run time, by the thread that calls [`enter`]: the feature `simulation` alone changes nothing, so that
//! test builds of the programs, which share it, run as ever. Programs that are built for use do not have it.

pub mod disk;
pub mod net;
pub mod random;
pub mod time;

use std::cell::{Cell, RefCell};

thread_local! {
    static ACTIVE: Cell<bool> = const { Cell::new(false) };
    static VISITED: RefCell<Vec<&'static str>> = const { RefCell::new(Vec::new()) };
}

/// From now on this thread is a simulation of that seed.
pub fn enter(seed: u64) {
    random::seed(seed);
    ACTIVE.set(true);
}

/// Whether this thread is a simulation.
#[must_use]
#[inline]
pub fn is_active() -> bool {
    ACTIVE.get()
}

/// Notes that some host has come to a place at which tests make processes fail.
pub(crate) fn visit(place: &'static str) {
    if is_active() {
        VISITED.with_borrow_mut(|visited| visited.push(place));
    }
}

/// The places that hosts have come to since the last call.
#[must_use]
pub fn visited() -> Vec<&'static str> {
    VISITED.take()
}
