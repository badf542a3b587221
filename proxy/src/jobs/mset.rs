//! MSET of keys on several shards: a transaction of this one command.

use std::rc::Rc;

use slotway_common::error::Error;
use slotway_common::resp::Reply;

use super::batch;
use crate::core::Job;
use crate::transaction::{Batch, How};
use crate::worker::Worker;

pub(super) async fn mset(worker: &Rc<Worker>, job: &Job, reply: &mut Reply<'_>) -> Result<(), Error> {
    let mut batch = Batch::empty(job.database);
    batch.push(job.command, &job.args.args());
    let replies = batch::run(worker, job, &batch, None, How::Quiet).await.map_err(not_of_exec)?;
    // Nothing is watched.
    reply.raw(&replies.unwrap_or_default());
    Ok(())
}

/// Shards say of a batch that it is discarded, which a client that sent no EXEC is not told.
fn not_of_exec(error: Error) -> Error {
    if error.wire().starts_with(b"EXECABORT Transaction discarded because of: OOM ") {
        Error::Oom
    } else {
        error
    }
}
