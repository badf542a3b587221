//! MONITOR, SHUTDOWN and PFSELFTEST.

use std::rc::Rc;

use slotway_common::error::Error;
use slotway_common::resp::Reply;

use super::asking::ask_all;
use crate::core::Job;
use crate::worker::Worker;

/// Shows the client every command of the cluster from now on: those of this proxy's clients with their own addresses,
/// all others as the shards see them.
pub(super) async fn monitor(worker: &Rc<Worker>, job: &Job, reply: &mut Reply<'_>) -> Result<(), Error> {
    let already = worker.with(|core| match core.sessions.get_mut(job.session) {
        Some(session) => std::mem::replace(&mut session.monitor, true),
        None => true,
    });
    if !already {
        worker.add_monitor(job.session);
        // From the reply on, nothing of any worker's clients is missed.
        worker.context.fleet.each(|_| ()).await;
    }
    reply.ok();
    Ok(())
}

/// Has every shard check its HyperLogLog code.
pub(super) async fn selftest(worker: &Rc<Worker>, reply: &mut Reply<'_>) -> Result<(), Error> {
    ask_all(worker, &[b"PFSELFTEST"]).await?;
    reply.ok();
    Ok(())
}

/// Stops this proxy. Shards are stopped by their operator: other proxies may serve from them.
pub(super) fn shutdown(worker: &Rc<Worker>, job: &Job, _reply: &mut Reply<'_>) -> Result<(), Error> {
    let (mut save, mut nosave, mut abort, mut other) = (false, false, false, false);
    for option in job.args.args().rest(1).iter() {
        match option.to_ascii_lowercase().as_slice() {
            b"save" => save = true,
            b"nosave" => nosave = true,
            b"now" | b"force" => other = true,
            b"abort" => abort = true,
            _ => return Err(Error::Syntax),
        }
    }
    if (save && nosave) || (abort && (save || nosave || other)) {
        return Err(Error::Syntax);
    }
    if abort {
        return Err(Error::err("No shutdown in progress."));
    }
    if save {
        return Err(Error::err("this stops the proxy, which has nothing to save: use SAVE"));
    }
    tracing::info!("SHUTDOWN from a client");
    worker.context.stop.notify_one();
    worker.with(|core| core.close_now(job.session));
    Ok(())
}
