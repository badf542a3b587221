//! CLIENT PAUSE: which requests are held back.
//!
//! A request that is going to be refused is refused at once, as in Redis, where the pause is the last of the checks.

use slotway_common::command::{self, Command, Flags, Route};
use slotway_common::platform::clock;
use slotway_common::pubsub;
use slotway_common::resp::request::Parsed;
use slotway_common::resp::{Args, Limits, Parser, Protocol};

use super::effects::effects;
use super::perform::{Prepared, check_busy};
use crate::node::{Node, PauseScope};
use crate::session::Session;

/// Whether a request has to wait for the end of a pause.
#[must_use]
#[cold]
pub fn is_paused(node: &Node, session: &Session, prepared: &Prepared, args: &Args<'_>) -> bool {
    let Some(pause) = node.pause.filter(|pause| pause.until > clock::now_ms()) else { return false };
    let Some(command) = prepared.command() else { return false };
    if will_be_refused(node, session, command, args) {
        return false;
    }
    match pause.scope {
        PauseScope::All => command.route != Route::Internal || carries_requests(command, args),
        PauseScope::Writes => writes(node, session, command, args),
    }
}

fn will_be_refused(node: &Node, session: &Session, command: &Command, args: &Args<'_>) -> bool {
    let listens = session.client.is_subscriber() && session.protocol == Protocol::Resp2;
    listens && pubsub::check_allowed(command).is_err()
        || session.transaction.is_some() && command.flags.contains(Flags::NO_MULTI)
        || check_busy(node, command).is_err()
        || !session.is_free() && is_denied(node, session, command, args)
}

fn is_denied(node: &Node, session: &Session, command: &Command, args: &Args<'_>) -> bool {
    let must_log_in = session.client.login.borrow().is_required(&node.users);
    must_log_in && !command.flags.contains(Flags::NO_AUTH) || session.user().check(command, args).is_err()
}

/// Whether a call may change data, or tell others of something.
fn writes(node: &Node, session: &Session, command: &Command, args: &Args<'_>) -> bool {
    if command.name == "exec" {
        return session.transaction.as_ref().is_some_and(|transaction| transaction.queued.effects().writes);
    }
    let mut any = effects(node, command, args).writes;
    each_carried(command, args, &mut |command, args| any |= writes(node, session, command, args));
    any
}

fn carries_requests(command: &Command, args: &Args<'_>) -> bool {
    let mut any = false;
    each_carried(command, args, &mut |_, _| any = true);
    any
}

/// Shows the requests of a proxy's clients that lie within one of the proxy's.
fn each_carried(command: &Command, args: &Args<'_>, show: &mut dyn FnMut(&Command, &Args<'_>)) {
    if command.route != Route::Internal {
        return;
    }
    let frames = match command.name {
        "slotway-exec" => args.at(3),
        "slotway-prepare" | "slotway-decide" => args.at(5),
        "slotway-run" => args.at(4),
        "slotway-as" => args.at(4),
        "slotway-block" => args.at(2),
        "slotway-track" => return resolve_and_show(args.rest(3), show),
        _ if args.is(1, "ON") => return resolve_and_show(args.rest(3), show),
        _ => return,
    };
    let limits = Limits { max_bulk: usize::MAX, authenticated: true };
    let mut parser = Parser::new();
    let mut rest = frames;
    while let Ok(Parsed::Frame(length)) = parser.parse(rest, &limits) {
        resolve_and_show(parser.args(rest), show);
        rest = rest.get(length..).unwrap_or_default();
    }
}

fn resolve_and_show(args: Args<'_>, show: &mut dyn FnMut(&Command, &Args<'_>)) {
    if let Ok(command) = command::resolve(&args, true) {
        show(command, &args);
    }
}
