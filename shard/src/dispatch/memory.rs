//! Room for commands that may need memory.

use slotway_common::error::Error;
use slotway_common::platform::clock;

use crate::engine::Engine;
use crate::node::Node;
use crate::pubsub as channels;
use crate::tracking;

/// Evicts until memory is under its limit.
///
/// # Errors
/// `OOM` when that does not succeed and the command may need memory.
#[inline]
pub fn make_room(engine: &mut Engine, node: &mut Node, needs_memory: bool) -> Result<(), Error> {
    if engine.memory.limit == 0 || !engine.memory.is_over() {
        return Ok(());
    }
    let started = clock::monotonic();
    let made = evict(engine, node, needs_memory);
    node.latency.event("eviction-cycle", clock::since(started), engine.now());
    made
}

#[cold]
fn evict(engine: &mut Engine, node: &mut Node, needs_memory: bool) -> Result<(), Error> {
    let made = evict_until_under(engine, node, needs_memory);
    if engine.has_events() {
        channels::announce(engine, node, None);
    }
    if engine.has_touched() {
        tracking::settle_gone(engine, node);
    }
    made
}

fn evict_until_under(engine: &mut Engine, node: &mut Node, needs_memory: bool) -> Result<(), Error> {
    while engine.memory.is_over() {
        let started = clock::monotonic();
        let evicted = engine.evict_one(node.hot.maxmemory_samples);
        node.latency.event("eviction-del", clock::since(started), engine.now());
        if !evicted {
            if engine.lazy_free_pending() > 0 {
                // What is on its way to be freed is not counted yet: look again.
                engine.memory.refresh();
                if !engine.memory.is_over() {
                    break;
                }
            }
            return if needs_memory { Err(Error::Oom) } else { Ok(()) };
        }
    }
    Ok(())
}
