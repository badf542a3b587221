//! WATCH of keys on several shards.

use std::rc::Rc;

use slotway_common::error::Error;
use slotway_common::resp::Reply;

use super::asking::successful;
use crate::core::{AskError, Job};
use crate::worker::Worker;

/// The client is answered when all shards watch; if one cannot, none of them watches these keys for this client.
pub(super) async fn watch(worker: &Rc<Worker>, job: &Job, reply: &mut Reply<'_>) -> Result<(), Error> {
    let told = worker.with(|core| core.watch_for_job(job))?;
    let mut failed = None;
    let mut watching = Vec::new();
    for told in told {
        let shard = told.watch.shard;
        let answer = told.answer.await.unwrap_or(Err(AskError::Lost));
        let answer = answer.map_err(|error| worker.core.borrow().ask_error(shard, error));
        match answer.and_then(successful) {
            Ok(_) => watching.push((told.watch, told.is_new)),
            Err(error) => failed = Some(error),
        }
    }
    worker.with(|core| {
        for (watch, is_new) in watching {
            if failed.is_none() {
                core.add_watch(job.session, watch);
            } else if is_new {
                core.forget_on(&watch);
            }
        }
    });
    match failed {
        Some(error) => Err(error),
        None => {
            reply.ok();
            Ok(())
        }
    }
}
