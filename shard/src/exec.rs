//! EXEC: commands that were queued run as one.
//!
//! A client that speaks to the shard directly queues here; a proxy queues for its clients and sends the whole at once
//! (`SLOTWAY EXEC`). Either way everything that can refuse one of the commands without running it is asked before the first
//! runs, nothing else runs in between, and the log takes all of it or nothing. A script that is slow suspends the whole; while
//! others are answered BUSY nothing of them runs in between either.

use slotway_common::command::{self, Effects};
use slotway_common::error::Error;
use slotway_common::platform::clock;
use slotway_common::resp::{Parser, Reply};

use crate::dispatch::{self, account_exec, end_nested_reply, make_room, nested, nested_command};
use crate::engine::Engine;
use crate::node::Node;
use crate::script::Scripts;
use crate::session::Session;
use crate::transaction::{Batch, Queued, Rest, next};

/// What the commands may do, by what is known of their scripts here.
#[must_use]
pub fn effects_of(batch: Batch<'_>, node: &Node) -> Effects {
    let mut effects = Effects::default();
    let mut parser = Parser::new();
    let mut rest = batch.frames;
    while let Some(length) = next(&mut parser, rest) {
        let args = parser.args(rest);
        if let Ok(command) = command::resolve(&args, false) {
            effects = effects.with(dispatch::effects(node, command, &args));
        }
        rest = rest.get(length..).unwrap_or_default();
    }
    effects
}

/// The digests of scripts that it calls and that are not known.
#[must_use]
pub fn unknown_scripts(batch: Batch<'_>, scripts: &Scripts) -> Vec<String> {
    let is_digest = |text: &[u8]| text.len() == 40 && text.iter().all(u8::is_ascii_hexdigit);
    let mut unknown = Vec::new();
    let mut parser = Parser::new();
    let mut rest = batch.frames;
    while let Some(length) = next(&mut parser, rest) {
        let args = parser.args(rest);
        let digest = args.at(1);
        let calls = args.is(0, "evalsha") || args.is(0, "evalsha_ro");
        if calls && is_digest(digest) && scripts.of_digest(digest).is_none() {
            unknown.push(String::from_utf8_lossy(digest).into_owned());
        }
        rest = rest.get(length..).unwrap_or_default();
    }
    unknown
}

/// Commands to run, one after the other.
enum Commands<'a> {
    /// As requests that lie one after the other.
    Frames(Parser, &'a [u8]),
    /// As they were queued, from a number on.
    Queued(&'a Queued, usize),
}

impl Commands<'_> {
    /// Runs the next one and appends its reply; false when there is none.
    fn run_next(
        &mut self,
        engine: &mut Engine,
        node: &mut Node,
        session: &mut Session,
        out: &mut Vec<u8>,
    ) -> bool {
        match self {
            Self::Frames(parser, rest) => {
                let Some(length) = next(parser, rest) else { return false };
                nested(engine, node, session, parser.args(rest), out);
                *rest = rest.get(length..).unwrap_or_default();
            }
            Self::Queued(queued, number) => {
                let Some((command, key, args)) = queued.get(*number) else { return false };
                nested_command(engine, node, session, (command, key), args, out);
                *number += 1;
            }
        }
        true
    }

    /// Those that are left, as requests.
    fn rest(&self) -> Vec<u8> {
        match self {
            Self::Frames(_, rest) => rest.to_vec(),
            Self::Queued(queued, number) => queued.frames_from(*number),
        }
    }
}

/// Runs what a client has queued, as [`run`] does; it is the whole of an EXEC.
///
/// # Errors
/// When there is no memory for it; none has run then.
pub fn run_queued(
    engine: &mut Engine,
    node: &mut Node,
    session: &mut Session,
    queued: &Queued,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let commands = Commands::Queued(queued, 0);
    let needs_memory = queued.effects().needs_memory;
    run_all(engine, node, session, commands, (queued.count(), needs_memory), (None, true), out)
}

/// Runs commands as one and appends the array of their replies. With `database` they begin in that one, and it is left again
/// at the end. `counts` tells whether they are the whole of an EXEC. If one of them is a script that is slow, what is left
/// goes on when that has ended (see [`go_on`]).
///
/// # Errors
/// When there is no memory for them; none has run then.
pub fn run(
    engine: &mut Engine,
    node: &mut Node,
    session: &mut Session,
    batch: Batch<'_>,
    database: Option<usize>,
    counts: bool,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let Batch { frames, count, needs_memory } = batch;
    let commands = Commands::Frames(Parser::new(), frames);
    run_all(engine, node, session, commands, (count, needs_memory), (database, counts), out)
}

fn run_all(
    engine: &mut Engine,
    node: &mut Node,
    session: &mut Session,
    mut commands: Commands<'_>,
    (count, needs_memory): (usize, bool),
    (database, counts): (Option<usize>, bool),
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    make_room(engine, node, needs_memory)
        .map_err(|error| Error::ExecAbort(format!("Transaction discarded because of: {error}").into()))?;
    if engine.has_notes() {
        // What was evicted, and what EXEC said of itself: the first command is not to be taken for it.
        node.note_changes(engine, None);
    }
    let start = out.len();
    if !session.reply_mode.is_muted() {
        Reply::new(out, session.protocol).array(count);
    }
    node.changes.begin_group();
    let exec = counts.then(clock::monotonic);
    let after = database.map(|database| std::mem::replace(&mut session.db, database));
    if run_each(engine, node, session, &mut commands, out) {
        end(node, session, after);
    } else {
        let rest = Rest { frames: commands.rest(), replies: out.split_off(start), after, exec };
        node.scripts.suspended.add_rest(rest);
    }
    Ok(())
}

/// Runs what is left of a batch once its slow script has ended, whose reply is the last. Gives the array of replies, or nothing
/// when another script of it is slow.
pub fn go_on(engine: &mut Engine, node: &mut Node, session: &mut Session, rest: Rest) -> Option<Vec<u8>> {
    let Rest { frames, mut replies, after, exec } = rest;
    let mut commands = Commands::Frames(Parser::new(), &frames);
    if !run_each(engine, node, session, &mut commands, &mut replies) {
        node.scripts.suspended.add_rest(Rest { frames: commands.rest(), replies, after, exec });
        return None;
    }
    end(node, session, after);
    if let Some(began) = exec {
        account_exec(engine, node, session, clock::since(began), None);
    }
    Some(replies)
}

fn end(node: &mut Node, session: &mut Session, after: Option<usize>) {
    node.changes.end_group();
    if let Some(after) = after {
        session.db = after;
    }
}

/// Runs commands one after the other; false when one of them is a script that is slow, and others are left.
fn run_each(
    engine: &mut Engine,
    node: &mut Node,
    session: &mut Session,
    commands: &mut Commands<'_>,
    out: &mut Vec<u8>,
) -> bool {
    loop {
        let (start, mode) = (out.len(), session.reply_mode);
        if !commands.run_next(engine, node, session, out) {
            return true;
        }
        end_nested_reply(session, mode, out, start);
        if node.scripts.suspended.is_any() {
            return false;
        }
    }
}
