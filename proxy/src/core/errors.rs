//! Errors that are made here.

use slotway_common::command::Command;
use slotway_common::error::Error;
use slotway_common::resp::{Protocol, Reply};

/// What the error of a command on keys of several slots says.
pub(crate) fn crossslot(command: &Command) -> Error {
    let name = command.name.replace('|', " ").to_ascii_uppercase();
    Error::CrossSlot(
        format!("Keys in request don't hash to the same slot, and {name} is not split over slots yet").into(),
    )
}

/// The error of a request on a slot that no shard owns.
pub(super) fn unowned(slot: u16) -> Error {
    Error::ClusterDown(format!("Hash slot {slot} is not served by any shard").into())
}

/// An error as a whole reply line.
pub(super) fn error_line(error: &Error) -> Vec<u8> {
    let mut line = Vec::new();
    Reply::new(&mut line, Protocol::Resp2).error(error);
    line
}
