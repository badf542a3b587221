//! The slices and rests of one task in the background.

use std::rc::Rc;
use std::time::Duration;

use slotway_common::platform::clock;
use slotway_common::platform::threads::yield_now;
use tokio::time::sleep;

use super::background::GRANULARITY;
use super::state::Server;

/// Commands a second above which clients use the thread.
const TRAFFIC: f64 = 500.0;
/// Longest time that a slice keeps clients waiting, without and with traffic.
const SLICE: Duration = Duration::from_micros(500);
const SLICE_IN_TRAFFIC: Duration = Duration::from_micros(200);

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
