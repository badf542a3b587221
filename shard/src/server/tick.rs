//! What is done ten times a second: expiry, eviction, idle clients, figures.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use slotway_common::admin::Pulse;
use slotway_common::platform::clock;

use super::Server;
use crate::metrics::ShardCells;
use crate::node::Shard;

const INTERVAL: Duration = Duration::from_millis(100);

/// In how many intervals the busiest slots are looked for once.
const BUSY_SLOTS_EVERY: u64 = 10;

/// Longest time that one slice of background work keeps clients waiting.
const SLICE: Duration = Duration::from_millis(1);

/// Share of an interval that expiry may take when very much expires at once.
const MOST_SLICES: usize = 25;

/// Runs until SHUTDOWN is called.
pub(super) async fn run(server: Rc<Server>, cells: Arc<ShardCells>, pulse: Pulse) {
    let mut interval = tokio::time::interval(INTERVAL);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    for turn in 0_u64.. {
        interval.tick().await;
        pulse.beat();
        if server.shard.borrow().node.stopping {
            return;
        }
        server.tick(&cells);
        if turn.is_multiple_of(BUSY_SLOTS_EVERY) {
            let shard = server.shard.borrow();
            shard.node.busy_slots.publish(&shard.engine);
        }
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
        if let Some((bytes, time)) = shard.node.hot.soft_output_limit {
            let closed = close_slow_readers(shard, bytes, time.as_millis() as i64, now);
            shard.node.stats.closed_for_output += closed;
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
        if shard.engine.has_notes() {
            shard.node.moves.record(&mut shard.engine, None);
        }
        shard.node.latency.event("expire-cycle", clock::since(started), now);
        unfinished
    }
}

/// Closes clients whose output has been over the soft limit for too long; gives their number. Proxies bound what they
/// leave unread themselves.
fn close_slow_readers(shard: &Shard, bytes: usize, longest: i64, now: i64) -> u64 {
    let mut closed = 0;
    for client in shard.node.clients.iter() {
        if client.output_bytes.get() <= bytes || client.internal.borrow().is_some() {
            client.over_soft_limit_since.set(None);
            continue;
        }
        let since = client.over_soft_limit_since.get().unwrap_or(now);
        client.over_soft_limit_since.set(Some(since));
        if now - since >= longest && !client.killed.get() {
            tracing::warn!("client {} closed: it does not read its replies", client.address);
            client.kill();
            closed += 1;
        }
    }
    closed
}
