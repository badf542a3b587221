//! What is done ten times a second: expiry, eviction, idle clients, figures.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use slotway_common::admin::Pulse;
use slotway_common::platform::clock;

use super::Server;
use crate::metrics::ShardCells;

const INTERVAL: Duration = Duration::from_millis(100);

/// Longest time that one slice of background work keeps clients waiting.
const SLICE: Duration = Duration::from_millis(1);

/// Share of an interval that expiry may take when very much expires at once.
const MOST_SLICES: usize = 25;

/// Runs until SHUTDOWN is called.
pub(super) async fn run(server: Rc<Server>, cells: Arc<ShardCells>, pulse: Pulse) {
    let mut interval = tokio::time::interval(INTERVAL);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        interval.tick().await;
        pulse.beat();
        if server.shard.borrow().node.stopping {
            return;
        }
        server.tick(&cells);
        for _ in 0..MOST_SLICES {
            if !server.expire_slice() {
                break;
            }
            tokio::task::yield_now().await;
        }
    }
}

impl Server {
    fn tick(&self, cells: &ShardCells) {
        let shard = &mut *self.shard.borrow_mut();
        let now = clock::now_ms();
        shard.engine.set_now(now);
        shard.engine.memory.refresh();
        let stats = &mut shard.node.stats;
        stats.rates.sample(clock::monotonic(), [stats.commands, stats.input_bytes, stats.output_bytes]);
        if shard.node.pause.is_some_and(|pause| pause.until <= now) {
            shard.node.pause = None;
            shard.node.clients.wake_all();
        }
        let timeout = shard.node.hot.timeout.as_millis() as i64;
        if timeout > 0 {
            for client in shard.node.clients.iter() {
                let idle = now - client.last_used_at.get();
                if idle > timeout && !client.monitor.get() && client.internal.borrow().is_none() {
                    client.kill();
                }
            }
        }
        cells.publish(&shard.engine, &shard.node);
    }

    /// One slice of active expiry; true when more may be due.
    fn expire_slice(&self) -> bool {
        let shard = &mut *self.shard.borrow_mut();
        if !shard.node.active_expire {
            return false;
        }
        let (now, started) = (clock::now_ms(), clock::monotonic());
        shard.engine.set_now(now);
        let unfinished = shard.engine.sweep_expired(SLICE).unfinished;
        shard.node.latency.event("expire-cycle", started.elapsed(), now);
        unfinished
    }
}
