//! Commands of tracked clients, and what commands tell them (CLIENT TRACKING).

use slotway_common::command::{self, Command, Flags, Group};
use slotway_common::resp::Args;

use crate::engine::Engine;
use crate::node::Node;
use crate::session::Session;
use crate::tracking::Writer;

/// Ends a command while there are tracked clients: gives what is to be told over the command's own connection, behind the
/// reply. CLIENT CACHING is for one command, or for one transaction.
#[cold]
pub(super) fn end_own(node: &mut Node, session: &mut Session, command: &Command) -> Vec<u8> {
    let own = node.tracking.take_own();
    if session.transaction.is_none()
        && !command.name.starts_with("client")
        && let (Some(tracking), Some(mark)) = (&mut *session.client.tracking.borrow_mut(), &mut session.mark)
    {
        tracking.caching = false;
        mark.remembers = tracking.remembers();
    }
    own
}

/// Tells what a command has to tell over its own connection: to a client behind the reply, which begins at `start`, to a
/// proxy before it.
#[cold]
pub(super) fn tell_own(node: &mut Node, session: &Session, own: Vec<u8>, out: &mut Vec<u8>, start: usize) {
    if session.internal.is_some() {
        out.splice(start..start, own);
    } else if session.scripting {
        node.scripts.suspended.keep_own(own);
    } else {
        out.extend_from_slice(&own);
    }
}

/// What a command has changed is told to those who watch, wait for or have read the keys; on copies of keys it is noted.
#[cold]
pub(super) fn settle_touched(engine: &mut Engine, node: &mut Node, session: &mut Session, changes: u64) {
    if let Some(borrowed) = &mut session.borrowed {
        let touched = engine.settle_touched(changes);
        borrowed.written.extend(touched.into_iter().map(|(db, key)| (db, key.into_vec())));
        engine.take_gone();
        engine.take_signalled();
        return;
    }
    let writer = Writer { id: session.mark.as_ref().map(|mark| mark.id), in_script: session.in_script };
    tell_touched(engine, node, writer, changes);
}

/// Tells those who watch, wait for or have read the keys that were changed since there were so many changes.
pub fn tell_touched(engine: &mut Engine, node: &mut Node, writer: Writer, changes: u64) {
    let gone = engine.take_gone();
    node.tell_changed(engine, gone.iter().map(|key| &**key), writer);
    let touched = engine.settle_touched(changes);
    for (db, key) in touched.iter().chain(&engine.take_signalled()) {
        node.blocked.touched(*db, key);
    }
    node.tell_changed(engine, touched.iter().map(|(_, key)| &**key), writer);
}

/// What a script of a tracked client reads is remembered by the keys that it has declared.
#[cold]
pub(super) fn note_script(session: &mut Session, command: &Command, args: &Args<'_>) {
    if let Some(mark) = &mut session.mark
        && mark.remembers
        && command.group == Group::Scripting
        && let Ok(keys) = command::keys(command, args)
    {
        mark.script_keys = keys.positions().map(|at| args.at(at).into()).collect();
    }
}

/// Remembers what a tracked client has read.
#[cold]
pub(super) fn remember(
    engine: &mut Engine,
    node: &mut Node,
    session: &Session,
    command: &Command,
    args: &Args<'_>,
) {
    let Some(mark) = session.mark.as_ref().filter(|mark| mark.remembers) else { return };
    let reads = command.flags.contains(Flags::READONLY) && !command.flags.contains(Flags::PUBSUB);
    if !reads || command.group == Group::Scripting {
        return;
    }
    if session.in_script {
        node.remember_read(engine, mark.id, mark.script_keys.iter().map(|key| &**key));
    } else if let Ok(keys) = command::keys(command, args) {
        node.remember_read(engine, mark.id, keys.positions().map(|at| args.at(at)));
    }
}
