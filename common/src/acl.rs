//! Users and what they may do, as Redis's ACLs have it.
//!
//! A [`User`] has passwords and selectors; each selector says which commands, keys and channels go together. [`Users`] are all of
//! them at one version of the cluster's state, [`Login`] is whom a connection acts as. What a user is made of is kept in the
//! cluster's state ([`StoredUser`]), in rules as ACL SETUSER takes them, so that every process makes the same of it.
//!
//! [`User::check`] is asked before a command runs, unless its user may do all: then that is one flag of the connection.

mod answer;
mod bits;
mod check;
mod describe;
mod log;
mod login;
mod rules;
mod selector;
mod stored;
mod user;
mod users;

#[cfg(test)]
mod tests;

pub use answer::{answer, dry_run, generate_password};
pub use check::Denied;
pub use log::{AclLog, Context, Entry, Reason, count as log_count, write as write_log};
pub use login::Login;
pub use stored::{StoredUser, UserChange};
pub use user::User;
pub use users::{Users, delete, set};

use crate::command::Command;
use crate::resp::Args;
use crate::settings::Name;

/// Whether an argument of a call is a password, or goes with one: it is not shown by MONITOR and SLOWLOG.
#[must_use]
pub fn is_secret(command: &Command, args: &Args<'_>, index: usize) -> bool {
    match command.name {
        "auth" => index > 0,
        "acl|setuser" => index > 1,
        "hello" => {
            let mut at = 2;
            while at < args.len() {
                if args.is(at, "AUTH") && at + 2 < args.len() {
                    if index == at + 1 || index == at + 2 {
                        return true;
                    }
                    at += 3;
                } else {
                    at += 2;
                }
            }
            false
        }
        "config|set" => index >= 3 && index % 2 == 1 && is_secret_setting(args.at(index - 1)),
        "migrate" => is_secret_of_migrate(args, index),
        _ => false,
    }
}

fn is_secret_setting(name: &[u8]) -> bool {
    Name::find(name).is_some_and(|name| name.parameter().secret)
}

/// What stands behind AUTH and AUTH2, up to KEYS.
fn is_secret_of_migrate(args: &Args<'_>, index: usize) -> bool {
    let mut at = 6;
    while at < index && !args.is(at, "KEYS") {
        at += 1 + usize::from(args.is(at, "AUTH")) + 2 * usize::from(args.is(at, "AUTH2"));
        if index < at {
            return true;
        }
    }
    false
}

/// Up to the first zero byte, where Redis's texts end.
fn text(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// Blanks and zero bytes may stand in no name and no pattern.
fn has_blanks(bytes: &[u8]) -> bool {
    bytes.iter().any(|byte| matches!(byte, b' ' | 0 | b'\t'..=b'\r'))
}
