//! BGSAVE, SAVE, BGREWRITEAOF and LASTSAVE: on all shards.

use std::rc::Rc;
use std::time::Duration;

use slotway_common::error::Error;
use slotway_common::resp::Reply;

use super::asking::{ask_all, frame, plain, shards, successful, values};
use super::asking::{ask_each, decode};
use crate::core::Job;
use crate::worker::Worker;

/// Between two looks at whether all shards have saved.
const LOOK: Duration = Duration::from_millis(20);

/// Passes the command to every shard. All must take it; the reply is a shard's.
pub(super) async fn in_background(
    worker: &Rc<Worker>,
    job: &Job,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    let words: Vec<&[u8]> = job.args.args().iter().collect();
    let answers = ask_all(worker, &words).await?;
    let first = answers.into_iter().next().ok_or_else(|| Error::ClusterDown("there are no shards".into()))?;
    reply.raw(&first.reply);
    Ok(())
}

/// Has every shard save and waits until all have.
pub(super) async fn save(worker: &Rc<Worker>, reply: &mut Reply<'_>) -> Result<(), Error> {
    ask_all(worker, &[b"BGSAVE"]).await?;
    let question = frame(&[b"INFO", b"persistence"]);
    loop {
        tokio::time::sleep(LOOK).await;
        let requests: Vec<_> =
            shards(worker).into_iter().map(|shard| (plain(shard), question.clone())).collect();
        let mut saving = false;
        for (_, answer) in ask_each(worker, &requests).await {
            let answer = decode(&successful(answer?)?)?;
            let text = String::from_utf8_lossy(answer.as_bytes().unwrap_or_default()).into_owned();
            let is = |line: &str| text.lines().any(|found| found == line);
            saving |= is("rdb_bgsave_in_progress:1");
            if is("rdb_last_bgsave_status:err") {
                return Err(Error::err("a shard could not save; its log says why"));
            }
        }
        if !saving {
            reply.ok();
            return Ok(());
        }
    }
}

/// The time of the snapshot that is the oldest of the shards' last ones.
pub(super) async fn lastsave(worker: &Rc<Worker>, reply: &mut Reply<'_>) -> Result<(), Error> {
    let times = values(worker, &[b"LASTSAVE"]).await?;
    reply.int(times.iter().filter_map(|(_, time)| time.as_int()).min().unwrap_or(0));
    Ok(())
}
