//! The replies of ACL's subcommands that only look.

use super::check::Denied;
use super::selector::Selector;
use super::users::Users;
use super::{bits, text};
use crate::command::{self, Categories, Command};
use crate::error::Error;
use crate::number::parse_i64;
use crate::platform::random;
use crate::resp::{Args, Reply};

const NO_FILE: &str = "This Redis instance is not configured to use an ACL file. You may want to specify users via \
                       the ACL SETUSER command and then issue a CONFIG REWRITE (assuming you have a Redis \
                       configuration file set) in order to store users in the Redis configuration.";

/// Most bits of a password that ACL GENPASS makes up.
const MOST_BITS: i64 = 4096;

/// Answers a subcommand of ACL that needs nothing but the users; `own` is the caller's name. False for one that needs more.
///
/// # Errors
/// The error reply.
pub fn answer(
    command: &Command,
    users: &Users,
    own: &[u8],
    args: &Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<bool, Error> {
    match command.last_name() {
        "whoami" => reply.bulk(own),
        "users" => {
            reply.array(users.iter().len());
            users.iter().for_each(|user| reply.bulk(user.name()));
        }
        "list" => {
            reply.array(users.iter().len());
            users.iter().for_each(|user| reply.bulk(&user.line()));
        }
        "getuser" => get(users, args.at(2), reply)?,
        "cat" => categories(args, reply)?,
        "genpass" => generate_password(args, reply)?,
        "dryrun" => dry_run(users, args, reply)?,
        "load" | "save" => return Err(Error::err(NO_FILE)),
        "help" => command::help(command, reply),
        _ => return Ok(false),
    }
    Ok(true)
}

fn get(users: &Users, name: &[u8], reply: &mut Reply<'_>) -> Result<(), Error> {
    let Some(user) = users.get(name) else {
        // Unlike other unknown names this is no error.
        reply.null();
        return Ok(());
    };
    reply.map(6);
    reply.bulk(b"flags");
    let flags = user.flags();
    reply.set(flags.len());
    flags.into_iter().for_each(|flag| reply.bulk(flag.as_bytes()));
    reply.bulk(b"passwords");
    reply.array(user.passwords.len());
    user.passwords.iter().for_each(|hash| reply.bulk(hash.as_bytes()));
    selector(&user.root, reply);
    reply.bulk(b"selectors");
    reply.array(user.selectors.len());
    for other in &user.selectors {
        reply.map(3);
        selector(other, reply);
    }
    Ok(())
}

fn selector(selector: &Selector, reply: &mut Reply<'_>) {
    let fields = [
        ("commands", selector.command_rules(false)),
        ("keys", selector.key_rules()),
        ("channels", selector.channel_rules()),
    ];
    for (field, rules) in fields {
        reply.bulk(field.as_bytes());
        reply.bulk(&rules.join(&b' '));
    }
}

fn categories(args: &Args<'_>, reply: &mut Reply<'_>) -> Result<(), Error> {
    if args.len() > 3 {
        return Err(command::bad_subcommand_call(args));
    }
    let Some(name) = args.get(2) else {
        reply.array(Categories::MEMBERS.len());
        Categories::MEMBERS.iter().for_each(|(_, name)| reply.bulk(name.as_bytes()));
        return Ok(());
    };
    let name = text(name);
    let Some(category) = Categories::named(name) else {
        let shown = name.get(..128).unwrap_or(name);
        return Err(Error::Bytes([&b"Unknown category '"[..], shown, b"'"].concat()));
    };
    let rows: Vec<&str> = bits::rows()
        .filter(|row| !row.hidden && row.categories.contains(category))
        .map(|row| row.name)
        .collect();
    reply.array(rows.len());
    rows.into_iter().for_each(|name| reply.bulk(name.as_bytes()));
    Ok(())
}

/// Answers ACL GENPASS.
///
/// # Errors
/// The error reply.
pub fn generate_password(args: &Args<'_>, reply: &mut Reply<'_>) -> Result<(), Error> {
    if args.len() > 3 {
        return Err(command::bad_subcommand_call(args));
    }
    let bits = match args.get(2) {
        Some(number) => parse_i64(number).ok_or(Error::NotInteger)?,
        None => 256,
    };
    if !(1..=MOST_BITS).contains(&bits) {
        return Err(Error::err(format!(
            "ACL GENPASS argument must be the number of bits for the output password, a positive number up to \
             {MOST_BITS}"
        )));
    }
    let digits = (bits as usize).div_ceil(4);
    let mut bytes = vec![0; digits.div_ceil(2)];
    random::fill(&mut bytes);
    let mut password: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    password.truncate(digits);
    reply.bulk(password.as_bytes());
    Ok(())
}

/// Answers ACL DRYRUN.
///
/// # Errors
/// The error reply.
pub fn dry_run(users: &Users, args: &Args<'_>, reply: &mut Reply<'_>) -> Result<(), Error> {
    let Some(user) = users.get(args.at(2)) else {
        return Err(Error::Bytes([&b"User '"[..], text(args.at(2)), b"' not found"].concat()));
    };
    let call = args.rest(3);
    let Some(command) = command::find(&call).filter(|row| row.route != command::Route::Internal) else {
        return Err(Error::Bytes([&b"Command '"[..], text(args.at(3)), b"' not found"].concat()));
    };
    if !command.takes(call.len()) {
        return Err(command::wrong_arity(command));
    }
    let Err(denied) = user.check(command, &call) else {
        reply.ok();
        return Ok(());
    };
    let object = text(denied.object(command, &call));
    let (before, after): (&[u8], &[u8]) = match denied {
        Denied::Command => (b"This user has no permissions to run the '", b"' command"),
        Denied::Key(_) => (b"This user has no permissions to access the '", b"' key"),
        Denied::Channel(_) => (b"This user has no permissions to access the '", b"' channel"),
    };
    reply.bulk(&[before, object, after].concat());
    Ok(())
}
