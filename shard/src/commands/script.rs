//! EVAL and its like, and SCRIPT.

use std::rc::Rc;

use slotway_common::error::Error;
use slotway_common::number::parse_i64;
use slotway_common::resp::Args;
use slotway_common::slot::slot_of;

use crate::eval::{self, Step, check_rights, refuse_over_limit};
use crate::node::{NodeCall, NodeHandler};
use crate::script::{Arguments, Kill, Rights, Script, ScriptFlags, flags_of};
use crate::session::Session;

pub(super) const HANDLERS: &[(&str, NodeHandler)] = &[
    ("eval", eval),
    ("eval_ro", eval),
    ("evalsha", evalsha),
    ("evalsha_ro", evalsha),
    ("script|load", load),
    ("script|exists", exists),
    ("script|flush", flush),
    ("script|kill", kill),
    ("script|debug", debug),
];

/// The number of keys, which is the second argument.
pub(super) fn arguments<'a>(call: &NodeCall<'a>, not_a_number: Error) -> Result<Arguments<'a>, Error> {
    let args = call.args;
    let keys = parse_i64(args.at(2)).ok_or(not_a_number)?;
    let given = args.len() - 3;
    match usize::try_from(keys) {
        Ok(keys) if keys <= given => {
            Ok(Arguments { keys: args.range(3, 3 + keys), others: args.rest(3 + keys) })
        }
        Ok(_) => Err(Error::err("Number of keys can't be greater than number of args")),
        Err(_) => Err(Error::err("Number of keys can't be negative")),
    }
}

fn eval(call: &mut NodeCall<'_>) -> Result<(), Error> {
    // Redis knows what a script says of itself before it looks at anything else of the call.
    refuse_over_limit(rights(call, flags_of(call.args.at(1))), call)?;
    let arguments = arguments(call, Error::NotInteger)?;
    let script = call.node.scripts.of_text(call.args.at(1), false)?;
    run(call, &script, arguments)
}

fn evalsha(call: &mut NodeCall<'_>) -> Result<(), Error> {
    if call.args.at(1).len() != 40 {
        return Err(no_script());
    }
    let script = call.node.scripts.of_digest(call.args.at(1)).cloned();
    if let Some(script) = &script {
        refuse_over_limit(rights(call, script.flags), call)?;
    }
    let arguments = arguments(call, Error::NotInteger)?;
    match script {
        Some(script) => run(call, &script, arguments),
        None => {
            if !call.session.nested {
                refuse_slots(call.session, arguments.keys);
            }
            Err(no_script())
        }
    }
}

fn no_script() -> Error {
    Error::Line("NOSCRIPT No matching script. Please use EVAL.".into())
}

/// A proxy that is told of a script that is not here looks for it elsewhere, loads it here and tries again. Until then
/// nothing may overtake the call: the slots of its keys stay refused.
pub(super) fn refuse_slots(session: &mut Session, keys: Args<'_>) {
    if session.internal.is_none() {
        return;
    }
    for key in keys.iter() {
        let slot = slot_of(key);
        if !session.refused.contains(&slot) {
            session.refused.push(slot);
        }
    }
}

fn rights(call: &NodeCall<'_>, flags: Option<ScriptFlags>) -> Rights {
    Rights { flags, read_only: call.command.name.ends_with("_ro") }
}

fn run(call: &mut NodeCall<'_>, script: &Rc<Script>, arguments: Arguments<'_>) -> Result<(), Error> {
    let rights = rights(call, script.flags);
    check_rights(rights, call)?;
    let run = call.node.scripts.begin(script, rights, arguments, call.engine.now())?;
    follow(call, run)
}

/// Runs a script or function to its end, or until it is slow.
pub(super) fn follow(call: &mut NodeCall<'_>, mut run: crate::script::Run) -> Result<(), Error> {
    let threshold = call.node.scripts.threshold;
    let db = call.session.db;
    match eval::start(&mut run, call.engine, call.node, call.session, threshold) {
        Step::Ended(outcome) => {
            call.session.db = db;
            let result = eval::finish(run, outcome, call.node, &mut call.reply);
            if call.session.elsewhere {
                return Err(Error::Line(
                    "ELSEWHERE the script uses keys of other shards; it has done nothing".into(),
                ));
            }
            result
        }
        Step::Slow => {
            call.node.log.hand_over_before_group(&mut call.node.changes);
            call.node.scripts.suspended.take_over(run, &call.args, db, call.session);
            Ok(())
        }
    }
}

fn load(call: &mut NodeCall<'_>) -> Result<(), Error> {
    let script = call.node.scripts.of_text(call.args.at(2), true)?;
    call.reply.bulk(script.digest.as_bytes());
    Ok(())
}

fn exists(call: &mut NodeCall<'_>) -> Result<(), Error> {
    call.reply.array(call.args.len() - 2);
    for digest in call.args.rest(2).iter() {
        call.reply.int(i64::from(call.node.scripts.of_digest(digest).is_some()));
    }
    Ok(())
}

/// Whether the options of a FLUSH are ones that there are.
pub(super) fn is_flush(call: &NodeCall<'_>) -> bool {
    match call.args.len() {
        2 => true,
        3 => call.args.is(2, "SYNC") || call.args.is(2, "ASYNC"),
        _ => false,
    }
}

fn flush(call: &mut NodeCall<'_>) -> Result<(), Error> {
    if !is_flush(call) {
        return Err(Error::err("SCRIPT FLUSH only support SYNC|ASYNC option"));
    }
    call.node.scripts.flush();
    call.reply.ok();
    Ok(())
}

fn kill(call: &mut NodeCall<'_>) -> Result<(), Error> {
    call.node.scripts.suspended.kill(Kill::Script)?;
    call.reply.ok();
    Ok(())
}

fn debug(call: &mut NodeCall<'_>) -> Result<(), Error> {
    if call.args.is(2, "NO") {
        call.reply.ok();
        return Ok(());
    }
    if call.args.is(2, "YES") || call.args.is(2, "SYNC") {
        return Err(Error::err("scripts cannot be debugged here: there is no Lua debugger"));
    }
    Err(Error::err("Use SCRIPT DEBUG YES/SYNC/NO"))
}
