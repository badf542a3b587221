//! A transaction over several shards, for a job: sends what its [`Coordinator`] says, and waits for answers and for time to pass.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use slotway_common::error::Error;
use slotway_common::transaction_id::TransactionId;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::coordinator::{Event, Message, Outcome};
use crate::core::{Answer, AskError, OnBehalf};
use crate::plan::{Attempted, Plan};
use crate::transaction::How;
use crate::worker::Worker;

/// So often participants hear that a transaction is not over.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// Where a transaction stands after an attempt at it.
pub(super) enum Attempt {
    /// The replies of its commands, one after the other.
    Committed(Vec<u8>),
    /// What was watched has changed: nothing was applied.
    Broken,
    /// Nothing was applied, and it is to be begun again: a slot is elsewhere.
    Moved { slot: u16, address: String },
    /// The same: it needs these keys beside.
    Needs(Vec<u8>),
    /// The same: this shard does not know scripts.
    UnknownScripts { shard: usize, digests: Vec<Vec<u8>> },
}

/// Runs a batch as planned. Shards that are in `searched` are not asked whether they know its scripts.
///
/// # Errors
/// Those that EXEC is answered with: nothing was applied, unless the error says that this is not known.
pub(super) async fn attempt(
    worker: &Rc<Worker>,
    whose: &OnBehalf,
    plan: &Plan,
    how: How,
    searched: &[usize],
) -> Result<Attempt, Error> {
    let number = worker.context.transactions.fetch_add(1, Ordering::Relaxed);
    let id = TransactionId { proxy: worker.context.incarnation, number }.to_string();
    let shard = |participant: usize| plan.shard(participant).0;
    match coordinate(worker, whose, plan, &Attempted { id: &id, how, searched }).await {
        Outcome::Committed(answers) => {
            let answers: Vec<Result<Vec<u8>, Error>> = answers
                .into_iter()
                .enumerate()
                .map(|(participant, replies)| replies.ok_or_else(|| lost_replies(&plan.shard(participant).1)))
                .collect();
            let mut out = Vec::new();
            plan.join(&answers, &mut out);
            Ok(Attempt::Committed(out))
        }
        Outcome::Broken => Ok(Attempt::Broken),
        Outcome::Needs(list) => Ok(Attempt::Needs(list)),
        Outcome::Moved { slot, address } => Ok(Attempt::Moved { slot, address }),
        Outcome::UnknownScripts { participant, digests } => {
            Ok(Attempt::UnknownScripts { shard: shard(participant), digests })
        }
        Outcome::Refused(line) => Err(Error::Line(String::from_utf8_lossy(&line).into_owned().into())),
        Outcome::Unreachable(participant, why) => {
            Err(worker.core.borrow().unreachable(shard(participant), why))
        }
        Outcome::Unknown => Err(Error::err(format!(
            "the answer of shard '{}', which decides, is missing: the transaction was applied as a whole or not at all",
            plan.decider()
        ))),
    }
}

fn lost_replies(shard: &str) -> Error {
    Error::err(format!(
        "the transaction was applied, and the reply to this command is lost: the answer of shard '{shard}' is missing"
    ))
}

async fn coordinate(worker: &Rc<Worker>, whose: &OnBehalf, plan: &Plan, attempt: &Attempted<'_>) -> Outcome {
    let mut coordinator = plan.coordinator();
    let mut seconds = interval_at(Instant::now() + HEARTBEAT, HEARTBEAT);
    seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut pending: Vec<(usize, Answer)> = Vec::new();
    let mut turn = coordinator.begin();
    loop {
        worker.with(|core| {
            for (participant, message) in turn.messages {
                let Some(frame) = plan.frame(participant, message, attempt, &coordinator) else { continue };
                let runs = matches!(message, Message::Decide | Message::Commit);
                let frame = if runs { whose.wrap(frame) } else { frame };
                let answer = core.ask_participant(whose, plan.shard(participant).0, &frame);
                if message.is_awaited() {
                    pending.push((participant, answer));
                }
            }
        });
        if let Some(outcome) = turn.outcome {
            return outcome;
        }
        turn = coordinator.take(tokio::select! {
            (participant, answer) = first_of(&mut pending) => Event::Answer(participant, answer),
            _ = seconds.tick() => Event::Second,
        });
    }
}

/// The first answer that is there, which is pending no longer.
async fn first_of(pending: &mut Vec<(usize, Answer)>) -> (usize, Result<Vec<u8>, AskError>) {
    poll_fn(|context| {
        for at in 0..pending.len() {
            let Some((participant, answer)) = pending.get_mut(at) else { continue };
            if let Poll::Ready(answer) = Pin::new(answer).poll(context) {
                let participant = *participant;
                pending.swap_remove(at);
                return Poll::Ready((participant, answer.unwrap_or(Err(AskError::Lost))));
            }
        }
        Poll::Pending
    })
    .await
}
