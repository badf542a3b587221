//! PUBSUB, and PUBLISH and SUBSCRIBE within EXEC.

use std::collections::BTreeSet;
use std::rc::Rc;

use slotway_common::command::bad_subcommand_call;
use slotway_common::error::Error;
use slotway_common::resp::{Reply, Value};
use slotway_common::slot::slot_of;

use super::asking::{successful, values};
use crate::core::{AskError, Job};
use crate::worker::Worker;

fn words(job: &Job) -> Vec<Vec<u8>> {
    job.args.args().iter().map(<[u8]>::to_vec).collect()
}

/// PUBSUB CHANNELS and SHARDCHANNELS. While its slot moves a channel may be told of by two shards.
pub(super) async fn channels(worker: &Rc<Worker>, job: &Job, reply: &mut Reply<'_>) -> Result<(), Error> {
    if job.args.args().len() > 3 {
        return Err(bad_subcommand_call(&job.args.args()));
    }
    let words = words(job);
    let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
    let mut names = BTreeSet::new();
    for (_, answer) in values(worker, &words).await? {
        let Value::Array(found) = answer else { continue };
        names.extend(found.iter().filter_map(|name| name.as_bytes().map(<[u8]>::to_vec)));
    }
    reply.array(names.len());
    names.iter().for_each(|name| reply.bulk(name));
    Ok(())
}

/// PUBSUB NUMSUB and SHARDNUMSUB: the owner of a channel knows.
pub(super) async fn numsub(worker: &Rc<Worker>, job: &Job, reply: &mut Reply<'_>) -> Result<(), Error> {
    let args = job.args.args();
    let names = args.rest(2);
    reply.array(names.len() * 2);
    if names.is_empty() {
        return Ok(());
    }
    let words = words(job);
    let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
    let answers = values(worker, &words).await?;
    for (index, name) in names.iter().enumerate() {
        let owner = worker.core.borrow().view.owner(slot_of(name));
        let count =
            answers.iter().find(|(shard, _)| Some(*shard) == owner).and_then(|(_, answer)| match answer {
                Value::Array(pairs) => pairs.get(index * 2 + 1),
                _ => None,
            });
        reply.bulk(name);
        reply.int(match count {
            Some(Value::Int(count)) => *count,
            _ => 0,
        });
    }
    Ok(())
}

/// Patterns of all proxies are told to all shards; who speaks to a shard directly has some there only.
pub(super) async fn numpat(worker: &Rc<Worker>, reply: &mut Reply<'_>) -> Result<(), Error> {
    let answers = values(worker, &[b"SLOTWAY", b"PATTERNS"]).await?;
    let all = answers.iter().filter_map(|(_, answer)| answer.as_array()).flatten();
    let names: BTreeSet<&[u8]> = all.filter_map(Value::as_bytes).collect();
    reply.len(names.len());
    Ok(())
}

pub(super) async fn publish(worker: &Rc<Worker>, job: &Job, reply: &mut Reply<'_>) -> Result<(), Error> {
    let asked = worker.with(|core| core.publish_for_job(job));
    let lost = || {
        Error::err("the connection to the shard broke before its reply: the command may have been executed")
    };
    let answer = asked?.await.unwrap_or(Err(AskError::Lost)).map_err(|_| lost())?;
    reply.raw(&successful(answer)?);
    Ok(())
}

pub(super) async fn subscribe(worker: &Rc<Worker>, job: &Job, reply: &mut Reply<'_>) -> Result<(), Error> {
    let args = job.args.args();
    let asked = worker.with(|core| core.subscribe_for_job(job.session, job.command, &args));
    reply.raw(&asked?.await.unwrap_or_default());
    Ok(())
}
