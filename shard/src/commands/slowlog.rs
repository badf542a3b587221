//! SLOWLOG.

use slotway_common::command::bad_subcommand_call;
use slotway_common::error::Error;
use slotway_common::number::parse_i64;
use slotway_common::slow_log::Entry;

use crate::node::{NodeCall, NodeHandler};

/// Entries that GET shows if it is not told how many.
const SHOWN: usize = 10;

pub(super) const HANDLERS: &[(&str, NodeHandler)] =
    &[("slowlog|get", get), ("slowlog|len", len), ("slowlog|reset", reset)];

fn get(call: &mut NodeCall<'_>) -> Result<(), Error> {
    let count = match call.args.len() {
        2 => SHOWN,
        3 => match parse_i64(call.args.at(2)) {
            Some(-1) => usize::MAX,
            Some(count @ 0..) => usize::try_from(count).unwrap_or(usize::MAX),
            _ => return Err(Error::err("count should be greater than or equal to -1")),
        },
        _ => return Err(bad_subcommand_call(&call.args)),
    };
    call.node.slow_log.write(count, &mut call.reply);
    Ok(())
}

/// `SLOTWAY SLOWLOG <process> <from>`: the entries from that number on, oldest first, for a proxy that has those before them
/// from this process; all where that was another one. The reply begins with this process, and the number of the next entry.
pub(super) fn tell(call: &mut NodeCall<'_>) {
    let log = &call.node.slow_log;
    let is_same = call.args.at(2) == call.node.run_id.as_bytes();
    let from = parse_i64(call.args.at(3)).and_then(|from| u64::try_from(from).ok()).filter(|_| is_same);
    let new: Vec<&Entry> = log.iter().filter(|entry| entry.id >= from.unwrap_or(0)).collect();
    call.reply.array(2 + new.len());
    call.reply.bulk(call.node.run_id.as_bytes());
    call.reply.int(log.next_id() as i64);
    for entry in new.into_iter().rev() {
        call.reply.array(5);
        call.reply.int(entry.at_us);
        call.reply.int(entry.duration.as_micros() as i64);
        call.reply.array(entry.args.len());
        entry.args.iter().for_each(|arg| call.reply.bulk(arg));
        call.reply.bulk(entry.address.as_bytes());
        call.reply.bulk(&entry.name);
    }
}

fn len(call: &mut NodeCall<'_>) -> Result<(), Error> {
    call.reply.int(call.node.slow_log.len() as i64);
    Ok(())
}

fn reset(call: &mut NodeCall<'_>) -> Result<(), Error> {
    call.node.slow_log.reset();
    call.reply.ok();
    Ok(())
}
