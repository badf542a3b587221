//! What is wrong with a call whose keys lie in several slots.
//!
//! One Redis looks at the arguments before it looks at keys, and knows no slots. So a proxy that cannot run such a call asks
//! what is wrong with it besides: the call runs on an engine of its own that is empty, whatever it does there.

use slotway_common::command::{self, Command, Group};
use slotway_common::error::Error;
use slotway_common::resp::{Args, Reply};

use crate::call::{Arguments, Call};
use crate::engine::{Engine, LazyFree};
use crate::node::{Function, NodeCall};

/// `SLOTWAY SYNTAX <error> <command> …`: the error of a call for what its arguments are, or the one that is given.
pub(super) fn check(call: &mut NodeCall<'_>) -> Result<(), Error> {
    let otherwise = Error::Whole(call.args.at(2).to_vec());
    let args = call.args.rest(3);
    let row = command::resolve(&args, false)?;
    Err(what_is_wrong(call, row, args).unwrap_or(otherwise))
}

fn what_is_wrong(call: &mut NodeCall<'_>, row: &'static Command, args: Args<'_>) -> Option<Error> {
    // A script would run.
    let function = call.node.handlers.get(row).filter(|_| row.group != Group::Scripting)?;
    let kept = call.node.empty_engine.take();
    let mut empty = kept.unwrap_or_else(|| Box::new(Engine::new(LazyFree::default())));
    empty.set_now(call.engine.now());
    let changes = empty.changes();
    let mut out = Vec::new();
    let reply = Reply::new(&mut out, call.reply.protocol);
    let result = match function {
        Function::Data(handler) => handler(&mut Call::new(&mut empty, call.session.db, row, args, reply)),
        Function::Node(handler) => {
            let (engine, node, session) = (&mut *empty, &mut *call.node, &mut *call.session);
            let may_wait = std::mem::take(&mut session.may_wait);
            let args = Arguments::new(args, None);
            let result = handler(&mut NodeCall { engine, node, session, args, reply, command: row });
            call.session.may_wait = may_wait;
            result
        }
    };
    empty.settle();
    if empty.changes() == changes {
        call.node.empty_engine = Some(empty);
    }
    result.err().filter(|error| !is_about_data(error))
}

/// Whether an error says that something is missing, which on an empty engine everything is.
fn is_about_data(error: &Error) -> bool {
    matches!(error, Error::NoSuchKey) || error.wire().starts_with(b"NOGROUP")
}
