//! A batch of commands, for a job: on the shard that has all its slots, or in parts on several.

use std::rc::Rc;
use std::time::{Duration, Instant};

use slotway_common::command::read_needs;
use slotway_common::error::Error;
use tokio::time::sleep;

use super::across::{self, Attempt};
use super::asking::successful;
use super::scripts;
use crate::core::{AskError, Job, Unsent};
use crate::transaction::{Batch, How, Watch};
use crate::worker::Worker;

/// A transaction whose slots keep moving ends with an error after so long.
const GIVE_UP_AFTER: Duration = Duration::from_secs(10);
/// So often a transaction is begun again because a script in it needs keys that it does not name.
const MOST_ROUNDS: usize = 200;
/// The first pause before it is begun again, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// The replies of a batch, one after the other; `None` when what was watched has changed. Shards watch nothing of `watch` any more
/// afterwards.
///
/// # Errors
/// Where it did not run, or it is not known whether it did.
pub(super) async fn run(
    worker: &Rc<Worker>,
    job: &Job,
    batch: &Batch,
    watch: Option<&Watch>,
    how: How,
) -> Result<Option<Vec<u8>>, Error> {
    let result = match worker.with(|core| core.ask_batch(job, batch, watch, how)) {
        Ok((shard, receiver)) => {
            let answer = receiver.await.unwrap_or(Err(AskError::Lost));
            let answer = answer.map_err(|error| worker.core.borrow().ask_error(shard, error))?;
            return Ok(replies_of(&successful(answer)?));
        }
        Err(Unsent::Across) => run_across(worker, job, batch, watch, how, false).await,
        Err(Unsent::Refused(error)) => Err(error),
        Err(Unsent::Broken | Unsent::Wait(_)) => Ok(None),
    };
    if let (Some(watch), Ok(None) | Err(_)) = (watch, &result) {
        worker.with(|core| core.forget_watch(watch));
    }
    result
}

/// As [`run`], of a script that uses keys which it does not name.
///
/// # Errors
/// As [`run`].
pub(super) async fn borrow(
    worker: &Rc<Worker>,
    job: &Job,
    batch: &Batch,
    how: How,
) -> Result<Option<Vec<u8>>, Error> {
    run_across(worker, job, batch, None, how, true).await
}

/// What an array of replies consists of.
fn replies_of(array: &[u8]) -> Option<Vec<u8>> {
    if array.starts_with(b"*-1") || array.starts_with(b"_") {
        return None;
    }
    let header = array.iter().position(|byte| *byte == b'\n').map_or(array.len(), |end| end + 1);
    Some(array.get(header..).unwrap_or_default().to_vec())
}

async fn run_across(
    worker: &Rc<Worker>,
    job: &Job,
    batch: &Batch,
    watch: Option<&Watch>,
    how: How,
    borrows: bool,
) -> Result<Option<Vec<u8>>, Error> {
    worker.core.borrow().counters.split_requests.inc();
    let whose = worker.core.borrow().on_behalf_of(job);
    let whose = whose.ok_or_else(|| Error::err("the client is gone (nothing was applied)"))?;
    let began = Instant::now();
    let mut pause = FIRST_PAUSE;
    let mut searched = Vec::new();
    let mut needs = worker.with(|core| core.foresee(batch));
    let foreseen = needs.len();
    let mut rounds = 0;
    loop {
        // Slots may have come together since: then there is one part.
        let plan = match worker.core.borrow().plan(batch, watch, &needs, borrows) {
            Ok(plan) => plan,
            Err(Unsent::Refused(error)) => return Err(error),
            Err(Unsent::Broken | Unsent::Wait(_) | Unsent::Across) => return Ok(None),
        };
        match across::attempt(worker, &whose, &plan, how, &searched).await? {
            Attempt::Committed(replies) => {
                worker.with(|core| core.learn_needs(batch, needs.get(foreseen..).unwrap_or_default()));
                return Ok(Some(replies));
            }
            Attempt::Broken => return Ok(None),
            Attempt::Moved { slot, address } => {
                worker.with(|core| core.learn_owner(slot, &address));
                if began.elapsed() > GIVE_UP_AFTER {
                    return Err(Error::TryAgain(
                        "slots keep moving while the transaction runs (nothing was applied)".into(),
                    ));
                }
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
                searched.clear();
            }
            Attempt::Needs(list) => {
                rounds += 1;
                let more = read_needs(&list).filter(|_| rounds <= MOST_ROUNDS);
                needs.extend(more.ok_or_else(|| {
                    Error::err(format!(
                        "a script has used keys that it does not name in more than {MOST_ROUNDS} steps (nothing was applied)"
                    ))
                })?);
            }
            Attempt::UnknownScripts { shard, digests } => {
                scripts::load_on(worker, shard, &digests).await;
                searched.push(shard);
            }
        }
    }
}
