//! ACL, and what a proxy asks of users.

use std::rc::Rc;

use serde::Serialize;
use slotway_common::acl::{self, StoredUser};
use slotway_common::command;
use slotway_common::error::Error;
use slotway_common::number::parse_i64;
use slotway_common::platform::clock;
use slotway_common::resp::request::Parsed;
use slotway_common::resp::{Limits, Parser};
use slotway_common::settings::Name;

use crate::dispatch::{self, Prepared};
use crate::node::{NodeCall, NodeHandler};
use crate::session::Acting;

pub(super) const HANDLERS: &[(&str, NodeHandler)] = &[
    ("acl|setuser", change),
    ("acl|deluser", change),
    ("acl|log", log),
    ("acl|cat", look),
    ("acl|dryrun", look),
    ("acl|genpass", look),
    ("acl|getuser", look),
    ("acl|help", look),
    ("acl|list", look),
    ("acl|load", look),
    ("acl|save", look),
    ("acl|users", look),
    ("acl|whoami", look),
    ("slotway-as", run_as),
];

fn look(call: &mut NodeCall<'_>) -> Result<(), Error> {
    let own = call.session.user();
    if acl::answer(call.command, &call.node.users, own.name(), &call.args, &mut call.reply)? {
        return Ok(());
    }
    Err(command::unsupported(call.command))
}

/// The cluster makes the change; until it has, the client waits.
fn change(call: &mut NodeCall<'_>) -> Result<(), Error> {
    let args = call.args.rest(2);
    if call.command.name == "acl|deluser" {
        if acl::delete(&call.node.users, &args)?.is_empty() {
            call.reply.int(0);
            return Ok(());
        }
    } else {
        let all_channels = call.node.settings.values.choice(Name::AclPubsubDefault) == "allchannels";
        acl::set(&call.node.users, &args, all_channels)?;
    }
    if call.session.nested {
        return Err(Error::err("users cannot be changed in a transaction at a shard: use a proxy"));
    }
    call.session.wait_for_users(call.args.iter().map(<[u8]>::to_vec).collect());
    Ok(())
}

fn log(call: &mut NodeCall<'_>) -> Result<(), Error> {
    match acl::log_count(&call.args)? {
        None => {
            call.node.acl_log.reset();
            call.reply.ok();
        }
        Some(count) => acl::write_log(&call.node.acl_log, count, clock::now_us(), &mut call.reply),
    }
    Ok(())
}

/// `SLOTWAY ACLLOG`: the entries of ACL LOG, for a proxy that merges them.
pub(super) fn tell_log(call: &mut NodeCall<'_>) {
    let entries = call.node.acl_log.iter();
    call.reply.array(entries.len());
    entries.for_each(|entry| entry.tell(&mut call.reply));
}

/// What `SLOTWAY USERS` answers.
#[derive(Serialize)]
struct Told<'a> {
    version: u64,
    users: &'a [StoredUser],
}

/// `SLOTWAY USERS <version>`: the users of the cluster's state, or nothing where the version is that or a later one.
pub(super) fn tell_users(call: &mut NodeCall<'_>) -> Result<(), Error> {
    let state = &call.node.state;
    if !state.is_founded() {
        return Err(Error::err("this node does not know the users of the cluster yet"));
    }
    let known = parse_i64(call.args.at(2)).and_then(|known| u64::try_from(known).ok());
    if known.is_some_and(|known| known >= state.users_version) {
        call.reply.null();
        return Ok(());
    }
    let told = Told { version: state.users_version, users: &state.users };
    let json = serde_json::to_string(&told).map_err(|error| Error::err(error.to_string()))?;
    call.reply.bulk(json.as_bytes());
    Ok(())
}

/// `SLOTWAY-AS <user> <created> <client> <request> <key>…`: runs a request in the name of a client of a proxy whose user may not
/// do all; there is a key of each slot. What it runs is looked at here as if the client had sent it: of a transaction, and
/// of a script, every single command.
fn run_as(call: &mut NodeCall<'_>) -> Result<(), Error> {
    let args = call.args;
    let created =
        parse_i64(args.at(2)).and_then(|number| u64::try_from(number).ok()).ok_or(Error::NotInteger)?;
    let user =
        call.node.users.get(args.at(1)).filter(|user| user.created() == created || user.name() == b"default");
    let Some(user) = user.cloned() else {
        return Err(Error::TryAgain("this shard does not know the user".into()));
    };
    let frame = args.at(4);
    let mut parser = Parser::new();
    let limits = Limits { max_bulk: usize::MAX, authenticated: true };
    let Ok(Parsed::Frame(_)) = parser.parse(frame, &limits) else { return Err(Error::Syntax) };
    let inner = parser.args(frame);
    let prepared = Prepared::new(&inner, true);
    call.session.acting = Some(Rc::new(Acting { user, client: args.at(3).to_vec() }));
    let started = clock::monotonic();
    dispatch::execute_on(
        call.engine,
        call.node,
        call.session,
        &prepared,
        inner,
        call.reply.buffer(),
        started,
    );
    // A script that is slow goes on in the client's name, with what is left of its transaction.
    if !call.session.scripting {
        call.session.acting = None;
    }
    Ok(())
}
