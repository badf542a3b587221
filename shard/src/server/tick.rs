//! What is done ten times a second: expiry, eviction, idle clients, figures.

use std::rc::Rc;
use std::time::Duration;

use slotway_common::admin::Pulse;
use slotway_common::platform::clock;
use slotway_common::settings::Name;

use super::state::Server;
use crate::dispatch::note_full;
use crate::node::Shard;

const INTERVAL: Duration = Duration::from_millis(100);

/// In how many intervals the busiest slots are looked for once.
const BUSY_SLOTS_EVERY: u64 = 10;

/// Longest time that one slice of background work keeps clients waiting.
const SLICE: Duration = Duration::from_millis(1);

/// Share of an interval that expiry may take when very much expires at once.
const MOST_SLICES: usize = 25;

/// Runs until SHUTDOWN is called.
pub(super) async fn run(server: Rc<Server>, pulse: Pulse) {
    let mut interval = tokio::time::interval(INTERVAL);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    for turn in 0_u64.. {
        interval.tick().await;
        pulse.beat();
        if server.shard.borrow().node.stopping {
            return;
        }
        server.tick();
        if turn.is_multiple_of(BUSY_SLOTS_EVERY) {
            let shard = server.shard.borrow();
            shard.node.busy_slots.publish(&shard.engine);
        }
        let mut took = Duration::ZERO;
        for _ in 0..MOST_SLICES {
            let (unfinished, slice) = server.expire_slice();
            took += slice;
            if !unfinished {
                break;
            }
            tokio::task::yield_now().await;
        }
        // As in Redis all of a cycle is one event, though clients were served in between.
        let node = &mut server.shard.borrow_mut().node;
        node.latency.event("expire-cycle", took, clock::now_ms());
    }
}

impl Server {
    fn tick(&self) {
        let shard = &mut *self.shard.borrow_mut();
        let now = clock::now_ms();
        shard.engine.set_now(now);
        shard.engine.memory.refresh();
        note_full(&shard.engine, &mut shard.node);
        let stats = &mut shard.node.stats;
        stats.rates.sample(clock::monotonic(), [stats.run.calls, stats.input_bytes, stats.output_bytes]);
        if shard.node.pause.is_some_and(|pause| pause.until <= now) {
            shard.node.pause = None;
            shard.node.clients.wake_all();
        }
        shard.node.locks.time_out(clock::monotonic());
        let timeout = shard.node.hot.timeout.as_millis() as i64;
        if timeout > 0 {
            for client in shard.node.clients.iter() {
                let idle = now - client.last_used_at.get();
                let is_listener = client.monitor.get() || client.listens.get();
                if idle > timeout
                    && !is_listener
                    && !client.waits.get().is_blocked()
                    && client.internal.borrow().is_none()
                {
                    client.kill();
                }
            }
        }
        if shard.node.hot.soft_output_limit.is_some() || shard.node.hot.pubsub_output.soft.is_some() {
            let closed = close_slow_readers(shard, now);
            shard.node.stats.closed_for_output += closed;
        }
        let (write, sync) = shard.node.log.take_slowest();
        let expiry = shard.engine.take_slowest_expiry();
        for (event, took) in [("aof-write", write), ("aof-fsync-always", sync), ("expire-del", expiry)] {
            shard.node.latency.event(event, took, now);
        }
        save_if_due(shard);
        shard.node.publish(&shard.engine);
    }

    /// One slice of active expiry: whether more may be due, and how long it took.
    fn expire_slice(&self) -> (bool, Duration) {
        let shard = &mut *self.shard.borrow_mut();
        if !shard.node.active_expire || shard.node.pause.is_some() || shard.node.scripts.suspended.is_any() {
            return (false, Duration::ZERO);
        }
        let (now, started) = (clock::now_ms(), clock::monotonic());
        shard.engine.set_now(now);
        let unfinished = shard.engine.sweep_expired(SLICE).unfinished;
        if shard.engine.has_notes() {
            let Shard { engine, node } = &mut *shard;
            node.note_changes(engine, None);
        }
        if shard.engine.has_events() {
            let Shard { engine, node } = &mut *shard;
            node.announce(engine, None);
        }
        if shard.engine.has_touched() {
            let Shard { engine, node } = &mut *shard;
            node.tell_gone(engine);
        }
        (unfinished, clock::since(started))
    }
}

/// Asks for a new base when the log has grown, or so much has changed as `save` says.
fn save_if_due(shard: &mut Shard) {
    let Shard { engine, node } = shard;
    let (values, log) = (&node.settings.values, &mut node.log);
    if !log.is_on() || log.is_saving() || log.failure().is_some() || !log.may_retry() {
        return;
    }
    let (base, all) = log.sizes();
    let percentage = values.number(Name::AutoAofRewritePercentage) as u64;
    let growth = all.saturating_sub(base).saturating_mul(100) / base.max(1);
    let has_grown = percentage > 0 && all > values.bytes(Name::AutoAofRewriteMinSize) && growth >= percentage;
    let changes = log.changes_since_save(engine);
    let saved_at = log.saved_at().max(node.started_at / 1000);
    let age = engine.now() / 1000 - saved_at;
    let is_due = values
        .save_points()
        .iter()
        .any(|(seconds, wanted)| age >= *seconds && changes >= u64::try_from(*wanted).unwrap_or(u64::MAX));
    if has_grown || is_due {
        tracing::info!("a new base of the log is begun: it has {all} bytes, and its base {base}");
        log.want_base(true);
    }
}

/// Closes clients whose output has been over the soft limit for too long; gives their number. Proxies bound what they
/// leave unread themselves.
fn close_slow_readers(shard: &Shard, now: i64) -> u64 {
    let mut closed = 0;
    for client in shard.node.clients.iter() {
        let soft = shard.node.hot.output(client).soft;
        let Some((_, longest)) = soft
            .filter(|(bytes, _)| client.output_bytes.get() > *bytes && client.internal.borrow().is_none())
        else {
            client.over_soft_limit_since.set(None);
            continue;
        };
        let since = client.over_soft_limit_since.get().unwrap_or(now);
        client.over_soft_limit_since.set(Some(since));
        if now - since >= longest.as_millis() as i64 && !client.killed.get() {
            tracing::warn!("client {} closed: it does not read its replies", client.address);
            client.kill();
            closed += 1;
        }
    }
    closed
}
