//! Asking shards.

use std::rc::Rc;
use std::time::Duration;

use slotway_common::error::Error;
use slotway_common::platform::clock;
use slotway_common::resp::frame::{Elements, string};
use slotway_common::resp::{Protocol, Value, request};
use slotway_common::topology::SlotRanges;
use tokio::time::sleep;

use crate::core::{Job, Target};
use crate::worker::Worker;

/// For how long slots are looked for that moved, or were held, while they were asked for.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between the first two such rounds, and at most: for the topology to arrive, or a transaction to end.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(20);

/// A reply of one shard.
pub(super) struct Answer {
    pub shard: usize,
    /// The reply as it came, in the protocol that was asked in.
    pub reply: Vec<u8>,
}

/// Which connections are used: those of the client, so that its commands keep their order.
pub(super) fn target(job: &Job, shard: usize) -> Target {
    Target { shard, protocol: job.protocol, database: job.database }
}

/// The connection for questions whose replies are decoded here.
pub(super) fn plain(shard: usize) -> Target {
    Target { shard, protocol: Protocol::Resp2, database: 0 }
}

/// Positions of the shards in the topology.
pub(super) fn shards(worker: &Worker) -> Vec<usize> {
    let core = worker.core.borrow();
    core.view
        .shards
        .iter()
        .enumerate()
        .filter(|(_, shard)| !shard.gone)
        .map(|(position, _)| position)
        .collect()
}

pub(super) fn name(worker: &Worker, shard: usize) -> String {
    worker.core.borrow().view.shards.get(shard).map_or_else(String::new, |shard| shard.name.to_string())
}

/// Sends each shard a request of its own and waits for all replies. An error reply of a shard is a reply; an error
/// here means that there is none.
pub(super) async fn ask_each(
    worker: &Worker,
    requests: &[(Target, Vec<u8>)],
) -> Vec<(usize, Result<Vec<u8>, Error>)> {
    let receivers = worker
        .with(|core| requests.iter().map(|(target, frame)| core.ask(*target, frame)).collect::<Vec<_>>());
    let mut answers = Vec::with_capacity(requests.len());
    for ((target, _), receiver) in requests.iter().zip(receivers) {
        let answer = receiver.await.unwrap_or(Err(crate::core::AskError::Lost));
        let answer = answer.map_err(|error| worker.core.borrow().ask_error(target.shard, error));
        answers.push((target.shard, answer));
    }
    answers
}

/// Asks every shard the same; the first that gives no answer, or an error, is the error of all.
pub(super) async fn ask_all(worker: &Worker, words: &[&[u8]]) -> Result<Vec<Answer>, Error> {
    let mut answers = Vec::new();
    for (shard, answer) in ask_all_reachable(worker, words).await {
        answers.push(Answer { shard, reply: successful(answer?)? });
    }
    Ok(answers)
}

/// Asks every shard the same and gives what there is.
pub(super) async fn ask_all_reachable(
    worker: &Worker,
    words: &[&[u8]],
) -> Vec<(usize, Result<Vec<u8>, Error>)> {
    let frame = frame(words);
    let requests: Vec<_> = shards(worker).into_iter().map(|shard| (plain(shard), frame.clone())).collect();
    ask_each(worker, &requests).await
}

/// As [`ask_all`], with the replies decoded.
pub(super) async fn values(worker: &Worker, words: &[&[u8]]) -> Result<Vec<(usize, Value)>, Error> {
    let answers = ask_all(worker, words).await?;
    answers.into_iter().map(|answer| Ok((answer.shard, decode(&answer.reply)?))).collect()
}

pub(super) fn decode(reply: &[u8]) -> Result<Value, Error> {
    match Value::parse(reply) {
        Ok(Some((value, _))) => Ok(value),
        _ => Err(Error::err("a shard's reply could not be read")),
    }
}

/// A request of these words.
pub(super) fn frame(words: &[&[u8]]) -> Vec<u8> {
    let mut frame = Vec::new();
    request::encode(words.iter().copied(), &mut frame);
    frame
}

/// The reply, or the error that it is.
pub(super) fn successful(reply: Vec<u8>) -> Result<Vec<u8>, Error> {
    match reply.strip_prefix(b"-") {
        Some(line) => {
            let line = line.strip_suffix(b"\r\n").unwrap_or(line);
            Err(Error::Line(String::from_utf8_lossy(line).into_owned().into()))
        }
        None => Ok(reply),
    }
}

/// A fan-out request for some slots.
pub(super) fn on_slots(slots: &[u16], job: &Job) -> Vec<u8> {
    let ranges = SlotRanges::from_slots(slots.iter().copied()).to_string();
    let args = job.args.args();
    let words: Vec<&[u8]> =
        [&b"SLOTWAY"[..], b"ON", ranges.as_bytes()].into_iter().chain(args.iter()).collect();
    frame(&words)
}

/// The reply of a fan-out request: the slots that were not done, and the command's reply.
pub(super) fn split_on_reply(reply: &[u8]) -> Result<(Vec<u16>, Vec<u8>), Error> {
    let unreadable = || Error::err("a shard's reply could not be read");
    let mut elements = Elements::open(reply).ok_or_else(unreadable)?;
    let undone = elements.next().and_then(string).ok_or_else(unreadable)?;
    let answer = elements.next().ok_or_else(unreadable)?;
    let ranges: SlotRanges =
        std::str::from_utf8(undone).ok().and_then(|text| text.parse().ok()).ok_or_else(unreadable)?;
    Ok((ranges.slots().collect(), answer.to_vec()))
}

/// Runs a fan-out command on every slot exactly once, also while slots move: a shard tells which of the slots that it
/// was asked for it did not do, and their owner is asked next. An answer for each time that a shard did some.
pub(super) async fn cover(worker: &Rc<Worker>, job: &Job) -> Result<Vec<Answer>, Error> {
    let mut answers = Vec::new();
    let mut wanted: Option<Vec<u16>> = None;
    let (began, mut pause) = (clock::monotonic(), FIRST_PAUSE);
    while clock::since(began) < PATIENCE {
        if wanted.is_some() {
            worker.context.refresh.notify_one();
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        let by_shard = by_owner(worker, wanted.as_deref())?;
        let requests: Vec<_> =
            by_shard.iter().map(|(shard, slots)| (target(job, *shard), on_slots(slots, job))).collect();
        let mut undone = Vec::new();
        for (shard, answer) in ask_each(worker, &requests).await {
            let reply = successful(answer?)?;
            let (missing, reply) = split_on_reply(&reply)?;
            undone.extend(missing);
            answers.push(Answer { shard, reply: successful(reply)? });
        }
        if undone.is_empty() {
            return Ok(answers);
        }
        wanted = Some(undone);
    }
    Err(Error::TryAgain("slots keep moving while the command runs".into()))
}

/// Slots by the shards that own them, all slots if none are named.
pub(super) fn by_owner(worker: &Worker, slots: Option<&[u16]>) -> Result<Vec<(usize, Vec<u16>)>, Error> {
    let core = worker.core.borrow();
    let mut by_shard: Vec<(usize, Vec<u16>)> =
        (0..core.view.shards.len()).map(|shard| (shard, Vec::new())).collect();
    let mut add = |slot: u16| match core.view.owner(slot).and_then(|owner| by_shard.get_mut(owner)) {
        Some((_, list)) => {
            list.push(slot);
            Ok(())
        }
        None => Err(Error::ClusterDown(format!("Hash slot {slot} is not served by any shard").into())),
    };
    match slots {
        Some(slots) => slots.iter().try_for_each(|slot| add(*slot))?,
        None => (0..slotway_common::slot::SLOTS).try_for_each(&mut add)?,
    }
    by_shard.retain(|(_, slots)| !slots.is_empty());
    Ok(by_shard)
}
