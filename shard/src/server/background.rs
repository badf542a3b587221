//! When work that no client waits for may run on the data thread: copies, slots that arrive, expiry.
//!
//! Such a task works in slices, and rests between two of them. While clients leave the thread alone it only gives way, so a
//! copy takes what nobody else wants. While they use it, its rest is the longer the more of the thread their requests take,
//! the later the thread gets its core, and the more tasks there are: they share a part of what is left. A floor sees to it that
//! every copy ends.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use slotway_common::platform::clock;
use slotway_common::platform::threads::{self, yield_now};
use tokio::time::sleep;

use super::Server;

/// Commands a second above which clients use the thread.
const TRAFFIC: f64 = 500.0;
/// Longest time that a slice keeps clients waiting, without and with traffic.
const SLICE: Duration = Duration::from_micros(500);
const SLICE_IN_TRAFFIC: Duration = Duration::from_micros(200);
/// The part of what clients leave of the thread that all tasks together may take.
const PART_OF_REST: f64 = 0.35;
/// The share of the thread that a task gets in any case, and at most, while there is traffic.
const FLOOR: f64 = 0.05;
const CEILING: f64 = 0.3;
/// A timer is late by as much because its wheel turns once a millisecond; more is a thread that does not get its core.
const GRANULARITY: Duration = Duration::from_millis(1);
/// Lateness beyond that which halves a task's share.
const LATE: Duration = Duration::from_micros(500);
/// Between two looks at what the thread does.
const LOOK: Duration = Duration::from_millis(5);
/// Weight of the newest look in the averages.
const NEWEST: f64 = 0.3;

/// What is known of the thread's time.
pub(super) struct Background {
    /// Tasks under way.
    tasks: Cell<usize>,
    /// Time that slices have taken in all.
    spent: Cell<Duration>,
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
    fn look(&self) {
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

    fn note_late(&self, late: Duration) {
        let mut seen = self.seen.borrow_mut();
        seen.late += (late.saturating_sub(GRANULARITY).as_secs_f64() - seen.late) * NEWEST;
    }

    /// The share of the thread that one task may take.
    fn share(&self) -> f64 {
        let seen = self.seen.borrow();
        let rest = (1.0 - seen.load) * PART_OF_REST / self.tasks.get().max(1) as f64;
        let contended = 1.0 + seen.late / LATE.as_secs_f64();
        (rest / contended).clamp(FLOOR, CEILING)
    }
}

/// The turns of one task.
pub(super) struct Pace {
    server: Rc<Server>,
    /// Time spent that it has not rested for.
    owed: Duration,
}

impl Pace {
    pub(super) fn new(server: Rc<Server>) -> Self {
        server.background.tasks.set(server.background.tasks.get() + 1);
        Self { server, owed: Duration::ZERO }
    }

    /// How long the next slice may take.
    pub(super) fn slice(&self) -> Duration {
        if self.server.has_traffic() { SLICE_IN_TRAFFIC } else { SLICE }
    }

    /// Rests after a slice that took so long.
    pub(super) async fn rest(&mut self, took: Duration) {
        let background = &self.server.background;
        background.spent.set(background.spent.get() + took);
        if !self.server.has_traffic() {
            self.owed = Duration::ZERO;
            return yield_now().await;
        }
        background.look();
        self.owed += took;
        let share = background.share();
        let rest = self.owed.mul_f64((1.0 - share) / share);
        if rest < GRANULARITY {
            return yield_now().await;
        }
        self.owed = Duration::ZERO;
        let began = clock::monotonic();
        sleep(rest).await;
        background.note_late(clock::monotonic().duration_since(began).saturating_sub(rest));
    }
}

impl Drop for Pace {
    fn drop(&mut self) {
        let tasks = &self.server.background.tasks;
        tasks.set(tasks.get().saturating_sub(1));
    }
}

impl Server {
    /// Whether clients use this shard, so that work in the background has to leave them time.
    pub(super) fn has_traffic(&self) -> bool {
        self.shard.borrow().node.stats.rates.latest_commands_per_second() > TRAFFIC
    }
}
