//! Whether this shard serves the slots of a command.

use slotway_common::command::{self, Command};
use slotway_common::error::Error;
use slotway_common::fault;
use slotway_common::resp::Args;
use slotway_common::slot::{Slot, slot_of};

use crate::engine::Engine;
use crate::locks::{Holder, try_again};
use crate::node::Node;
use crate::session::Session;

/// Checks that this shard owns the slots of all keys behind the first.
#[inline]
pub(super) fn check_other_slots(
    engine: &mut Engine,
    node: &mut Node,
    session: &mut Session,
    first: Slot,
    command: &Command,
    args: &Args<'_>,
) -> Result<(), Error> {
    let Ok(keys) = command::keys(command, args) else { return Ok(()) };
    for position in keys.positions().skip(1) {
        let slot = slot_of(args.at(position));
        // What borrows has been admitted with all of its keys.
        if session.borrowed.is_none() {
            check_slot(node, session, slot, command, args)?;
        }
        if slot != first {
            engine.expect_several_slots();
        }
    }
    Ok(())
}

/// Checks that this shard serves a slot, and that its connection has not been refused for it.
///
/// # Errors
/// Where else the command is to be sent, or that it is to be sent again later.
#[inline]
pub fn check_slot(
    node: &mut Node,
    session: &mut Session,
    slot: Slot,
    command: &Command,
    args: &Args<'_>,
) -> Result<(), Error> {
    if node.serves(slot) && (session.refused.is_empty() || !session.refused.contains(&slot)) {
        return Ok(());
    }
    redirect(node, session, slot, command, args)
}

/// Refuses what a client of this shard would write in all slots while one of them must not change.
#[cold]
pub(super) fn check_all_slots(
    node: &Node,
    session: &mut Session,
    command: &'static Command,
    args: &Args<'_>,
) -> Result<(), Error> {
    if let Some(borrowed) = &mut session.borrowed {
        return borrowed.admit(command, args, session.db);
    }
    // A proxy names the slots that it means, and those that are held are left out.
    match node.locks.held_of(Some(command), args) {
        Some(slot) if session.internal.is_none() => Err(try_again(slot)),
        _ => Ok(()),
    }
}

#[cold]
fn redirect(
    node: &mut Node,
    session: &mut Session,
    slot: Slot,
    command: &Command,
    args: &Args<'_>,
) -> Result<(), Error> {
    if let Some(borrowed) = &mut session.borrowed {
        return borrowed.admit(command, args, session.db);
    }
    node.check_serving(session.internal.is_some())?;
    let Some(address) = node.owner_address(slot).map(str::to_owned) else {
        return Err(Error::ClusterDown("Hash slot not served".into()));
    };
    let holder = node.locks.holder(slot);
    if session.internal.is_some() {
        // All slots of the command: its proxy sends it again, perhaps in parts, and nothing that touches one of them may
        // overtake it.
        let positions = command::keys(command, args).map(|keys| keys.positions());
        let others = positions.into_iter().flatten().map(|position| slot_of(args.at(position)));
        for slot in others.chain([slot]) {
            if !session.refused.contains(&slot) && !fault::planted("refusal-does-not-stick") {
                session.refused.push(slot);
            }
        }
    } else if command::keys(command, args)
        .is_ok_and(|keys| keys.positions().any(|position| slot_of(args.at(position)) != slot))
    {
        return Err(Error::CrossSlot("Keys in request don't hash to the same slot".into()));
    }
    node.stats.redirects += 1;
    match holder {
        Some(holder) if session.internal.is_some() => {
            if matches!(holder, Holder::Transaction(_)) {
                node.locks.note_refusal(slot);
            }
            Err(Error::Parked { slot })
        }
        Some(Holder::Leaving | Holder::Transaction(_)) => Err(try_again(slot)),
        _ => Err(Error::Moved { slot, address }),
    }
}
