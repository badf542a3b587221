//! CLIENT TRACKING, and what it tells clients of other workers.

use std::rc::Rc;

use slotway_common::error::Error;
use slotway_common::number::parse_i64;
use slotway_common::resp::Reply;
use slotway_common::tracking::Change;

use crate::core::Job;
use crate::worker::Worker;

pub(super) async fn tracking(worker: &Rc<Worker>, job: &Job, reply: &mut Reply<'_>) -> Result<(), Error> {
    let args = job.args.args();
    // Whatever may be the number of a client.
    let named: Vec<u64> =
        args.rest(3).iter().filter_map(parse_i64).filter_map(|id| id.try_into().ok()).collect();
    let mut known = Vec::new();
    if !named.is_empty() {
        let found = worker.context.fleet.each(move |worker| {
            let core = worker.core.borrow();
            let clients = core.sessions.iter().map(|(_, session)| session.client);
            clients.filter(|client| named.contains(client)).collect::<Vec<_>>()
        });
        known = found.await.concat();
    }
    let now = worker.core.borrow().tracking(job.session);
    let change = Change::parse(&args, &now, |client| known.contains(&client))?;
    let told = worker.with(|core| {
        // What shards tell from now on comes behind the reply.
        if let Some(session) = core.sessions.get_mut(job.session) {
            session.places.begin(job.seq);
        }
        core.change_tracking(job.session, change)
    });
    for answer in told {
        // A shard that cannot be told is told later, and the client to forget what it has then.
        let _ = answer.await;
    }
    reply.ok();
    Ok(())
}

/// Tells the client of this number, wherever it is, what the tracked client of a token is to forget.
pub(crate) async fn redirect(worker: Rc<Worker>, token: u64, to: u64, keys: Vec<u8>) {
    let keys: std::sync::Arc<[u8]> = keys.into();
    let told = worker.context.fleet.each(move |worker| worker.with(|core| core.take_redirected(to, &keys)));
    if !told.await.contains(&true) {
        worker.with(|core| core.redirection_broken(token, to));
    }
}
