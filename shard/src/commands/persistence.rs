//! BGSAVE, SAVE, BGREWRITEAOF and LASTSAVE: all make, or tell of, a new base of the log.

use slotway_common::error::Error;

use crate::node::{NodeCall, NodeHandler};

pub(super) const HANDLERS: &[(&str, NodeHandler)] =
    &[("bgsave", bgsave), ("save", save), ("bgrewriteaof", bgrewriteaof), ("lastsave", lastsave)];

fn check(call: &NodeCall<'_>) -> Result<(), Error> {
    if !call.node.log.is_on() {
        return Err(Error::err("there is no log to save to: appendonly is no"));
    }
    match call.node.log.failure() {
        Some(reason) => Err(Error::Line(format!("MISCONF the log cannot be written: {reason}").into())),
        None => Ok(()),
    }
}

fn bgsave(call: &mut NodeCall<'_>) -> Result<(), Error> {
    let is_scheduled = match call.args.len() {
        1 => false,
        2 if call.args.is(1, "schedule") => true,
        _ => return Err(Error::Syntax),
    };
    check(call)?;
    if !call.node.log.is_saving() {
        call.node.log.want_base(false);
        call.reply.simple("Background saving started");
    } else if is_scheduled {
        call.node.log.want_base(false);
        call.reply.simple("Background saving scheduled");
    } else {
        return Err(Error::err("Background save already in progress"));
    }
    Ok(())
}

fn bgrewriteaof(call: &mut NodeCall<'_>) -> Result<(), Error> {
    check(call)?;
    if call.node.log.is_saving() {
        return Err(Error::err("Background append only file rewriting already in progress"));
    }
    call.node.log.want_base(false);
    call.reply.simple("Background append only file rewriting started");
    Ok(())
}

/// The client waits; others do not.
fn save(call: &mut NodeCall<'_>) -> Result<(), Error> {
    check(call)?;
    if call.node.log.is_saving() {
        return Err(Error::err("Background save already in progress"));
    }
    call.node.log.want_base(false);
    call.session.wait_for_save(call.node.log.bases_ended() + 1);
    Ok(())
}

fn lastsave(call: &mut NodeCall<'_>) -> Result<(), Error> {
    let saved_at = call.node.log.saved_at();
    call.reply.int(if saved_at > 0 { saved_at } else { call.node.started_at / 1000 });
    Ok(())
}
