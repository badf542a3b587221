//! SLOWLOG.

use slotway_common::command::bad_subcommand_call;
use slotway_common::error::Error;
use slotway_common::number::parse_i64;

use super::{Call, Handler};

/// Entries that GET shows if it is not told how many.
const SHOWN: usize = 10;

pub(super) fn handler(name: &str) -> Option<Handler> {
    Some(match name {
        "slowlog|get" => get,
        "slowlog|len" => len,
        "slowlog|reset" => reset,
        _ => return None,
    })
}

fn get(call: &mut Call<'_>) -> Result<(), Error> {
    let count = match call.args.len() {
        2 => SHOWN,
        3 => match parse_i64(call.args.at(2)) {
            Some(-1) => usize::MAX,
            Some(count @ 0..) => usize::try_from(count).unwrap_or(usize::MAX),
            _ => return Err(Error::err("count should be greater than or equal to -1")),
        },
        _ => return Err(bad_subcommand_call(&call.args)),
    };
    let log = &call.node.slow_log;
    call.reply.array(log.len().min(count));
    for entry in log.iter().take(count) {
        call.reply.array(6);
        call.reply.int(entry.id as i64);
        call.reply.int(entry.at);
        call.reply.int(entry.duration.as_micros() as i64);
        call.reply.array(entry.args.len());
        entry.args.iter().for_each(|arg| call.reply.bulk(arg));
        call.reply.bulk(entry.address.as_bytes());
        call.reply.bulk(&entry.name);
    }
    Ok(())
}

fn len(call: &mut Call<'_>) -> Result<(), Error> {
    call.reply.int(call.node.slow_log.len() as i64);
    Ok(())
}

fn reset(call: &mut Call<'_>) -> Result<(), Error> {
    call.node.slow_log.reset();
    call.reply.ok();
    Ok(())
}
