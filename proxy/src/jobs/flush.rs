//! FLUSHDB, FLUSHALL and SWAPDB: nothing changes unless all shards answer.
//!
//! First every shard is sent the command for no slots at all, which checks the arguments and shows that the shard is
//! there; only when all have agreed is it sent for their slots.

use std::rc::Rc;

use slotway_common::error::Error;
use slotway_common::resp::Reply;

use super::asking::{ask_each, by_owner, cover, name, on_slots, split_on_reply, successful, target};
use crate::core::Job;
use crate::worker::Worker;

pub(super) async fn all_or_nothing(
    worker: &Rc<Worker>,
    job: &Job,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    let probe = on_slots(&[], job);
    let requests: Vec<_> =
        by_owner(worker, None)?.iter().map(|(shard, _)| (target(job, *shard), probe.clone())).collect();
    for (_, answer) in ask_each(worker, &requests).await {
        let (_, answer) = split_on_reply(&successful(answer.map_err(unchanged)?)?)?;
        successful(answer)?;
    }
    match cover(worker, job).await {
        Ok(_) => {
            reply.ok();
            Ok(())
        }
        Err(error) => Err(torn(worker, job, &error)),
    }
}

/// Adds to the error of the first step that there was no second one.
fn unchanged(error: Error) -> Error {
    Error::Line(format!("{error} (nothing was changed)").into())
}

/// A shard was lost between its agreement and the command.
fn torn(worker: &Worker, job: &Job, error: &Error) -> Error {
    let what = job.command.name.to_ascii_uppercase();
    let names: Vec<String> =
        super::asking::shards(worker).into_iter().map(|shard| name(worker, shard)).collect();
    Error::Line(
        format!(
            "{error} ({what} may have been executed on some of the shards {} only; send it again)",
            names.join(", ")
        )
        .into(),
    )
}
