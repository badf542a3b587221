//! Who has the ports of a process that is to be started.

use std::io;

use slotway_common::handshake::Identity;
use slotway_common::internal::{CallError, Connection};
use slotway_common::platform::net;
use slotway_common::secret::Secret;

use super::PATIENCE;
use crate::CommandError;
use crate::processes::Process;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Occupancy {
    /// Nobody has any of its ports.
    Free,
    /// The process itself is running.
    Member,
}

/// An error if a port belongs to somebody else, who is asked by handshake.
pub(super) async fn look(
    process: &Process,
    identity: &Identity,
    secret: &Secret,
) -> Result<Occupancy, CommandError> {
    for (address, purpose) in process.listens() {
        let text = address.to_string();
        // The system knows best what can be listened at; the socket is closed again at once.
        let Err(error) = net::listen(&text, 1) else { continue };
        if error.kind() != io::ErrorKind::AddrInUse {
            return Err(CommandError::Unusable { address: text, purpose, reason: error.to_string() });
        }
        let reason = match ask(process, identity, secret).await {
            Ok(()) => return Ok(Occupancy::Member),
            // Its client port is free or silent, so what has this port is not the process.
            Err(_) if *address != process.address => "it is not a process of this cluster".to_owned(),
            Err(error) => error.to_string(),
        };
        return Err(CommandError::Taken { address: text, purpose, reason });
    }
    Ok(Occupancy::Free)
}

async fn ask(process: &Process, identity: &Identity, secret: &Secret) -> Result<(), CallError> {
    let mut address = process.address.clone();
    if address.is_wildcard() {
        address = address.on_loopback();
    }
    Connection::open(&address.to_string(), identity, secret, Some(&process.id), PATIENCE).await.map(drop)
}
