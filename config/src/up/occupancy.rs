//! Who has the ports of a process that is to be started.

use std::io;

use slotway_common::cluster_file::Address;
use slotway_common::handshake::Identity;
use slotway_common::internal::{CallError, Connection};
use slotway_common::platform::net;
use slotway_common::secret::Secret;
use tokio::time::{Instant, sleep};

use super::{PATIENCE, POLL};
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
///
/// A process that is starting or ending has some of its ports only, and one that has just ended cannot be asked any more. So
/// where nobody answers at the port for clients, this looks again for a while.
pub(super) async fn look(
    process: &Process,
    identity: &Identity,
    secret: &Secret,
) -> Result<Occupancy, CommandError> {
    let start = Instant::now();
    loop {
        let Some((address, purpose)) = taken(process)? else { return Ok(Occupancy::Free) };
        let error = match ask(process, identity, secret).await {
            Ok(()) => return Ok(Occupancy::Member),
            Err(error) => error,
        };
        let may_change = matches!(error, CallError::Connect(_) | CallError::Lost(_));
        if may_change && start.elapsed() < PATIENCE {
            sleep(POLL).await;
            continue;
        }
        let reason = if *address == process.address {
            error.to_string()
        } else {
            // The port for clients is free or silent, so what has this one is not the process.
            let hint = net::outgoing_hint(address.port()).map(|hint| format!("; {hint}"));
            format!("it is not a process of this cluster{}", hint.unwrap_or_default())
        };
        return Err(CommandError::Taken { address: address.to_string(), purpose, reason });
    }
}

/// The first of its ports that somebody has.
fn taken(process: &Process) -> Result<Option<(&Address, String)>, CommandError> {
    for (address, purpose) in process.listens() {
        let text = address.to_string();
        // The system knows best what can be listened at; the socket is closed again at once.
        match net::listen(&text, 1) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Ok(Some((address, purpose))),
            Err(error) => {
                return Err(CommandError::Unusable { address: text, purpose, reason: error.to_string() });
            }
        }
    }
    Ok(None)
}

async fn ask(process: &Process, identity: &Identity, secret: &Secret) -> Result<(), CallError> {
    let mut address = process.address.clone();
    if address.is_wildcard() {
        address = address.on_loopback();
    }
    Connection::open(&address.to_string(), identity, secret, Some(&process.id), PATIENCE).await.map(drop)
}
