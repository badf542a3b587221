//! The table `redis` of scripts.

use sha1::{Digest, Sha1};
use slotway_common::command;
use slotway_common::number::format_f64;
use slotway_common::resp::{Args, Protocol};

use super::context::Exchange;
use super::convert::{push_command_error, push_error, push_reply};
use super::lua::{Frame, Kind, Native, Outcome, Raise};

/// Longest text that `redis.log` writes.
const LONGEST_LINE: usize = 1024;

/// As redis-server has it.
pub const VERSION: &str = "7.0.15";
const VERSION_NUMBER: f64 = 0x0007_000f as f64;

const NUMBERS: &[(&str, f64)] = &[
    ("REDIS_VERSION_NUM", VERSION_NUMBER),
    ("LOG_DEBUG", 0.0),
    ("LOG_VERBOSE", 1.0),
    ("LOG_NOTICE", 2.0),
    ("LOG_WARNING", 3.0),
    ("REPL_NONE", 0.0),
    ("REPL_AOF", 1.0),
    ("REPL_SLAVE", 2.0),
    ("REPL_REPLICA", 2.0),
    ("REPL_ALL", 3.0),
];

/// What scripts have, and functions when they run.
const RUNNING: &[(&str, Native)] = &[
    ("call", call),
    ("pcall", pcall),
    ("log", log),
    ("setresp", setresp),
    ("error_reply", error_reply),
    ("status_reply", status_reply),
    ("sha1hex", sha1hex),
    ("set_repl", set_repl),
    ("acl_check_cmd", acl_check_cmd),
];

/// What only scripts have.
const OF_SCRIPTS: &[(&str, Native)] =
    &[("breakpoint", breakpoint), ("debug", debug), ("replicate_commands", replicate_commands)];

/// Pushes the table for scripts, or for functions.
pub fn push(frame: &mut Frame<'_>, of_scripts: bool) {
    frame.push_table(0, 32);
    for &(name, number) in NUMBERS {
        frame.push_number(number);
        frame.set_field(-2, name.as_bytes());
    }
    frame.push_bytes(VERSION.as_bytes());
    frame.set_field(-2, b"REDIS_VERSION");
    for &(name, native) in RUNNING.iter().chain(OF_SCRIPTS.iter().filter(|_| of_scripts)) {
        frame.push_native(native);
        frame.set_field(-2, name.as_bytes());
    }
}

/// Pushes the table for a library that is being loaded.
pub fn push_loading(frame: &mut Frame<'_>) {
    frame.push_table(0, 8);
    for &(name, number) in NUMBERS.iter().filter(|(name, _)| !name.starts_with("REPL_")) {
        frame.push_number(number);
        frame.set_field(-2, name.as_bytes());
    }
    frame.push_bytes(VERSION.as_bytes());
    frame.set_field(-2, b"REDIS_VERSION");
    for (name, native) in [("log", log as Native), ("register_function", super::functions::register)] {
        frame.push_native(native);
        frame.set_field(-2, name.as_bytes());
    }
}

fn raise(frame: &mut Frame<'_>, text: &str) -> Outcome {
    push_error(frame, text.as_bytes());
    Err(Raise::Top)
}

fn call(frame: &mut Frame<'_>) -> Outcome {
    if run(frame) { Ok(1) } else { Err(Raise::Top) }
}

fn pcall(frame: &mut Frame<'_>) -> Outcome {
    run(frame);
    Ok(1)
}

/// Has a command run and pushes its reply; false when that is an error.
fn run(frame: &mut Frame<'_>) -> bool {
    if let Err(text) = gather(frame) {
        push_error(frame, text.as_bytes());
        return false;
    }
    frame.truncate(0);
    if !frame.context().call() {
        push_command_error(frame, b"-ERR commands cannot be called here");
        return false;
    }
    let reply = std::mem::take(&mut frame.context().exchange.borrow_mut().reply);
    let succeeded = push_reply(frame, &reply);
    give_back(frame, reply);
    succeeded
}

/// Keeps a buffer for the next reply unless it is large.
fn give_back(frame: &Frame<'_>, mut reply: Vec<u8>) {
    const KEEP: usize = 64 * 1024;
    if reply.capacity() <= KEEP {
        reply.clear();
        frame.context().exchange.borrow_mut().reply = reply;
    }
}

/// Puts the arguments of the native into the exchange.
fn gather(frame: &Frame<'_>) -> Result<(), &'static str> {
    let count = frame.top();
    if count == 0 {
        return Err("Please specify at least one argument for this redis lib call");
    }
    let mut exchange = frame.context().exchange.borrow_mut();
    let Exchange { args, spans, .. } = &mut *exchange;
    args.clear();
    spans.clear();
    for index in 1..=i32::try_from(count).unwrap_or(i32::MAX) {
        let start = args.len();
        match frame.kind(index) {
            Kind::String => args.extend_from_slice(frame.bytes(index).unwrap_or_default()),
            Kind::Number => {
                args.extend_from_slice(format_f64(frame.number(index).unwrap_or(0.0)).as_bytes());
            }
            _ => return Err("Lua redis lib command arguments must be strings or integers"),
        }
        let (Ok(start), Ok(length)) = (u32::try_from(start), u32::try_from(args.len() - start)) else {
            return Err("the arguments of this redis lib call are too long");
        };
        spans.push((start, length));
    }
    Ok(())
}

fn log(frame: &mut Frame<'_>) -> Outcome {
    let count = frame.top();
    if count < 2 {
        return raise(frame, "redis.log() requires two arguments or more.");
    }
    if frame.kind(1) != Kind::Number && frame.number(1).is_none() {
        return raise(frame, "First argument must be a number (log level).");
    }
    let level = frame.number(1).unwrap_or(0.0) as i64;
    if !(0..=3).contains(&level) {
        return raise(frame, "Invalid debug level.");
    }
    let mut text = Vec::new();
    for index in 2..=i32::try_from(count).unwrap_or(0) {
        if let Some(bytes) = frame.bytes(index) {
            if !text.is_empty() {
                text.push(b' ');
            }
            text.extend_from_slice(bytes.get(..LONGEST_LINE).unwrap_or(bytes));
        }
        text.truncate(LONGEST_LINE);
    }
    let text = text.escape_ascii();
    match level {
        0 => tracing::trace!("script: {text}"),
        1 => tracing::debug!("script: {text}"),
        2 => tracing::info!("script: {text}"),
        _ => tracing::warn!("script: {text}"),
    }
    Ok(0)
}

fn setresp(frame: &mut Frame<'_>) -> Outcome {
    if frame.top() != 1 {
        return raise(frame, "redis.setresp() requires one argument.");
    }
    let protocol = match frame.number(1).map(|number| number as i64) {
        Some(2) => Protocol::Resp2,
        Some(3) => Protocol::Resp3,
        _ => return raise(frame, "RESP version must be 2 or 3."),
    };
    frame.context().protocol.set(protocol);
    Ok(0)
}

fn error_reply(frame: &mut Frame<'_>) -> Outcome {
    if frame.top() != 1 || frame.kind(1) != Kind::String {
        push_error(frame, b"wrong number or type of arguments");
        return Ok(1);
    }
    let mut line = frame.bytes(1).unwrap_or_default().to_vec();
    if line.first() != Some(&b'-') {
        line.insert(0, b'-');
    }
    push_error(frame, &line);
    Ok(1)
}

fn status_reply(frame: &mut Frame<'_>) -> Outcome {
    if frame.top() != 1 || frame.kind(1) != Kind::String {
        push_error(frame, b"wrong number or type of arguments");
        return Ok(1);
    }
    frame.push_table(0, 1);
    frame.push_copy(1);
    frame.set_field(-2, b"ok");
    Ok(1)
}

/// The digest by which scripts are named, in hexadecimal.
#[must_use]
pub fn digest(text: &[u8]) -> String {
    Sha1::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn sha1hex(frame: &mut Frame<'_>) -> Outcome {
    if frame.top() != 1 {
        return raise(frame, "wrong number of arguments");
    }
    let digest = digest(frame.bytes(1).unwrap_or_default());
    frame.push_bytes(digest.as_bytes());
    Ok(1)
}

/// Effects are always replicated and logged: those of a script are applied whole or not at all.
fn set_repl(frame: &mut Frame<'_>) -> Outcome {
    if frame.top() != 1 {
        return raise(frame, "redis.set_repl() requires two arguments.");
    }
    let flags = frame.number(1).unwrap_or(0.0) as i64;
    if flags & !3 != 0 {
        return raise(frame, "Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE.");
    }
    Ok(0)
}

fn replicate_commands(frame: &mut Frame<'_>) -> Outcome {
    frame.push_boolean(true);
    Ok(1)
}

/// There is no debugger.
fn breakpoint(frame: &mut Frame<'_>) -> Outcome {
    frame.push_boolean(false);
    Ok(1)
}

fn debug(_: &mut Frame<'_>) -> Outcome {
    Ok(0)
}

fn acl_check_cmd(frame: &mut Frame<'_>) -> Outcome {
    let allowed = gather(frame).and_then(|()| {
        let exchange = frame.context().exchange.borrow();
        let args = Args::new(&exchange.args, &exchange.spans);
        match command::resolve(&args, false) {
            Ok(command) => {
                let user = frame.context().user.borrow();
                Ok(user.as_ref().is_none_or(|user| user.check(command, &args).is_ok()))
            }
            Err(_) => Err("Invalid command passed to redis.acl_check_cmd()"),
        }
    });
    match allowed {
        Ok(allowed) => {
            frame.push_boolean(allowed);
            Ok(1)
        }
        Err(text) => raise(frame, text),
    }
}

/// Makes of what was raised the table that an error reply is made of: its text, and where it was raised.
pub fn error_handler(frame: &mut Frame<'_>) -> Outcome {
    let place = match frame.caller(1) {
        Some(caller) if caller.is_native => frame.caller(2),
        other => other,
    };
    frame.fill(1);
    frame.truncate(1);
    if frame.kind(1) != Kind::Table {
        let text = match frame.kind(1) {
            Kind::String | Kind::Number => frame.bytes(1).unwrap_or_default().to_vec(),
            Kind::Nil => b"nil".to_vec(),
            Kind::Boolean => frame.truth(1).to_string().into_bytes(),
            kind => format!("{}: {:#x}", kind.name(), frame.address(1)).into_bytes(),
        };
        frame.push_table(0, 3);
        frame.push_bytes(&[b"ERR ", &*text].concat());
        frame.set_field(-2, b"err");
        frame.replace(1);
    }
    if let Some(place) = place {
        frame.push_bytes(&place.source);
        frame.set_field(1, b"source");
        frame.push_number(f64::from(place.line));
        frame.set_field(1, b"line");
    }
    Ok(1)
}
