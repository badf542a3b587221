//! EXEC of a transaction that is more than one batch for one shard: with commands that cover all shards, or that the proxy
//! answers itself, or with a SELECT.
//!
//! Each batch is atomic, and everything happens in the order in which it was queued.

use std::rc::Rc;

use slotway_common::error::Error;
use slotway_common::platform::clock;
use slotway_common::resp::Reply;

use super::asking::successful;
use crate::commands;
use crate::core::{Job, Unsent};
use crate::transaction::{Batch, How, Step, Watch};
use crate::worker::Worker;

pub(super) async fn exec(worker: &Rc<Worker>, job: &Job, reply: &mut Reply<'_>) -> Result<(), Error> {
    let Some((transaction, watch)) = &job.transaction else { return Err(Error::err("EXEC without MULTI")) };
    let mut watch = watch.as_deref();
    let refused = worker.with(|core| {
        let batches = transaction.steps.iter().filter_map(|step| match step {
            Step::Batch(batch) => Some(batch),
            Step::Own { .. } => None,
        });
        let refused = batches.map(|batch| core.check_batch(batch, watch)).find_map(Result::err);
        if let (Some(_), Some(watch)) = (&refused, watch) {
            core.forget_watch(watch);
        }
        refused
    });
    match refused {
        Some(Unsent::Refused(error)) => return Err(error),
        Some(Unsent::Broken) => {
            reply.null_array();
            return Ok(());
        }
        Some(Unsent::Wait(_)) | None => {}
    }
    if matches!(transaction.steps.first(), Some(Step::Own { .. })) && watch.is_some() {
        // What is watched must be asked for before anything runs.
        let Some(_) = run_batch(worker, job, &Batch::empty(job.database), watch.take()).await? else {
            reply.null_array();
            return Ok(());
        };
    }
    reply.array(transaction.len());
    for (index, step) in transaction.steps.iter().enumerate() {
        match step {
            Step::Own { command, args, database } => {
                let own = Job {
                    command,
                    args: args.clone(),
                    database: *database,
                    transaction: None,
                    accounted: Rc::default(),
                    ..job.clone()
                };
                let mut out = Vec::new();
                let started = clock::monotonic();
                let allowed = worker.with(|core| core.check_queued(job.session, command, &own.args.args()));
                if let Err(error) = allowed {
                    worker.with(|core| core.run.error(&error));
                    reply.error(&error);
                    continue;
                }
                if !worker.with(|core| commands::answer_into(core, &own, &mut out)) {
                    run_own(worker, &own, &mut out).await;
                }
                worker.with(|core| {
                    if !own.accounted.get() {
                        core.ran(own.session, command, &own.args.args(), clock::since(started), &out);
                    }
                    core.show_own(own.session, command, &own.args.args());
                });
                reply.buffer().extend_from_slice(&out);
            }
            Step::Batch(batch) => match run_batch(worker, job, batch, watch.take()).await {
                Ok(Some(replies)) => {
                    reply.buffer().extend_from_slice(&replies);
                    worker.with(|core| core.use_database(job.session, batch.ends_in));
                }
                Ok(None) => {
                    reply.truncate(0);
                    reply.null_array();
                    return Ok(());
                }
                // Nothing has run yet.
                Err(error) if index == 0 => return Err(error),
                Err(error) => (0..batch.count).for_each(|_| reply.error(&error)),
            },
        }
    }
    Ok(())
}

async fn run_own(worker: &Rc<Worker>, own: &Job, out: &mut Vec<u8>) {
    let mut reply = Reply::new(out, own.protocol);
    let result = match own.command.name {
        "ssubscribe" => Err(Error::err("SSUBSCRIBE isn't allowed for a DENY BLOCKING client")),
        "monitor" => Err(Error::err("MONITOR isn't allowed for DENY BLOCKING client")),
        _ => Box::pin(super::execute(worker, own, &mut reply)).await,
    };
    if let Err(error) = result {
        out.clear();
        Reply::new(out, own.protocol).error(&error);
    }
}

/// The replies of a batch, one after the other; `None` when what was watched has changed.
async fn run_batch(
    worker: &Rc<Worker>,
    job: &Job,
    batch: &Batch,
    watch: Option<&Watch>,
) -> Result<Option<Vec<u8>>, Error> {
    let (shard, receiver) = match worker.with(|core| core.ask_batch(job, batch, watch, How::Part)) {
        Ok(asked) => asked,
        Err(Unsent::Refused(error)) => return Err(error),
        Err(Unsent::Broken | Unsent::Wait(_)) => return Ok(None),
    };
    let answer = receiver.await.unwrap_or(Err(crate::core::AskError::Lost));
    let answer = answer.map_err(|error| worker.core.borrow().ask_error(shard, error))?;
    let replies = successful(answer)?;
    if replies.starts_with(b"*-1") || replies.starts_with(b"_") {
        return Ok(None);
    }
    let header = replies.iter().position(|byte| *byte == b'\n').map_or(replies.len(), |end| end + 1);
    Ok(Some(replies.get(header..).unwrap_or_default().to_vec()))
}
