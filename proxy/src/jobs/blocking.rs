//! Commands that wait for data.
//!
//! Where one shard has all the keys it does the waiting. Where several have them the keys are tried in their order, one
//! shard after the other, and if there is nothing each shard tells when there may be something: nothing is popped before
//! it is tried for, so nothing is popped twice or lost. Who of several clients gets an element that way is not a matter of
//! who came first.

mod streams;

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use slotway_common::alone::Wait;
use slotway_common::command::{self, Blocks, Command};
use slotway_common::error::Error;
use slotway_common::fault;
use slotway_common::platform::clock;
use slotway_common::resp::{Args, Reply, request};
use slotway_common::slot::slot_of;
use slotway_common::timeout;

use super::asking::{successful, target};
use super::functions::ask_any;
use super::one;
use crate::core::{AskError, Asked, Job, Unsent, Waiting};
use crate::owned::OwnedArgs;
use crate::transaction::{Batch, How, Slots, add_slot};
use crate::worker::Worker;

/// How long a command may wait still.
#[derive(Clone, Copy)]
struct Patience(Option<Instant>);

impl Patience {
    /// Milliseconds that are left; 0 is for ever, as clients say it, and nothing when there are none.
    fn left(self) -> Option<i64> {
        let Some(end) = self.0 else { return Some(0) };
        let left = end.saturating_duration_since(Instant::now()).as_millis() as i64;
        (left > 0).then_some(left)
    }
}

/// How the timeout of a command is to be read.
fn patience(command: &Command, args: &Args<'_>) -> Result<Patience, Error> {
    let milliseconds = match command.blocks {
        Some(Blocks::Replicas) => Wait::parse(args)?.milliseconds,
        Some(Blocks::Streams) => {
            let block = (1..args.len()).find(|index| args.is(*index, "BLOCK")).unwrap_or(0);
            timeout::from_milliseconds(args.at(block + 1))?
        }
        Some(Blocks::FirstOfCounted) => timeout::from_seconds(args.at(1))?,
        Some(Blocks::FirstOfKeys | Blocks::Source) | None => timeout::from_seconds(args.last())?,
    };
    // What is too far away to be told is never.
    let ends = Instant::now().checked_add(Duration::from_millis(milliseconds));
    Ok(Patience(ends.filter(|_| milliseconds > 0)))
}

pub(super) async fn run(worker: &Rc<Worker>, job: &Job, reply: &mut Reply<'_>) -> Result<(), Error> {
    worker.with(|core| core.set_waiting(job.session, true));
    let result = wait(worker, job, reply).await;
    worker.with(|core| core.set_waiting(job.session, false));
    result
}

async fn wait(worker: &Rc<Worker>, job: &Job, reply: &mut Reply<'_>) -> Result<(), Error> {
    let args = job.args.args();
    let positions: Vec<usize> =
        command::keys(job.command, &args).map(|keys| keys.positions().collect()).unwrap_or_default();
    let owners: Vec<Option<usize>> = {
        let core = worker.core.borrow();
        positions.iter().map(|position| core.view.owner(slot_of(args.at(*position)))).collect()
    };
    if owners.iter().all(|owner| Some(owner) == owners.first()) {
        return on_one_shard(worker, job, &positions, reply).await;
    }
    let blocks = job.command.blocks.filter(|blocks| {
        *blocks != Blocks::Streams || args.iter().any(|word| word.eq_ignore_ascii_case(b"BLOCK"))
    });
    let Some(blocks) = blocks else { return one::run(worker, job, reply).await };
    let mut took = Duration::ZERO;
    let result = match (patience(job.command, &args), blocks) {
        (Err(_), _) => Err(syntax_or_crossslot(worker, job).await),
        (Ok(wait_for), Blocks::Source) => {
            from_another_shard(worker, job, &positions, wait_for, &mut took, reply).await
        }
        (Ok(wait_for), Blocks::Streams) => {
            streams::run(worker, job, &positions, wait_for, &mut took, reply).await
        }
        (Ok(wait_for), _) => on_several_shards(worker, job, &positions, wait_for, &mut took, reply).await,
    };
    if let Err(error) = &result {
        reply.truncate(0);
        reply.error(error);
    }
    // Waiting is no part of how long it took.
    job.accounted.set(true);
    let args = job.args.args();
    worker.with(|core| core.ran(job.session, job.command, &args, took, reply.buffer()));
    Ok(())
}

/// What is wrong with a call on keys of several slots besides that.
async fn syntax_or_crossslot(worker: &Rc<Worker>, job: &Job) -> Error {
    let otherwise = crate::core::crossslot(job.command);
    let line = otherwise.wire().into_owned();
    let words = [&b"SLOTWAY"[..], b"SYNTAX", &line].into_iter().chain(job.args.args().iter());
    let words: Vec<&[u8]> = words.collect();
    ask_any(worker, &words, |shard| target(job, shard)).await.err().unwrap_or(otherwise)
}

fn keys_of(args: &Args<'_>, positions: &[usize]) -> Slots {
    let mut slots = Vec::new();
    positions.iter().for_each(|position| add_slot(&mut slots, args.at(*position)));
    slots
}

fn borrowed(slots: &[(u16, Box<[u8]>)]) -> Vec<(u16, &[u8])> {
    slots.iter().map(|(slot, key)| (*slot, &**key)).collect()
}

/// Whether a shard says with this that the keys are another's now.
fn has_moved(reply: &[u8]) -> bool {
    reply.starts_with(b"-MOVED ") || reply.starts_with(b"-CLUSTERDOWN Hash slot not served")
}

/// What a client gets when its time is up.
fn nothing(job: &Job, reply: &mut Reply<'_>) {
    if job.command.blocks == Some(Blocks::Replicas) {
        reply.int(0);
    } else {
        reply.null_array();
    }
}

/// The milliseconds that a client may wait still, 0 for ever; nothing when it is not to go on, and the reply says so.
fn left(worker: &Rc<Worker>, job: &Job, wait_for: Patience, reply: &mut Reply<'_>) -> Option<i64> {
    match worker.core.borrow().unblocked(job.session) {
        Some(how) if &*how == b"ERROR" => {
            reply.error(&Error::Line("UNBLOCKED client unblocked via CLIENT UNBLOCK".into()));
            return None;
        }
        Some(_) => {
            nothing(job, reply);
            return None;
        }
        None => {}
    }
    let left = wait_for.left();
    if left.is_none() {
        nothing(job, reply);
    }
    left
}

fn refusal(unsent: Unsent, job: &Job) -> Error {
    match unsent {
        Unsent::Across => crate::core::crossslot(job.command),
        Unsent::Refused(error) => error,
        Unsent::Wait(_) | Unsent::Broken => Error::TryAgain("the command could not be sent".into()),
    }
}

async fn on_one_shard(
    worker: &Rc<Worker>,
    job: &Job,
    positions: &[usize],
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    let mut words = job.args.clone();
    let slots = keys_of(&job.args.args(), positions);
    let mut wait_for: Option<Patience> = None;
    loop {
        let left = match wait_for {
            None => None,
            Some(wait_for) => match left(worker, job, wait_for, reply) {
                Some(left) => Some(left),
                None => return Ok(()),
            },
        };
        // The shard counts it.
        job.accounted.set(true);
        let mut frame = Vec::new();
        request::encode(words.args().iter(), &mut frame);
        // A wait without an end that is told once more has 0 milliseconds left.
        let asked =
            worker.with(|core| core.ask_blocking(job, &frame, &borrowed(&slots), left, Waiting::Served));
        let Asked { shard, token, reply: first, pushed } = asked.map_err(|unsent| refusal(unsent, job))?;
        let first = first.await.unwrap_or(Err(AskError::Lost));
        let first = match first {
            Ok(first) => first,
            Err(error) => {
                worker.with(|core| core.cancel_wait(token));
                return Err(worker.core.borrow().ask_error(shard, error));
            }
        };
        let Some(ids) = first.strip_prefix(WAITS) else {
            worker.with(|core| core.cancel_wait(token));
            reply.buffer().extend_from_slice(&first);
            return Ok(());
        };
        words = with_ids(&words, ids);
        worker.with(|core| core.set_blocked(job.session));
        if wait_for.is_none() {
            wait_for = Some(patience(job.command, &job.args.args())?);
        }
        match pushed.await {
            Ok(Ok(served)) if !has_moved(&served) => {
                reply.buffer().extend_from_slice(&served);
                return Ok(());
            }
            // The shard has lost the connection or the slot; the client waits where it is now.
            Ok(_) => worker.context.refresh.notify_one(),
            Err(_) => return Err(Error::err("the client is gone")),
        }
    }
}

/// The words with the ids that a shard has put in the place of each `$` of XREAD.
fn with_ids(words: &OwnedArgs, ids: &[u8]) -> OwnedArgs {
    let ids: Vec<&[u8]> = ids.trim_ascii().split(|byte| *byte == b' ').filter(|id| !id.is_empty()).collect();
    let args = words.args();
    let kept = args.len().saturating_sub(ids.len());
    OwnedArgs::from_words(args.iter().take(kept).chain(ids))
}

/// Who has not waited yet tries its keys in their order; who has, tries the one that it is told of.
async fn on_several_shards(
    worker: &Rc<Worker>,
    job: &Job,
    positions: &[usize],
    wait_for: Patience,
    took: &mut Duration,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    let args = job.args.args();
    let (mut wait, mut tries) = (Waiting::Signal, runs(worker, &args, positions)?);
    loop {
        for keys in &tries {
            let started = clock::monotonic();
            let served = try_once(worker, job, &words_on(job, positions, keys)).await;
            *took += clock::since(started);
            // What a client waits for goes on when there is something else at a key.
            let served =
                served?.filter(|served| wait == Waiting::Signal || !served.starts_with(b"-WRONGTYPE"));
            if let Some(served) = served {
                reply.buffer().extend_from_slice(&served);
                return Ok(());
            }
        }
        // Another client may have been faster: then this one goes on waiting.
        if wait == Waiting::SignalAgain && fault::planted("pop-without-retry") {
            nothing(job, reply);
            return Ok(());
        }
        let Some(left) = left(worker, job, wait_for, reply) else { return Ok(()) };
        let shards = by_shard(worker, &args, positions)?;
        let signalled = signal(worker, job, positions, &shards, left, wait).await?;
        if let Some(end) = signalled.end {
            reply.buffer().extend_from_slice(&end);
            return Ok(());
        }
        tries = match signalled.woken_key(&shards) {
            _ if signalled.is_ready() && wait == Waiting::Signal => runs(worker, &args, positions)?,
            Some(key) => vec![vec![key]],
            None => positions.iter().map(|position| vec![*position]).collect(),
        };
        if !signalled.is_ready() {
            wait = Waiting::SignalAgain;
        }
    }
}

/// Keys that follow one another on the same shard.
fn runs(worker: &Rc<Worker>, args: &Args<'_>, positions: &[usize]) -> Result<Vec<Vec<usize>>, Error> {
    let mut runs: Vec<(usize, Vec<usize>)> = Vec::new();
    for position in positions {
        let owner = owner_of(worker, args.at(*position))?;
        match runs.last_mut() {
            Some((last, keys)) if *last == owner => keys.push(*position),
            _ => runs.push((owner, vec![*position])),
        }
    }
    Ok(runs.into_iter().map(|(_, keys)| keys).collect())
}

/// BLMOVE and BRPOPLPUSH from one shard to another: a transaction, whenever there may be something.
async fn from_another_shard(
    worker: &Rc<Worker>,
    job: &Job,
    positions: &[usize],
    wait_for: Patience,
    took: &mut Duration,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    let args = job.args.args();
    let source = positions.first().copied().unwrap_or(1);
    let mut wait = Waiting::Signal;
    loop {
        let started = clock::monotonic();
        let mut moved = Vec::new();
        let result = one::run(worker, job, &mut Reply::new(&mut moved, job.protocol)).await;
        *took += clock::since(started);
        result?;
        if !is_nothing(&moved) {
            reply.buffer().extend_from_slice(&moved);
            return Ok(());
        }
        let Some(left) = left(worker, job, wait_for, reply) else { return Ok(()) };
        let shards = by_shard(worker, &args, &[source])?;
        let signalled = signal(worker, job, positions, &shards, left, wait).await?;
        if !signalled.is_ready() {
            wait = Waiting::SignalAgain;
        }
        if let Some(end) = signalled.end {
            reply.buffer().extend_from_slice(&end);
            return Ok(());
        }
    }
}

/// The shards of keys, with the positions of those that each has.
fn by_shard(
    worker: &Rc<Worker>,
    args: &Args<'_>,
    positions: &[usize],
) -> Result<Vec<(usize, Vec<usize>)>, Error> {
    let mut shards: Vec<(usize, Vec<usize>)> = Vec::new();
    for position in positions {
        let owner = owner_of(worker, args.at(*position))?;
        match shards.iter_mut().find(|(shard, _)| *shard == owner) {
            Some((_, all)) => all.push(*position),
            None => shards.push((owner, vec![*position])),
        }
    }
    Ok(shards)
}

fn owner_of(worker: &Rc<Worker>, key: &[u8]) -> Result<usize, Error> {
    let slot = slot_of(key);
    let owner = worker.core.borrow().view.owner(slot);
    owner.ok_or_else(|| Error::ClusterDown(format!("Hash slot {slot} is not served by any shard").into()))
}

fn is_nothing(reply: &[u8]) -> bool {
    reply.starts_with(b"*-1\r\n") || reply.starts_with(b"$-1\r\n") || reply.starts_with(b"_\r\n")
}

/// The command for some of its keys only.
fn words_on(job: &Job, positions: &[usize], keys: &[usize]) -> OwnedArgs {
    let args = job.args.args();
    let keys = keys.iter().map(|position| args.at(*position));
    match job.command.blocks {
        Some(Blocks::FirstOfCounted) => {
            let count = keys.len().to_string();
            let after = positions.last().map_or(args.len(), |last| last + 1);
            let head = [args.at(0), b"0", count.as_bytes()];
            OwnedArgs::from_words(head.into_iter().chain(keys).chain(args.rest(after).iter()))
        }
        // Any command that waits for its source to have something.
        Some(Blocks::Source) => {
            OwnedArgs::from_words([&b"BLPOP"[..]].into_iter().chain(keys).chain([&b"0"[..]]))
        }
        _ => OwnedArgs::from_words([args.at(0)].into_iter().chain(keys).chain([&b"0"[..]])),
    }
}

/// Runs a command without waiting; `None` when it finds nothing.
async fn try_once(worker: &Rc<Worker>, job: &Job, words: &OwnedArgs) -> Result<Option<Vec<u8>>, Error> {
    let mut batch = Batch::empty(job.database);
    batch.push(job.command, &words.args());
    let asked = worker.with(|core| core.ask_batch(job, &batch, None, How::Quiet));
    let (shard, receiver) = asked.map_err(|unsent| refusal(unsent, job))?;
    let answer = receiver.await.unwrap_or(Err(AskError::Lost));
    let answer = answer.map_err(|error| worker.core.borrow().ask_error(shard, error))?;
    let replies = successful(answer)?;
    let served = replies.strip_prefix(b"*1\r\n").unwrap_or(&replies);
    Ok((!is_nothing(served)).then(|| served.to_vec()))
}

/// Waits until some shard may have something.
async fn signal(
    worker: &Rc<Worker>,
    job: &Job,
    positions: &[usize],
    by_shard: &[(usize, Vec<usize>)],
    left: i64,
    wait: Waiting,
) -> Result<Signalled, Error> {
    let args = job.args.args();
    let frames: Vec<(OwnedArgs, Slots)> =
        by_shard.iter().map(|(_, keys)| (words_on(job, positions, keys), keys_of(&args, keys))).collect();
    signal_each(worker, job, &frames, left, wait).await
}

/// What shards have said that were asked to signal.
struct Signalled {
    /// Of each, whether it waits or is ready.
    first: Vec<Vec<u8>>,
    /// The one that had something first, and the place of its key.
    woken: Option<(usize, usize)>,
    /// What the client is told if it is not to go on: that its time is up, or that it was unblocked.
    end: Option<Vec<u8>>,
}

impl Signalled {
    /// Whether a shard had something at once.
    fn is_ready(&self) -> bool {
        self.first.iter().any(|first| !first.starts_with(WAITS))
    }

    /// The position of the key that had something first; `shards` are those that were asked, with the positions of their keys.
    fn woken_key(&self, shards: &[(usize, Vec<usize>)]) -> Option<usize> {
        let (shard, place) = self.woken?;
        shards.get(shard)?.1.get(place).copied()
    }
}

/// What a shard says of a wait that has begun, before the ids that it put in the place of `$`; and of a key that has something, before its
/// place.
const WAITS: &[u8] = b"+WAITING";
const READY: &[u8] = b"+READY ";

/// As [`signal`], of a command for each shard, and its keys.
async fn signal_each(
    worker: &Rc<Worker>,
    job: &Job,
    frames: &[(OwnedArgs, Slots)],
    left: i64,
    wait: Waiting,
) -> Result<Signalled, Error> {
    let mut waits = Vec::new();
    let mut failed = None;
    for (words, slots) in frames {
        let mut frame = Vec::new();
        request::encode(words.args().iter(), &mut frame);
        let left = (left > 0).then_some(left);
        match worker.with(|core| core.ask_blocking(job, &frame, &borrowed(slots), left, wait)) {
            Ok(asked) => waits.push(asked),
            Err(unsent) => failed = Some(refusal(unsent, job)),
        }
    }
    let tokens: Vec<u64> = waits.iter().map(|asked| asked.token).collect();
    let outcome = match failed {
        Some(error) => Err(error),
        None => first_of(worker, job, waits).await,
    };
    worker.with(|core| tokens.iter().for_each(|token| core.cancel_wait(*token)));
    outcome
}

async fn first_of(worker: &Rc<Worker>, job: &Job, waits: Vec<Asked>) -> Result<Signalled, Error> {
    let (mut first, mut pushed) = (Vec::new(), Vec::new());
    for asked in waits {
        let reply = asked.reply.await.unwrap_or(Err(AskError::Lost));
        let reply = reply.map_err(|error| worker.core.borrow().ask_error(asked.shard, error))?;
        first.push(successful(reply)?);
        pushed.push(asked.pushed);
    }
    if let Some((shard, ready)) = first.iter().enumerate().find(|(_, reply)| !reply.starts_with(WAITS)) {
        let woken = place(ready).map(|place| (shard, place));
        return Ok(Signalled { first, woken, end: None });
    }
    worker.with(|core| core.set_blocked(job.session));
    let (shard, answer) = poll_fn(|context| {
        for (shard, receiver) in pushed.iter_mut().enumerate() {
            if let Poll::Ready(answer) = Pin::new(receiver).poll(context) {
                return Poll::Ready((shard, answer));
            }
        }
        Poll::Pending
    })
    .await;
    let mut signalled = Signalled { first, woken: None, end: None };
    match answer {
        Ok(Ok(answer)) if answer.starts_with(READY) => {
            signalled.woken = place(&answer).map(|place| (shard, place));
        }
        Ok(Ok(answer)) if !has_moved(&answer) => signalled.end = Some(answer),
        Ok(_) => {}
        Err(_) => return Err(Error::err("the client is gone")),
    }
    Ok(signalled)
}

/// The place of the key that is ready.
fn place(ready: &[u8]) -> Option<usize> {
    std::str::from_utf8(ready.strip_prefix(READY)?).ok()?.trim_end().parse().ok()
}
