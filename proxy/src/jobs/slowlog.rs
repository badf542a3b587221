//! SLOWLOG: the log of this proxy, with what the shards have noted of clients that speak to them directly.

use std::rc::Rc;

use slotway_common::command::bad_subcommand_call;
use slotway_common::error::Error;
use slotway_common::number::parse_i64;
use slotway_common::resp::Reply;

use super::asking::{ask_all, ask_each, decode, frame, plain, shards, successful};
use crate::core::Job;
use crate::worker::Worker;

/// Entries that GET shows if it is not told how many.
const SHOWN: i64 = 10;

pub(super) async fn get(worker: &Rc<Worker>, job: &Job, reply: &mut Reply<'_>) -> Result<(), Error> {
    let args = job.args.args();
    let count = match args.len() {
        2 => SHOWN,
        3 => parse_i64(args.at(2))
            .filter(|count| *count >= -1)
            .ok_or(Error::err("count should be greater than or equal to -1"))?,
        _ => return Err(bad_subcommand_call(&args)),
    };
    fetch(worker).await;
    worker.context.slow_log.lock().write(usize::try_from(count).unwrap_or(usize::MAX), reply);
    Ok(())
}

pub(super) async fn len(worker: &Rc<Worker>, _job: &Job, reply: &mut Reply<'_>) -> Result<(), Error> {
    fetch(worker).await;
    reply.len(worker.context.slow_log.lock().len());
    Ok(())
}

pub(super) async fn reset(worker: &Rc<Worker>, _job: &Job, reply: &mut Reply<'_>) -> Result<(), Error> {
    ask_all(worker, &[b"SLOWLOG", b"RESET"]).await?;
    fetch(worker).await;
    worker.context.slow_log.lock().reset();
    reply.ok();
    Ok(())
}

/// Takes what the shards have noted since they were asked last. One that does not answer is asked again next time.
async fn fetch(worker: &Rc<Worker>) {
    let shards = shards(worker);
    let requests: Vec<_> = {
        let log = worker.context.slow_log.lock();
        let request = |shard: &usize| {
            let (process, from) = log.known(*shard);
            (plain(*shard), frame(&[b"SLOTWAY", b"SLOWLOG", &process, from.to_string().as_bytes()]))
        };
        shards.iter().map(request).collect()
    };
    let answers = ask_each(worker, &requests).await.into_iter();
    let answers: Vec<_> = answers
        .filter_map(|(shard, answer)| {
            let value = answer.and_then(successful).and_then(|reply| decode(&reply));
            Some((shard, value.ok()?))
        })
        .collect();
    worker.context.slow_log.lock().merge(&answers);
}
