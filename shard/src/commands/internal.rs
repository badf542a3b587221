//! `SLOTWAY …`: what the processes of a cluster say to each other over a shard's client port.

use std::rc::Rc;

use slotway_common::acl::Login;
use slotway_common::command;
use slotway_common::error::Error;
use slotway_common::handshake::{HandshakeError, Server};
use slotway_common::number::parse_i64;
use slotway_common::pubsub::Kind;
use slotway_common::resp::Protocol;
use slotway_common::topology::SlotRanges;

use crate::call::Arguments;
use crate::dispatch;
use crate::engine::DATABASES;
use crate::node::{Function, NodeCall, NodeHandler};

pub(super) const HANDLERS: &[(&str, NodeHandler)] = &[("slotway", slotway)];

fn slotway(call: &mut NodeCall<'_>) -> Result<(), Error> {
    if call.args.is(1, "CONNECT") {
        return connect(call);
    }
    if call.args.is(1, "PROVE") {
        return prove(call);
    }
    if call.session.internal.is_none() {
        return Err(command::unknown_command(&call.args));
    }
    match call.args.at(1).to_ascii_uppercase().as_slice() {
        b"PING" => call.reply.simple("PONG"),
        b"TOPOLOGY" => call.reply.bulk(call.node.topology.to_json().as_bytes()),
        b"GENERATION" => {
            call.reply.int(i64::try_from(call.node.state.generation).unwrap_or(i64::MAX));
        }
        b"ROOM" => {
            dispatch::make_room(call.engine, call.node, true)?;
            let client = call.session.client.clone();
            call.node.tell_room(&client);
            call.reply.ok();
        }
        b"SYNTAX" => return super::syntax::check(call),
        b"RESUME" => return resume(call),
        b"ON" => return on(call),
        b"IMPORT" => return import(call),
        b"SLOTS" => {
            let json = crate::figures::slots_json(call.engine, call.node);
            call.reply.bulk(json.as_bytes());
        }
        b"MONITOR" => monitor(call),
        b"SHOW" => {
            call.session.shows = call.args.is(2, "1");
            call.reply.ok();
        }
        b"SLOWLOG" => super::slowlog::tell(call),
        b"PATTERNS" => {
            let names = call.node.pubsub.names(Kind::Pattern);
            call.reply.array(names.len());
            names.for_each(|name| call.reply.bulk(name));
        }
        b"STATS" => {
            let json = crate::figures::Figures::of(call.engine, call.node).to_json();
            call.reply.bulk(json.as_bytes());
        }
        b"OUTCOME" => return super::across::outcome(call),
        b"SCRIPT" => {
            let text = call.node.scripts.of_digest(call.args.at(2)).map(|script| &*script.text);
            call.reply.optional(text);
        }
        b"FUNCTION" => return super::function::plan(call),
        b"SETTINGS" => return super::settings::internal(call),
        b"USERS" => return super::acl::tell_users(call),
        b"ACLLOG" => super::acl::tell_log(call),
        _ => return Err(command::unknown_subcommand(&call.args)),
    }
    Ok(())
}

fn refused(error: &HandshakeError) -> Error {
    Error::err(format!("handshake refused: {error}"))
}

fn connect(call: &mut NodeCall<'_>) -> Result<(), Error> {
    let Some(secret) = &call.node.secret else {
        return Err(Error::err("this node has no cluster secret, so it opens no internal connections"));
    };
    let fields: Vec<&[u8]> = call.args.rest(2).iter().collect();
    let (server, answer) =
        Server::connect(&call.node.identity, secret, &fields).map_err(|error| refused(&error))?;
    call.session.handshake = Some(server);
    call.reply.array(answer.len());
    for field in answer {
        call.reply.bulk(field.as_bytes());
    }
    Ok(())
}

fn prove(call: &mut NodeCall<'_>) -> Result<(), Error> {
    let Some(server) = call.session.handshake.take() else {
        return Err(Error::err("PROVE comes after CONNECT"));
    };
    let fields: Vec<&[u8]> = call.args.rest(2).iter().collect();
    let proven = server.prove(&fields, DATABASES as u32).map_err(|error| refused(&error))?;
    let node: Rc<str> = Rc::from(proven.client_node);
    let session = &mut *call.session;
    *session.client.internal.borrow_mut() = Some(node.clone());
    session.internal = Some(node);
    session.client.set_login(Login::internal());
    session.may_wait = false;
    session.db = proven.mode.database as usize;
    session.protocol = if proven.mode.resp == 3 { Protocol::Resp3 } else { Protocol::Resp2 };
    session.client.protocol.set(session.protocol);
    call.reply.ok();
    Ok(())
}

fn resume(call: &mut NodeCall<'_>) -> Result<(), Error> {
    let slot = parse_i64(call.args.at(2)).ok_or(Error::NotInteger)?;
    call.session.refused.retain(|refused| i64::from(*refused) != slot);
    call.reply.ok();
    Ok(())
}

/// `SLOTWAY ON <ranges> <command> …`: runs a fan-out command on those of the slots that this shard
/// owns; answers with the ranges that were not done, and the command's reply.
fn on(call: &mut NodeCall<'_>) -> Result<(), Error> {
    let text = std::str::from_utf8(call.args.at(2)).map_err(|_| Error::Syntax)?;
    let asked: SlotRanges = text.parse().map_err(|error| Error::err(format!("bad slot ranges: {error}")))?;
    let args = call.args.rest(3);
    if args.is_empty() {
        return Err(Error::Syntax);
    }
    let row = command::resolve(&args, false)?;
    if row.route != command::Route::FanOut {
        return Err(Error::err("only commands that cover all slots can be run ON some"));
    }
    call.node.check_serving(true)?;
    if call.node.scripts.suspended.is_any() {
        return Err(call.node.scripts.suspended.error());
    }
    call.node.standing.admit(row)?;
    let Some(Function::Node(handler)) = call.node.handlers.get(row) else {
        return Err(command::unsupported(row));
    };
    let (mine, others): (Vec<u16>, Vec<u16>) = asked.slots().partition(|slot| call.node.serves(*slot));
    call.reply.array(2);
    call.reply.bulk(SlotRanges::from_slots(others).to_string().as_bytes());
    call.session.only = Some(SlotRanges::from_slots(mine));
    let (outer_args, outer_command) = (call.args, call.command);
    (call.args, call.command) = (Arguments::new(args, None), row);
    let result = handler(call);
    (call.args, call.command) = (outer_args, outer_command);
    call.session.only = None;
    result
}

/// `SLOTWAY IMPORT <move>`: what follows on this connection is the slot stream of a move to this shard.
fn import(call: &mut NodeCall<'_>) -> Result<(), Error> {
    let id = String::from_utf8_lossy(call.args.at(2)).into_owned();
    if id.is_empty() {
        return Err(Error::Syntax);
    }
    call.session.become_stream(id);
    call.reply.ok();
    Ok(())
}

fn monitor(call: &mut NodeCall<'_>) {
    let without = std::str::from_utf8(call.args.at(2)).ok().filter(|node| !node.is_empty()).map(Rc::from);
    call.node.monitors.add(call.session.client.clone(), without);
    call.reply.ok();
}
