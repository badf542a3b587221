//! Goes on with a script that runs for longer than it should, in slices between which others are answered BUSY.

use std::time::Duration;

use slotway_common::command;
use slotway_common::error::Error;
use slotway_common::platform::clock;
use slotway_common::resp::Reply;

use super::{Step, finish, resume};
use crate::dispatch::{self, OwnedWords};
use crate::engine::Engine;
use crate::exec;
use crate::node::Node;
use crate::script::{Ended, Failure, Slow};
use crate::session::Session;

/// The script has ended: it counts.
fn account(
    engine: &Engine,
    node: &mut Node,
    session: &mut Session,
    words: &[Vec<u8>],
    took: Duration,
    failed: Option<&Error>,
) {
    let words = OwnedWords::new(words);
    let args = words.args();
    let Some(command) = command::find(&args) else { return };
    if let Some(error) = failed {
        dispatch::count(node, session, Some(command), error, true);
    }
    let waiting = std::mem::take(&mut session.scripting);
    dispatch::account(engine, node, session, command, &args, took, false);
    session.scripting = waiting;
}

/// Goes on with the slow script for a slice; true when there is still one.
pub fn go_on(engine: &mut Engine, node: &mut Node) -> bool {
    let Some(mut slow) = node.scripts.suspended.slow.take() else { return false };
    let Some(session) = &mut slow.session else {
        node.scripts.suspended.slow = Some(slow);
        return true;
    };
    node.tracking.begin_own(session.client.id, false);
    let outcome = match resume(&mut slow.run, slow.killed, engine, node, session) {
        Step::Slow => {
            slow.own.append(&mut node.tracking.take_own());
            node.scripts.suspended.slow = Some(slow);
            return true;
        }
        Step::Ended(outcome) => outcome,
    };
    let goes_on = end(engine, node, slow, outcome);
    node.tracking.take_own();
    goes_on
}

/// Ends a script that was slow, and runs what stands behind it in its transaction; true when there is a slow one in that.
fn end(engine: &mut Engine, node: &mut Node, slow: Slow, outcome: Result<(), Failure>) -> bool {
    let Slow { run, words, session: Some(mut session), database, mut rest, mut own, number, .. } = slow
    else {
        return false;
    };
    session.db = database;
    session.elsewhere = false;
    let took = clock::since(run.started);
    let mut out = rest.as_mut().map(|rest| std::mem::take(&mut rest.replies)).unwrap_or_default();
    let start = out.len();
    let mut reply = Reply::new(&mut out, session.protocol).with_budget(node.hot.reply_budget());
    let failed = finish(run, outcome, node, &mut reply).err();
    let exceeded = reply.is_exceeded();
    if let Some(error) = &failed {
        out.truncate(start);
        Reply::new(&mut out, session.protocol).error(error);
    }
    account(engine, node, &mut session, &words, took, failed.as_ref());
    if let Some(mut rest) = rest {
        rest.replies = out;
        // The commands behind it count, and EXEC itself.
        session.scripting = false;
        match exec::go_on(engine, node, &mut session, rest) {
            Some(replies) => out = replies,
            None => {
                // The next one is slow, too.
                own.append(&mut node.tracking.take_own());
                if let Some(slow) = &mut node.scripts.suspended.slow {
                    (slow.session, slow.own, slow.number) = (Some(session), own, number);
                }
                return true;
            }
        }
    }
    own.append(&mut node.tracking.take_own());
    if number.is_none() {
        session.client.db.set(session.db);
    }
    if node.blocked.has_ready() {
        dispatch::serve_ready(engine, node);
    }
    if node.clients.get(session.client.id).is_none() {
        session.end_watches(engine);
    } else if exceeded {
        session.client.kill();
    } else if let Some(number) = number {
        session.client.push_later(number, &out, &own);
    } else {
        out.extend_from_slice(&own);
        let client = session.client.clone();
        node.scripts.suspended.replies.insert(client.id, Ended { reply: out, session });
        client.wake();
    }
    false
}
