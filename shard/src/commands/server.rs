//! The server itself: COMMAND, TIME, MONITOR, LOLWUT, SHUTDOWN, and HELP of everything that has it.

use slotway_common::command;
use slotway_common::error::Error;
use slotway_common::platform::clock;

use crate::node::{NodeCall, NodeHandler};

pub(super) const HANDLERS: &[(&str, NodeHandler)] = &[
    ("time", time),
    ("monitor", monitor),
    ("lolwut", lolwut),
    ("shutdown", shutdown),
    ("command", command_table),
    ("command|count", command_table),
    ("command|docs", command_table),
    ("command|getkeys", command_table),
    ("command|getkeysandflags", command_table),
    ("command|help", command_table),
    ("command|info", command_table),
    ("command|list", command_table),
    ("client|help", help),
    ("cluster|help", help),
    ("config|help", help),
    ("function|help", help),
    ("latency|help", help),
    ("memory|help", help),
    ("module|help", help),
    ("object|help", help),
    ("pubsub|help", help),
    ("script|help", help),
    ("slowlog|help", help),
    ("xgroup|help", help),
    ("xinfo|help", help),
];

fn command_table(call: &mut NodeCall<'_>) -> Result<(), Error> {
    command::answer(call.command, &call.args, &mut call.reply)
}

fn help(call: &mut NodeCall<'_>) -> Result<(), Error> {
    command::help(call.command, &mut call.reply);
    Ok(())
}

fn time(call: &mut NodeCall<'_>) -> Result<(), Error> {
    let now = clock::now_us();
    call.reply.array(2);
    call.reply.bulk_int(now / 1_000_000);
    call.reply.bulk_int(now % 1_000_000);
    Ok(())
}

fn monitor(call: &mut NodeCall<'_>) -> Result<(), Error> {
    call.node.monitors.add(call.session.client.clone(), None);
    call.reply.ok();
    Ok(())
}

fn lolwut(call: &mut NodeCall<'_>) -> Result<(), Error> {
    // Slots as lots: a picture of who owns what, sixteen rows of sixty-four boxes of sixteen slots each.
    let mut text = String::new();
    for row in 0..16_u16 {
        for column in 0..64_u16 {
            let slot = (row * 64 + column) * 16;
            let owner = call.node.slot_map.shard_of(slot);
            text.push(owner.and_then(|shard| char::from_digit((shard % 36) as u32, 36)).unwrap_or('.'));
        }
        text.push('\n');
    }
    text.push_str("\nRedis ver. 7.0.15\n");
    call.reply.verbatim("txt", text.as_bytes());
    Ok(())
}

fn shutdown(call: &mut NodeCall<'_>) -> Result<(), Error> {
    let (mut save, mut nosave, mut abort, mut other) = (false, false, false, false);
    for option in call.args.rest(1).iter() {
        match option.to_ascii_lowercase().as_slice() {
            b"save" => save = true,
            b"nosave" => nosave = true,
            b"now" | b"force" => other = true,
            b"abort" => abort = true,
            _ => return Err(Error::Syntax),
        }
    }
    if (save && nosave) || (abort && (save || nosave || other)) {
        return Err(Error::Syntax);
    }
    if abort {
        return Err(Error::err("No shutdown in progress."));
    }
    if save && !call.node.log.is_on() {
        return Err(Error::err("there is no log to save to: appendonly is no"));
    }
    tracing::info!("SHUTDOWN from {}", call.session.client.address);
    call.node.stopping = true;
    call.node.clients.wake_all();
    Ok(())
}
