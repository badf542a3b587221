//! The replies of COMMAND and its subcommands, and of every HELP subcommand.

use super::arguments::{Argument, ArgumentKind, arguments, usage};
use super::categories::Categories;
use super::dispatch::{find, find_by_full_name};
use super::key_spec::{Begin, Find, KeySpec};
use super::keys::keys;
use super::row::Command;
use super::{KeyFlags, listed};
use crate::error::Error;
use crate::glob;
use crate::resp::{Args, Reply};

/// Answers COMMAND or one of its subcommands, of which `command` is the row.
///
/// # Errors
/// Those of the calls in which something is wrong; nothing was written then.
pub fn answer(command: &Command, args: &Args<'_>, reply: &mut Reply<'_>) -> Result<(), Error> {
    match command.last_name() {
        "count" => reply.int(listed().count() as i64),
        "list" => list(args, reply)?,
        "info" if args.len() > 2 => {
            reply.array(args.len() - 2);
            for name in args.rest(2).iter() {
                match find_by_full_name(name).filter(|row| !row.hidden) {
                    Some(row) => info(row, reply),
                    None => reply.null(),
                }
            }
        }
        "docs" => {
            let named = args.rest(2);
            if named.is_empty() {
                reply.map(listed().count());
                listed().for_each(|row| docs(row, reply));
            } else {
                let rows: Vec<_> =
                    named.iter().filter_map(find_by_full_name).filter(|row| !row.hidden).collect();
                reply.map(rows.len());
                rows.into_iter().for_each(|row| docs(row, reply));
            }
        }
        "getkeys" => get_keys(args, reply, false)?,
        "getkeysandflags" => get_keys(args, reply, true)?,
        "help" => help(command, reply),
        _ => {
            reply.array(listed().count());
            listed().for_each(|row| info(row, reply));
        }
    }
    Ok(())
}

/// Answers the HELP subcommand `help`: the subcommands of its container with their arguments, and what each does.
pub fn help(help: &Command, reply: &mut Reply<'_>) {
    let Some(container) = help.container.and_then(|id| super::TABLE.get(usize::from(id))) else {
        reply.array(0);
        return;
    };
    let rows = container.subcommands();
    let name = container.name.to_ascii_uppercase();
    reply.array(1 + 2 * rows.len());
    reply.simple(&format!("{name} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"));
    for row in rows {
        let arguments = usage(&arguments(row.arguments));
        let space = if arguments.is_empty() { "" } else { " " };
        reply.simple(&format!("{}{space}{arguments}", row.last_name().to_ascii_uppercase()));
        reply.simple(&format!("    {}", row.summary));
    }
}

fn list(args: &Args<'_>, reply: &mut Reply<'_>) -> Result<(), Error> {
    let filter: Box<dyn Fn(&Command) -> bool> = if args.len() == 2 {
        Box::new(|_| true)
    } else if args.len() == 5 && args.is(2, "filterby") {
        let what = args.at(4);
        if args.is(3, "module") {
            Box::new(|_| false)
        } else if args.is(3, "aclcat") {
            let category = Categories::named(what);
            Box::new(move |row| category.is_some_and(|category| row.categories.contains(category)))
        } else if args.is(3, "pattern") {
            Box::new(|row| glob::matches_ignoring_case(what, row.name.as_bytes()))
        } else {
            return Err(Error::Syntax);
        }
    } else {
        return Err(Error::Syntax);
    };
    let rows = super::TABLE.iter().filter(|row| !row.hidden && filter(row));
    let at = reply.begin();
    let mut count = 0;
    for row in rows {
        reply.bulk(row.name.as_bytes());
        count += 1;
    }
    reply.finish_array(at, count);
    Ok(())
}

fn get_keys(args: &Args<'_>, reply: &mut Reply<'_>, with_flags: bool) -> Result<(), Error> {
    let call = args.rest(2);
    let Some(command) = find(&call).filter(|row| !row.hidden) else {
        return Err(Error::err("Invalid command specified"));
    };
    if !command.has_keys() {
        return Err(Error::err("The command has no key arguments"));
    }
    if !command.takes(call.len()) {
        return Err(Error::err("Invalid number of arguments specified for command"));
    }
    let found = match keys(command, &call) {
        Ok(found) if !found.is_empty() => found,
        _ if command.flags.contains(super::Flags::NO_MANDATORY_KEYS) => {
            reply.array(0);
            return Ok(());
        }
        _ => return Err(Error::err("Invalid arguments specified for command")),
    };
    reply.array(found.len());
    for (position, flags) in found.with_flags() {
        if with_flags {
            reply.array(2);
            reply.bulk(call.at(position));
            key_flags(flags, reply);
        } else {
            reply.bulk(call.at(position));
        }
    }
    Ok(())
}

fn key_flags(flags: KeyFlags, reply: &mut Reply<'_>) {
    reply.set(flags.len());
    flags.names().for_each(|name| reply.simple(name));
}

fn info(row: &Command, reply: &mut Reply<'_>) {
    reply.array(10);
    reply.bulk(row.name.as_bytes());
    reply.int(i64::from(row.arity));
    reply.set(row.flags.len());
    row.flags.names().for_each(|name| reply.simple(name));
    let (first, last, step) = row.legacy_range();
    reply.int(first);
    reply.int(last);
    reply.int(step);
    reply.set(row.categories.len());
    row.categories.names().for_each(|name| reply.simple(&format!("@{name}")));
    reply.set(row.tips.len());
    row.tips.iter().for_each(|tip| reply.bulk(tip.as_bytes()));
    reply.set(row.key_specs.len());
    row.key_specs.iter().for_each(|spec| key_spec(spec, reply));
    let subcommands = row.subcommands().iter().filter(|row| !row.hidden);
    if row.is_container() {
        reply.array(subcommands.clone().count());
    } else {
        reply.set(0);
    }
    subcommands.for_each(|subcommand| info(subcommand, reply));
}

fn key_spec(spec: &KeySpec, reply: &mut Reply<'_>) {
    reply.map(if spec.note.is_empty() { 3 } else { 4 });
    if !spec.note.is_empty() {
        pair("notes", spec.note, reply);
    }
    reply.bulk(b"flags");
    key_flags(spec.flags, reply);
    reply.bulk(b"begin_search");
    reply.map(2);
    match spec.begin {
        Begin::Index(index) => {
            pair("type", "index", reply);
            numbers(&[("index", i64::from(index))], reply);
        }
        Begin::Keyword(keyword, from) => {
            pair("type", "keyword", reply);
            reply.bulk(b"spec");
            reply.map(2);
            pair("keyword", keyword, reply);
            reply.bulk(b"startfrom");
            reply.int(i64::from(from));
        }
        Begin::Unknown => {
            pair("type", "unknown", reply);
            numbers(&[], reply);
        }
    }
    reply.bulk(b"find_keys");
    reply.map(2);
    match spec.find {
        Find::Range { last, step, limit } => {
            pair("type", "range", reply);
            numbers(&[("lastkey", last.into()), ("keystep", step.into()), ("limit", limit.into())], reply);
        }
        Find::Counted { count, first, step } => {
            pair("type", "keynum", reply);
            numbers(
                &[("keynumidx", count.into()), ("firstkey", first.into()), ("keystep", step.into())],
                reply,
            );
        }
        Find::Unknown => {
            pair("type", "unknown", reply);
            numbers(&[], reply);
        }
    }
}

fn numbers(pairs: &[(&str, i64)], reply: &mut Reply<'_>) {
    reply.bulk(b"spec");
    reply.map(pairs.len());
    for (name, number) in pairs {
        reply.bulk(name.as_bytes());
        reply.int(*number);
    }
}

fn pair(name: &str, value: &str, reply: &mut Reply<'_>) {
    reply.bulk(name.as_bytes());
    reply.bulk(value.as_bytes());
}

fn docs(row: &Command, reply: &mut Reply<'_>) {
    reply.bulk(row.name.as_bytes());
    let at = reply.begin();
    let mut pairs = 3;
    pair("summary", row.summary, reply);
    pair("since", row.since, reply);
    pair("group", row.group.name(), reply);
    if !row.complexity.is_empty() {
        pair("complexity", row.complexity, reply);
        pairs += 1;
    }
    let flags = [("deprecated", row.deprecated.is_some()), ("syscmd", row.system)];
    if flags.iter().any(|(_, set)| *set) {
        reply.bulk(b"doc_flags");
        reply.set(flags.iter().filter(|(_, set)| *set).count());
        flags.iter().filter(|(_, set)| *set).for_each(|(name, _)| reply.simple(name));
        pairs += 1;
    }
    if let Some((since, instead)) = row.deprecated {
        pair("deprecated_since", since, reply);
        pair("replaced_by", instead, reply);
        pairs += 2;
    }
    if !row.arguments.is_empty() {
        documented(&arguments(row.arguments), reply);
        pairs += 1;
    }
    if row.is_container() {
        let subcommands = row.subcommands().iter().filter(|row| !row.hidden);
        reply.bulk(b"subcommands");
        reply.map(subcommands.clone().count());
        subcommands.for_each(|subcommand| docs(subcommand, reply));
        pairs += 1;
    }
    reply.finish_map(at, pairs);
}

/// The pair `arguments` of a command's or an argument's map.
fn documented(list: &[Argument], reply: &mut Reply<'_>) {
    reply.bulk(b"arguments");
    reply.array(list.len());
    for argument in list {
        let at = reply.begin();
        let mut pairs = 2;
        pair("name", &argument.name, reply);
        pair("type", argument.kind.name(), reply);
        if let Some(spec) = argument.key_spec {
            reply.bulk(b"key_spec_index");
            reply.int(i64::from(spec));
            pairs += 1;
        }
        let texts = [
            ("token", argument.token.as_deref()),
            ("since", argument.since),
            ("deprecated_since", argument.deprecated_since),
        ];
        for (name, text) in texts {
            if let Some(text) = text {
                pair(name, text, reply);
                pairs += 1;
            }
        }
        let flags = [
            ("optional", argument.optional),
            ("multiple", argument.multiple),
            ("multiple_token", argument.multiple_token),
        ];
        if flags.iter().any(|(_, set)| *set) {
            reply.bulk(b"flags");
            reply.set(flags.iter().filter(|(_, set)| *set).count());
            flags.iter().filter(|(_, set)| *set).for_each(|(name, _)| reply.simple(name));
            pairs += 1;
        }
        if let ArgumentKind::OneOf(parts) | ArgumentKind::Block(parts) = &argument.kind {
            documented(parts, reply);
            pairs += 1;
        }
        reply.finish_map(at, pairs);
    }
}
