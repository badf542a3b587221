//! Commands about replicas, modules and slots on their way, none of which a shard has: see `slotway_common::alone`.

use slotway_common::alone::{self, Wait};
use slotway_common::error::Error;

use super::blocking::ends_after;
use crate::call::want::{Awaited, Want};
use crate::node::{NodeCall, NodeHandler};

pub(super) const HANDLERS: &[(&str, NodeHandler)] = &[
    ("wait", wait),
    ("role", role),
    ("module|list", modules),
    ("replicaof", follow),
    ("slaveof", follow),
    ("readonly", cluster_client),
    ("readwrite", cluster_client),
    ("asking", cluster_client),
];

fn role(call: &mut NodeCall<'_>) -> Result<(), Error> {
    alone::role(&mut call.reply);
    Ok(())
}

fn modules(call: &mut NodeCall<'_>) -> Result<(), Error> {
    alone::modules(&mut call.reply);
    Ok(())
}

fn follow(call: &mut NodeCall<'_>) -> Result<(), Error> {
    alone::follow(call.command, &call.args, &mut call.reply)
}

/// WAIT: there are no replicas, so their number is 0 at once, or when the time is up.
fn wait(call: &mut NodeCall<'_>) -> Result<(), Error> {
    let wait = Wait::parse(&call.args)?;
    if !wait.waits || !call.session.may_wait {
        call.reply.int(0);
        return Ok(());
    }
    let deadline = ends_after(call.engine.now(), wait.milliseconds);
    call.session.wants = Some(Want { awaited: Awaited::Replicas, keys: Vec::new(), deadline, args: None });
    Ok(())
}

/// What clients of a cluster send that would read from replicas, or follow a slot that is on its way. Neither is needed here.
fn cluster_client(call: &mut NodeCall<'_>) -> Result<(), Error> {
    call.reply.ok();
    Ok(())
}
