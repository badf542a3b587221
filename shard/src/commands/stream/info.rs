//! XINFO.

use slotway_common::command::bad_subcommand_call;
use slotway_common::error::Error;
use slotway_common::resp::Reply;

use super::id::put_id;
use super::{put_entries, put_entry, quoting};
use crate::call::{Call, DataCommand, reads};
use crate::types::Stream;
use crate::types::stream::{Group, Id};

pub(in crate::commands) const HANDLERS: &[DataCommand] =
    &[reads("xinfo|stream", stream), reads("xinfo|groups", groups), reads("xinfo|consumers", consumers)];

/// Entries, and pending ones of a group, that FULL tells unless it is asked for another number.
const TOLD: usize = 10;

fn number(reply: &mut Reply<'_>, name: &str, number: usize) {
    reply.bulk(name.as_bytes());
    reply.len(number);
}

fn id(reply: &mut Reply<'_>, name: &str, id: Id) {
    reply.bulk(name.as_bytes());
    put_id(reply, id);
}

/// How many entries a group has read, and how many it has yet to read; null where nobody knows.
fn progress(reply: &mut Reply<'_>, stream: &Stream, group: &Group) {
    let added = stream.facts().added;
    let exact = group.read.filter(|_| !stream.has_gap(group.last, Id::MAX));
    let read = if added == 0 { Some(0) } else { exact.or_else(|| stream.added_up_to(group.last)) };
    let lag = read.map(|read| added.wrapping_sub(read));
    for (name, number) in [("entries-read", group.read), ("lag", lag)] {
        reply.bulk(name.as_bytes());
        match number {
            Some(number) => reply.int(number as i64),
            None => reply.null(),
        }
    }
}

fn stream(call: &mut Call<'_>) -> Result<(), Error> {
    let key = call.key(2);
    call.engine.touch(call.db, &key);
    let stream = call.engine.peek::<Stream>(call.db, &key)?.ok_or(Error::NoSuchKey)?;
    let full = match call.args.len() {
        3 => None,
        4 if call.args.is(3, "FULL") => Some(TOLD),
        6 if call.args.is(3, "FULL") && call.args.is(4, "COUNT") => Some(match call.integer(5)? {
            0 => usize::MAX,
            count => usize::try_from(count).unwrap_or(TOLD),
        }),
        _ => return Err(bad_subcommand_call(&call.args)),
    };
    let reply = &mut call.reply;
    let (facts, (blocks, nodes)) = (stream.facts(), stream.node_counts());
    // A tree has a root, and one without a block nothing else.
    let nodes = if blocks == 0 { 1 } else { nodes.max(blocks + 1) };
    reply.map(if full.is_some() { 9 } else { 10 });
    number(reply, "length", stream.len());
    number(reply, "radix-tree-keys", blocks);
    number(reply, "radix-tree-nodes", nodes);
    id(reply, "last-generated-id", facts.last);
    id(reply, "max-deleted-entry-id", facts.max_deleted);
    reply.bulk(b"entries-added");
    reply.int(facts.added as i64);
    id(reply, "recorded-first-entry-id", stream.first_id().unwrap_or_default());
    let Some(most) = full else {
        number(reply, "groups", stream.groups().len());
        let first = stream.range(Id::MIN, Id::MAX).next();
        let last = stream.range_back(Id::MAX, Id::MIN).next();
        for (name, entry) in [("first-entry", first), ("last-entry", last)] {
            reply.bulk(name.as_bytes());
            match entry {
                Some(entry) => put_entry(reply, &entry),
                None => reply.null(),
            }
        }
        return Ok(());
    };
    reply.bulk(b"entries");
    put_entries(reply, stream.range(Id::MIN, Id::MAX), most);
    reply.bulk(b"groups");
    reply.array(stream.groups().len());
    for (name, group) in stream.groups() {
        group_in_full(reply, stream, name, group, most);
    }
    Ok(())
}

fn group_in_full(reply: &mut Reply<'_>, stream: &Stream, name: &[u8], group: &Group, most: usize) {
    reply.map(7);
    reply.bulk(b"name");
    reply.bulk(name);
    id(reply, "last-delivered-id", group.last);
    progress(reply, stream, group);
    number(reply, "pel-count", group.pending().len());
    reply.bulk(b"pending");
    reply.array(group.pending().len().min(most));
    for pending in group.pending().iter().take(most) {
        reply.array(4);
        put_id(reply, pending.id);
        reply.bulk(group.name(pending.consumer));
        reply.int(pending.delivered_at);
        reply.int(pending.deliveries as i64);
    }
    reply.bulk(b"consumers");
    reply.array(group.consumers().len());
    for (name, consumer) in group.consumers() {
        reply.map(4);
        reply.bulk(b"name");
        reply.bulk(name);
        reply.bulk(b"seen-time");
        reply.int(consumer.seen_at);
        number(reply, "pel-count", consumer.pending().len());
        reply.bulk(b"pending");
        reply.array(consumer.pending().len().min(most));
        for pending in consumer.pending().iter().take(most).filter_map(|id| group.pending().get(*id)) {
            reply.array(3);
            put_id(reply, pending.id);
            reply.int(pending.delivered_at);
            reply.int(pending.deliveries as i64);
        }
    }
}

fn groups(call: &mut Call<'_>) -> Result<(), Error> {
    let key = call.key(2);
    let stream = call.engine.read::<Stream>(call.db, &key)?.ok_or(Error::NoSuchKey)?;
    let reply = &mut call.reply;
    reply.array(stream.groups().len());
    for (name, group) in stream.groups() {
        reply.map(6);
        reply.bulk(b"name");
        reply.bulk(name);
        number(reply, "consumers", group.consumers().len());
        number(reply, "pending", group.pending().len());
        id(reply, "last-delivered-id", group.last);
        progress(reply, stream, group);
    }
    Ok(())
}

fn consumers(call: &mut Call<'_>) -> Result<(), Error> {
    let (key, name, now) = (call.key(2), call.args.at(3), call.now());
    let stream = call.engine.read::<Stream>(call.db, &key)?.ok_or(Error::NoSuchKey)?;
    let group = stream.group(name).ok_or_else(|| {
        quoting(&[b"NOGROUP No such consumer group '", name, b"' for key name '", key.bytes, b"'"])
    })?;
    let reply = &mut call.reply;
    reply.array(group.consumers().len());
    for (name, consumer) in group.consumers() {
        reply.map(3);
        reply.bulk(b"name");
        reply.bulk(name);
        number(reply, "pending", consumer.pending().len());
        reply.bulk(b"idle");
        reply.int((now - consumer.seen_at).max(0));
    }
    Ok(())
}
