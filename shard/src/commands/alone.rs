//! Commands about replicas, modules and slots on their way, none of which a shard has: see `slotway_common::alone`.

use slotway_common::alone::{self, Wait};
use slotway_common::error::Error;

use super::blocking::ends_after;
use super::{Call, Handler};
use crate::blocked::{Awaited, Want};

pub(super) fn handler(name: &str) -> Option<Handler> {
    Some(match name {
        "wait" => wait,
        "role" | "module|list" | "replicaof" | "slaveof" => answer,
        "readonly" | "readwrite" | "asking" => cluster_client,
        _ => return None,
    })
}

fn answer(call: &mut Call<'_>) -> Result<(), Error> {
    alone::answer(call.command, &call.args, &mut call.reply).map(|_| ())
}

/// WAIT: there are no replicas, so their number is 0 at once, or when the time is up.
fn wait(call: &mut Call<'_>) -> Result<(), Error> {
    let wait = Wait::parse(&call.args)?;
    if !wait.waits || !call.session.may_wait {
        call.reply.int(0);
        return Ok(());
    }
    let deadline = ends_after(call, wait.milliseconds);
    call.wait(Want { awaited: Awaited::Replicas, keys: Vec::new(), deadline, args: None });
    Ok(())
}

/// What clients of a cluster send that would read from replicas, or follow a slot that is on its way. Neither is needed here.
fn cluster_client(call: &mut Call<'_>) -> Result<(), Error> {
    call.reply.ok();
    Ok(())
}
