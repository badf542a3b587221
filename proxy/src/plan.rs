//! How a batch runs on several shards: each its own part of the commands, or one of them all, on values that the others lend.

use std::rc::Rc;

use slotway_common::error::Error;

use crate::coordinator::{Coordinator, Message};
use crate::loan::{self, Loan};
use crate::parts::{Parts, about};
use crate::transaction::How;

/// What takes part, numbered as the [`Coordinator`] does.
pub(crate) enum Plan {
    Parts(Parts),
    Loan(Loan),
}

/// An attempt at a transaction.
pub(crate) struct Attempted<'a> {
    pub(crate) id: &'a str,
    pub(crate) how: How,
    /// Shards that are not asked whether they know its scripts.
    pub(crate) searched: &'a [usize],
}

impl Plan {
    /// The coordinator of an attempt at it.
    pub(crate) fn coordinator(&self) -> Coordinator {
        match self {
            Self::Parts(parts) => Coordinator::new(parts.parts.len()),
            Self::Loan(loan) => Coordinator::of_loan(loan.lenders.len()),
        }
    }

    /// Position and name of a participant's shard.
    pub(crate) fn shard(&self, participant: usize) -> (usize, Rc<str>) {
        let found = match self {
            Self::Parts(parts) => parts.parts.get(participant).map(|part| (part.shard, part.name.clone())),
            Self::Loan(loan) => {
                loan.lenders.get(participant).map(|lender| (lender.shard, lender.name.clone()))
            }
        };
        found.unwrap_or_else(|| (usize::MAX, Rc::from("?")))
    }

    /// The name of the shard that decides.
    pub(crate) fn decider(&self) -> &str {
        match self {
            Self::Parts(parts) => parts.decider(),
            Self::Loan(loan) => loan.runner(),
        }
    }

    /// What a participant is sent; nothing for one that there is not.
    pub(crate) fn frame(
        &self,
        participant: usize,
        message: Message,
        attempt: &Attempted<'_>,
        coordinator: &Coordinator,
    ) -> Option<Vec<u8>> {
        let Attempted { id, how, searched } = attempt;
        let known = !searched.contains(&self.shard(participant).0);
        Some(match message {
            Message::Abort => about("SLOTWAY-ABORT", id),
            Message::Alive => about("SLOTWAY-ALIVE", id),
            Message::Forget => about("SLOTWAY-FORGET", id),
            _ => match self {
                Self::Parts(parts) => {
                    let part = parts.parts.get(participant)?;
                    match message {
                        Message::Prepare => part.prepare(id, parts.decider(), *how, known),
                        Message::Decide => part.decide(id, &parts.others(), *how, known),
                        _ => about("SLOTWAY-COMMIT", id),
                    }
                }
                Self::Loan(loan) => {
                    let lender = loan.lenders.get(participant)?;
                    match message {
                        Message::Prepare => loan.prepare(lender, id),
                        Message::Decide => loan.run(lender, id, *how, known, |from| coordinator.values(from)),
                        _ => loan::commit(id, coordinator.values(participant)),
                    }
                }
            },
        })
    }

    /// Appends the replies of all commands, in their order, made of what each participant has answered.
    pub(crate) fn join(&self, answers: &[Result<Vec<u8>, Error>], out: &mut Vec<u8>) {
        match self {
            Self::Parts(parts) => parts.join(answers, out),
            Self::Loan(_) => {
                // The decider has answered, or there would be no outcome.
                let Some(Ok(replies)) = answers.last() else { return };
                let header = replies.iter().position(|byte| *byte == b'\n').map_or(0, |end| end + 1);
                out.extend_from_slice(replies.get(header..).unwrap_or_default());
            }
        }
    }
}
