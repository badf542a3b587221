//! What the user of a client may do.

use slotway_common::acl::{Context, Denied, Entry, Reason};
use slotway_common::command::{Command, Flags, Route};
use slotway_common::error::Error;
use slotway_common::platform::clock;
use slotway_common::resp::Args;

use crate::engine::Engine;
use crate::node::Node;
use crate::session::Session;

/// The error of a command that its client may not run, or not now. What was queued will not run then; where it is EXEC that is denied,
/// nothing is left of it.
#[cold]
pub(super) fn deny(engine: &mut Engine, session: &mut Session, command: &Command, error: Error) -> Error {
    if command.name == "exec" {
        session.end_transaction();
        session.unwatch(engine);
        return error.of_exec();
    }
    session.abort_transaction();
    error
}

/// Checks that a client has logged in, and that its user may run a command.
#[cold]
pub(super) fn check_user(
    node: &mut Node,
    session: &Session,
    command: &Command,
    args: &Args<'_>,
) -> Result<(), Error> {
    let must_log_in = session.acting.is_none() && session.client.login.borrow().is_required(&node.users);
    if must_log_in && !command.flags.contains(Flags::NO_AUTH) {
        return Err(Error::NoAuth);
    }
    // What a script calls has been looked at before.
    if session.in_script || command.route == Route::Internal {
        return Ok(());
    }
    session.user().check(command, args).map_err(|denied| {
        note_denied(node, session, denied.into(), denied.object(command, args), None);
        if session.nested { denied.error_in_exec() } else { denied.error(command) }
    })
}

/// Checks that the user of a script may run a command that it calls.
///
/// # Errors
/// What the script is told.
pub fn check_script(
    node: &mut Node,
    session: &Session,
    command: &Command,
    args: &Args<'_>,
) -> Result<(), Error> {
    if session.is_free() {
        return Ok(());
    }
    session.user().check(command, args).map_err(|denied: Denied| {
        note_denied(node, session, denied.into(), denied.object(command, args), None);
        denied.error_in_script()
    })
}

/// Counts what was denied, and notes it for ACL LOG. `name` is the user's if that is not the session's.
#[cold]
pub fn note_denied(node: &mut Node, session: &Session, reason: Reason, object: &[u8], name: Option<&[u8]>) {
    if let Some(count) = node.stats.denied.get_mut(reason as usize) {
        *count += 1;
    }
    let context = if session.in_script {
        Context::Script
    } else if session.nested || session.transaction.is_some() {
        Context::Multi
    } else {
        Context::TopLevel
    };
    let now = clock::now_us();
    let mut line = Vec::new();
    match &session.acting {
        Some(acting) => line.extend_from_slice(&acting.client),
        None => session.client.describe(now / 1000, 0, &mut line),
    }
    let user = session.user();
    let name = name.unwrap_or_else(|| user.name());
    let entry = Entry::new(reason, context, object, name, now, &line);
    node.acl_log.add(entry, node.hot.acl_log);
}
