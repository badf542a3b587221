//! What a shard knows of transactions across shards: its parts of those that have no outcome yet, and the outcomes that others may
//! ask for.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use slotway_common::slot::Slot;
use slotway_common::transaction_id::TransactionId;

use crate::session::Session;
use crate::stream::{Fields, Kind, put_bytes, put_number};

/// How long it is remembered that a transaction was given up: what its proxy has sent before is here long before that.
pub const REMEMBERED: Duration = Duration::from_secs(600);

/// What a part is to do, once its slots are held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Work {
    pub database: usize,
    /// Requests, one after the other, and their number.
    pub frames: Vec<u8>,
    pub count: usize,
}

/// Who decides about a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decider {
    /// The shard of that name.
    Other(Rc<str>),
    /// This one, and these take part.
    Here(Others),
}

/// What parts lend one another. All lists are in the form of [`crate::across`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Values {
    /// Its commands are on its own keys.
    #[default]
    Own,
    /// It lends these keys to who decides, and gets back what they have become.
    Lends(Vec<u8>),
    /// It runs all commands of the transaction, on these keys of its own, and those that the shards of these names lend.
    Borrows { own: Vec<u8>, lent: Vec<(Rc<str>, Vec<u8>)> },
}

/// Shards that have to know of an outcome, and what the keys that they have lent have become.
pub type Others = Vec<(Rc<str>, Vec<u8>)>;

/// How far a part is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It has the first so many of its slots, and waits for the others.
    Waiting(usize),
    /// It holds its slots until it is told the outcome.
    Prepared,
}

/// A part of a transaction.
pub struct Part {
    pub decider: Decider,
    /// Ascending.
    pub slots: Vec<Slot>,
    pub work: Work,
    /// What its client watches here.
    pub watch: Option<u64>,
    /// What it lends or borrows, where its commands are on keys of several shards.
    pub values: Values,
    /// Nothing of it counts, or is shown: its proxy sees to that.
    pub quiet: bool,
    pub phase: Phase,
    /// When it came, and when its proxy was last heard of. `None`: its connection has broken, or it was read from the log.
    pub since: Instant,
    pub heard: Option<Instant>,
    /// The connection that it came over.
    pub connection: u64,
    /// What its reply needs that comes later.
    pub waits: Option<Box<Session>>,
}

/// How a transaction that was decided here has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// These have not told yet that they know.
    Committed(Others),
    /// Nothing of it is to run; known since.
    GivenUp(Instant),
}

/// What a node has counted of transactions across shards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub committed: u64,
    pub aborted: u64,
    /// Parts whose outcome was asked for, because their proxy was silent.
    pub resolved: u64,
}

/// The parts and outcomes of a node.
#[derive(Default)]
pub struct Parts {
    parts: BTreeMap<TransactionId, Part>,
    outcomes: BTreeMap<TransactionId, Outcome>,
    /// Prepared parts that are to run when the script has ended that is slow.
    pub behind_script: Vec<(TransactionId, Vec<u8>, Box<Session>)>,
    pub counts: Counts,
}

/// How many parts and outcomes a node has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Parts that wait for slots.
    pub waiting: usize,
    /// Parts that are prepared.
    pub prepared: usize,
    /// Transactions that were committed here, of which a shard may still ask.
    pub kept: usize,
}

impl Parts {
    /// How many there are of what.
    #[must_use]
    pub fn standing(&self) -> Standing {
        let prepared = self.parts.values().filter(|part| part.phase == Phase::Prepared).count();
        let committed = |outcome: &&Outcome| matches!(outcome, Outcome::Committed(_));
        let kept = self.outcomes.values().filter(committed).count();
        Standing { waiting: self.parts.len() - prepared, prepared, kept }
    }

    pub fn insert(&mut self, id: TransactionId, part: Part) {
        self.parts.insert(id, part);
    }

    #[must_use]
    pub fn get(&self, id: TransactionId) -> Option<&Part> {
        self.parts.get(&id)
    }

    pub fn get_mut(&mut self, id: TransactionId) -> Option<&mut Part> {
        self.parts.get_mut(&id)
    }

    pub fn remove(&mut self, id: TransactionId) -> Option<Part> {
        self.parts.remove(&id)
    }

    pub fn iter(&self) -> impl Iterator<Item = (TransactionId, &Part)> {
        self.parts.iter().map(|(id, part)| (*id, part))
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Parts that hold their slots until their outcome is known.
    #[must_use]
    pub fn prepared(&self) -> usize {
        self.parts.values().filter(|part| part.phase == Phase::Prepared).count()
    }

    #[must_use]
    pub fn outcome(&self, id: TransactionId) -> Option<&Outcome> {
        self.outcomes.get(&id)
    }

    pub fn outcomes(&self) -> impl Iterator<Item = (TransactionId, &Outcome)> {
        self.outcomes.iter().map(|(id, outcome)| (*id, outcome))
    }

    pub fn set_outcome(&mut self, id: TransactionId, outcome: Outcome) {
        self.outcomes.insert(id, outcome);
    }

    /// Everybody knows of an outcome.
    pub fn forget(&mut self, id: TransactionId) {
        if matches!(self.outcomes.get(&id), Some(Outcome::Committed(_))) {
            self.outcomes.remove(&id);
        }
    }

    /// A shard knows of an outcome; true with the last one.
    pub fn confirm(&mut self, id: TransactionId, shard: &str) -> bool {
        let Some(Outcome::Committed(others)) = self.outcomes.get_mut(&id) else { return false };
        others.retain(|(other, _)| &**other != shard);
        let is_last = others.is_empty();
        if is_last {
            self.outcomes.remove(&id);
        }
        is_last
    }

    /// Forgets what nobody can ask for any more.
    pub fn forget_old(&mut self, now: Instant) {
        self.outcomes.retain(|_, outcome| match outcome {
            Outcome::GivenUp(since) => now.duration_since(*since) < REMEMBERED,
            Outcome::Committed(_) => true,
        });
    }
}

/// Appends a prepared part as the log has it.
pub fn put_prepared(id: TransactionId, part: &Part, out: &mut Vec<u8>) {
    put_id(id, out);
    let decider = match &part.decider {
        Decider::Other(name) => name.as_bytes(),
        Decider::Here(_) => b"",
    };
    put_bytes(decider, out);
    put_number(part.work.database as u64, out);
    put_number(part.work.count as u64, out);
    put_bytes(&part.work.frames, out);
    put_number(part.slots.len() as u64, out);
    part.slots.iter().for_each(|slot| out.extend_from_slice(&slot.to_le_bytes()));
}

/// Reads what [`put_prepared`] wrote.
pub fn read_prepared(payload: &[u8], now: Instant) -> Option<(TransactionId, Part)> {
    let mut fields = Fields::new(payload);
    let id = read_id(&mut fields)?;
    let decider = String::from_utf8(fields.bytes()?.to_vec()).ok()?;
    let database = usize::try_from(fields.number()?).ok()?;
    let count = usize::try_from(fields.number()?).ok()?;
    let frames = fields.bytes()?.to_vec();
    let wanted = usize::try_from(fields.number()?).ok()?;
    let mut slots = Vec::new();
    while let Some(slot) = fields.fixed::<2>().map(u16::from_le_bytes) {
        slots.push(slot);
    }
    let part = Part {
        decider: Decider::Other(decider.into()),
        work: Work { database, frames, count },
        watch: None,
        values: Values::Own,
        quiet: false,
        phase: Phase::Prepared,
        since: now,
        heard: None,
        connection: 0,
        waits: None,
        slots,
    };
    (part.slots.len() == wanted).then_some((id, part))
}

/// Appends how a transaction has ended: for a shard that was told, and for the one that decided, which also keeps who else has
/// to know.
pub fn put_outcome(id: TransactionId, committed: bool, others: &Others, out: &mut Vec<u8>) {
    put_id(id, out);
    out.push(u8::from(committed));
    put_number(others.len() as u64, out);
    for (other, values) in others {
        put_bytes(other.as_bytes(), out);
        put_bytes(values, out);
    }
}

/// Reads what [`put_outcome`] wrote.
pub fn read_outcome(payload: &[u8]) -> Option<(TransactionId, bool, Others)> {
    let mut fields = Fields::new(payload);
    let id = read_id(&mut fields)?;
    let committed = fields.byte()? == 1;
    let mut others = Vec::new();
    for _ in 0..fields.number()? {
        let name = String::from_utf8(fields.bytes()?.to_vec()).ok()?;
        others.push((name.into(), fields.bytes()?.to_vec()));
    }
    Some((id, committed, others))
}

fn put_id(id: TransactionId, out: &mut Vec<u8>) {
    out.extend_from_slice(&id.proxy.to_le_bytes());
    out.extend_from_slice(&id.number.to_le_bytes());
}

fn read_id(fields: &mut Fields<'_>) -> Option<TransactionId> {
    let proxy = u64::from_le_bytes(fields.fixed::<8>()?);
    Some(TransactionId { proxy, number: u64::from_le_bytes(fields.fixed::<8>()?) })
}

impl Parts {
    /// Takes what the log tells of a part or an outcome.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(&mut self, kind: Kind, payload: &[u8], now: Instant) -> Result<(), String> {
        match kind {
            Kind::Prepared => {
                let (id, part) =
                    read_prepared(payload, now).ok_or("a part of a transaction cannot be read")?;
                self.insert(id, part);
            }
            Kind::Outcome => {
                let (id, committed, others) = read_outcome(payload).ok_or("an outcome cannot be read")?;
                self.remove(id);
                if committed && !others.is_empty() {
                    self.set_outcome(id, Outcome::Committed(others));
                } else {
                    self.forget(id);
                }
            }
            _ => {}
        }
        Ok(())
    }
}
