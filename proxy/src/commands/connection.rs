//! The connection itself, and what needs no data.

use std::sync::Arc;

use slotway_common::acl::{Login, Reason};
use slotway_common::alone;
use slotway_common::command::wrong_arity;
use slotway_common::error::Error;
use slotway_common::number::parse_i64;
use slotway_common::platform::clock;
use slotway_common::pubsub;
use slotway_common::resp::Protocol;

use super::call::{Answer, Call};
use crate::client_line;
use crate::session::Session;

/// The version that the proxy shows to its clients.
pub(crate) const REDIS_VERSION: &str = "7.0.15";

pub(super) fn answer(name: &str) -> Option<Answer> {
    Some(match name {
        "ping" => ping,
        "echo" => echo,
        "select" => select,
        "quit" => quit,
        "auth" => auth,
        "hello" => hello,
        "time" => time,
        "lolwut" => lolwut,
        "role" => role,
        "module|list" => modules,
        "replicaof" | "slaveof" => follow,
        "client|id" => client_id,
        "client|info" => client_info,
        "client|setinfo" => client_setinfo,
        "client|getname" => client_getname,
        "client|setname" => client_setname,
        "client|reply" => client_reply,
        "client|no-evict" => client_no_evict,
        "client|getredir" => client_getredir,
        "client|trackinginfo" => client_trackinginfo,
        "client|caching" => client_caching,
        _ => return None,
    })
}

fn ping(call: &mut Call<'_>) -> Result<(), Error> {
    if call.args.len() <= 2 && call.session()?.only_listens() {
        pubsub::pong(&mut call.reply, call.args.get(1).unwrap_or_default());
        return Ok(());
    }
    match call.args.len() {
        1 => call.reply.simple("PONG"),
        2 => call.reply.bulk(call.args.at(1)),
        _ => return Err(wrong_arity(call.command)),
    }
    Ok(())
}

fn echo(call: &mut Call<'_>) -> Result<(), Error> {
    call.reply.bulk(call.args.at(1));
    Ok(())
}

fn select(call: &mut Call<'_>) -> Result<(), Error> {
    let index = parse_i64(call.args.at(1)).ok_or(Error::NotInteger)?;
    let index = i32::try_from(index).map_err(|_| {
        Error::err(format!("value is out of range, value must between {} and {}", i32::MIN, i32::MAX))
    })?;
    let databases = call.core.policy.databases;
    let database = u32::try_from(index)
        .ok()
        .filter(|database| *database < databases)
        .ok_or(Error::err("DB index is out of range"))?;
    let protocol = call.session()?.protocol;
    call.core.use_route(call.id, protocol, database);
    call.reply.ok();
    Ok(())
}

fn quit(call: &mut Call<'_>) -> Result<(), Error> {
    call.reply.ok();
    call.core.end_after_this(call.id);
    Ok(())
}

fn auth(call: &mut Call<'_>) -> Result<(), Error> {
    let (user, password) = match call.args.len() {
        2 if call.core.users.have_no_password() => {
            return Err(Error::err(
                "AUTH <password> called without any password configured for the default user. Are you sure your \
                 configuration is correct?",
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

fn authenticate(call: &mut Call<'_>, user: &[u8], password: &[u8]) -> Result<(), Error> {
    let users = Arc::clone(&call.core.users);
    if !call.session()?.login.log_in(&users, user, password) {
        call.core.counters.authentication_failures.inc();
        call.core.note_denied(call.id, Reason::Auth, call.args.at(0), Some(user));
        return Err(Error::WrongPass);
    }
    Ok(())
}

fn hello(call: &mut Call<'_>) -> Result<(), Error> {
    let args = call.args;
    let mut protocol = call.session()?.protocol;
    if let Some(version) = args.get(1) {
        let version =
            parse_i64(version).ok_or(Error::err("Protocol version is not an integer or out of range"))?;
        protocol = match version {
            2 => Protocol::Resp2,
            3 => Protocol::Resp3,
            _ => return Err(Error::NoProto),
        };
    }
    let mut name = None;
    let mut next = 2;
    while next < args.len() {
        let left = args.len() - next - 1;
        if args.is(next, "AUTH") && left >= 2 {
            authenticate(call, args.at(next + 1), args.at(next + 2))?;
            next += 3;
        } else if args.is(next, "SETNAME") && left >= 1 {
            name = Some(valid_name(args.at(next + 1))?.to_vec());
            next += 2;
        } else {
            let mut text = b"Syntax error in HELLO option '".to_vec();
            text.extend_from_slice(args.at(next));
            text.push(b'\'');
            return Err(Error::Bytes(text));
        }
    }
    let users = Arc::clone(&call.core.users);
    let session = call.session()?;
    if session.login.is_required(&users) {
        return Err(Error::Line(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH \
             <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the \
             same time"
                .into(),
        ));
    }
    if let Some(name) = name {
        session.details.name = name;
    }
    let (client, database) = (session.client, session.database);
    call.core.use_route(call.id, protocol, database);
    let reply = &mut call.reply;
    reply.protocol = protocol;
    reply.map(7);
    reply.bulk(b"server");
    reply.bulk(b"redis");
    reply.bulk(b"version");
    reply.bulk(REDIS_VERSION.as_bytes());
    reply.bulk(b"proto");
    reply.int(i64::from(protocol.number()));
    reply.bulk(b"id");
    reply.int(client as i64);
    reply.bulk(b"mode");
    reply.bulk(b"standalone");
    reply.bulk(b"role");
    reply.bulk(b"master");
    reply.bulk(b"modules");
    reply.array(0);
    Ok(())
}

pub(super) fn reset(call: &mut Call<'_>) -> Result<(), Error> {
    call.core.end_transaction(call.id);
    call.core.stop_tracking(call.id);
    let login = Login::new(&call.core.users);
    let session = call.session()?;
    session.login = login;
    session.reply_mode.reset();
    session.details.name.clear();
    session.details.no_evict = false;
    let was_monitor = std::mem::take(&mut session.monitor);
    if was_monitor {
        call.core.monitor_left(call.id);
    }
    call.core.use_route(call.id, Protocol::Resp2, 0);
    call.reply.protocol = Protocol::Resp2;
    call.reply.simple("RESET");
    Ok(())
}

fn time(call: &mut Call<'_>) -> Result<(), Error> {
    let now = clock::now_us();
    call.reply.array(2);
    call.reply.bulk_int(now / 1_000_000);
    call.reply.bulk_int(now % 1_000_000);
    Ok(())
}

fn lolwut(call: &mut Call<'_>) -> Result<(), Error> {
    if call.args.is(1, "VERSION") && call.args.len() > 2 {
        parse_i64(call.args.at(2)).ok_or(Error::NotInteger)?;
    }
    call.reply.verbatim("txt", format!("Redis ver. {REDIS_VERSION}\n").as_bytes());
    Ok(())
}

/// The proxy is the one primary that its clients know, without replicas and without a replication stream.
fn role(call: &mut Call<'_>) -> Result<(), Error> {
    alone::role(&mut call.reply);
    Ok(())
}

fn modules(call: &mut Call<'_>) -> Result<(), Error> {
    alone::modules(&mut call.reply);
    Ok(())
}

fn follow(call: &mut Call<'_>) -> Result<(), Error> {
    alone::follow(call.command, &call.args, &mut call.reply)
}

fn client_id(call: &mut Call<'_>) -> Result<(), Error> {
    let client = call.session()?.client;
    call.reply.int(client as i64);
    Ok(())
}

fn client_info(call: &mut Call<'_>) -> Result<(), Error> {
    let (now, asks) = (call.core.now, call.args.iter().map(<[u8]>::len).sum());
    let line = client_line::describe(call.session()?, now, asks);
    call.reply.verbatim("txt", &line);
    Ok(())
}

/// From Redis 7.2, since current clients send it when they connect.
fn client_setinfo(call: &mut Call<'_>) -> Result<(), Error> {
    let args = call.args;
    let details = &mut call.session()?.details;
    let (place, what) = match args.at(2).to_ascii_lowercase().as_slice() {
        b"lib-name" => (&mut details.library_name, "lib-name"),
        b"lib-ver" => (&mut details.library_version, "lib-ver"),
        _ => {
            let mut text = b"Unrecognized option '".to_vec();
            text.extend_from_slice(args.at(2));
            text.push(b'\'');
            return Err(Error::Bytes(text));
        }
    };
    let wrong = || Error::err(format!("{what} cannot contain spaces, newlines or special characters."));
    *place = valid_name(args.at(3)).map_err(|_| wrong())?.to_vec();
    call.reply.ok();
    Ok(())
}

fn client_getname(call: &mut Call<'_>) -> Result<(), Error> {
    let name = call.session()?.details.name.clone();
    call.reply.optional(if name.is_empty() { None } else { Some(&name) });
    Ok(())
}

fn client_setname(call: &mut Call<'_>) -> Result<(), Error> {
    let name = valid_name(call.args.at(2))?.to_vec();
    call.session()?.details.name = name;
    call.reply.ok();
    Ok(())
}

/// Names appear in the lines of CLIENT LIST, whose fields blanks separate.
fn valid_name(name: &[u8]) -> Result<&[u8], Error> {
    if name.iter().all(|byte| (b'!'..=b'~').contains(byte)) {
        Ok(name)
    } else {
        Err(Error::err("Client names cannot contain spaces, newlines or special characters."))
    }
}

fn client_reply(call: &mut Call<'_>) -> Result<(), Error> {
    let mode = call.args.at(2);
    if call.session()?.reply_mode.change(mode)? {
        call.reply.ok();
    }
    Ok(())
}

fn client_no_evict(call: &mut Call<'_>) -> Result<(), Error> {
    let args = call.args;
    let session: &mut Session = call.session()?;
    session.details.no_evict = if args.is(2, "on") {
        true
    } else if args.is(2, "off") {
        false
    } else {
        return Err(Error::Syntax);
    };
    call.reply.ok();
    Ok(())
}

fn client_getredir(call: &mut Call<'_>) -> Result<(), Error> {
    let redirect = call.core.tracking(call.id).told_redirect();
    call.reply.int(redirect);
    Ok(())
}

fn client_trackinginfo(call: &mut Call<'_>) -> Result<(), Error> {
    call.core.tracking(call.id).describe(&mut call.reply);
    Ok(())
}

fn client_caching(call: &mut Call<'_>) -> Result<(), Error> {
    call.core.set_caching(call.id, &call.args)?;
    call.reply.ok();
    Ok(())
}
