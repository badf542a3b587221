//! Commands of more than one step: they ask shards, or the other workers.

mod acl;
mod across;
mod asking;
mod batch;
mod blocking;
mod clients;
mod config;
mod debug;
mod dispatch;
mod flush;
mod following;
mod functions;
mod info;
mod keyspace;
mod latency;
mod memory;
mod one;
mod persistence;
mod pubsub;
mod room;
mod scan;
mod scripts;
mod server;
mod slowlog;
mod tracking;
mod transaction;
mod watch;

use std::rc::Rc;

use slotway_common::platform::clock;
use slotway_common::resp::Reply;

use crate::core::{Job, Work};
use crate::worker::Worker;

pub(crate) use following::{changed_settings, require_password, take_over_users};
pub(crate) use scripts::find as find_scripts;
pub(crate) use tracking::redirect;

/// Runs a job to its end.
pub(crate) async fn run(worker: Rc<Worker>, job: Job) {
    let mut out = Vec::new();
    let mut reply = Reply::new(&mut out, job.protocol);
    let started = clock::monotonic();
    let result = match job.work {
        Work::Run => dispatch::execute(&worker, &job, &mut reply).await,
        Work::Exec(..) => transaction::exec(&worker, &job, &mut reply).await,
        Work::Queue => transaction::queue(&worker, &job, &mut reply).await,
        Work::Borrow => one::borrow(&worker, &job, &mut reply).await,
    };
    let failed = result.is_err();
    if let Err(error) = result {
        out.clear();
        Reply::new(&mut out, job.protocol).error(&error);
    }
    worker.with(|core| {
        if failed {
            core.counters.error(crate::counters::Source::Internal);
        }
        if !job.accounted.get() {
            core.ran(job.session, job.command, &job.args.args(), clock::since(started), &out);
        }
        core.show_exec(job.session);
        core.finish(job.session, job.seq, &out);
    });
}
