//! Commands of more than one step.

use std::rc::Rc;

use slotway_common::error::Error;
use slotway_common::resp::Reply;

use crate::core::Job;
use crate::worker::Worker;

/// Runs a job to its end.
pub(crate) async fn run(worker: Rc<Worker>, job: Job) {
    let mut out = Vec::new();
    let mut reply = Reply::new(&mut out, job.protocol);
    let result = execute(&worker, &job, &mut reply).await;
    if let Err(error) = result {
        out.clear();
        Reply::new(&mut out, job.protocol).error(&error);
    }
    worker.with(|core| core.finish(job.session, job.seq, &out));
}

async fn execute(_worker: &Rc<Worker>, job: &Job, _reply: &mut Reply<'_>) -> Result<(), Error> {
    match job.command.name {
        _ => Err(slotway_common::command::unsupported(job.command)),
    }
}
