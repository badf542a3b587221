//! XREAD and XREADGROUP that wait for streams of several shards.

use std::rc::Rc;
use std::time::Duration;

use slotway_common::error::Error;
use slotway_common::platform::clock;
use slotway_common::resp::Reply;

use super::{Patience, WAITS, by_shard, is_nothing, keys_of, left, signal_each};
use crate::core::{Job, Waiting};
use crate::jobs::one;
use crate::owned::OwnedArgs;
use crate::worker::Worker;

/// Reads those streams of which their shards say that there is something; who has waited reads one, as in Redis.
pub(super) async fn run(
    worker: &Rc<Worker>,
    job: &Job,
    positions: &[usize],
    wait_for: Patience,
    took: &mut Duration,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    let (mut words, mut wait) = (job.args.clone(), Waiting::Signal);
    while let Some(left) = left(worker, job, wait_for, reply) {
        let shards = by_shard(worker, &words.args(), positions)?;
        let mut frames = Vec::new();
        for (_, keys) in &shards {
            frames.push((words_of(&words, positions, keys), keys_of(&words.args(), keys)));
        }
        let signalled = signal_each(worker, job, &frames, left, wait).await?;
        let mut ready = Vec::new();
        for ((_, keys), first) in shards.iter().zip(&signalled.first) {
            match first.strip_prefix(WAITS) {
                Some(ids) => words = with_ids(&words, positions, keys, ids),
                None => ready.extend(keys),
            }
        }
        if let Some(end) = signalled.end {
            reply.buffer().extend_from_slice(&end);
            return Ok(());
        }
        // Who has waited reads only what it is told of.
        if ready.is_empty() || wait == Waiting::SignalAgain {
            wait = Waiting::SignalAgain;
            ready = signalled.woken_key(&shards).into_iter().collect();
        }
        if ready.is_empty() {
            continue;
        }
        ready.sort_unstable();
        let started = clock::monotonic();
        let (mut read, ready) = (Vec::new(), words_of(&words, positions, &ready));
        let result = one::run_as(worker, job, &ready, &mut Reply::new(&mut read, job.protocol)).await;
        *took += clock::since(started);
        result?;
        // Another client may have been faster.
        if !is_nothing(&read) {
            reply.buffer().extend_from_slice(&read);
            return Ok(());
        }
    }
    Ok(())
}

/// The words of a command that reads streams for some of them only.
fn words_of(words: &OwnedArgs, positions: &[usize], keys: &[usize]) -> OwnedArgs {
    let args = words.args();
    let head = args.iter().take(positions.first().copied().unwrap_or(0));
    let names = keys.iter().map(|key| args.at(*key));
    let ids = keys.iter().map(|key| args.at(key + positions.len()));
    OwnedArgs::from_words(head.chain(names).chain(ids))
}

/// The words with the ids that a shard has put in the place of those of some streams.
fn with_ids(words: &OwnedArgs, positions: &[usize], keys: &[usize], ids: &[u8]) -> OwnedArgs {
    let args = words.args();
    let mut words: Vec<&[u8]> = args.iter().collect();
    let ids = ids.trim_ascii().split(|byte| *byte == b' ').filter(|id| !id.is_empty());
    for (key, id) in keys.iter().zip(ids) {
        if let Some(word) = words.get_mut(key + positions.len()) {
            *word = id;
        }
    }
    OwnedArgs::from_words(words)
}
