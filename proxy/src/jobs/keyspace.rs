//! KEYS, DBSIZE and RANDOMKEY over all slots.

use std::rc::Rc;

use rand::Rng;
use slotway_common::error::Error;
use slotway_common::platform::random;
use slotway_common::resp::Reply;
use slotway_common::resp::frame::{Elements, integer};

use super::asking::{ask_each, by_owner, cover, frame, on_slots, split_on_reply, successful, target};
use crate::core::Job;
use crate::owned::OwnedArgs;
use crate::worker::Worker;

pub(super) async fn keys(worker: &Rc<Worker>, job: &Job, reply: &mut Reply<'_>) -> Result<(), Error> {
    let answers = cover(worker, job).await?;
    let parts: Vec<Elements<'_>> =
        answers.iter().filter_map(|answer| Elements::open(&answer.reply)).collect();
    reply.array(parts.iter().map(|part| part.left() as usize).sum());
    parts.iter().for_each(|part| reply.raw(part.rest()));
    Ok(())
}

pub(super) async fn dbsize(worker: &Rc<Worker>, job: &Job, reply: &mut Reply<'_>) -> Result<(), Error> {
    let answers = cover(worker, job).await?;
    reply.int(answers.iter().filter_map(|answer| integer(&answer.reply)).sum());
    Ok(())
}

/// Draws a shard with the number of its keys as weight, and has it draw a key. A key can expire in between, then it is
/// tried again.
pub(super) async fn randomkey(worker: &Rc<Worker>, job: &Job, reply: &mut Reply<'_>) -> Result<(), Error> {
    let count = Job { args: OwnedArgs::from_words([&b"DBSIZE"[..]]), ..job.clone() };
    for _ in 0..10 {
        let owners = by_owner(worker, None)?;
        let requests: Vec<_> =
            owners.iter().map(|(shard, slots)| (target(job, *shard), on_slots(slots, &count))).collect();
        let mut weights = Vec::with_capacity(owners.len());
        for (_, answer) in ask_each(worker, &requests).await {
            let (_, size) = split_on_reply(&successful(answer?)?)?;
            weights.push(integer(&size).unwrap_or(0).max(0));
        }
        let total: i64 = weights.iter().sum();
        if total == 0 {
            break;
        }
        let mut drawn = random::generator().random_range(0..total);
        let chosen = weights.iter().position(|weight| {
            drawn -= weight;
            drawn < 0
        });
        let Some((shard, slots)) = chosen.and_then(|chosen| owners.get(chosen)) else { break };
        let request = vec![(target(job, *shard), on_slots(slots, job))];
        for (_, answer) in ask_each(worker, &request).await {
            let (_, key) = split_on_reply(&successful(answer?)?)?;
            if key.starts_with(b"$") && key.get(1) != Some(&b'-') {
                reply.raw(&key);
                return Ok(());
            }
        }
    }
    reply.null();
    Ok(())
}

/// Sends the command as it is to the shard of one slot and passes the reply on.
pub(super) async fn at_slot(
    worker: &Rc<Worker>,
    job: &Job,
    slot: u16,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    let owner = by_owner(worker, Some(&[slot]))?.first().map_or(0, |(owner, _)| *owner);
    let args = job.args.args();
    let words: Vec<&[u8]> = args.iter().collect();
    for (_, answer) in ask_each(worker, &[(target(job, owner), frame(&words))]).await {
        reply.raw(&answer?);
    }
    Ok(())
}
