//! Who coordinates a transaction over several shards (two-phase commit), without sockets and timers.
//!
//! Participants are numbered in the order in which they are to lock, which is the same for all transactions, so that two of
//! them never wait for each other. One after the other is asked to prepare; the last one decides: it prepares, commits and runs
//! its part at once. What it says is the outcome. As long as it was not asked, or has refused, nothing was applied, and who has
//! prepared is told to abort. Once it has committed, the others run their parts, all at the same time. If its answer is lost the
//! outcome is not known here: then nobody is told to abort, since participants that hear no more ask the decider themselves.
//!
//! In a loan the commands have keys on several shards: then the others lend the values of their keys when they prepare, the decider
//! runs all commands and answers what those keys have become, or which other keys it needs, and COMMIT takes that back.

#[cfg(test)]
mod tests;

use slotway_common::resp::frame::{Elements, string};

use crate::core::AskError;

/// What a participant is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    /// Lock the slots of the part, and keep it.
    Prepare,
    /// The same, and commit and run it.
    Decide,
    /// Run what was prepared.
    Commit,
    Abort,
    /// The transaction is not over: it waits for another participant.
    Alive,
    /// All participants know the outcome.
    Forget,
}

impl Message {
    /// Whether its answer is a [`Event::Answer`]; nobody waits for those of the others.
    pub(crate) fn is_awaited(self) -> bool {
        matches!(self, Self::Prepare | Self::Decide | Self::Commit)
    }
}

/// What happens.
#[derive(Debug)]
pub(crate) enum Event {
    /// A participant's answer to what it was told last.
    Answer(usize, Result<Vec<u8>, AskError>),
    /// A second has passed.
    Second,
}

/// What becomes of the transaction. Only what is committed, or unknown, may have been applied.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// For each participant the array of its replies, unless that is lost; it has run all the same.
    Committed(Vec<Option<Vec<u8>>>),
    /// What was watched has changed.
    Broken,
    /// A participant's error, without `-` and line end.
    Refused(Vec<u8>),
    /// A participant could not be asked.
    Unreachable(usize, AskError),
    /// A slot belongs to somebody else: to be begun again.
    Moved { slot: u16, address: String },
    /// Its commands need these keys beside, as a list: to be begun again with them.
    Needs(Vec<u8>),
    /// A participant does not know these scripts: to be begun again when it has been given them.
    UnknownScripts { participant: usize, digests: Vec<Vec<u8>> },
    /// The decider's answer is lost: applied as a whole, or not at all.
    Unknown,
}

/// What is to be done after an event.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Turn {
    pub(crate) messages: Vec<(usize, Message)>,
    /// The transaction is over, once the messages are sent.
    pub(crate) outcome: Option<Outcome>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// All before this participant have prepared; it was asked to.
    Preparing(usize),
    Deciding,
    Committing,
    Over,
}

/// One attempt at a transaction.
#[derive(Debug)]
pub(crate) struct Coordinator {
    phase: Phase,
    /// What each has answered to DECIDE or COMMIT.
    replies: Vec<Option<Vec<u8>>>,
    /// Who has not answered COMMIT.
    open: Vec<usize>,
    /// Each participant is known to know the outcome.
    all_know: bool,
    /// The decider runs all commands.
    is_loan: bool,
    /// What each has lent, and then what that has become.
    values: Vec<Vec<u8>>,
}

/// What an answer to PREPARE or DECIDE says.
#[derive(Debug)]
enum Vote {
    /// With what it lends.
    Prepared(Vec<u8>),
    /// DECIDE: the replies.
    Committed,
    Against(Outcome),
    /// Nothing that such a request is answered with.
    Strange,
}

impl Coordinator {
    /// A transaction of so many participants, one at least.
    pub(crate) fn new(participants: usize) -> Self {
        Self {
            phase: Phase::Preparing(0),
            replies: vec![None; participants],
            open: Vec::new(),
            all_know: true,
            is_loan: false,
            values: vec![Vec::new(); participants],
        }
    }

    /// A transaction whose last participant borrows the keys of the others.
    pub(crate) fn of_loan(participants: usize) -> Self {
        Self { is_loan: true, ..Self::new(participants) }
    }

    /// What a participant has lent; after the decision, what that has become.
    pub(crate) fn values(&self, participant: usize) -> &[u8] {
        self.values.get(participant).map_or(&[], Vec::as_slice)
    }

    fn decider(&self) -> usize {
        self.replies.len().saturating_sub(1)
    }

    /// What comes first.
    pub(crate) fn begin(&mut self) -> Turn {
        self.ask(0)
    }

    /// Takes note of what has happened.
    pub(crate) fn take(&mut self, event: Event) -> Turn {
        match (event, self.phase) {
            (Event::Answer(from, answer), Phase::Preparing(at)) if from == at => self.prepared(at, answer),
            (Event::Answer(from, answer), Phase::Deciding) if from == self.decider() => self.decided(answer),
            (Event::Answer(from, answer), Phase::Committing) => self.committed(from, answer),
            (Event::Second, Phase::Preparing(waited_for)) => self.tell_before(waited_for, Message::Alive),
            (Event::Second, Phase::Deciding) => self.tell_before(self.decider(), Message::Alive),
            _ => Turn::default(),
        }
    }

    fn ask(&mut self, participant: usize) -> Turn {
        let message = if participant == self.decider() {
            self.phase = Phase::Deciding;
            Message::Decide
        } else {
            self.phase = Phase::Preparing(participant);
            Message::Prepare
        };
        Turn { messages: vec![(participant, message)], outcome: None }
    }

    fn tell_before(&self, end: usize, message: Message) -> Turn {
        Turn { messages: (0..end).map(|participant| (participant, message)).collect(), outcome: None }
    }

    fn prepared(&mut self, participant: usize, answer: Result<Vec<u8>, AskError>) -> Turn {
        let answer = match answer {
            Ok(answer) => answer,
            Err(AskError::Down) => {
                return self.abort(participant, Outcome::Unreachable(participant, AskError::Down));
            }
            // It may have prepared, or do so yet.
            Err(AskError::Lost) => {
                return self.abort(participant + 1, Outcome::Unreachable(participant, AskError::Lost));
            }
        };
        match vote(participant, &answer) {
            Vote::Prepared(lent) => {
                self.values[participant] = lent;
                self.ask(participant + 1)
            }
            Vote::Against(outcome) => self.abort(participant, outcome),
            Vote::Committed | Vote::Strange => self.abort(participant + 1, Outcome::Refused(strange())),
        }
    }

    fn decided(&mut self, answer: Result<Vec<u8>, AskError>) -> Turn {
        let decider = self.decider();
        let answer = match answer {
            Ok(answer) => answer,
            // It was not sent.
            Err(AskError::Down) => {
                return self.abort(decider, Outcome::Unreachable(decider, AskError::Down));
            }
            Err(AskError::Lost) => return self.end(Outcome::Unknown),
        };
        match vote(decider, &answer) {
            Vote::Committed => {
                let replies = if self.is_loan { self.take_back(&answer) } else { Ok(answer) };
                match replies {
                    Ok(replies) => self.replies[decider] = Some(replies),
                    Err(outcome @ Outcome::Unknown) => return self.end(outcome),
                    Err(outcome) => return self.abort(decider, outcome),
                }
                self.open = (0..decider).collect();
                if self.open.is_empty() {
                    return self.confirm();
                }
                self.phase = Phase::Committing;
                self.tell_before(decider, Message::Commit)
            }
            Vote::Against(outcome) => self.abort(decider, outcome),
            Vote::Prepared(_) | Vote::Strange => self.end(Outcome::Unknown),
        }
    }

    /// Takes apart what the decider of a loan has answered; gives the array of replies.
    fn take_back(&mut self, answer: &[u8]) -> Result<Vec<u8>, Outcome> {
        let mut elements = Elements::open(answer).ok_or(Outcome::Unknown)?;
        let replies = elements.next().ok_or(Outcome::Unknown)?;
        let mut values = elements.map(|element| string(element).map(<[u8]>::to_vec));
        if !replies.starts_with(b"*") || replies.starts_with(b"*-1") {
            let needs = values.next().flatten().ok_or(Outcome::Unknown)?;
            return Err(Outcome::Needs(needs));
        }
        for participant in 0..self.decider() {
            self.values[participant] = values.next().flatten().ok_or(Outcome::Unknown)?;
        }
        Ok(replies.to_vec())
    }

    fn committed(&mut self, participant: usize, answer: Result<Vec<u8>, AskError>) -> Turn {
        if !self.open.contains(&participant) {
            return Turn::default();
        }
        self.open.retain(|open| *open != participant);
        match answer {
            Ok(replies) if replies.starts_with(b"*") => self.replies[participant] = Some(replies),
            // It has asked the decider itself.
            Ok(error) if error.starts_with(b"-NOTRANSACTION") => {}
            _ => self.all_know = false,
        }
        if self.open.is_empty() { self.confirm() } else { Turn::default() }
    }

    /// The transaction is over. A decider that somebody may still ask keeps the outcome.
    fn confirm(&mut self) -> Turn {
        let replies = std::mem::take(&mut self.replies);
        let forget = replies.len().checked_sub(1).filter(|_| self.all_know);
        self.phase = Phase::Over;
        Turn {
            messages: forget.map(|decider| (decider, Message::Forget)).into_iter().collect(),
            outcome: Some(Outcome::Committed(replies)),
        }
    }

    /// Ends the transaction, which the participants before `end` may have prepared.
    fn abort(&mut self, end: usize, outcome: Outcome) -> Turn {
        let messages = self.tell_before(end, Message::Abort).messages;
        Turn { messages, ..self.end(outcome) }
    }

    fn end(&mut self, outcome: Outcome) -> Turn {
        self.phase = Phase::Over;
        Turn { messages: Vec::new(), outcome: Some(outcome) }
    }
}

fn vote(participant: usize, answer: &[u8]) -> Vote {
    if answer.starts_with(b"+PREPARED") {
        return Vote::Prepared(Vec::new());
    }
    if answer.starts_with(b"$") {
        return string(answer).map_or(Vote::Strange, |lent| Vote::Prepared(lent.to_vec()));
    }
    if answer.starts_with(b"*-1") || answer.starts_with(b"_") {
        return Vote::Against(Outcome::Broken);
    }
    if answer.starts_with(b"*") {
        return Vote::Committed;
    }
    let Some(line) = answer.strip_prefix(b"-") else { return Vote::Strange };
    let line = line.strip_suffix(b"\r\n").unwrap_or(line);
    let outcome = moved(line).or_else(|| unknown_scripts(participant, line));
    Vote::Against(outcome.unwrap_or_else(|| Outcome::Refused(line.to_vec())))
}

/// `TXMOVED <slot> <host:port>`
fn moved(line: &[u8]) -> Option<Outcome> {
    let rest = std::str::from_utf8(line.strip_prefix(b"TXMOVED ")?).ok()?;
    let (slot, address) = rest.split_once(' ')?;
    Some(Outcome::Moved { slot: slot.parse().ok()?, address: address.to_owned() })
}

/// `NOSCRIPT <digest>…`
fn unknown_scripts(participant: usize, line: &[u8]) -> Option<Outcome> {
    let digests = line.strip_prefix(b"NOSCRIPT ")?.split(|byte| *byte == b' ');
    let digests: Vec<Vec<u8>> = digests.filter(|digest| !digest.is_empty()).map(<[u8]>::to_vec).collect();
    let are_digests = digests.iter().all(|digest| digest.len() == 40);
    (are_digests && !digests.is_empty()).then_some(Outcome::UnknownScripts { participant, digests })
}

fn strange() -> Vec<u8> {
    b"ERR a shard's answer to its part of the transaction could not be read".to_vec()
}
