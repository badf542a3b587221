//! When work that no client waits for may run on the data thread: copies, slots that arrive, expiry.
//!
//! Such a task works in slices, and rests between two of them. While clients leave the thread alone it only gives way, so a
//! copy takes what nobody else wants. While they use it, its rest is the longer the more of the thread their requests take,
//! the later the thread gets its core, and the more tasks there are: they share a part of what is left. A floor sees to it that
//! every copy ends.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use slotway_common::platform::clock;
use slotway_common::platform::threads;

/// The part of what clients leave of the thread that all tasks together may take.
const PART_OF_REST: f64 = 0.35;
/// The share of the thread that a task gets in any case, and at most, while there is traffic.
const FLOOR: f64 = 0.05;
const CEILING: f64 = 0.3;
/// A timer is late by as much because its wheel turns once a millisecond; more is a thread that does not get its core.
pub(super) const GRANULARITY: Duration = Duration::from_millis(1);
/// Lateness beyond that which halves a task's share.
const LATE: Duration = Duration::from_micros(500);
/// Between two looks at what the thread does.
const LOOK: Duration = Duration::from_millis(5);
/// Weight of the newest look in the averages.
const NEWEST: f64 = 0.3;

/// What is known of the thread's time.
pub(super) struct Background {
    /// Tasks under way.
    pub(super) tasks: Cell<usize>,
    /// Time that slices have taken in all.
    pub(super) spent: Cell<Duration>,
    seen: RefCell<Seen>,
}

/// The last look at the thread.
struct Seen {
    at: Instant,
    cpu: Duration,
    spent: Duration,
    /// The share of the thread's time that requests took, from 0 to 1.
    load: f64,
    /// How much later than it should the thread got its core, in seconds.
    late: f64,
}

impl Default for Background {
    fn default() -> Self {
        let seen =
            Seen { at: clock::monotonic(), cpu: Duration::ZERO, spent: Duration::ZERO, load: 0.0, late: 0.0 };
        Self { tasks: Cell::new(0), spent: Cell::new(Duration::ZERO), seen: RefCell::new(seen) }
    }
}

impl Background {
    pub(super) fn look(&self) {
        let mut seen = self.seen.borrow_mut();
        let now = clock::monotonic();
        let passed = now.duration_since(seen.at);
        if passed < LOOK {
            return;
        }
        let (cpu, spent) = (threads::cpu_time(), self.spent.get());
        let of_requests = cpu.saturating_sub(seen.cpu).saturating_sub(spent - seen.spent);
        let load = (of_requests.as_secs_f64() / passed.as_secs_f64()).min(1.0);
        (seen.at, seen.cpu, seen.spent) = (now, cpu, spent);
        seen.load += (load - seen.load) * NEWEST;
    }

    pub(super) fn note_late(&self, late: Duration) {
        let mut seen = self.seen.borrow_mut();
        seen.late += (late.saturating_sub(GRANULARITY).as_secs_f64() - seen.late) * NEWEST;
    }

    /// The share of the thread that one task may take.
    pub(super) fn share(&self) -> f64 {
        let seen = self.seen.borrow();
        let rest = (1.0 - seen.load) * PART_OF_REST / self.tasks.get().max(1) as f64;
        let contended = 1.0 + seen.late / LATE.as_secs_f64();
        (rest / contended).clamp(FLOOR, CEILING)
    }
}
