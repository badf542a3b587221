//! XREAD and XREADGROUP.

use slotway_common::error::Error;
use slotway_common::timeout;

use super::group::met;
use super::id::{exact, put_id};
use super::{put_entries, put_entry, quoting};
use crate::call::want::{Awaited, Want};
use crate::call::{Call, DataCommand, reads, writes};
use crate::commands::blocking::ends_after;
use crate::engine::Key;
use crate::types::Stream;
use crate::types::stream::{Id, Pending};

pub(in crate::commands) const HANDLERS: &[DataCommand] =
    &[reads("xread", |call| xread(call, false)), writes("xreadgroup", |call| xread(call, true))];

struct Options<'a> {
    count: usize,
    /// The group and the consumer.
    group: Option<(&'a [u8], &'a [u8])>,
    no_ack: bool,
    /// How long to wait, in milliseconds, if nothing is there.
    block: Option<u64>,
    /// The first key, and the number of keys.
    first: usize,
    streams: usize,
}

impl<'a> Options<'a> {
    fn parse(call: &Call<'a>, by_group: bool) -> Result<Self, Error> {
        let mut options =
            Self { count: usize::MAX, group: None, no_ack: false, block: None, first: 0, streams: 0 };
        let only_group = |option: &str| {
            Error::err(format!(
                "The {option} option is only supported by XREADGROUP. You called XREAD instead."
            ))
        };
        let mut index = 1;
        while index < call.args.len() {
            let follow = call.args.len() - index - 1;
            if call.args.is(index, "BLOCK") && follow >= 1 {
                if call.in_script {
                    let text = b" command is not allowed with BLOCK option from scripts";
                    return Err(Error::Bytes([call.args.at(0), text].concat()));
                }
                options.block = Some(timeout::from_milliseconds(call.args.at(index + 1))?);
                index += 2;
            } else if call.args.is(index, "COUNT") && follow >= 1 {
                let count = usize::try_from(call.integer(index + 1)?).unwrap_or(0);
                options.count = if count == 0 { usize::MAX } else { count };
                index += 2;
            } else if call.args.is(index, "STREAMS") && follow >= 1 {
                if !follow.is_multiple_of(2) {
                    return Err(Error::err(
                        "Unbalanced XREAD list of streams: for each stream key an ID or '$' must be specified.",
                    ));
                }
                (options.first, options.streams) = (index + 1, follow / 2);
                break;
            } else if call.args.is(index, "GROUP") && follow >= 2 {
                if !by_group {
                    return Err(only_group("GROUP"));
                }
                options.group = Some((call.args.at(index + 1), call.args.at(index + 2)));
                index += 3;
            } else if call.args.is(index, "NOACK") {
                if !by_group {
                    return Err(only_group("NOACK"));
                }
                options.no_ack = true;
                index += 1;
            } else {
                return Err(Error::Syntax);
            }
        }
        if options.streams == 0 {
            return Err(Error::Syntax);
        }
        if by_group && options.group.is_none() {
            return Err(Error::err("Missing GROUP option for XREADGROUP"));
        }
        Ok(options)
    }
}

/// What is wanted of one stream.
enum Wanted {
    /// Entries above an id.
    Above(Id),
    /// What the group has not delivered yet.
    New,
    /// What the consumer has been given, above an id.
    Own(Id),
}

/// What is wanted of the stream at a position.
fn wanted(call: &mut Call<'_>, options: &Options<'_>, by_group: bool, index: usize) -> Result<Wanted, Error> {
    let (db, key) = (call.db, call.key(index));
    let stream = call.engine.read::<Stream>(db, &key)?;
    if let Some((group, _)) = options.group
        && stream.and_then(|stream| stream.group(group)).is_none()
    {
        return Err(quoting(&[
            b"NOGROUP No such key '",
            key.bytes,
            b"' or consumer group '",
            group,
            b"' in XREADGROUP with GROUP option",
        ]));
    }
    Ok(match (call.args.at(index + options.streams), by_group) {
        (b"$", true) => {
            return Err(Error::err(
                "The $ ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer by specifying a proper ID, or use the > ID to get new messages. The $ ID would just return an empty result set.",
            ));
        }
        (b">", false) => {
            return Err(Error::err(
                "The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option.",
            ));
        }
        (b"$", false) => Wanted::Above(stream.map_or(Id::MIN, |stream| stream.facts().last)),
        (b">", true) => Wanted::New,
        (text, false) => Wanted::Above(exact(text)?),
        // The highest id is how Redis notes a `>`.
        (text, true) => match exact(text)? {
            Id::MAX => Wanted::New,
            id => Wanted::Own(id),
        },
    })
}

fn xread(call: &mut Call<'_>, by_group: bool) -> Result<(), Error> {
    let options = Options::parse(call, by_group)?;
    let mut all = Vec::with_capacity(options.streams);
    for index in options.first..options.first + options.streams {
        all.push(wanted(call, &options, by_group, index)?);
    }
    let before = call.reply.position();
    let at = call.reply.begin();
    let mut served = 0;
    for (offset, wanted) in all.iter().enumerate() {
        let key = call.key(options.first + offset);
        served += usize::from(serve(call, &key, wanted, &options)?);
    }
    if served == 0 {
        call.reply.truncate(before);
        match options.block {
            Some(milliseconds) => {
                let want = want(call, &options, milliseconds, &all);
                call.wait(want);
            }
            None => call.reply.null_array(),
        }
    } else if call.reply.is_resp3() {
        call.reply.finish_map(at, served);
    } else {
        call.reply.finish_array(at, served);
    }
    Ok(())
}

/// What a call waits for if it has nothing to reply with now, not even an error; else the place of a key that has something. Nothing
/// is read. What has waited before (`again`) goes on waiting beside keys that hold no stream.
pub(in crate::commands) fn look(call: &mut Call<'_>, by_group: bool, again: bool) -> Result<Want, usize> {
    let options = Options::parse(call, by_group).map_err(|_| 0usize)?;
    let mut all = Vec::with_capacity(options.streams);
    for place in 0..options.streams {
        let index = options.first + place;
        all.push(match wanted(call, &options, by_group, index) {
            Err(_) if again && !by_group => {
                Wanted::Above(exact(call.args.at(index + options.streams)).map_err(|_| place)?)
            }
            wanted => wanted.map_err(|_| place)?,
        });
    }
    for (place, wanted) in all.iter().enumerate() {
        let key = call.key(options.first + place);
        let stream = call.engine.read::<Stream>(call.db, &key).ok().flatten();
        if stream.is_some_and(|stream| serves(stream, wanted, &options)) {
            return Err(place);
        }
    }
    Ok(want(call, &options, options.block.ok_or(0usize)?, &all))
}

/// What a client waits for that is to have entries.
fn want(call: &Call<'_>, options: &Options<'_>, milliseconds: u64, wanted: &[Wanted]) -> Want {
    // A `$` means what is last now, however long it takes.
    let ids: Vec<Option<Id>> = wanted
        .iter()
        .map(|wanted| match wanted {
            Wanted::Above(id) => Some(*id),
            _ => None,
        })
        .collect();
    let mut args: Vec<Vec<u8>> = call.args.iter().map(<[u8]>::to_vec).collect();
    for (offset, id) in ids.iter().enumerate() {
        if let (Some(id), Some(arg)) = (id, args.get_mut(options.first + options.streams + offset)) {
            *arg = id.to_string().into_bytes();
        }
    }
    Want {
        awaited: if options.group.is_some() { Awaited::Group } else { Awaited::Stream },
        keys: (options.first..options.first + options.streams).collect(),
        deadline: ends_after(call.now(), milliseconds),
        args: Some(args),
    }
}

/// Whether a stream has what is wanted of it.
fn serves(stream: &Stream, wanted: &Wanted, options: &Options<'_>) -> bool {
    let has_above = |id: Id| stream.last_id().is_some_and(|last| last > id);
    match (wanted, options.group) {
        (Wanted::Above(id), _) => has_above(*id),
        (Wanted::New, Some((group, _))) => stream.group(group).is_some_and(|group| has_above(group.last)),
        (Wanted::New, None) => false,
        (Wanted::Own(_), _) => true,
    }
}

/// Replies with what one stream has; false if it has nothing.
fn serve(call: &mut Call<'_>, key: &Key<'_>, wanted: &Wanted, options: &Options<'_>) -> Result<bool, Error> {
    let db = call.db;
    // As in Redis, which looks all streams up once more, each counts twice.
    let Some(stream) = call.engine.read::<Stream>(db, key)? else { return Ok(false) };
    if !serves(stream, wanted, options) {
        return Ok(false);
    }
    if !call.reply.is_resp3() {
        call.reply.array(2);
    }
    call.reply.bulk(key.bytes);
    match (wanted, options.group) {
        (Wanted::Above(id), _) => {
            if let Some(next) = id.next() {
                put_entries(&mut call.reply, stream.range(next, Id::MAX), options.count);
            }
        }
        (Wanted::New, Some((group, consumer))) => deliver(call, key, group, consumer, options)?,
        (Wanted::Own(id), Some((group, consumer))) => history(call, key, group, consumer, *id, options)?,
        (_, None) => {}
    }
    Ok(true)
}

/// Replies with what a group has not delivered yet, and notes that the consumer has it.
fn deliver(
    call: &mut Call<'_>,
    key: &Key<'_>,
    group: &[u8],
    consumer: &[u8],
    options: &Options<'_>,
) -> Result<(), Error> {
    let now = call.now();
    let Some(mut stream) = call.engine.edit::<Stream>(call.db, key)? else { return Ok(()) };
    let Some((mut last, mut read)) = stream.group(group).map(|group| (group.last, group.read)) else {
        return Ok(());
    };
    let mut ids = Vec::new();
    let at = call.reply.begin();
    if let Some(first) = last.next() {
        let has_added = stream.facts().added > 0;
        for entry in stream.range(first, Id::MAX).take(options.count) {
            // Where nothing is missing behind it, one more has been read; else that has to be found out.
            read = match read {
                Some(read) if !stream.has_gap(entry.id, Id::MAX) => Some(read + 1),
                _ if has_added => stream.added_up_to(entry.id),
                read => read,
            };
            last = entry.id;
            put_entry(&mut call.reply, &entry);
            ids.push(entry.id);
            if call.reply.is_exceeded() {
                break;
            }
        }
    }
    call.reply.finish_array(at, ids.len());
    let mut is_new = false;
    stream.edit_group(group, |group| {
        (group.last, group.read) = (last, read);
        let (consumer, unknown) = group.meet(consumer, now);
        is_new = unknown;
        if !options.no_ack {
            for id in ids {
                group.deliver(Pending { id, consumer, deliveries: 1, delivered_at: now });
            }
        }
    });
    drop(stream);
    if is_new {
        met(call, key);
    }
    call.engine.dirty_unseen(1 + u64::from(is_new));
    Ok(())
}

/// Replies with what a consumer has above an id, which counts as delivered once more.
fn history(
    call: &mut Call<'_>,
    key: &Key<'_>,
    group: &[u8],
    consumer: &[u8],
    above: Id,
    options: &Options<'_>,
) -> Result<(), Error> {
    let now = call.now();
    let Some(mut stream) = call.engine.edit::<Stream>(call.db, key)? else { return Ok(()) };
    let met_now = stream.edit_group(group, |group| group.meet(consumer, now));
    let mut found = Vec::new();
    let at = call.reply.begin();
    let mut written = 0;
    let owner = stream.group(group).and_then(|group| group.consumer(consumer));
    if let (Some(owner), Some(first)) = (owner, above.next()) {
        for id in owner.pending().from(first).take(options.count) {
            written += 1;
            match stream.get(*id) {
                Some(entry) => {
                    put_entry(&mut call.reply, &entry);
                    found.push(*id);
                }
                // It was deleted since.
                None => {
                    call.reply.array(2);
                    put_id(&mut call.reply, *id);
                    call.reply.null_array();
                }
            }
            if call.reply.is_exceeded() {
                break;
            }
        }
    }
    call.reply.finish_array(at, written);
    stream.edit_group(group, |group| {
        for id in found {
            group.change(id, |pending| {
                pending.delivered_at = now;
                pending.deliveries = pending.deliveries.wrapping_add(1);
            });
        }
    });
    drop(stream);
    let is_new = met_now.is_some_and(|(_, is_new)| is_new);
    if is_new {
        met(call, key);
    }
    call.engine.dirty_unseen(1 + u64::from(is_new));
    Ok(())
}
