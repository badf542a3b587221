//! One command with keys on several shards, or a script that uses keys of other shards: a transaction of this one command.

use std::rc::Rc;

use slotway_common::error::Error;
use slotway_common::resp::Reply;

use super::batch;
use crate::core::Job;
use crate::owned::OwnedArgs;
use crate::transaction::{Batch, How};
use crate::worker::Worker;

/// Runs the command of a job.
///
/// # Errors
/// Where it did not run, or it is not known whether it did.
pub(super) async fn run(worker: &Rc<Worker>, job: &Job, reply: &mut Reply<'_>) -> Result<(), Error> {
    run_as(worker, job, &job.args, reply).await
}

/// As [`run`], with other words.
///
/// # Errors
/// As [`run`].
pub(super) async fn run_as(
    worker: &Rc<Worker>,
    job: &Job,
    words: &OwnedArgs,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    let batch = batch_of(job, words);
    let replies = batch::run(worker, job, &batch, None, How::Quiet).await.map_err(not_of_exec)?;
    // Nothing is watched.
    reply.raw(&replies.unwrap_or_default());
    Ok(())
}

/// As [`run`], of a script that needs keys which it does not name.
///
/// # Errors
/// As [`run`].
pub(super) async fn borrow(worker: &Rc<Worker>, job: &Job, reply: &mut Reply<'_>) -> Result<(), Error> {
    let replies =
        batch::borrow(worker, job, &batch_of(job, &job.args), How::Quiet).await.map_err(not_of_exec)?;
    reply.raw(&replies.unwrap_or_default());
    Ok(())
}

fn batch_of(job: &Job, words: &OwnedArgs) -> Batch {
    let mut batch = Batch::empty(job.database);
    batch.push(job.command, &words.args());
    batch
}

/// Shards say of a batch that it is discarded, which a client that sent no EXEC is not told.
fn not_of_exec(error: Error) -> Error {
    const DISCARDED: &[u8] = b"EXECABORT Transaction discarded because of: ";
    match error.wire().strip_prefix(DISCARDED) {
        Some(reason) => Error::Line(String::from_utf8_lossy(reason).into_owned().into()),
        None => error,
    }
}
