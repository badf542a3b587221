//! Commands that wait for what they do not find, and CLIENT UNBLOCK.

use slotway_common::command::{self, Command};
use slotway_common::error::Error;
use slotway_common::number::parse_i64;
use slotway_common::platform::clock;
use slotway_common::resp::request::Parsed;
use slotway_common::resp::{Limits, Parser};
use slotway_common::timeout;

use super::items::Check;
use super::transactions::token;
use super::{Call, Handler, list, zset};
use crate::blocked::{self, Awaited, Route, Unblock, Want};
use crate::dispatch::{self, OwnedWords};
use crate::engine::Key;
use crate::types::list::End;

pub(super) fn handler(name: &str) -> Option<Handler> {
    Some(match name {
        "blpop" => |call| pop(call, Awaited::List, |call, at| list::pop_with_key(call, at, End::Head)),
        "brpop" => |call| pop(call, Awaited::List, |call, at| list::pop_with_key(call, at, End::Tail)),
        "bzpopmin" => |call| pop(call, Awaited::SortedSet, |call, at| zset::pop_with_key(call, at, false)),
        "bzpopmax" => |call| pop(call, Awaited::SortedSet, |call, at| zset::pop_with_key(call, at, true)),
        "blmove" => blmove,
        "brpoplpush" => brpoplpush,
        "blmpop" => |call| pop_many(call, Awaited::List, list::lmpop_at),
        "bzmpop" => |call| pop_many(call, Awaited::SortedSet, zset::zmpop_at),
        "client|unblock" => client_unblock,
        "slotway-block" => block_for_proxy,
        "slotway-unblock" => unblock_for_proxy,
        _ => return None,
    })
}

/// When a wait of so many seconds ends.
fn deadline(call: &Call<'_>, index: usize) -> Result<Option<i64>, Error> {
    timeout::from_seconds(call.args.at(index)).map(|milliseconds| ends_after(call, milliseconds))
}

/// When a wait of so many milliseconds ends; never for 0, and where that is too far away to be told.
pub(super) fn ends_after(call: &Call<'_>, milliseconds: u64) -> Option<i64> {
    let left = i64::try_from(milliseconds).ok().filter(|left| *left > 0)?;
    call.now().checked_add(left)
}

/// BLPOP and the like: tries the keys in their order.
fn pop(
    call: &mut Call<'_>,
    awaited: Awaited,
    take: fn(&mut Call<'_>, usize) -> Result<bool, Error>,
) -> Result<(), Error> {
    let last = call.args.len() - 1;
    let deadline = deadline(call, last)?;
    for index in 1..last {
        if take(call, index)? {
            return Ok(());
        }
    }
    call.wait(Want { awaited, keys: (1..last).collect(), deadline, args: None });
    Ok(())
}

/// BLMPOP and BZMPOP, whose timeout is looked at last.
fn pop_many(
    call: &mut Call<'_>,
    awaited: Awaited,
    take: fn(&mut Call<'_>, usize, Check) -> Result<Option<std::ops::Range<usize>>, Error>,
) -> Result<(), Error> {
    if let Some(keys) = take(call, 2, |call| deadline(call, 1).map(drop))? {
        let deadline = deadline(call, 1)?;
        call.wait(Want { awaited, keys: keys.collect(), deadline, args: None });
    }
    Ok(())
}

fn blmove(call: &mut Call<'_>) -> Result<(), Error> {
    let (from, to) = (list::end_named(call.args.at(3))?, list::end_named(call.args.at(4))?);
    let deadline = deadline(call, 5)?;
    move_or_wait(call, from, to, deadline)
}

fn brpoplpush(call: &mut Call<'_>) -> Result<(), Error> {
    let deadline = deadline(call, 3)?;
    move_or_wait(call, End::Tail, End::Head, deadline)
}

fn move_or_wait(call: &mut Call<'_>, from: End, to: End, deadline: Option<i64>) -> Result<(), Error> {
    if !list::move_between(call, from, to)? {
        if call.session.may_wait {
            call.wait(Want { awaited: Awaited::List, keys: vec![1], deadline, args: None });
        } else {
            // Unlike the others, and unlike when its time is up, it gives a string then.
            call.reply.null();
        }
    }
    Ok(())
}

fn client_unblock(call: &mut Call<'_>) -> Result<(), Error> {
    let how = match call.args.len() {
        3 => Unblock::TimedOut,
        4 if call.args.is(3, "TIMEOUT") => Unblock::TimedOut,
        4 if call.args.is(3, "ERROR") => Unblock::Refused,
        4 => return Err(Error::err("CLIENT UNBLOCK reason should be TIMEOUT or ERROR")),
        _ => return Err(command::bad_subcommand_call(&call.args)),
    };
    let id = call.integer(2)?;
    let unblocked = u64::try_from(id).is_ok_and(|id| blocked::unblock(call.engine, call.node, id, how));
    call.reply.int(i64::from(unblocked));
    Ok(())
}

/// `SLOTWAY-BLOCK <wait> <command> <left> <signal> <key>…`: runs a command that may wait, for a client of a proxy. The
/// reply is the command's, or `+WAITING`, and then the command's comes as a push with the number of the wait. `left` are the
/// milliseconds that it may wait still, if it does not begin to wait now (0: for ever). With a signal nothing is run: the reply or push
/// `+READY` says that there may be something. There is a key of each slot.
fn block_for_proxy(call: &mut Call<'_>) -> Result<(), Error> {
    let token = token(call.args.at(1))?;
    let (frame, left) = (call.args.at(2), parse_i64(call.args.at(3)));
    let signals = call.args.is(4, "1");
    let mut parser = Parser::new();
    let limits = Limits { max_bulk: usize::MAX, authenticated: true };
    let Ok(Parsed::Frame(_)) = parser.parse(frame, &limits) else { return Err(Error::Syntax) };
    let args = parser.args(frame);
    let command = command::resolve(&args, false)?;
    let words: Vec<Vec<u8>> = args.iter().map(<[u8]>::to_vec).collect();
    let started = clock::monotonic();
    let want = if signals {
        look(call, command, &words)?
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
        want.deadline = Some(call.now().saturating_add(left));
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
    blocked::add(call.engine, call.node, call.session, route, command, words, want);
    call.reply.simple(&told);
    Ok(())
}

/// Replies that there is something for a command that pops, or gives what it waits for.
fn look(call: &mut Call<'_>, command: &'static Command, words: &[Vec<u8>]) -> Result<Option<Want>, Error> {
    let awaited = match command.name {
        "blpop" | "brpop" | "blmpop" => Awaited::List,
        "bzpopmin" | "bzpopmax" | "bzmpop" => Awaited::SortedSet,
        _ => return Err(Error::Syntax),
    };
    let args = OwnedWords::new(words);
    let keys: Vec<usize> =
        command::keys(command, &args.args()).map_err(|_| Error::Syntax)?.positions().collect();
    for key in keys.iter().filter_map(|index| words.get(*index)) {
        // A key of another type ends the wait as well: the command has an error to give.
        if call.engine.exists(call.session.db, &Key::new(key)) {
            call.reply.simple("READY");
            return Ok(None);
        }
    }
    Ok(Some(Want { awaited, keys, deadline: None, args: None }))
}

/// `SLOTWAY-UNBLOCK <wait> [TIMEOUT|ERROR]`: ends the wait of a client of a proxy, without a word if none is asked for.
fn unblock_for_proxy(call: &mut Call<'_>) -> Result<(), Error> {
    let token = token(call.args.at(1))?;
    let tell = match call.args.get(2) {
        None => None,
        Some(_) if call.args.is(2, "ERROR") => Some(Unblock::Refused),
        Some(_) => Some(Unblock::TimedOut),
    };
    let client = call.session.client.id;
    let unblocked = blocked::cancel(call.engine, call.node, client, token, tell);
    call.reply.int(i64::from(unblocked));
    Ok(())
}
