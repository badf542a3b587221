//! CONFIG: settings of the whole cluster.
//!
//! A change is checked on every shard that answers, then proposed to the cluster, and answered when it is committed and the
//! live shards and this proxy follow it. Other proxies follow as they hear of the new state.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use slotway_common::cluster_state::{Change, Outcome, Proposal};
use slotway_common::error::Error;
use slotway_common::internal::Connection;
use slotway_common::number::parse_i64;
use slotway_common::platform::{clock, random};
use slotway_common::resp::Reply;
use slotway_common::settings::{Changes, Name, StoredText, Support};
use tokio::time::{sleep, timeout};

use super::asking::{ask_all, ask_all_reachable, successful};
use super::following::{changed_settings, require_password};
use crate::context::Context;
use crate::core::Job;
use crate::worker::Worker;

/// For a node to bring a proposal to its end; it gives up by itself before.
const PATIENCE: Duration = Duration::from_secs(7);
/// After so long no further node is asked.
const ENOUGH: Duration = Duration::from_secs(8);
/// For the shards to check values. They were checked here before; a shard that hangs does not keep others from changing.
const CHECK: Duration = Duration::from_secs(2);
/// For the live shards to follow what is committed.
const FOLLOW: Duration = Duration::from_secs(5);
/// Between two looks whether they do.
const PAUSE: Duration = Duration::from_millis(1);

pub(super) fn get(worker: &Rc<Worker>, job: &Job, reply: &mut Reply<'_>) -> Result<(), Error> {
    worker.context.settings.lock().values.config_get(&job.args.args().rest(2), reply);
    Ok(())
}

pub(super) async fn set(worker: &Rc<Worker>, job: &Job, reply: &mut Reply<'_>) -> Result<(), Error> {
    let context = &worker.context;
    let _one_at_a_time = context.changing_settings.lock().await;
    let args = job.args.args();
    let changes = context.settings.lock().values.config_set(&args.rest(2))?;
    if let Some((words, values)) = sent_to_shards(&changes) {
        check_everywhere(worker, &words).await?;
        let generation = commit(context, Change::Set { values }).await?;
        wait_for_shards(worker, generation).await;
        let password = {
            let sets_password = changes.names().any(|name| name == Name::Requirepass);
            let mut settings = context.settings.lock();
            settings.values.apply(changes);
            settings.version = settings.version.max(generation);
            sets_password.then(|| settings.values.text(Name::Requirepass).into_owned())
        };
        if let Some(password) = password {
            require_password(context, &password, generation).await;
        }
    } else {
        context.settings.lock().values.apply(changes);
    }
    changed_settings(context).await;
    reply.ok();
    Ok(())
}

type Values = std::collections::BTreeMap<String, Option<StoredText>>;

/// Names and values that the cluster has to know, in turn and as its state takes them; none if there is nothing.
fn sent_to_shards(changes: &Changes) -> Option<(Vec<Vec<u8>>, Values)> {
    let (mut words, mut values) = (Vec::new(), Values::new());
    for (name, value) in changes.stored() {
        let Some(parameter) = Name::find(name.as_bytes()).map(Name::parameter) else { continue };
        // What is fixed has its value already, and not the same one in every process.
        if matches!(parameter.support, Support::Live | Support::Ignored) {
            words.push(name.clone().into_bytes());
            words.push(value.bytes().into_owned());
            let is_default = *value.bytes() == *parameter.default.as_bytes();
            values.insert(name, (!is_default).then_some(value));
        }
    }
    (!words.is_empty()).then_some((words, values))
}

/// Asks the shards whether they can take the values. One that does not answer takes what is committed when it is back.
async fn check_everywhere(worker: &Rc<Worker>, values: &[Vec<u8>]) -> Result<(), Error> {
    let mut words: Vec<&[u8]> = vec![b"SLOTWAY", b"SETTINGS", b"CHECK"];
    words.extend(values.iter().map(Vec::as_slice));
    let Ok(answers) = timeout(CHECK, ask_all_reachable(worker, &words)).await else { return Ok(()) };
    for reply in answers.into_iter().filter_map(|(_, answer)| answer.ok()) {
        successful(reply)?;
    }
    Ok(())
}

/// Has the cluster commit a change, through any node that answers; gives the generation at which it holds.
pub(super) async fn commit(context: &Arc<Context>, change: Change) -> Result<u64, Error> {
    let proposal = Proposal { request: random::hex_id::<16>(), change };
    let json = serde_json::to_string(&proposal).map_err(|error| Error::err(error.to_string()))?;
    let mut reason = "no shard answers".to_owned();
    let topology = Arc::clone(&context.topology.lock());
    let began = clock::monotonic();
    for node in topology.shards.iter().flat_map(|shard| &shard.nodes) {
        let asked = async {
            let Context { identity, secret, .. } = &**context;
            let mut connection =
                Connection::open(&node.control, identity, secret, Some(&node.id), PATIENCE).await?;
            connection.call(&["SLOTWAY", "PROPOSE", &json]).await
        };
        match asked.await {
            Ok(answer) => {
                let outcome: Outcome = serde_json::from_slice(answer.as_bytes().unwrap_or_default())
                    .map_err(|error| Error::err(format!("a shard's reply could not be read: {error}")))?;
                return outcome.into_result().map_err(Error::err);
            }
            Err(error) => reason = format!("node {}: {error}", node.id),
        }
        if began.elapsed() > ENOUGH {
            break;
        }
    }
    Err(Error::ClusterDown(
        format!("the cluster has not committed it in time, but still may: {reason}").into(),
    ))
}

/// Waits, for a bounded time, until the shards that answer follow a generation.
pub(super) async fn wait_for_shards(worker: &Rc<Worker>, generation: u64) {
    let follows = |reply: &[u8]| {
        let number = reply.strip_prefix(b":").and_then(|line| line.strip_suffix(b"\r\n"));
        number.and_then(parse_i64).and_then(|number| u64::try_from(number).ok()) >= Some(generation)
    };
    let all_follow = async {
        loop {
            let answers = ask_all_reachable(worker, &[b"SLOTWAY", b"GENERATION"]).await;
            if answers.iter().all(|(_, answer)| answer.as_ref().map_or(true, |reply| follows(reply))) {
                return;
            }
            sleep(PAUSE).await;
        }
    };
    // One that hangs follows when it is back.
    let _ = timeout(FOLLOW, all_follow).await;
}

pub(super) async fn resetstat(worker: &Rc<Worker>, _job: &Job, reply: &mut Reply<'_>) -> Result<(), Error> {
    ask_all(worker, &[b"CONFIG", b"RESETSTAT"]).await?;
    worker.context.fleet.each(|worker| worker.with(|core| core.reset_statistics())).await;
    worker.context.reset_statistics();
    reply.ok();
    Ok(())
}

/// There is nothing to do: what is set lasts.
pub(super) fn rewrite(reply: &mut Reply<'_>) -> Result<(), Error> {
    reply.ok();
    Ok(())
}
