//! Asks shards whether they have memory left.

use std::rc::Rc;

use slotway_common::command;
use slotway_common::error::Error;
use slotway_common::slot::slot_of;

use super::asking::ask_all_reachable;
use crate::core::Job;
use crate::worker::Worker;

/// Refuses a command that is to be queued while the shard of its keys has no memory left, or any shard where it has no keys.
///
/// # Errors
/// `OOM`.
pub(super) async fn check_queued(worker: &Rc<Worker>, job: &Job) -> Result<(), Error> {
    let owner = command::keys(job.command, &job.args.args())
        .ok()
        .and_then(|keys| keys.first())
        .and_then(|key| worker.core.borrow().view.owner(slot_of(job.args.args().at(key))));
    check(worker, |shard| owner.is_none_or(|owner| owner == shard)).await
}

/// Refuses what every shard is to take while one of them has no memory left.
///
/// # Errors
/// `OOM`.
pub(super) async fn check_everywhere(worker: &Rc<Worker>) -> Result<(), Error> {
    check(worker, |_| true).await
}

async fn check(worker: &Rc<Worker>, counts: impl Fn(usize) -> bool) -> Result<(), Error> {
    let doubts = worker.core.borrow().doubts();
    let mut full = Vec::new();
    // What a shard that does not answer would say shows when it is sent the command itself.
    let mut has_answered = true;
    for (shard, answer) in ask_all_reachable(worker, &[b"SLOTWAY", b"ROOM"]).await {
        match answer {
            Ok(reply) if reply.starts_with(b"-OOM") => full.push(shard),
            Ok(_) => {}
            Err(_) => has_answered = false,
        }
    }
    if full.is_empty() && has_answered {
        worker.with(|core| core.has_room(doubts));
    }
    if full.into_iter().any(counts) { Err(Error::Oom) } else { Ok(()) }
}
