//! Runs the commands of a transaction on keys of several shards: in an engine of its own, on copies of the values that are here and
//! that other shards have lent.
//!
//! Nothing of it is seen before it is known that no other key is needed. What a script calls on a key that it did not name is
//! answered as if there was no such key, so that one run finds as many of those as it can; then all of it is thrown away.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use slotway_common::command::put_need;
use slotway_common::error::Error;
use slotway_common::slot::{Slot, slot_of};

use super::values::{self, Written};
use crate::changes::Changes;
use crate::engine::{DATABASES, Engine, LazyFree, Watcher};
use crate::exec;
use crate::node::Node;
use crate::parts::{Others, Work};
use crate::session::{Borrowed, Known, Session};
use crate::transaction::Batch;

/// What running has come to.
pub(super) enum Ran {
    Done(Done),
    /// These keys are needed beside, as a list.
    Needs(Vec<u8>),
}

/// What has been done.
pub(super) struct Done {
    /// The array of the commands' replies.
    pub(super) replies: Vec<u8>,
    /// What keys of this shard have become, and those of the others.
    pub(super) own: Vec<u8>,
    pub(super) lent: Others,
}

/// Runs the commands. Nothing has changed here when it returns.
///
/// # Errors
/// When they cannot be run; nothing was done.
pub(super) fn run(
    engine: &mut Engine,
    node: &mut Node,
    session: &mut Session,
    work: &Work,
    own: &[u8],
    lent: &[(Rc<str>, Vec<u8>)],
) -> Result<Ran, Error> {
    let own = values::lend(engine, own, super::MOST_LENT)?;
    let kept = node.empty_engine.take();
    let mut scratch = kept.unwrap_or_else(|| Box::new(Engine::new(LazyFree::default())));
    scratch.set_now(engine.now());
    scratch.limits = engine.limits;
    scratch.want_events(engine.wanted_events());
    scratch.keep_unseen();
    let mut slots = HashSet::new();
    let ran = run_on(&mut scratch, node, session, work, &own, lent, &mut slots);
    engine.stats.hits += scratch.stats.hits;
    engine.stats.misses += scratch.stats.misses;
    node.empty_engine = emptied(scratch, &slots);
    ran
}

/// An engine without what the slots hold; none if it holds anything else.
fn emptied(mut scratch: Box<Engine>, slots: &HashSet<Slot>) -> Option<Box<Engine>> {
    for slot in slots {
        let space = scratch.detach(*slot);
        scratch.free(space);
    }
    scratch.take_notes();
    scratch.forget_touched();
    scratch.take_unseen();
    scratch.take_gone();
    scratch.take_events();
    scratch.stats = Default::default();
    (0..DATABASES).all(|db| scratch.totals(db).keys() == 0).then_some(scratch)
}

/// As [`run`], on an engine that is empty; gives the slots in which there is something then.
fn run_on(
    scratch: &mut Engine,
    node: &mut Node,
    session: &mut Session,
    work: &Work,
    own: &[u8],
    lent: &[(Rc<str>, Vec<u8>)],
    slots: &mut HashSet<Slot>,
) -> Result<Ran, Error> {
    let mut known = HashMap::new();
    for list in lent.iter().map(|(_, list)| list.as_slice()).chain([own]) {
        for item in values::read(list)? {
            slots.insert(item.key.slot);
            let name = (item.db, item.key.bytes.to_vec());
            known.insert(name, Known { window: item.window, hidden: item.hidden });
        }
        values::load(scratch, list)?;
    }
    slots.iter().for_each(|slot| scratch.watch(*slot, Watcher::Clients, true));
    let mut changes = Changes::default();
    changes.begin(scratch, 0);
    std::mem::swap(&mut changes, &mut node.changes);
    session.borrowed = Some(Box::new(Borrowed::new(known)));
    node.set_aside(true);
    let batch = Batch { frames: &work.frames, count: work.count, needs_memory: false };
    let mut replies = Vec::new();
    let result = exec::run(scratch, node, session, batch, Some(work.database), false, &mut replies);
    node.set_aside(false);
    std::mem::swap(&mut changes, &mut node.changes);
    let mut borrowed = session.borrowed.take().unwrap_or_default();
    let is_slow = node.scripts.suspended.give_up();
    session.scripting = false;
    let mut needs = Vec::new();
    for (db, key, window) in borrowed.needs() {
        put_need(db as u32, key, window, &mut needs);
        slots.insert(slot_of(key));
    }
    if !needs.is_empty() {
        return Ok(Ran::Needs(needs));
    }
    if is_slow {
        return Err(Error::err(
            "a script with keys on several shards has run for longer than 'busy-reply-threshold'; nothing was applied",
        ));
    }
    result?;
    if let Some(refused) = borrowed.refused {
        return Err(Error::err(format!(
            "'{refused}' cannot be part of a transaction with keys on several shards; nothing was applied"
        )));
    }
    let unseen = scratch.take_unseen().into_iter().map(|(db, key)| (db, key.into_vec())).collect();
    let written = Written { counted: std::mem::take(&mut borrowed.written), unseen };
    let own = values::changed(scratch, own, &written)?;
    let mut became = Vec::new();
    for (name, list) in lent {
        became.push((name.clone(), values::changed(scratch, list, &written)?));
    }
    if scratch.has_events() {
        node.announce(scratch, None);
    }
    for (kind, channel, message) in borrowed.messages {
        let most = node.hot.pubsub_output.budget();
        let sent = node.pubsub.publish(kind, &channel, &message, most, None);
        node.stats.closed_for_output += sent.closed;
        node.stats.messages += sent.clients;
    }
    Ok(Ran::Done(Done { replies, own, lent: became }))
}
