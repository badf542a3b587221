//! What a script says of itself before it runs: its first line, its flags, and what a call of it may therefore do.

mod flags;
mod shebang;

pub use flags::ScriptFlags;
pub use shebang::{BAD_NAME, LibraryHead, ScriptHead, is_name, of_library, of_script};

use crate::command::Command;
use crate::resp::Args;

/// How a call names the script that it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source<'a> {
    Text(&'a [u8]),
    Digest(&'a [u8]),
    Function(&'a [u8]),
}

/// The script that a call runs, if it runs one.
#[must_use]
pub fn source<'a>(command: &Command, args: &Args<'a>) -> Option<Source<'a>> {
    let name = args.at(1);
    match command.name {
        "eval" | "eval_ro" => Some(Source::Text(name)),
        "evalsha" | "evalsha_ro" => Some(Source::Digest(name)),
        "fcall" | "fcall_ro" => Some(Source::Function(name)),
        _ => None,
    }
}
