//! Requests that come within another one of a proxy.

use slotway_common::command::{self, Group};
use slotway_common::platform::clock;
use slotway_common::resp::Args;

use super::accounting::{account, refuse};
use super::memory::make_room_for;
use super::perform::{Outcome, admit, check_busy, perform, quote_refusal};
use crate::call::FirstKey;
use crate::engine::Engine;
use crate::node::Node;
use crate::session::Session;
use crate::tracking::Mark;

/// Runs a command of a proxy's client that is tracked, and appends its reply, which may be an error.
pub fn marked(
    engine: &mut Engine,
    node: &mut Node,
    session: &mut Session,
    mark: Mark,
    args: Args<'_>,
    out: &mut Vec<u8>,
) {
    session.mark = Some(Box::new(mark));
    within(engine, node, session, args, out);
    // A script that is slow goes on as it began.
    if !session.scripting {
        session.mark = None;
    }
}

/// Runs a command that is a part of what a client asked, or that a proxy asks for itself, and appends its reply, which may be
/// an error: the whole counts, and the proxy sees to that.
pub fn quietly(
    engine: &mut Engine,
    node: &mut Node,
    session: &mut Session,
    args: Args<'_>,
    out: &mut Vec<u8>,
) {
    let before = std::mem::replace(&mut session.quiet, true);
    within(engine, node, session, args, out);
    session.quiet = before;
}

/// Runs a command that came within another request.
fn within(engine: &mut Engine, node: &mut Node, session: &mut Session, args: Args<'_>, out: &mut Vec<u8>) {
    let started = clock::monotonic();
    let command = match command::resolve(&args, true) {
        Ok(command) => command,
        Err(error) => return refuse(node, session, command::find(&args), &error, out),
    };
    let first_key = FirstKey::find(command, &args);
    let result = check_busy(node, command)
        .and_then(|()| admit(engine, node, session, command, first_key, &args))
        .and_then(|handler| make_room_for(engine, node, session, command, &args).map(|()| handler));
    let (admitted, start) = (result.is_ok(), out.len());
    let outcome = perform(engine, node, session, command, first_key, args, out, result);
    if command.group == Group::Scripting && admitted {
        quote_refusal(session, out, start);
    }
    if outcome != Outcome::Refused {
        account(engine, node, session, command, &args, clock::since(started), false);
    }
}
