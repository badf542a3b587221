//! CONFIG: settings of the whole cluster, set everywhere or nowhere.
//!
//! A change is prepared on every shard, and committed when all of them took it. The number under which it is committed is
//! higher than every one before it, and its low bits are drawn at random: should two proxies commit at the same time,
//! one number is the higher one, and every process ends with that change.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rand::Rng;
use slotway_common::error::Error;
use slotway_common::platform::random;
use slotway_common::resp::Reply;
use slotway_common::settings::{Changes, Name, Support};

use super::asking::{ask_all, ask_each, frame, plain, shards, successful};
use crate::context::Context;
use crate::core::Job;
use crate::policy::Policy;
use crate::worker::Worker;

/// Low bits of a version, drawn at random.
const RANDOM_BITS: u32 = 16;

pub(super) fn get(worker: &Rc<Worker>, job: &Job, reply: &mut Reply<'_>) -> Result<(), Error> {
    worker.context.settings.lock().values.config_get(&job.args.args().rest(2), reply);
    Ok(())
}

pub(super) async fn set(worker: &Rc<Worker>, job: &Job, reply: &mut Reply<'_>) -> Result<(), Error> {
    let context = &worker.context;
    let _one_at_a_time = context.changing_settings.lock().await;
    let args = job.args.args();
    let changes = context.settings.lock().values.config_set(&args.rest(2))?;
    let mut version = context.settings.lock().version;
    if let Some(prepared) = sent_to_shards(&changes) {
        version = ((version >> RANDOM_BITS) + 1) << RANDOM_BITS;
        version |= random::generator().random_range(0..1 << RANDOM_BITS);
        prepare_and_commit(worker, &prepared, version).await?;
    }
    {
        let mut settings = context.settings.lock();
        settings.values.apply(changes);
        settings.version = settings.version.max(version);
    }
    changed_settings(context).await;
    reply.ok();
    Ok(())
}

/// Names and values that shards have to know, in turn; none if there is nothing.
fn sent_to_shards(changes: &Changes) -> Option<Vec<Vec<u8>>> {
    let mut words = Vec::new();
    for (name, value) in changes.stored() {
        // What is fixed has its value already, and not the same one in every process.
        let support = Name::find(name.as_bytes()).map(|name| name.parameter().support);
        if matches!(support, Some(Support::Live | Support::Ignored)) {
            words.push(name.into_bytes());
            words.push(value.bytes().into_owned());
        }
    }
    (!words.is_empty()).then_some(words)
}

async fn prepare_and_commit(worker: &Rc<Worker>, values: &[Vec<u8>], version: u64) -> Result<(), Error> {
    static CHANGES: AtomicU64 = AtomicU64::new(0);
    let id =
        format!("{}-{}-{version}", worker.context.identity.node, CHANGES.fetch_add(1, Ordering::Relaxed));
    let everywhere = |words: &[&[u8]]| {
        let frame = frame(words);
        shards(worker).into_iter().map(|shard| (plain(shard), frame.clone())).collect::<Vec<_>>()
    };
    let mut words: Vec<&[u8]> = vec![b"SLOTWAY", b"SETTINGS", b"PREPARE", id.as_bytes()];
    words.extend(values.iter().map(Vec::as_slice));
    let mut refused = None;
    for (_, answer) in ask_each(worker, &everywhere(&words)).await {
        if let Err(error) = answer.and_then(successful) {
            refused.get_or_insert(error);
        }
    }
    if let Some(error) = refused {
        ask_each(worker, &everywhere(&[b"SLOTWAY", b"SETTINGS", b"ABORT", id.as_bytes()])).await;
        return Err(error);
    }
    let version = version.to_string();
    let commit = everywhere(&[b"SLOTWAY", b"SETTINGS", b"COMMIT", id.as_bytes(), version.as_bytes()]);
    let mut failed = None;
    let mut committed = 0;
    for (_, answer) in ask_each(worker, &commit).await {
        match answer.and_then(successful) {
            Ok(_) => committed += 1,
            Err(error) => failed = Some(error),
        }
    }
    match failed {
        Some(error) if committed == 0 => Err(error),
        // One shard has it, so all get it: those that could not be told now are told when they are back.
        _ => Ok(()),
    }
}

/// Has every worker follow the settings as they are now.
pub(crate) async fn changed_settings(context: &Arc<Context>) {
    let policy = Arc::new(Policy::of(&context.settings.lock().values));
    context.fleet.each(move |worker| worker.with(|core| core.apply_policy(Arc::clone(&policy)))).await;
}

pub(super) async fn resetstat(worker: &Rc<Worker>, _job: &Job, reply: &mut Reply<'_>) -> Result<(), Error> {
    ask_all(worker, &[b"CONFIG", b"RESETSTAT"]).await?;
    reply.ok();
    Ok(())
}

pub(super) async fn rewrite(worker: &Rc<Worker>, _job: &Job, reply: &mut Reply<'_>) -> Result<(), Error> {
    ask_all(worker, &[b"CONFIG", b"REWRITE"]).await?;
    reply.ok();
    Ok(())
}
