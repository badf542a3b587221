//! CLIENT: this connection, and the others.

use std::rc::Rc;

use slotway_common::command::bad_subcommand_call;
use slotway_common::error::Error;
use slotway_common::number::parse_i64;
use slotway_common::resp::Args;
use slotway_common::tracking::{Change, Tracking};

use super::connection::valid_name;
use crate::client::Client;
use crate::dispatch;
use crate::node::{NodeCall, NodeHandler};
use crate::node::{Pause, PauseScope};
use crate::tracking::{Mark, TrackerId};

pub(super) const HANDLERS: &[(&str, NodeHandler)] = &[
    ("client|id", id),
    ("client|info", info),
    ("client|list", list),
    ("client|kill", kill),
    ("client|getname", getname),
    ("client|setname", setname),
    ("client|setinfo", setinfo),
    ("client|no-evict", no_evict),
    ("client|reply", reply),
    ("client|pause", pause),
    ("client|unpause", unpause),
    ("client|tracking", tracking),
    ("client|caching", caching),
    ("client|trackinginfo", trackinginfo),
    ("client|getredir", getredir),
    ("slotway-quiet", run_quietly),
    ("slotway-track", run_marked),
    ("slotway-tracking", broadcast_for_proxy),
];

fn id(call: &mut NodeCall<'_>) -> Result<(), Error> {
    call.reply.int(call.session.client.id as i64);
    Ok(())
}

fn info(call: &mut NodeCall<'_>) -> Result<(), Error> {
    let mut text = Vec::new();
    call.session.client.describe(call.engine.now(), argument_bytes(&call.args), &mut text);
    call.reply.verbatim("txt", &text);
    Ok(())
}

fn argument_bytes(args: &Args<'_>) -> usize {
    args.iter().map(<[u8]>::len).sum()
}

/// A class of clients.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Normal,
    /// With subscriptions.
    Subscriber,
    /// A shard has none of these.
    Replication,
}

impl Class {
    fn has(self, client: &Client) -> bool {
        self == if client.is_subscriber() { Self::Subscriber } else { Self::Normal }
    }
}

/// A class as CLIENT LIST and KILL take it.
fn class(name: &[u8]) -> Result<Class, Error> {
    match name.to_ascii_lowercase().as_slice() {
        b"normal" => Ok(Class::Normal),
        b"pubsub" => Ok(Class::Subscriber),
        b"slave" | b"replica" | b"master" => Ok(Class::Replication),
        _ => {
            let mut text = b"Unknown client type '".to_vec();
            text.extend_from_slice(name);
            text.push(b'\'');
            Err(Error::Bytes(text))
        }
    }
}

fn list(call: &mut NodeCall<'_>) -> Result<(), Error> {
    let (args, now, me) = (call.args, call.engine.now(), call.session.client.id);
    let asks = |client: &Client| if client.id == me { argument_bytes(&args) } else { 0 };
    let mut text = Vec::new();
    if args.len() == 4 && args.is(2, "TYPE") {
        let class = class(args.at(3))?;
        let of_class = call.node.clients.iter().filter(|client| class.has(client));
        of_class.for_each(|client| client.describe(now, asks(client), &mut text));
    } else if args.len() > 3 && args.is(2, "ID") {
        for id in args.rest(3).iter() {
            let id = parse_i64(id).ok_or(Error::err("Invalid client ID"))?;
            if let Some(client) = u64::try_from(id).ok().and_then(|id| call.node.clients.get(id)) {
                client.describe(now, asks(client), &mut text);
            }
        }
    } else if args.len() == 2 {
        call.node.clients.iter().for_each(|client| client.describe(now, asks(client), &mut text));
    } else {
        return Err(Error::Syntax);
    }
    call.reply.verbatim("txt", &text);
    Ok(())
}

/// Which connections CLIENT KILL means.
#[derive(Default)]
struct Filter<'a> {
    id: Option<i64>,
    address: Option<&'a [u8]>,
    local_address: Option<&'a [u8]>,
    class: Option<Class>,
    user: Option<&'a [u8]>,
    skip_me: bool,
}

impl Filter<'_> {
    fn matches(&self, client: &Client, me: u64) -> bool {
        self.id.is_none_or(|id| u64::try_from(id) == Ok(client.id))
            && self.address.is_none_or(|address| client.address.as_bytes() == address)
            && self.local_address.is_none_or(|address| client.local_address.as_bytes() == address)
            && self.class.is_none_or(|class| class.has(client))
            && self.user.is_none_or(|user| client.login.borrow().user().name() == user)
            && !(self.skip_me && client.id == me)
    }
}

fn kill(call: &mut NodeCall<'_>) -> Result<(), Error> {
    let args = call.args;
    let mut filter = Filter::default();
    if args.len() == 3 {
        filter.address = args.get(2);
    } else {
        filter.skip_me = true;
        let mut index = 2;
        while index < args.len() {
            let Some(value) = args.get(index + 1) else { return Err(Error::Syntax) };
            match args.at(index).to_ascii_lowercase().as_slice() {
                b"id" => {
                    let wrong = Error::err("client-id should be greater than 0");
                    filter.id = Some(parse_i64(value).filter(|id| *id > 0).ok_or(wrong)?);
                }
                b"type" => filter.class = Some(class(value)?),
                b"addr" => filter.address = Some(value),
                b"laddr" => filter.local_address = Some(value),
                b"user" if call.node.users.get(value).is_some() => filter.user = Some(value),
                b"user" => {
                    let mut text = b"No such user '".to_vec();
                    text.extend_from_slice(value);
                    text.push(b'\'');
                    return Err(Error::Bytes(text));
                }
                b"skipme" if value.eq_ignore_ascii_case(b"yes") => filter.skip_me = true,
                b"skipme" if value.eq_ignore_ascii_case(b"no") => filter.skip_me = false,
                _ => return Err(Error::Syntax),
            }
            index += 2;
        }
    }
    let me = call.session.client.id;
    let killed: Vec<Rc<Client>> =
        call.node.clients.iter().filter(|client| filter.matches(client, me)).cloned().collect();
    for client in &killed {
        if client.id == me {
            // After the reply to this command.
            call.session.closing = true;
        } else {
            client.kill();
        }
    }
    match (args.len(), killed.len()) {
        (3, 0) => return Err(Error::err("No such client")),
        (3, _) => call.reply.ok(),
        (_, count) => call.reply.int(count as i64),
    }
    Ok(())
}

fn getname(call: &mut NodeCall<'_>) -> Result<(), Error> {
    let name = call.session.client.name.borrow();
    call.reply.optional((!name.is_empty()).then_some(name.as_slice()));
    Ok(())
}

fn setname(call: &mut NodeCall<'_>) -> Result<(), Error> {
    let name = valid_name(call.args.at(2))?;
    *call.session.client.name.borrow_mut() = name.to_vec();
    call.reply.ok();
    Ok(())
}

/// From Redis 7.2, since current clients send it when they connect.
fn setinfo(call: &mut NodeCall<'_>) -> Result<(), Error> {
    let (option, client) = (call.args.at(2), &call.session.client);
    let (place, what) = match option.to_ascii_lowercase().as_slice() {
        b"lib-name" => (&client.library_name, "lib-name"),
        b"lib-ver" => (&client.library_version, "lib-ver"),
        _ => {
            let mut text = b"Unrecognized option '".to_vec();
            text.extend_from_slice(option);
            text.push(b'\'');
            return Err(Error::Bytes(text));
        }
    };
    let wrong = || Error::err(format!("{what} cannot contain spaces, newlines or special characters."));
    *place.borrow_mut() = valid_name(call.args.at(3)).map_err(|_| wrong())?.to_vec();
    call.reply.ok();
    Ok(())
}

fn no_evict(call: &mut NodeCall<'_>) -> Result<(), Error> {
    let on = match call.args.at(2).to_ascii_lowercase().as_slice() {
        b"on" => true,
        b"off" => false,
        _ => return Err(Error::Syntax),
    };
    call.session.client.no_evict.set(on);
    call.reply.ok();
    Ok(())
}

fn reply(call: &mut NodeCall<'_>) -> Result<(), Error> {
    if call.session.reply_mode.change(call.args.at(2))? {
        call.reply.ok();
    }
    // The line of MONITOR that shows this command goes by what it has set.
    call.session.client.muted.set(call.session.reply_mode.is_muted());
    Ok(())
}

fn pause(call: &mut NodeCall<'_>) -> Result<(), Error> {
    let scope = match call.args.len() {
        3 => PauseScope::All,
        4 if call.args.is(3, "WRITE") => PauseScope::Writes,
        4 if call.args.is(3, "ALL") => PauseScope::All,
        4 => return Err(Error::err("CLIENT PAUSE mode must be WRITE or ALL")),
        _ => return Err(bad_subcommand_call(&call.args)),
    };
    let wrong = Error::err("timeout is not an integer or out of range");
    let timeout = parse_i64(call.args.at(2)).ok_or(wrong)?;
    if timeout < 0 {
        return Err(Error::err("timeout is negative"));
    }
    // As in Redis, a pause beyond the end of time ended long ago.
    let until = call.engine.now().wrapping_add(timeout);
    // A pause never makes one that is in force weaker or shorter.
    let before = call.node.pause.filter(|pause| pause.until > call.engine.now());
    call.node.pause = Some(match before {
        Some(Pause { until: longer, scope: PauseScope::All }) => {
            Pause { until: until.max(longer), scope: PauseScope::All }
        }
        Some(Pause { until: longer, .. }) => Pause { until: until.max(longer), scope },
        None => Pause { until, scope },
    });
    call.reply.ok();
    Ok(())
}

fn unpause(call: &mut NodeCall<'_>) -> Result<(), Error> {
    call.node.pause = None;
    call.node.clients.wake_all();
    call.reply.ok();
    Ok(())
}

/// How the client is tracked.
fn tracked(call: &NodeCall<'_>) -> Tracking {
    call.session.client.tracking.borrow().as_deref().cloned().unwrap_or_default()
}

fn tracking(call: &mut NodeCall<'_>) -> Result<(), Error> {
    let client = call.session.client.clone();
    let clients = &call.node.clients;
    match Change::parse(&call.args, &tracked(call), |client| clients.get(client).is_some())? {
        Change::On(tracking) => {
            let mark = Mark::new(TrackerId::Client(client.id), tracking.remembers());
            call.node.tracking.enable(call.engine, &client, tracking);
            call.session.mark = Some(Box::new(mark));
        }
        Change::Off => {
            call.node.tracking.disable(call.engine, &client);
            call.session.mark = None;
        }
    }
    call.reply.ok();
    Ok(())
}

fn caching(call: &mut NodeCall<'_>) -> Result<(), Error> {
    let mut tracking = tracked(call);
    tracking.set_caching(&call.args)?;
    if let Some(mark) = &mut call.session.mark {
        mark.remembers = tracking.remembers();
    }
    *call.session.client.tracking.borrow_mut() = Some(Box::new(tracking));
    call.reply.ok();
    Ok(())
}

fn trackinginfo(call: &mut NodeCall<'_>) -> Result<(), Error> {
    tracked(call).describe(&mut call.reply);
    Ok(())
}

fn getredir(call: &mut NodeCall<'_>) -> Result<(), Error> {
    call.reply.int(tracked(call).told_redirect());
    Ok(())
}

fn internal_token(call: &NodeCall<'_>, index: usize) -> Result<u64, Error> {
    if call.session.internal.is_none() {
        return Err(slotway_common::command::unknown_command(&call.args));
    }
    parse_i64(call.args.at(index)).and_then(|token| u64::try_from(token).ok()).ok_or(Error::NotInteger)
}

/// `SLOTWAY-TRACK <mode> <client> <command> …`: runs a command for a client of a proxy that is tracked, whose reply is the
/// reply. The mode is 1 if what it reads is remembered, plus 2 if the client is not to hear of what it changes itself.
fn run_marked(call: &mut NodeCall<'_>) -> Result<(), Error> {
    let token = internal_token(call, 2)?;
    let mode = call.integer(1)?;
    let client = call.session.client.clone();
    call.node.tracking.meet(&client, token, mode & 2 != 0);
    let mark = Mark::new(TrackerId::Token(token), mode & 1 != 0);
    let args = call.args.rest(3);
    dispatch::marked(call.engine, call.node, call.session, mark, args, call.reply.buffer());
    Ok(())
}

/// `SLOTWAY-QUIET <command> …`: runs a command, whose reply is the reply, that counts for nothing and is shown to nobody.
fn run_quietly(call: &mut NodeCall<'_>) -> Result<(), Error> {
    let args = call.args.rest(1);
    dispatch::quietly(call.engine, call.node, call.session, args, call.reply.buffer());
    Ok(())
}

/// `SLOTWAY-TRACKING <client> [LOOP|NOLOOP <prefix> …]`: a client of a proxy is to hear of all keys with these prefixes, over
/// this connection, or of nothing any more.
fn broadcast_for_proxy(call: &mut NodeCall<'_>) -> Result<(), Error> {
    let token = internal_token(call, 1)?;
    if call.args.len() == 2 {
        call.node.tracking.forget_token(call.engine, token);
    } else {
        let no_loop = call.args.is(2, "NOLOOP");
        let (client, prefixes) = (call.session.client.clone(), call.args.rest(3));
        if prefixes.is_empty() {
            call.node.tracking.meet(&client, token, no_loop);
        } else {
            call.node.tracking.broadcast(call.engine, &client, token, no_loop, prefixes.iter());
        }
    }
    call.reply.ok();
    Ok(())
}
