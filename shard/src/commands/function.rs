//! FUNCTION and FCALL.

use slotway_common::command::bad_subcommand_call;
use slotway_common::error::Error;
use slotway_common::glob;
use slotway_common::resp::Args;

use super::script::{arguments, follow, is_flush};
use crate::eval::{check_rights, refuse_over_limit};
use crate::node::{NodeCall, NodeHandler};
use crate::rdb;
use crate::script::{FunctionChange, Kill, Policy, Rights};

pub(super) const HANDLERS: &[(&str, NodeHandler)] = &[
    ("fcall", fcall),
    ("fcall_ro", fcall),
    ("function|load", change),
    ("function|delete", change),
    ("function|flush", change),
    ("function|restore", change),
    ("function|list", list),
    ("function|dump", dump),
    ("function|stats", stats),
    ("function|kill", kill),
];

fn fcall(call: &mut NodeCall<'_>) -> Result<(), Error> {
    let Some(called) = call.node.scripts.libraries.function(call.args.at(1)).cloned() else {
        return Err(Error::err("Function not found"));
    };
    let rights = Rights { flags: Some(called.function.flags), read_only: call.command.name.ends_with("_ro") };
    refuse_over_limit(rights, call)?;
    let arguments = arguments(call, Error::err("Bad number of keys provided"))?;
    check_rights(rights, call)?;
    let run = call.node.scripts.begin_function(&called, rights, arguments, call.engine.now())?;
    follow(call, run)
}

/// The change that a call of FUNCTION asks for.
fn wanted<'a>(call: &NodeCall<'a>, args: Args<'a>) -> Result<FunctionChange<'a>, Error> {
    match args.at(1).to_ascii_lowercase().as_slice() {
        b"load" => {
            let mut replace = false;
            for option in args.range(2, args.len() - 1).iter() {
                if !option.eq_ignore_ascii_case(b"replace") {
                    return Err(Error::Bytes([b"Unknown option given: ", option].concat()));
                }
                replace = true;
            }
            Ok(FunctionChange::Load { code: args.last(), replace })
        }
        b"delete" => Ok(FunctionChange::Delete { name: args.at(2) }),
        b"flush" if args.len() > 3 => Err(bad_subcommand_call(&args)),
        b"flush" if args.len() == 2 || is_flush(call) || args.is(2, "SYNC") || args.is(2, "ASYNC") => {
            Ok(FunctionChange::Flush)
        }
        b"flush" => Err(Error::err("FUNCTION FLUSH only supports SYNC|ASYNC option")),
        _ if args.len() > 4 => Err(bad_subcommand_call(&args)),
        _ => restored(args),
    }
}

fn restored(args: Args<'_>) -> Result<FunctionChange<'_>, Error> {
    let policy = match args.get(3) {
        None => Policy::Append,
        Some(_) if args.is(3, "APPEND") => Policy::Append,
        Some(_) if args.is(3, "REPLACE") => Policy::Replace,
        Some(_) if args.is(3, "FLUSH") => Policy::Flush,
        Some(_) => {
            return Err(Error::err(
                "Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE.",
            ));
        }
    };
    let encoded = rdb::open(args.at(2)).ok_or(Error::err("DUMP payload version or checksum are wrong"))?;
    let codes = rdb::decode_libraries(encoded)
        .map_err(|_| Error::err("failed loading functions, given type is not a function"))?;
    Ok(FunctionChange::Restore { codes, policy })
}

/// For this process, until it ends or the cluster's libraries change. What is loaded through a proxy comes with the cluster's state.
fn change(call: &mut NodeCall<'_>) -> Result<(), Error> {
    let change = wanted(call, *call.args)?;
    let name = call.node.scripts.libraries.change(&change)?;
    match change {
        FunctionChange::Load { .. } => call.reply.bulk(&name),
        _ => call.reply.ok(),
    }
    Ok(())
}

/// `SLOTWAY FUNCTION <subcommand> …`: what a change comes to, without making it: the version of the libraries that it is of, the
/// loaded library's name, and names with codes, or nulls for those that go.
pub(super) fn plan(call: &mut NodeCall<'_>) -> Result<(), Error> {
    let args = call.args.rest(1);
    let change = wanted(call, args)?;
    let (name, set) = call.node.scripts.libraries.plan(&change)?;
    call.reply.array(2 + set.len() * 2);
    call.reply.int(i64::try_from(call.node.state.functions_version).unwrap_or(i64::MAX));
    call.reply.bulk(&name);
    for (name, code) in set {
        call.reply.bulk(&name);
        call.reply.optional(code.as_deref());
    }
    Ok(())
}

fn list(call: &mut NodeCall<'_>) -> Result<(), Error> {
    let (mut with_code, mut pattern) = (false, None);
    let mut index = 2;
    while let Some(word) = call.args.get(index) {
        if !with_code && call.args.is(index, "WITHCODE") {
            with_code = true;
        } else if pattern.is_none() && call.args.is(index, "LIBRARYNAME") {
            index += 1;
            pattern = Some(call.args.get(index).ok_or(Error::err("library name argument was not given"))?);
        } else {
            return Err(Error::Bytes([b"Unknown argument ", word].concat()));
        }
        index += 1;
    }
    let shown: Vec<_> = call
        .node
        .scripts
        .libraries
        .iter()
        .filter(|(name, _)| pattern.is_none_or(|pattern| glob::matches_ignoring_case(pattern, name)))
        .collect();
    let reply = &mut call.reply;
    reply.array(shown.len());
    for (name, library) in shown {
        reply.map(if with_code { 4 } else { 3 });
        reply.bulk(b"library_name");
        reply.bulk(name);
        reply.bulk(b"engine");
        reply.bulk(b"LUA");
        reply.bulk(b"functions");
        reply.array(library.functions.len());
        for (name, function) in &library.functions {
            reply.map(3);
            reply.bulk(b"name");
            reply.bulk(name);
            reply.bulk(b"description");
            reply.optional(function.description.as_deref());
            reply.bulk(b"flags");
            reply.set(function.flags.names().count());
            function.flags.names().for_each(|name| reply.simple(name));
        }
        if with_code {
            reply.bulk(b"library_code");
            reply.bulk(&library.code);
        }
    }
    Ok(())
}

fn dump(call: &mut NodeCall<'_>) -> Result<(), Error> {
    let codes = call.node.scripts.libraries.iter().map(|(_, library)| &*library.code);
    let mut payload = Vec::new();
    rdb::encode_libraries(codes, &mut payload);
    rdb::seal(&mut payload);
    call.reply.bulk(&payload);
    Ok(())
}

fn stats(call: &mut NodeCall<'_>) -> Result<(), Error> {
    let reply = &mut call.reply;
    reply.map(2);
    reply.bulk(b"running_script");
    match call.node.scripts.suspended.describe().filter(|(_, _, _, is_function)| *is_function) {
        Some((name, words, duration, _)) => {
            reply.map(3);
            reply.bulk(b"name");
            reply.bulk(name.as_bytes());
            reply.bulk(b"command");
            reply.array(words.len());
            words.iter().for_each(|word| reply.bulk(word));
            reply.bulk(b"duration_ms");
            reply.int(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX));
        }
        None => reply.null(),
    }
    reply.bulk(b"engines");
    reply.map(1);
    reply.bulk(b"LUA");
    reply.map(2);
    let (libraries, functions) = call.node.scripts.libraries.count();
    reply.bulk(b"libraries_count");
    reply.len(libraries);
    reply.bulk(b"functions_count");
    reply.len(functions);
    Ok(())
}

fn kill(call: &mut NodeCall<'_>) -> Result<(), Error> {
    call.node.scripts.suspended.kill(Kill::Function)?;
    call.reply.ok();
    Ok(())
}
