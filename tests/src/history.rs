//! What clients did and saw while slots moved and processes failed, and whether one Redis could have answered so.
//!
//! [`Load`] runs clients through a proxy and keeps every command with the time at which it was sent, the time at which
//! its reply came, and the reply; [`History::check`] then looks for what must never be: a write that was acknowledged
//! and is gone or there twice, an order that no client can have caused, a value that was never written, an error that
//! says nothing but that slots move.
//!
//! Keys say by the start of their names how they are used, and so how they are checked:
//!
//! | keys | commands | guarantee |
//! |---|---|---|
//! | `list:` | RPUSH of unique elements | each acknowledged one once, at the place that the reply tells |
//! | `counter:`, `tally:` | INCR, HINCRBY | replies are the places in one order; the sum is right |
//! | `register:` | SET, GET, GETSET, SETNX, DEL | linearizable |
//! | `pair:` | MSET and MGET of one hash tag | never torn, and linearizable |
//! | `set:`, `hash:`, `zset:` | unique members, SPOP, ZPOPMIN | each acknowledged one is there or was taken, once |
//! | `expiring:` | SET with PX, GET | there until its time and not longer |

mod alone;
mod commands;
mod connection;
mod expiring;
mod load;
mod members;
mod order;
mod registers;
mod segment;
#[cfg(test)]
mod tests;

pub use commands::{Commands, Keys, database_of, tag_of};
pub use load::{Load, Running};

use std::collections::BTreeMap;

use slotway_common::resp::Value;
use slotway_common::slot::{Slot, slot_of};

use segment::segments;

/// The client number of reads after everything else has ended.
pub const LAST: u32 = u32::MAX;
/// Violations after which no more are collected.
const MOST: usize = 20;

/// One command of one client.
#[derive(Clone, Debug)]
pub struct Operation {
    pub client: u32,
    /// Its place among the client's commands.
    pub number: u32,
    pub database: u8,
    pub words: Vec<String>,
    /// When it was sent, in microseconds since the load began.
    pub invoked: u64,
    /// When its outcome was known.
    pub returned: u64,
    pub outcome: Outcome,
}

/// What came of a command.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    Reply(Value),
    /// An error that says that nothing was done.
    Refused(String),
    /// It may have been done or not, or may be done yet.
    Unknown(String),
}

impl Outcome {
    /// What a reply means.
    #[must_use]
    pub fn of(reply: Value) -> Outcome {
        let Value::Error(text) = &reply else { return Outcome::Reply(reply) };
        let text = String::from_utf8_lossy(text).into_owned();
        if ["CLUSTERDOWN ", "TRYAGAIN ", "LOADING "].iter().any(|prefix| text.starts_with(prefix)) {
            Outcome::Refused(text)
        } else if text.starts_with("ERR the connection to shard ") && text.ends_with("may have been executed")
        {
            Outcome::Unknown(text)
        } else {
            // MOVED, ASK, PARKED and all that the load's commands do not deserve.
            Outcome::Reply(reply)
        }
    }
}

impl Operation {
    fn key(&self) -> &str {
        self.words.get(1).map_or("", String::as_str)
    }

    /// For messages.
    fn describe(&self) -> String {
        let outcome = match &self.outcome {
            Outcome::Reply(reply) => reply.to_string(),
            Outcome::Refused(text) => format!("refused: {text}"),
            Outcome::Unknown(text) => format!("unknown: {text}"),
        };
        let mut outcome = outcome;
        if outcome.len() > 300 {
            outcome.truncate(outcome.char_indices().nth(300).map_or(outcome.len(), |(at, _)| at));
        }
        format!(
            "{} in database {} (client {}, number {}, {}-{} µs) -> {outcome}",
            self.words.join(" "),
            self.database,
            self.client,
            self.number,
            self.invoked,
            self.returned
        )
    }
}

/// Slots whose keys were lost with a process that had them in memory only.
#[derive(Clone, Debug)]
pub struct Loss {
    pub slots: Vec<Slot>,
    /// The process still lived then, in microseconds since the load began.
    pub from: u64,
    /// It was dead by then.
    pub until: u64,
}

/// Everything that a load has seen.
#[derive(Clone, Debug, Default)]
pub struct History {
    pub operations: Vec<Operation>,
    pub losses: Vec<Loss>,
    /// What clients found that have databases of their own and know every reply beforehand.
    pub complaints: Vec<String>,
}

/// Which errors clients may have seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Errors {
    /// None: no process has failed.
    None,
    /// Those that say that a shard is away, and broken connections.
    OfFaults,
}

impl History {
    /// What is wrong with it, one line each; nothing if all is well.
    #[must_use]
    pub fn check(&self, errors: Errors) -> Vec<String> {
        let mut wrong = self.complaints.clone();
        let mut keys: BTreeMap<(u8, &str), Vec<&Operation>> = BTreeMap::new();
        for operation in &self.operations {
            let is_wrong = match &operation.outcome {
                Outcome::Reply(Value::Error(_)) => true,
                Outcome::Reply(_) => false,
                Outcome::Refused(_) | Outcome::Unknown(_) => errors == Errors::None,
            };
            if is_wrong {
                wrong.push(format!("an error: {}", operation.describe()));
            }
            keys.entry((operation.database, operation.key())).or_default().push(operation);
        }
        for ((database, key), operations) in keys {
            if wrong.len() >= MOST {
                break;
            }
            let kind = key.split_once(':').map_or(key, |(kind, _)| kind);
            let slot = slot_of(key.as_bytes());
            for segment in segments(slot, &operations, &self.losses) {
                let checked = match kind {
                    "list" => order::list(&segment),
                    "counter" | "tally" => order::counter(&segment),
                    "register" | "pair" => registers::check(&segment),
                    "set" | "hash" | "zset" => members::check(&segment),
                    "expiring" => expiring::check(&segment),
                    _ => Err(format!("nobody knows how to check a {kind}")),
                };
                if let Err(what) = checked {
                    wrong.push(format!("{key} in database {database} (slot {slot}): {what}"));
                }
            }
        }
        wrong
    }

    /// How many commands were answered.
    #[must_use]
    pub fn acknowledged(&self) -> usize {
        self.operations.iter().filter(|operation| matches!(operation.outcome, Outcome::Reply(_))).count()
    }

    /// Fails with what [`History::check`] finds.
    ///
    /// # Panics
    /// When it finds something.
    pub fn assert_good(&self, errors: Errors) {
        let wrong = self.check(errors);
        assert!(wrong.is_empty(), "after {} commands:\n{}", self.operations.len(), wrong.join("\n"));
    }
}
