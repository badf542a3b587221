//! The connection itself.

use slotway_common::acl::{Login, Reason};
use slotway_common::error::Error;
use slotway_common::number::parse_i64;
use slotway_common::pubsub;
use slotway_common::resp::Protocol;

use crate::dispatch::note_denied;
use crate::node::{NodeCall, NodeHandler};

pub(super) const HANDLERS: &[(&str, NodeHandler)] = &[
    ("ping", ping),
    ("echo", echo),
    ("select", select),
    ("quit", quit),
    ("auth", auth),
    ("hello", hello),
    ("reset", reset),
];

fn ping(call: &mut NodeCall<'_>) -> Result<(), Error> {
    if call.args.len() <= 2 && !call.reply.is_resp3() && call.session.client.is_subscriber() {
        pubsub::pong(&mut call.reply, call.args.get(1).unwrap_or_default());
        return Ok(());
    }
    match call.args.len() {
        1 => call.reply.simple("PONG"),
        2 => call.reply.bulk(call.args.at(1)),
        _ => return Err(slotway_common::command::wrong_arity(call.command)),
    }
    Ok(())
}

fn echo(call: &mut NodeCall<'_>) -> Result<(), Error> {
    call.reply.bulk(call.args.at(1));
    Ok(())
}

fn select(call: &mut NodeCall<'_>) -> Result<(), Error> {
    call.session.db = super::generic::database(call.args.at(1))?;
    call.reply.ok();
    Ok(())
}

fn quit(call: &mut NodeCall<'_>) -> Result<(), Error> {
    call.reply.ok();
    call.session.closing = true;
    Ok(())
}

fn auth(call: &mut NodeCall<'_>) -> Result<(), Error> {
    let (user, password) = match call.args.len() {
        2 if call.node.users.have_no_password() => {
            return Err(Error::err(
                "AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?",
            ));
        }
        2 => (&b"default"[..], call.args.at(1)),
        3 => (call.args.at(1), call.args.at(2)),
        _ => return Err(Error::Syntax),
    };
    authenticate(call, user, password)?;
    call.reply.ok();
    Ok(())
}

fn authenticate(call: &mut NodeCall<'_>, user: &[u8], password: &[u8]) -> Result<(), Error> {
    let client = call.session.client.clone();
    let mut login = client.login.borrow().clone();
    if !login.log_in(&call.node.users, user, password) {
        note_denied(call.node, call.session, Reason::Auth, call.args.at(0), Some(user));
        return Err(Error::WrongPass);
    }
    client.set_login(login);
    Ok(())
}

fn hello(call: &mut NodeCall<'_>) -> Result<(), Error> {
    let mut protocol = call.session.protocol;
    let mut next = 1;
    if call.args.len() > 1 {
        let version = parse_i64(call.args.at(1))
            .ok_or(Error::err("Protocol version is not an integer or out of range"))?;
        protocol = match version {
            2 => Protocol::Resp2,
            3 => Protocol::Resp3,
            _ => return Err(Error::NoProto),
        };
        next = 2;
    }
    let mut name = None;
    while next < call.args.len() {
        let left = call.args.len() - next - 1;
        if call.args.is(next, "AUTH") && left >= 2 {
            authenticate(call, call.args.at(next + 1), call.args.at(next + 2))?;
            next += 3;
        } else if call.args.is(next, "SETNAME") && left >= 1 {
            name = Some(valid_name(call.args.at(next + 1))?.to_vec());
            next += 2;
        } else {
            let mut text = b"Syntax error in HELLO option '".to_vec();
            text.extend_from_slice(call.args.at(next));
            text.push(b'\'');
            return Err(Error::Bytes(text));
        }
    }
    if call.session.client.login.borrow().is_required(&call.node.users) {
        return Err(Error::Line(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time".into(),
        ));
    }
    if let Some(name) = name {
        *call.session.client.name.borrow_mut() = name;
    }
    call.session.protocol = protocol;
    call.session.client.protocol.set(protocol);
    call.reply.protocol = protocol;
    let reply = &mut call.reply;
    reply.map(7);
    reply.bulk(b"server");
    reply.bulk(b"redis");
    reply.bulk(b"version");
    reply.bulk(b"7.0.15");
    reply.bulk(b"proto");
    reply.int(i64::from(protocol.number()));
    reply.bulk(b"id");
    reply.int(call.session.client.id as i64);
    reply.bulk(b"mode");
    reply.bulk(b"cluster");
    reply.bulk(b"role");
    reply.bulk(b"master");
    reply.bulk(b"modules");
    reply.array(0);
    Ok(())
}

/// A connection's name: printable ASCII without blanks.
pub(super) fn valid_name(name: &[u8]) -> Result<&[u8], Error> {
    if name.iter().all(|byte| (b'!'..=b'~').contains(byte)) {
        Ok(name)
    } else {
        Err(Error::err("Client names cannot contain spaces, newlines or special characters."))
    }
}

fn reset(call: &mut NodeCall<'_>) -> Result<(), Error> {
    let session = &mut *call.session;
    session.db = 0;
    session.protocol = Protocol::Resp2;
    session.client.protocol.set(Protocol::Resp2);
    session.client.set_login(Login::new(&call.node.users));
    session.reply_mode.reset();
    session.end_transaction();
    session.unwatch(call.engine);
    session.client.name.borrow_mut().clear();
    session.client.no_evict.set(false);
    session.client.monitor.set(false);
    call.node.monitors.remove(session.client.id);
    call.node.pubsub.forget(&session.client);
    session.mark = None;
    let client = session.client.clone();
    call.node.tracking.disable(call.engine, &client);
    call.reply.protocol = Protocol::Resp2;
    call.reply.simple("RESET");
    Ok(())
}
