//! `SLOTWAY SETTINGS`: what the cluster has set, and whether something could be set.

use slotway_common::command::bad_subcommand_call;
use slotway_common::error::Error;

use crate::node::NodeCall;

/// `SLOTWAY SETTINGS [CHECK <name> <value> …]`
pub(super) fn internal(call: &mut NodeCall<'_>) -> Result<(), Error> {
    let args = call.args;
    if !call.node.state.is_founded() {
        return Err(Error::err("this node does not know the settings of the cluster yet"));
    }
    match args.len() {
        2 => {
            call.reply.bulk(call.node.settings.to_json().as_bytes());
            return Ok(());
        }
        5.. if args.is(2, "CHECK") => drop(call.node.settings.values.config_set(&args.rest(3))?),
        _ => return Err(bad_subcommand_call(&args)),
    }
    call.reply.ok();
    Ok(())
}
