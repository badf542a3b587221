//! SCRIPT: every shard knows the scripts that it was given.

use std::rc::Rc;

use slotway_common::error::Error;
use slotway_common::resp::{Reply, Value};

use super::asking::{ask_all, ask_all_reachable, ask_each, decode, frame, plain, successful, values};
use crate::core::{Job, UnknownScripts};
use crate::worker::Worker;

/// Passes the command to every shard. All must take it; the reply is a shard's.
pub(super) async fn everywhere(worker: &Rc<Worker>, job: &Job, reply: &mut Reply<'_>) -> Result<(), Error> {
    let words: Vec<&[u8]> = job.args.args().iter().collect();
    let answers = ask_all(worker, &words).await?;
    let first = answers.into_iter().next().ok_or_else(|| Error::ClusterDown("there are no shards".into()))?;
    reply.raw(&first.reply);
    Ok(())
}

/// Loads a script on every shard that answers; one that does not gets it when it is called there.
pub(super) async fn load(worker: &Rc<Worker>, job: &Job, reply: &mut Reply<'_>) -> Result<(), Error> {
    let words: Vec<&[u8]> = job.args.args().iter().collect();
    let mut result = Err(Error::ClusterDown("no shard answers".into()));
    for (_, answer) in ask_all_reachable(worker, &words).await {
        match answer {
            Ok(loaded) => result = Ok(successful(loaded)?),
            Err(error) if result.is_err() => result = Err(error),
            Err(_) => {}
        }
    }
    reply.raw(&result?);
    Ok(())
}

/// A script that any shard knows can be called.
pub(super) async fn exists(worker: &Rc<Worker>, job: &Job, reply: &mut Reply<'_>) -> Result<(), Error> {
    let args = job.args.args();
    let words: Vec<&[u8]> = args.iter().collect();
    let mut known = vec![false; args.len() - 2];
    for (_, answer) in values(worker, &words).await? {
        for (known, value) in known.iter_mut().zip(answer.as_array().unwrap_or_default()) {
            *known |= value.as_int() == Some(1);
        }
    }
    reply.array(known.len());
    known.into_iter().for_each(|known| reply.int(i64::from(known)));
    Ok(())
}

/// Ends what runs on any shard.
pub(super) async fn kill(worker: &Rc<Worker>, job: &Job, reply: &mut Reply<'_>) -> Result<(), Error> {
    let words: Vec<&[u8]> = job.args.args().iter().collect();
    let mut refusal: Option<Error> = None;
    let mut killed = false;
    for (_, answer) in ask_all_reachable(worker, &words).await {
        match answer.and_then(successful) {
            Ok(_) => killed = true,
            // What keeps a script from ending says more than that there is none.
            Err(error) if refusal.is_none() || !error.wire().starts_with(b"NOTBUSY") => refusal = Some(error),
            Err(_) => {}
        }
    }
    match refusal {
        Some(error) if !killed => Err(error),
        _ => {
            reply.ok();
            Ok(())
        }
    }
}

/// Looks for scripts that a shard does not know and loads them there, then has the call go on that waits.
pub(crate) async fn find(worker: Rc<Worker>, unknown: UnknownScripts) {
    load_on(&worker, unknown.shard, &unknown.digests).await;
    worker.with(|core| core.scripts_found(&unknown));
}

/// Looks for scripts on all shards and loads them on one that does not know them.
pub(super) async fn load_on(worker: &Rc<Worker>, shard: usize, digests: &[Vec<u8>]) {
    for digest in digests {
        let words: [&[u8]; 3] = [b"SLOTWAY", b"SCRIPT", digest];
        let mut text = None;
        for (_, answer) in ask_all_reachable(worker, &words).await {
            if let Ok(Value::Bulk(found)) = answer.and_then(|reply| decode(&reply)) {
                text = Some(found);
            }
        }
        if let Some(text) = text {
            let load = (plain(shard), frame(&[b"SCRIPT", b"LOAD", &text]));
            // If that fails, the call is answered as the shard answers it.
            let _ = ask_each(worker, &[load]).await;
        }
    }
}
