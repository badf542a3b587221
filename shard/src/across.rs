//! Transactions across shards, as one shard sees them.
//!
//! A proxy leads a transaction: it goes from shard to shard in the order of their names. Each takes its part: the part's slots are
//! held, in ascending order, and its commands kept (prepared). The last shard decides: as soon as it holds its own slots it runs its
//! part and notes with it that the transaction is committed. Then the others run theirs. So nobody ever sees anything that might be
//! taken back, and nothing has to be: a part that holds its slots can be run at any time, and always in the same state.
//!
//! A prepared part is in the log, and so is the outcome, as one group with what it has changed. A shard that has a prepared part
//! and hears no more from its proxy asks who decides. That shard answers from what it has noted; of a transaction that it does not
//! know it notes first that it is given up, so that what comes later from the proxy is refused.

mod borrow;
#[cfg(test)]
mod tests;
pub mod values;
mod window;

use std::rc::Rc;
use std::time::{Duration, Instant};

use slotway_common::error::Error;
use slotway_common::fault;
use slotway_common::platform::clock;
use slotway_common::resp::Reply;
use slotway_common::slot::Slot;
use slotway_common::transaction_id::TransactionId;

use crate::dispatch;
use crate::engine::{Engine, WatchId, WatchState};
use crate::exec;
use crate::locks::{Holder, MAX_WAIT};
use crate::node::Node;
use crate::parts::{Decider, Outcome, Part, Phase, Values, Work, put_outcome, put_prepared};
use crate::session::Session;
use crate::tracking::Writer;
use crate::transaction::Batch;

/// The most that one part lends, in bytes: it is held in memory by two shards and a proxy while the transaction runs.
const MOST_LENT: usize = 256 << 20;

/// For so long a proxy may say nothing of a part that it has prepared before its outcome is asked for.
pub const SILENCE: Duration = Duration::from_secs(5);

/// What a proxy asks for.
pub struct Request {
    pub decider: Decider,
    pub watch: Option<u64>,
    pub values: Values,
    pub work: Work,
    /// Ascending.
    pub slots: Vec<Slot>,
    pub quiet: bool,
    /// Nothing runs if a script is called that is not here.
    pub known: bool,
}

/// Takes a part of a transaction. The reply comes later where it has to wait for slots.
///
/// # Errors
/// Why the part cannot be taken; nothing is held then.
pub fn take(
    engine: &mut Engine,
    node: &mut Node,
    session: &mut Session,
    id: TransactionId,
    request: Request,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    node.check_serving(true)?;
    if node.parts.outcome(id).is_some() || node.parts.get(id).is_some() {
        return Err(Error::Line(format!("GIVENUP transaction {id} has ended here already").into()));
    }
    let Request { decider, watch, values, work, slots, quiet, known } = request;
    check_slots(node, &slots)?;
    let batch = Batch { frames: &work.frames, count: work.count, needs_memory: false };
    if known {
        let unknown = exec::unknown_scripts(batch, &node.scripts);
        if !unknown.is_empty() {
            return Err(Error::Line(format!("NOSCRIPT {}", unknown.join(" ")).into()));
        }
    }
    let now = clock::monotonic();
    let connection = session.client.id;
    let phase = Phase::Waiting(0);
    let heard = Some(now);
    let part = Part {
        decider,
        slots,
        work,
        watch,
        values,
        quiet,
        phase,
        since: now,
        heard,
        connection,
        waits: None,
    };
    node.parts.insert(id, part);
    if advance(engine, node, id, now) {
        return finish(engine, node, session, id, out);
    }
    // It may wait for nobody but the time.
    node.locks.news.notify_one();
    let number = node.scripts.suspended.next_number();
    if let Some(part) = node.parts.get_mut(id) {
        part.waits = Some(Box::new(session.apart(number)));
    }
    Reply::new(out, session.protocol).error(&Error::Later(number));
    Ok(())
}

/// Checks that this shard owns all slots.
fn check_slots(node: &Node, slots: &[Slot]) -> Result<(), Error> {
    match slots.iter().find(|slot| !node.owns(**slot)) {
        Some(slot) => {
            let address = node.owner_address(*slot).unwrap_or_default();
            Err(Error::Line(format!("TXMOVED {slot} {address}").into()))
        }
        None => Ok(()),
    }
}

/// Checks that the commands of a part can run here: after a start the shard does not know at once that its slots are its own, and
/// would refuse them.
fn check_runs(node: &Node, part: &Part) -> Result<(), Error> {
    node.check_serving(true)?;
    check_slots(node, &part.slots)
}

/// Takes more of a part's slots; true when it has them all, and nothing keeps it from going on.
fn advance(engine: &mut Engine, node: &mut Node, id: TransactionId, now: Instant) -> bool {
    let Node { parts, locks, .. } = node;
    let Some(part) = parts.get_mut(id) else { return false };
    let Phase::Waiting(mut taken) = part.phase else { return false };
    let is_whole = locks.take(engine, id, &part.slots, &mut taken, now);
    part.phase = Phase::Waiting(taken);
    is_whole && !node.scripts.suspended.is_any()
}

/// Lets go of a part's slots, and of its places in queues: it has ended.
fn let_go(engine: &mut Engine, node: &mut Node, id: TransactionId, part: &Part) {
    let now = clock::monotonic();
    node.observe_part(now.duration_since(part.since));
    for slot in &part.slots {
        node.locks.release_part(engine, id, *slot, now);
        if part.phase != Phase::Prepared {
            node.locks.leave(id, *slot, now);
        }
    }
}

/// Goes on with a part that has all its slots: it is prepared, or decided and run.
fn finish(
    engine: &mut Engine,
    node: &mut Node,
    session: &mut Session,
    id: TransactionId,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let Some(part) = node.parts.get(id) else { return Ok(()) };
    let (watch, slots) = (part.watch, part.slots.clone());
    let checked = check_slots(node, &slots).and_then(|()| check_room(engine, node, id));
    let state = watch.map_or(WatchState::Whole, |token| engine.watch_state(WatchId::Token(token)));
    let is_whole = state == WatchState::Whole;
    if checked.is_err() || !is_whole {
        if let Some(part) = node.parts.remove(id) {
            let_go(engine, node, id, &part);
            node.parts.counts.aborted += 1;
        }
        checked?;
        end_watch(engine, session, watch);
        Reply::new(out, session.protocol).null_array();
        return Ok(());
    }
    let Some(part) = node.parts.get_mut(id) else { return Ok(()) };
    if let Decider::Other(_) = part.decider {
        let lent = match std::mem::take(&mut part.values) {
            Values::Lends(list) => Some(values::lend(engine, &list, MOST_LENT)),
            _ => None,
        };
        let lent = match lent.transpose() {
            Ok(lent) => lent,
            Err(error) => {
                abort(engine, node, id);
                return Err(error);
            }
        };
        // It goes on watching: the whole may begin again.
        part.phase = Phase::Prepared;
        node.changes.prepared(slots.first().copied().unwrap_or(0), |out| put_prepared(id, part, out));
        fault::point("part-prepared");
        let mut reply = Reply::new(out, session.protocol);
        match lent {
            Some(lent) => reply.bulk(&lent),
            None => reply.simple("PREPARED"),
        }
        return Ok(());
    }
    if let Values::Borrows { .. } = part.values {
        return run_borrowed(engine, node, session, id, out);
    }
    run(engine, node, session, id, &[], out)
}

/// Runs all commands of a transaction on values that are here and that others have lent, and commits it if they needed no other
/// keys. The reply is an array of the commands' replies and, in the order of the lenders, what their keys have become; or of a null
/// and the keys that are needed beside: then nothing has been done.
fn run_borrowed(
    engine: &mut Engine,
    node: &mut Node,
    session: &mut Session,
    id: TransactionId,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let Some(part) = node.parts.get(id) else { return Ok(()) };
    let Values::Borrows { own, lent } = part.values.clone() else { return Ok(()) };
    let work = part.work.clone();
    let quiet = session.quiet;
    session.quiet |= part.quiet;
    let ran = borrow::run(engine, node, session, &work, &own, &lent);
    session.quiet = quiet;
    let done = match ran {
        Ok(borrow::Ran::Done(done)) => done,
        Ok(borrow::Ran::Needs(list)) => {
            abort(engine, node, id);
            let mut reply = Reply::new(out, session.protocol);
            reply.array(2);
            reply.null();
            reply.bulk(&list);
            return Ok(());
        }
        Err(error) => {
            abort(engine, node, id);
            return Err(error);
        }
    };
    let borrow::Done { replies, own, lent } = done;
    if let Some(part) = node.parts.get_mut(id) {
        part.work = Work { database: work.database, frames: Vec::new(), count: 0 };
        part.decider = Decider::Here(lent.clone());
    }
    let mut reply = Reply::new(out, session.protocol);
    reply.array(1 + lent.len());
    out.extend_from_slice(&replies);
    for (_, values) in &lent {
        Reply::new(out, session.protocol).bulk(values);
    }
    run(engine, node, session, id, &own, &mut Vec::new())
}

fn end_watch(engine: &mut Engine, session: &mut Session, watch: Option<u64>) {
    if let Some(token) = watch {
        session.tokens.remove(&token);
        engine.end_watch(WatchId::Token(token));
    }
}

/// Refuses what needs memory that there is not.
fn check_room(engine: &mut Engine, node: &mut Node, id: TransactionId) -> Result<(), Error> {
    let Some(part) = node.parts.get(id).filter(|_| engine.memory.is_over()) else { return Ok(()) };
    let batch = Batch { frames: &part.work.frames, count: part.work.count, needs_memory: false };
    let needs_memory = exec::effects_of(batch, node).needs_memory;
    dispatch::make_room(engine, node, needs_memory).map_err(|error| error.of_exec())
}

/// Runs a part whose transaction is committed, notes that with it, and appends the replies of its commands. `became` is what keys
/// of it have become where the transaction has run.
///
/// # Errors
/// When that cannot be read; the part has ended.
fn run(
    engine: &mut Engine,
    node: &mut Node,
    session: &mut Session,
    id: TransactionId,
    became: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let Some(part) = node.parts.remove(id) else { return Ok(()) };
    end_watch(engine, session, part.watch);
    if engine.has_notes() {
        node.note_changes(engine, None);
    }
    let_go(engine, node, id, &part);
    let others = match &part.decider {
        Decider::Here(others) => others.clone(),
        Decider::Other(_) => Vec::new(),
    };
    node.changes.begin_group();
    node.changes.outcome(part.slots.first().copied().unwrap_or(0), |out| put_outcome(id, true, &others, out));
    node.parts.counts.committed += 1;
    if !others.is_empty() {
        node.parts.set_outcome(id, Outcome::Committed(others));
    }
    let Work { database, frames, count } = &part.work;
    if *count == 0 {
        Reply::new(out, session.protocol).array(0);
        let taken = values::take_back(engine, node, became);
        tell_changes(engine, node);
        node.changes.end_group();
        return taken;
    }
    // It ends the group.
    let batch = Batch { frames, count: *count, needs_memory: false };
    // What the connection was refused for is other clients'.
    let refused = std::mem::take(&mut session.refused);
    let quiet = session.quiet;
    session.quiet |= part.quiet;
    if let Err(error) = exec::run(engine, node, session, batch, Some(*database), false, out) {
        // There is nothing left that could refuse it.
        Reply::new(out, session.protocol).error(&error);
    }
    session.quiet = quiet;
    session.refused = refused;
    Ok(())
}

/// Runs a prepared part. While a script is slow its reply comes later.
///
/// # Errors
/// When there is no such part: it has ended already.
pub fn commit(
    engine: &mut Engine,
    node: &mut Node,
    session: &mut Session,
    id: TransactionId,
    values: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    // What the log has not brought yet is not unknown.
    node.check_serving(true)?;
    let Some(part) = node.parts.get(id).filter(|part| part.phase == Phase::Prepared) else {
        return Err(Error::Line(format!("NOTRANSACTION {id} is not prepared here").into()));
    };
    check_slots(node, &part.slots)?;
    if node.scripts.suspended.is_any() {
        let number = node.scripts.suspended.next_number();
        let apart = Box::new(session.apart(number));
        node.parts.behind_script.push((id, values.to_vec(), apart));
        node.locks.news.notify_one();
        Reply::new(out, session.protocol).error(&Error::Later(number));
        return Ok(());
    }
    fault::point("part-commits");
    run(engine, node, session, id, values, out)
}

/// Ends a part that is not to be committed, in whatever phase it is.
pub fn abort(engine: &mut Engine, node: &mut Node, id: TransactionId) {
    let Some(part) = node.parts.remove(id) else { return };
    let_go(engine, node, id, &part);
    node.parts.counts.aborted += 1;
    if part.phase == Phase::Prepared {
        let slot = part.slots.first().copied().unwrap_or(0);
        node.changes.outcome(slot, |out| put_outcome(id, false, &Vec::new(), out));
    }
}

/// The proxy of a part is at it.
pub fn heard_of(node: &mut Node, id: TransactionId) {
    if let Some(part) = node.parts.get_mut(id)
        && part.heard.is_some()
    {
        part.heard = Some(clock::monotonic());
    }
}

/// All parts of a transaction that was decided here have run, or that of one shard has.
pub fn forget(node: &mut Node, id: TransactionId, shard: Option<&str>) {
    let is_known = matches!(node.parts.outcome(id), Some(Outcome::Committed(_)));
    let is_over = match shard {
        Some(shard) => node.parts.confirm(id, shard),
        None => {
            node.parts.forget(id);
            is_known
        }
    };
    if is_over {
        node.changes.outcome(0, |out| put_outcome(id, true, &Vec::new(), out));
    }
}

/// What a shard is told that asks how a transaction has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// It is committed, and this is what the keys that the shard has lent have become.
    Committed(Vec<u8>),
    GivenUp,
}

/// What a shard is told that asks how a transaction has ended which was to be decided here: `None` while that is open. What is not
/// known is given up: it will not be committed after this.
pub fn tell_outcome(node: &mut Node, id: TransactionId, shard: &str) -> Option<Told> {
    match node.parts.outcome(id) {
        Some(Outcome::Committed(others)) => {
            let own = others.iter().find(|(other, _)| &**other == shard);
            return Some(Told::Committed(own.map(|(_, values)| values.clone()).unwrap_or_default()));
        }
        Some(Outcome::GivenUp(_)) => return Some(Told::GivenUp),
        None => {}
    }
    if node.parts.get(id).is_some() {
        return None;
    }
    node.parts.set_outcome(id, Outcome::GivenUp(clock::monotonic()));
    Some(Told::GivenUp)
}

/// The connection of a proxy has ended: what waits is given up, and of what is prepared the outcome is asked for.
pub fn lose_connection(engine: &mut Engine, node: &mut Node, connection: u64) {
    if node.parts.is_empty() {
        return;
    }
    let of_it = node.parts.iter().filter(|(_, part)| part.connection == connection && part.heard.is_some());
    let of_it: Vec<TransactionId> = of_it.map(|(id, _)| id).collect();
    for id in of_it {
        let Some(part) = node.parts.get_mut(id) else { continue };
        if part.phase == Phase::Prepared {
            part.heard = None;
        } else {
            abort(engine, node, id);
        }
    }
}

/// Prepared parts whose proxy is silent, and who decides about them.
#[must_use]
pub fn in_doubt(node: &Node, now: Instant) -> Vec<(TransactionId, Rc<str>)> {
    let is_silent = |part: &Part| part.heard.is_none_or(|heard| now.duration_since(heard) >= SILENCE);
    let silent = node.parts.iter().filter(|(_, part)| part.phase == Phase::Prepared && is_silent(part));
    silent
        .filter_map(|(id, part)| match &part.decider {
            Decider::Other(name) => Some((id, name.clone())),
            Decider::Here(_) => None,
        })
        .collect()
}

/// Ends a prepared part with the outcome that its decider has told. False when it has to wait: for a slow script, or until the
/// shard serves its slots.
pub fn resolve(engine: &mut Engine, node: &mut Node, id: TransactionId, told: &Told) -> bool {
    let Some(part) = node.parts.get(id).filter(|part| part.phase == Phase::Prepared) else { return true };
    let runs = check_runs(node, part).is_ok() && !node.scripts.suspended.is_any();
    match told {
        Told::GivenUp => abort(engine, node, id),
        Told::Committed(_) if !runs => return false,
        Told::Committed(values) => {
            engine.set_now(clock::now_ms());
            let mut session = Session::nobodys();
            if let Err(error) = run(engine, node, &mut session, id, values, &mut Vec::new()) {
                tracing::error!("what transaction {id} has come to cannot be read: {error}");
            }
            tell(engine, node);
        }
    }
    node.parts.counts.resolved += 1;
    true
}

/// Goes on with parts whose turn has come, and ends those that have waited for too long; gives when to look again.
pub fn go_on(engine: &mut Engine, node: &mut Node) -> Option<Instant> {
    let now = clock::monotonic();
    engine.set_now(clock::now_ms());
    if !node.scripts.suspended.is_any() {
        for (id, values, mut session) in std::mem::take(&mut node.parts.behind_script) {
            let mut out = Vec::new();
            node.tracking.begin_own(session.client.id, true);
            if let Err(error) = commit(engine, node, &mut session, id, &values, &mut out) {
                Reply::new(&mut out, session.protocol).error(&error);
            }
            answer(engine, node, session, out);
        }
    }
    let (mut turns, mut next) = node.locks.turns(now);
    // And those that have had all their slots while a script was slow.
    let has_all = |part: &Part| part.phase == Phase::Waiting(part.slots.len());
    turns.extend(node.parts.iter().filter(|(_, part)| has_all(part)).map(|(id, _)| id));
    for id in turns {
        if !advance(engine, node, id, now) {
            continue;
        }
        let Some(mut session) = node.parts.get_mut(id).and_then(|part| part.waits.take()) else { continue };
        let mut out = Vec::new();
        node.tracking.begin_own(session.client.id, true);
        if let Err(error) = finish(engine, node, &mut session, id, &mut out) {
            Reply::new(&mut out, session.protocol).error(&error);
        }
        answer(engine, node, session, out);
    }
    let late = node.parts.iter().filter(|(_, part)| {
        matches!(part.phase, Phase::Waiting(_)) && now.duration_since(part.since) >= MAX_WAIT
    });
    let late: Vec<TransactionId> = late.map(|(id, _)| id).collect();
    for id in late {
        let session = node.parts.get_mut(id).and_then(|part| part.waits.take());
        abort(engine, node, id);
        if let Some(session) = session {
            let text =
                format!("TRYAGAIN slots of this transaction have been held for {} s", MAX_WAIT.as_secs());
            let mut out = Vec::new();
            Reply::new(&mut out, session.protocol).error(&Error::Line(text.into()));
            answer(engine, node, session, out);
        }
    }
    if node.scripts.suspended.is_any() || node.locks.waiting() > 0 {
        let soon = now + Duration::from_millis(if node.scripts.suspended.is_any() { 1 } else { 100 });
        next = Some(next.map_or(soon, |next| next.min(soon)));
    }
    next
}

/// Passes on what has changed beside what commands have told themselves.
fn tell_changes(engine: &mut Engine, node: &mut Node) {
    if engine.has_notes() {
        node.note_changes(engine, None);
    }
    if engine.has_events() {
        node.announce(engine, None);
    }
    if engine.has_touched() {
        node.tell_gone(engine);
    }
}

/// As [`tell_changes`], and serves those who waited for it.
fn tell(engine: &mut Engine, node: &mut Node) {
    if engine.has_touched() {
        // No command has, whose own changes would be counted.
        dispatch::tell_touched(engine, node, Writer::default(), u64::MAX);
    }
    tell_changes(engine, node);
    if node.blocked.has_ready() && !node.scripts.suspended.is_any() {
        dispatch::serve_ready(engine, node);
    }
}

/// The parts that the log has brought hold their slots again.
pub fn hold_again(engine: &mut Engine, node: &mut Node) {
    let Node { parts, locks, .. } = node;
    for (id, part) in parts.iter() {
        part.slots.iter().for_each(|slot| locks.hold(engine, *slot, Holder::Transaction(id)));
    }
}

/// Sends the reply that was to come later.
fn answer(engine: &mut Engine, node: &mut Node, mut session: Box<Session>, out: Vec<u8>) {
    tell(engine, node);
    let own = node.tracking.take_own();
    let number = session.later;
    if session.scripting {
        // A script of it is slow: that has the reply.
        node.scripts.suspended.lend_apart(session, number, own);
        return;
    }
    if node.clients.get(session.client.id).is_none() {
        session.end_watches(engine);
        return;
    }
    session.client.push_later(number, &out, &own);
}
