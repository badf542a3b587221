//! Room for commands that may need memory.

use slotway_common::command::Command;
use slotway_common::error::Error;
use slotway_common::platform::clock;
use slotway_common::resp::Args;

use super::effects::effects;
use crate::engine::Engine;
use crate::node::Node;
use crate::session::Session;

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

/// Takes note that memory is over its limit although nothing has been refused yet.
#[inline]
pub fn note_full(engine: &Engine, node: &mut Node) {
    if engine.memory.limit > 0 && !node.told_room.is_empty() && engine.memory.is_over() && !engine.evicts() {
        node.tell_full();
    }
}

/// Makes room for a command of a client.
///
/// # Errors
/// `OOM` when that does not succeed and the command may need memory.
#[inline]
pub fn make_room_for(
    engine: &mut Engine,
    node: &mut Node,
    session: &Session,
    command: &Command,
    args: &Args<'_>,
) -> Result<(), Error> {
    if engine.memory.limit == 0 || !engine.memory.is_over() {
        return Ok(());
    }
    // A queue takes memory itself, whatever is queued.
    let queues = session.transaction.is_some() && !command.ends_transaction();
    let needs_memory = queues || effects(node, command, args).needs_memory;
    make_room(engine, node, needs_memory)
}

#[cold]
fn evict(engine: &mut Engine, node: &mut Node, needs_memory: bool) -> Result<(), Error> {
    let made = evict_until_under(engine, node, needs_memory);
    if engine.has_events() {
        node.announce(engine, None);
    }
    if engine.has_touched() {
        node.tell_gone(engine);
    }
    made
}

fn evict_until_under(engine: &mut Engine, node: &mut Node, needs_memory: bool) -> Result<(), Error> {
    // As in Redis, nothing goes while clients are paused, and nothing is refused for that.
    while engine.memory.is_over() && node.pause.is_none() {
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
            node.tell_full();
            return if needs_memory { Err(Error::Oom) } else { Ok(()) };
        }
    }
    Ok(())
}
