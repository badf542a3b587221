//! From a request to the row of its command, or to the error that says why there is none.

use super::index::lookup;
use super::later::MODULES;
use super::route::{Route, Support};
use super::row::Command;
use crate::error::Error;
use crate::resp::Args;

/// How many bytes of what a client sent an error repeats.
const QUOTED: usize = 128;

/// The row that runs a request: the subcommand's if the command has subcommands, and with the right number of
/// arguments. Whether the command is supported, and whether the client may run it, is for the caller to ask.
///
/// `internal` tells whether the other side is a process of Slotway, which has commands of its own.
///
/// # Errors
/// Unknown command or subcommand, wrong number of arguments: Redis's texts.
#[inline]
pub fn resolve(args: &Args<'_>, internal: bool) -> Result<&'static Command, Error> {
    let Some(command) = lookup(args.at(0)) else { return Err(unknown_command(args)) };
    if command.route == Route::Internal && !internal {
        return Err(unknown_command(args));
    }
    let command = match args.get(1) {
        Some(name) if command.is_container() => match command.subcommand(name) {
            Some(subcommand) => subcommand,
            None => return Err(unknown_subcommand(args)),
        },
        _ => command,
    };
    if command.takes(args.len()) { Ok(command) } else { Err(wrong_arity(command)) }
}

/// The row that a command name and perhaps a subcommand's name lead to, whatever the number of arguments after them:
/// as COMMAND GETKEYS, ACL DRYRUN and the like take it.
#[must_use]
pub fn find(args: &Args<'_>) -> Option<&'static Command> {
    let command = lookup(args.get(0)?)?;
    match args.get(1) {
        Some(name) if command.is_container() => command.subcommand(name),
        _ => Some(command),
    }
}

/// The row of a full name, `container|name` for a subcommand: as COMMAND INFO takes it.
#[must_use]
pub fn find_by_full_name(name: &[u8]) -> Option<&'static Command> {
    let mut parts = name.split(|&byte| byte == b'|');
    let command = lookup(parts.next()?)?;
    let row = match parts.next() {
        Some(subcommand) if command.is_container() => command.subcommand(subcommand)?,
        Some(_) => return None,
        None => command,
    };
    parts.next().is_none().then_some(row)
}

/// No command has the name of the request's first argument.
#[must_use]
#[cold]
pub fn unknown_command(args: &Args<'_>) -> Error {
    let mut preview = Vec::with_capacity(QUOTED + 4);
    for arg in args.rest(1).iter() {
        if preview.len() >= QUOTED {
            break;
        }
        let room = QUOTED - preview.len();
        preview.push(b'\'');
        preview.extend_from_slice(quoted(arg, room));
        preview.extend_from_slice(b"' ");
    }
    let mut text = b"unknown command '".to_vec();
    text.extend_from_slice(quoted(args.at(0), QUOTED));
    text.extend_from_slice(b"', with args beginning with: ");
    text.extend_from_slice(&preview);
    one_line(text)
}

/// The command exists, its subcommand does not.
#[must_use]
#[cold]
pub fn unknown_subcommand(args: &Args<'_>) -> Error {
    let mut text = b"unknown subcommand '".to_vec();
    text.extend_from_slice(quoted(args.at(1), QUOTED));
    text.extend_from_slice(b"'. Try ");
    text.extend(quoted(args.at(0), usize::MAX).iter().map(u8::to_ascii_uppercase));
    text.extend_from_slice(b" HELP.");
    one_line(text)
}

/// The subcommand exists, but not with these arguments (an option missing or one too many).
#[must_use]
#[cold]
pub fn bad_subcommand_call(args: &Args<'_>) -> Error {
    let mut text = b"unknown subcommand or wrong number of arguments for '".to_vec();
    text.extend_from_slice(quoted(args.at(1), QUOTED));
    text.extend_from_slice(b"'. Try ");
    text.extend(quoted(args.at(0), usize::MAX).iter().map(u8::to_ascii_uppercase));
    text.extend_from_slice(b" HELP.");
    one_line(text)
}

/// Too few or too many arguments.
#[must_use]
#[cold]
pub fn wrong_arity(command: &Command) -> Error {
    let error = Error::err(format!("wrong number of arguments for '{}' command", command.name));
    if command.name == "exec" { error.of_exec() } else { error }
}

/// As a server that may not load modules says it.
const NO_MODULES: &str = "MODULE command not allowed. If the enable-module-command option is set to \"local\", you can run \
    it from a local connection, otherwise you need to set this option in the configuration file, and then restart the \
    server.";

/// A command that Redis has and Slotway does not have yet.
#[must_use]
#[cold]
pub fn unsupported(command: &Command) -> Error {
    let reason = match command.support {
        Support::Later(MODULES) => return Error::err(NO_MODULES),
        Support::Later(reason) => reason,
        Support::Full => "not in this build",
    };
    let name = command.name.replace('|', " ").to_ascii_uppercase();
    Error::err(format!("{name} is not supported by Slotway yet: {reason}"))
}

/// What Redis prints of an argument: at most `room` bytes, and none from a zero byte on.
fn quoted(arg: &[u8], room: usize) -> &[u8] {
    let arg = arg.get(..room).unwrap_or(arg);
    match memchr::memchr(0, arg) {
        Some(end) => arg.get(..end).unwrap_or(arg),
        None => arg,
    }
}

/// An error of bytes that a client sent: a line end in them must not end the reply.
fn one_line(mut text: Vec<u8>) -> Error {
    for byte in &mut text {
        if matches!(byte, b'\r' | b'\n') {
            *byte = b' ';
        }
    }
    Error::Bytes(text)
}
