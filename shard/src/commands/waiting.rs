//! Waits of a proxy's clients, and CLIENT UNBLOCK.

use slotway_common::command::{self, Blocks, Command, Group};
use slotway_common::error::Error;
use slotway_common::number::parse_i64;
use slotway_common::platform::clock;
use slotway_common::resp::request::Parsed;
use slotway_common::resp::{Limits, Parser, Reply};

use super::stream::read;
use super::transactions::token;
use crate::blocked::{Route, Unblock};
use crate::call::Call;
use crate::call::want::{Awaited, Want};
use crate::dispatch::{self, OwnedWords};
use crate::engine::Key;
use crate::node::{NodeCall, NodeHandler};

pub(super) const HANDLERS: &[(&str, NodeHandler)] = &[
    ("client|unblock", client_unblock),
    ("slotway-block", block_for_proxy),
    ("slotway-unblock", unblock_for_proxy),
];

fn client_unblock(call: &mut NodeCall<'_>) -> Result<(), Error> {
    let how = match call.args.len() {
        3 => Unblock::TimedOut,
        4 if call.args.is(3, "TIMEOUT") => Unblock::TimedOut,
        4 if call.args.is(3, "ERROR") => Unblock::Refused,
        4 => return Err(Error::err("CLIENT UNBLOCK reason should be TIMEOUT or ERROR")),
        _ => return Err(command::bad_subcommand_call(&call.args)),
    };
    let id = call.integer(2)?;
    let unblocked = u64::try_from(id).is_ok_and(|id| call.node.blocked.unblock(call.engine, id, how));
    call.reply.int(i64::from(unblocked));
    Ok(())
}

/// `SLOTWAY-BLOCK <wait> <command> <left> <signal> <key>…`: runs a command that may wait, for a client of a proxy. The
/// reply is the command's, or `+WAITING`, and then the command's comes as a push with the number of the wait. `left` are the
/// milliseconds that it may wait still, if it does not begin to wait now (0: for ever). With a signal nothing is run: the reply or push
/// `+READY <n>` says that there may be something at its key `n`, counted from 0. A signal of 1 also says so of what the command has
/// an error for; 2 does not, since who waits already goes on waiting then. There is a key of each slot.
fn block_for_proxy(call: &mut NodeCall<'_>) -> Result<(), Error> {
    let token = token(call.args.at(1))?;
    let (frame, left) = (call.args.at(2), parse_i64(call.args.at(3)));
    let (signals, again) = (!call.args.is(4, "0"), call.args.is(4, "2"));
    let mut parser = Parser::new();
    let limits = Limits { max_bulk: usize::MAX, authenticated: true };
    let Ok(Parsed::Frame(_)) = parser.parse(frame, &limits) else { return Err(Error::Syntax) };
    let args = parser.args(frame);
    let command = command::resolve(&args, false)?;
    let words: Vec<Vec<u8>> = args.iter().map(<[u8]>::to_vec).collect();
    let started = clock::monotonic();
    let want = if signals {
        look(call, command, &words, again)?
    } else {
        dispatch::make_room_for(call.engine, call.node, call.session, command, &args)?;
        call.session.may_wait = true;
        let admitted =
            dispatch::served(call.engine, call.node, call.session, command, &words, call.reply.buffer());
        call.session.may_wait = false;
        let want = call.session.wants.take();
        // Who waits still was counted where it began to.
        if admitted && left.is_none() {
            let (took, waits) = (clock::since(started), want.is_some());
            dispatch::account(call.engine, call.node, call.session, command, &args, took, waits);
        }
        want
    };
    let Some(mut want) = want else { return Ok(()) };
    if let Some(left @ 1..) = left {
        want.deadline = Some(call.engine.now().saturating_add(left));
    }
    // Where a `$` was put in ids the proxy must know them, should it have to ask another shard.
    let told = match &want.args {
        Some(args) => {
            let ids = args.len().saturating_sub(want.keys.len());
            let ids: Vec<_> = args.iter().skip(ids).map(|id| String::from_utf8_lossy(id)).collect();
            format!("WAITING {}", ids.join(" "))
        }
        None => "WAITING".to_owned(),
    };
    let words = want.args.take().unwrap_or(words);
    let route = if signals { Route::Signal(token) } else { Route::Token(token) };
    call.node.blocked.add(call.engine, call.session, route, command, words, want);
    call.reply.simple(&told);
    Ok(())
}

/// Replies that there is something for a command that pops, or gives what it waits for.
fn look(
    call: &mut NodeCall<'_>,
    command: &'static Command,
    words: &[Vec<u8>],
    again: bool,
) -> Result<Option<Want>, Error> {
    let args = OwnedWords::new(words);
    if command.blocks == Some(Blocks::Streams) {
        let (mut unsaid, db) = (Vec::new(), call.session.db);
        let reply = Reply::new(&mut unsaid, call.session.protocol);
        let mut streams = Call::new(call.engine, db, command, args.args(), reply);
        return Ok(match read::look(&mut streams, command.is_write(), again) {
            Ok(want) => Some(want),
            Err(place) => {
                call.reply.simple(&format!("READY {place}"));
                None
            }
        });
    }
    if !command.blocks.is_some_and(Blocks::pops_first) {
        return Err(Error::Syntax);
    }
    let awaited = if command.group == Group::List { Awaited::List } else { Awaited::SortedSet };
    let keys: Vec<usize> =
        command::keys(command, &args.args()).map_err(|_| Error::Syntax)?.positions().collect();
    for (place, key) in keys.iter().filter_map(|index| words.get(*index)).enumerate() {
        let (db, key) = (call.session.db, Key::new(key));
        let found = call.engine.exists(db, &key).then(|| call.engine.peek_record(db, &key)).flatten();
        if found.is_some_and(|record| !again || awaited.fits(record)) {
            call.reply.simple(&format!("READY {place}"));
            return Ok(None);
        }
    }
    Ok(Some(Want { awaited, keys, deadline: None, args: None }))
}

/// `SLOTWAY-UNBLOCK <wait> [TIMEOUT|ERROR]`: ends the wait of a client of a proxy, without a word if none is asked for.
fn unblock_for_proxy(call: &mut NodeCall<'_>) -> Result<(), Error> {
    let token = token(call.args.at(1))?;
    let tell = match call.args.get(2) {
        None => None,
        Some(_) if call.args.is(2, "ERROR") => Some(Unblock::Refused),
        Some(_) => Some(Unblock::TimedOut),
    };
    let client = call.session.client.id;
    let unblocked = call.node.blocked.cancel(call.engine, client, token, tell);
    call.reply.int(i64::from(unblocked));
    Ok(())
}
