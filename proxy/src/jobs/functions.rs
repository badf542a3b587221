//! FUNCTION: libraries belong to the cluster's committed state, so that every shard has them, also one that comes later.
//!
//! A shard tells what a change would come to; that is proposed with the version that it is a change of, and answered when the
//! live shards follow.

use std::collections::BTreeMap;
use std::rc::Rc;

use slotway_common::cluster_state::Change;
use slotway_common::command::Effects;
use slotway_common::error::Error;
use slotway_common::resp::{Reply, Value};
use slotway_common::settings::StoredText;

use super::asking::{ask_each, decode, frame, plain, shards, successful, target};
use super::config::{commit, wait_for_shards};
use super::room;
use crate::core::{Job, Target};
use crate::worker::Worker;

/// Other proxies may change the libraries at the same time; then it is tried again, so often.
const ATTEMPTS: usize = 10;

/// The reply of the first shard that answers.
pub(super) async fn ask_any(
    worker: &Rc<Worker>,
    words: &[&[u8]],
    over: impl Fn(usize) -> Target,
) -> Result<Vec<u8>, Error> {
    let mut last = Error::ClusterDown("there are no shards".into());
    for shard in shards(worker) {
        match ask_each(worker, &[(over(shard), frame(words))]).await.pop() {
            Some((_, Ok(reply))) => return successful(reply),
            Some((_, Err(error))) => last = error,
            None => {}
        }
    }
    Err(last)
}

pub(super) async fn change(worker: &Rc<Worker>, job: &Job, reply: &mut Reply<'_>) -> Result<(), Error> {
    if Effects::of(job.command).needs_memory {
        room::check_everywhere(worker).await?;
    }
    let context = &worker.context;
    let _one_at_a_time = context.changing_settings.lock().await;
    let args = job.args.args();
    let words: Vec<&[u8]> = [&b"SLOTWAY"[..]].into_iter().chain(args.iter()).collect();
    let mut result = Err(Error::TryAgain("the libraries keep changing".into()));
    for _ in 0..ATTEMPTS {
        let plan = decode(&ask_any(worker, &words, plain).await?)?;
        let plan = Plan::read(&plan).ok_or(Error::err("a shard's reply could not be read"))?;
        if !plan.functions.is_empty() {
            let proposed = Change::SetFunctions { functions: plan.functions, expected: plan.version };
            match commit(context, proposed).await {
                Ok(generation) => wait_for_shards(worker, generation).await,
                Err(error @ Error::Generic(_)) => {
                    result = Err(error);
                    continue;
                }
                Err(error) => return Err(error),
            }
        }
        match job.command.name {
            "function|load" => reply.bulk(&plan.name),
            _ => reply.ok(),
        }
        return Ok(());
    }
    result
}

/// What a change comes to.
struct Plan {
    version: u64,
    name: Vec<u8>,
    functions: BTreeMap<String, Option<StoredText>>,
}

impl Plan {
    fn read(value: &Value) -> Option<Self> {
        let [version, name, set @ ..] = value.as_array()? else { return None };
        let mut functions = BTreeMap::new();
        for pair in set.chunks_exact(2) {
            let [name, code] = pair else { return None };
            let name = String::from_utf8(name.as_bytes()?.to_vec()).ok()?;
            functions.insert(name, code.as_bytes().map(StoredText::new));
        }
        let version = u64::try_from(version.as_int()?).ok()?;
        Some(Self { version, name: name.as_bytes()?.to_vec(), functions })
    }
}

/// What every shard answers alike.
pub(super) async fn any(worker: &Rc<Worker>, job: &Job, reply: &mut Reply<'_>) -> Result<(), Error> {
    let words: Vec<&[u8]> = job.args.args().iter().collect();
    reply.raw(&ask_any(worker, &words, |shard| target(job, shard)).await?);
    Ok(())
}

/// The reply of a shard on which a function is running, else of any.
pub(super) async fn stats(worker: &Rc<Worker>, job: &Job, reply: &mut Reply<'_>) -> Result<(), Error> {
    let words: Vec<&[u8]> = job.args.args().iter().collect();
    let request = frame(&words);
    let requests: Vec<_> =
        shards(worker).into_iter().map(|shard| (target(job, shard), request.clone())).collect();
    let mut shown: Result<Vec<u8>, Error> = Err(Error::ClusterDown("there are no shards".into()));
    for (_, answer) in ask_each(worker, &requests).await {
        let answer = answer.and_then(successful);
        let is_running = answer.as_ref().is_ok_and(|bytes| match decode(bytes) {
            Ok(Value::Map(pairs)) => pairs.first().is_some_and(|(_, running)| !running.is_null()),
            Ok(Value::Array(items)) => items.get(1).is_some_and(|running| !running.is_null()),
            _ => false,
        });
        if is_running || shown.is_err() {
            shown = answer;
        }
        if is_running {
            break;
        }
    }
    reply.raw(&shown?);
    Ok(())
}
