//! XGROUP and XACK.

use slotway_common::command::bad_subcommand_call;
use slotway_common::error::Error;

use super::id::{exact, special_or};
use super::quoting;
use crate::call::{Call, DataCommand, writes};
use crate::engine::{EventClass, Key};
use crate::types::Stream;
use crate::types::stream::{Group, Id};

pub(in crate::commands) const HANDLERS: &[DataCommand] = &[
    writes("xgroup|create", create),
    writes("xgroup|setid", setid),
    writes("xgroup|destroy", destroy),
    writes("xgroup|createconsumer", createconsumer),
    writes("xgroup|delconsumer", delconsumer),
    writes("xack", xack),
];

/// What stands after the id of CREATE and SETID.
#[derive(Default)]
struct Options {
    make_stream: bool,
    read: Option<u64>,
}

impl Options {
    fn parse(call: &Call<'_>, can_make: bool) -> Result<Self, Error> {
        let mut options = Self::default();
        let mut index = 5;
        while index < call.args.len() {
            if can_make && call.args.is(index, "MKSTREAM") {
                options.make_stream = true;
                index += 1;
            } else if call.args.is(index, "ENTRIESREAD") && index + 1 < call.args.len() {
                options.read = match call.integer(index + 1)? {
                    -1 => None,
                    read => {
                        let wrong = Error::err("value for ENTRIESREAD must be positive or -1");
                        Some(u64::try_from(read).map_err(|_| wrong)?)
                    }
                };
                index += 2;
            } else {
                return Err(bad_subcommand_call(&call.args));
            }
        }
        Ok(options)
    }
}

fn no_key() -> Error {
    Error::err(
        "The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM option to create an empty stream automatically.",
    )
}

/// The stream of a subcommand that needs it and its group, which is argument 3.
fn existing<'c>(call: &'c Call<'_>, key: &Key<'_>) -> Result<(&'c Stream, &'c Group), Error> {
    let stream = call.engine.peek::<Stream>(call.db, key)?.ok_or_else(no_key)?;
    let name = call.args.at(3);
    let group = stream.group(name).ok_or_else(|| {
        quoting(&[b"NOGROUP No such consumer group '", name, b"' for key name '", key.bytes, b"'"])
    })?;
    Ok((stream, group))
}

fn create(call: &mut Call<'_>) -> Result<(), Error> {
    let options = Options::parse(call, true)?;
    let (key, db, name) = (call.key(2), call.db, call.args.at(3));
    let stream = call.engine.peek::<Stream>(db, &key)?;
    if stream.is_none() && !options.make_stream {
        return Err(no_key());
    }
    // No other number of arguments can stand here, with each option once.
    if call.args.len() > 8 {
        return Err(bad_subcommand_call(&call.args));
    }
    let last = match call.args.at(4) {
        b"$" => stream.map_or(Id::MIN, |stream| stream.facts().last),
        text => exact(text)?,
    };
    if stream.is_some_and(|stream| stream.group(name).is_some()) {
        return Err(Error::Line("BUSYGROUP Consumer Group name already exists".into()));
    }
    let is_new = stream.is_none();
    let mut stream = call.engine.edit_or_create::<Stream>(db, &key)?;
    stream.add_group(name, Group::new(last, options.read));
    drop(stream);
    call.notify(EventClass::STREAM, "xgroup-create", &key);
    if is_new {
        call.engine.dirty(1);
    } else {
        call.engine.dirty_unseen(1);
    }
    call.reply.ok();
    Ok(())
}

fn setid(call: &mut Call<'_>) -> Result<(), Error> {
    let options = Options::parse(call, false)?;
    let (key, db, name) = (call.key(2), call.db, call.args.at(3));
    let (stream, _) = existing(call, &key)?;
    if call.args.len() != 5 && call.args.len() != 7 {
        return Err(bad_subcommand_call(&call.args));
    }
    let last = match call.args.at(4) {
        b"$" => stream.facts().last,
        text => special_or(text, 0)?,
    };
    if let Some(mut stream) = call.engine.edit::<Stream>(db, &key)? {
        stream.edit_group(name, |group| (group.last, group.read) = (last, options.read));
    }
    call.notify(EventClass::STREAM, "xgroup-setid", &key);
    call.engine.dirty_unseen(1);
    call.reply.ok();
    Ok(())
}

fn destroy(call: &mut Call<'_>) -> Result<(), Error> {
    let (key, db, name) = (call.key(2), call.db, call.args.at(3));
    let stream = call.engine.peek::<Stream>(db, &key)?.ok_or_else(no_key)?;
    let exists = stream.group(name).is_some();
    if exists && let Some(mut stream) = call.engine.edit::<Stream>(db, &key)? {
        stream.remove_group(name);
    }
    if exists {
        call.notify(EventClass::STREAM, "xgroup-destroy", &key);
    }
    call.engine.dirty_unseen(u64::from(exists));
    call.engine.signal(db, &key);
    call.reply.int(i64::from(exists));
    Ok(())
}

/// Tells of a consumer that its group did not know.
pub(super) fn met(call: &mut Call<'_>, key: &Key<'_>) {
    call.notify(EventClass::STREAM, "xgroup-createconsumer", key);
}

fn createconsumer(call: &mut Call<'_>) -> Result<(), Error> {
    let (key, db, now) = (call.key(2), call.db, call.now());
    let (group, consumer) = (call.args.at(3), call.args.at(4));
    let is_new = existing(call, &key)?.1.consumer(consumer).is_none();
    if is_new && let Some(mut stream) = call.engine.edit::<Stream>(db, &key)? {
        stream.edit_group(group, |group| group.meet(consumer, now));
    }
    if is_new {
        met(call, &key);
    }
    call.engine.dirty_unseen(u64::from(is_new));
    call.reply.int(i64::from(is_new));
    Ok(())
}

fn delconsumer(call: &mut Call<'_>) -> Result<(), Error> {
    let (key, db) = (call.key(2), call.db);
    let (group, consumer) = (call.args.at(3), call.args.at(4));
    let exists = existing(call, &key)?.1.consumer(consumer).is_some();
    let mut pending = 0;
    if exists && let Some(mut stream) = call.engine.edit::<Stream>(db, &key)? {
        pending = stream.edit_group(group, |group| group.forget(consumer)).flatten().unwrap_or(0);
    }
    if exists {
        call.notify(EventClass::STREAM, "xgroup-delconsumer", &key);
    }
    call.engine.dirty_unseen(u64::from(exists));
    call.reply.len(pending);
    Ok(())
}

fn xack(call: &mut Call<'_>) -> Result<(), Error> {
    let (key, db, name) = (call.key(1), call.db, call.args.at(2));
    let stream = call.engine.read::<Stream>(db, &key)?;
    if stream.is_none_or(|stream| stream.group(name).is_none()) {
        call.reply.int(0);
        return Ok(());
    }
    let ids = call.args.rest(3).iter().map(exact).collect::<Result<Vec<Id>, Error>>()?;
    let mut done = 0;
    if let Some(mut stream) = call.engine.edit::<Stream>(db, &key)? {
        let acknowledge = |group: &mut Group| ids.iter().filter(|id| group.acknowledge(**id)).count();
        done = stream.edit_group(name, acknowledge).unwrap_or(0);
    }
    call.engine.dirty_unseen(done as u64);
    call.reply.len(done);
    Ok(())
}
