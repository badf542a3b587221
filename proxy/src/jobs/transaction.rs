//! EXEC of a transaction that is more than one batch for one shard: with keys on several shards, with commands that cover all
//! shards, or that the proxy answers itself, or with a SELECT.
//!
//! Each batch is atomic, and everything happens in the order in which it was queued.

use std::rc::Rc;

use slotway_common::alone::Wait;
use slotway_common::error::Error;
use slotway_common::platform::clock;
use slotway_common::pubsub::subscription;
use slotway_common::reply_mode::ReplyMode;
use slotway_common::resp::Reply;

use super::dispatch::execute;
use super::{batch, room};
use crate::commands;
use crate::core::{Job, Unsent, Work};
use crate::transaction::{ABORTED, Batch, How, Step, Transaction, Watch};
use crate::worker::Worker;

/// Queues a command where a shard may have no memory left.
pub(super) async fn queue(worker: &Rc<Worker>, job: &Job, reply: &mut Reply<'_>) -> Result<(), Error> {
    let room = room::check_queued(worker, job).await;
    worker.with(|core| core.queue_for_job(job, room))?;
    reply.simple("QUEUED");
    Ok(())
}

/// How the client of a job wants to be replied to now; a command of its transaction may have changed that.
fn reply_mode(worker: &Worker, job: &Job) -> ReplyMode {
    worker.core.borrow().sessions.get(job.session).map_or(ReplyMode::ON, |session| session.reply_mode)
}

/// Runs a transaction, and ends the command for CLIENT REPLY.
pub(super) async fn exec(worker: &Rc<Worker>, job: &Job, reply: &mut Reply<'_>) -> Result<(), Error> {
    let mode = reply_mode(worker, job);
    let mut result = run(worker, job, reply).await;
    if mode.is_muted() && reply_mode(worker, job) == mode && result.is_err() {
        reply.truncate(0);
        result = Ok(());
    }
    worker.with(|core| {
        if let Some(session) = core.sessions.get_mut(job.session) {
            session.reply_mode.end_command();
        }
    });
    result
}

/// Refuses a transaction that needs memory where a shard has none left, before any step of it runs.
async fn check_room(worker: &Rc<Worker>, transaction: &Transaction) -> Result<(), Error> {
    if transaction.effects.needs_memory && worker.core.borrow().may_be_full() {
        room::check_everywhere(worker).await.map_err(|error| error.of_exec())?;
    }
    if transaction.aborted {
        return Err(Error::ExecAbort(ABORTED.into()));
    }
    Ok(())
}

/// Why some batch of a transaction cannot run, before any step of it does.
fn check_batches(worker: &Worker, transaction: &Transaction, watch: Option<&Watch>) -> Option<Unsent> {
    worker.with(|core| {
        let batches = transaction.steps.iter().filter_map(|step| match step {
            Step::Batch(batch) => Some(batch),
            Step::Own { .. } => None,
        });
        let refused = batches.map(|batch| core.check_batch(batch, watch)).find_map(Result::err);
        if let (Some(_), Some(watch)) = (&refused, watch) {
            core.forget_watch(watch);
        }
        refused
    })
}

fn reply_null(worker: &Worker, job: &Job, reply: &mut Reply<'_>) {
    reply.truncate(0);
    if !reply_mode(worker, job).is_muted() {
        reply.null_array();
    }
}

async fn run(worker: &Rc<Worker>, job: &Job, reply: &mut Reply<'_>) -> Result<(), Error> {
    let Work::Exec(transaction, watch) = &job.work else { return Err(Error::err("EXEC without MULTI")) };
    let mut watch = watch.as_deref();
    if let Err(error) = check_room(worker, transaction).await {
        if let Some(watch) = watch {
            worker.with(|core| core.forget_watch(watch));
        }
        return Err(error);
    }
    if transaction.steps.len() > 1 {
        match check_batches(worker, transaction, watch) {
            Some(Unsent::Refused(error)) => return Err(error),
            Some(Unsent::Broken) => {
                reply_null(worker, job, reply);
                return Ok(());
            }
            Some(Unsent::Wait(_) | Unsent::Across) | None => {}
        }
    }
    if !matches!(transaction.steps.first(), Some(Step::Batch(_))) && watch.is_some() {
        // What is watched must be asked for before anything runs.
        let Some(_) = batch::run(worker, job, &Batch::empty(job.database), watch.take(), How::Part).await?
        else {
            reply_null(worker, job, reply);
            return Ok(());
        };
    }
    if !reply_mode(worker, job).is_muted() {
        reply.array(transaction.len());
    }
    for (index, step) in transaction.steps.iter().enumerate() {
        match step {
            Step::Own { command, args, database } => {
                let own = Job {
                    command,
                    args: args.clone(),
                    database: *database,
                    work: Work::Run,
                    accounted: Rc::default(),
                    ..job.clone()
                };
                let mode = reply_mode(worker, job);
                let mut out = Vec::new();
                let started = clock::monotonic();
                let allowed = worker.with(|core| core.check_queued(job.session, command, &own.args.args()));
                if let Err(error) = allowed {
                    worker.with(|core| core.run.error(&error));
                    Reply::new(&mut out, job.protocol).error(&error);
                } else {
                    if !worker.with(|core| commands::answer_into(core, &own, &mut out)) {
                        run_own(worker, &own, &mut out).await;
                    }
                    worker.with(|core| {
                        if !own.accounted.get() {
                            core.ran(own.session, command, &own.args.args(), clock::since(started), &out);
                        }
                        core.show_own(own.session, command, &own.args.args());
                    });
                }
                // Confirmations are no replies.
                let confirms = subscription(command).is_some() && !out.starts_with(b"-");
                let muted = mode.is_muted() && reply_mode(worker, job) == mode;
                if confirms || !muted {
                    reply.buffer().extend_from_slice(&out);
                }
            }
            Step::Batch(batch) => match batch::run(worker, job, batch, watch.take(), How::Part).await {
                Ok(Some(replies)) => {
                    if !reply_mode(worker, job).is_muted() {
                        reply.buffer().extend_from_slice(&replies);
                    }
                    worker.with(|core| core.use_database(job.session, batch.ends_in));
                }
                Ok(None) => {
                    reply_null(worker, job, reply);
                    return Ok(());
                }
                // Nothing else has run yet.
                Err(error) if index == 0 => return Err(error),
                Err(error) if !reply_mode(worker, job).is_muted() => {
                    (0..batch.count).for_each(|_| reply.error(&error));
                }
                Err(_) => {}
            },
        }
    }
    Ok(())
}

async fn run_own(worker: &Rc<Worker>, own: &Job, out: &mut Vec<u8>) {
    let mut reply = Reply::new(out, own.protocol);
    let result = match own.command.name {
        "ssubscribe" => Err(Error::err("SSUBSCRIBE isn't allowed for a DENY BLOCKING client")),
        "wait" => Wait::parse(&own.args.args()).map(|_| reply.int(0)),
        "monitor" => Err(Error::err("MONITOR isn't allowed for DENY BLOCKING client")),
        _ => Box::pin(execute(worker, own, &mut reply)).await,
    };
    if let Err(error) = result {
        out.clear();
        Reply::new(out, own.protocol).error(&error);
    }
}
