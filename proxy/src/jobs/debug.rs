//! DEBUG, for tests: allowed where `enable-debug-command` says so.

use std::rc::Rc;

use slotway_common::error::Error;
use slotway_common::resp::Reply;
use slotway_common::slot::slot_of;

use super::asking::{ask_each, frame, shards, successful, target};
use super::keyspace::at_slot;
use crate::core::Job;
use crate::policy::DebugAccess;
use crate::worker::Worker;

pub(super) async fn debug(worker: &Rc<Worker>, job: &Job, reply: &mut Reply<'_>) -> Result<(), Error> {
    if !allowed(worker, job) {
        return Err(Error::err(
            "DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you can run it from a \
             local connection, otherwise you need to set this option in the configuration file, and then restart the \
             server.",
        ));
    }
    let args = job.args.args();
    // What names a key goes to its shard, everything else to all.
    if args.len() > 2 && (args.is(1, "object") || args.is(1, "listpack") || args.is(1, "ziplist")) {
        return at_slot(worker, job, slot_of(args.at(2)), reply).await;
    }
    let words: Vec<&[u8]> = args.iter().collect();
    let request = frame(&words);
    let requests: Vec<_> =
        shards(worker).into_iter().map(|shard| (target(job, shard), request.clone())).collect();
    let mut first = None;
    for (_, answer) in ask_each(worker, &requests).await {
        let answer = successful(answer?)?;
        first.get_or_insert(answer);
    }
    reply.raw(&first.unwrap_or_default());
    Ok(())
}

fn allowed(worker: &Worker, job: &Job) -> bool {
    let core = worker.core.borrow();
    match core.policy.debug {
        DebugAccess::Everybody => true,
        DebugAccess::Local => {
            core.sessions.get(job.session).is_some_and(|session| session.peer.ip().is_loopback())
        }
        DebugAccess::Nobody => false,
    }
}
