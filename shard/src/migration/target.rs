//! The target's half of a move, without I/O: applies frames to an engine of their own, where nobody sees the slots until
//! they are handed over.
//!
//! Nothing expires there by itself: the source says which keys have gone, until the slots are served here.

use std::collections::BTreeMap;

use slotway_common::command;
use slotway_common::error::Error;
use slotway_common::resp::{Args, Reply};
use slotway_common::slot::Slot;

use crate::commands::Call;
use crate::engine::{DATABASES, Engine, Key, LazyFree, Limits, SlotSpace};
use crate::node::Node;
use crate::rdb;
use crate::session::Session;
use crate::stream::{Digest, Entries, Entry, Fields, Frame, Kind, StreamError};

/// Why a batch cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    #[error("{0}")]
    Stream(#[from] StreamError),
    /// A command that the source has run does not run here.
    #[error("frame {sequence} of the slot stream: {command} cannot be repeated: {error}")]
    Effect { sequence: u64, command: String, error: Error },
    /// What arrived is not what the source says that it has sent.
    #[error("slot {slot} did not arrive as it was sent: {what}")]
    Incomplete { slot: Slot, what: String },
    #[error("the digests of the slot stream differ")]
    Digest,
}

/// What a frame came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Applied {
    Going,
    /// The batch is complete: these slots can be handed over.
    Prepared(Vec<Slot>),
}

impl Drop for Target {
    /// What did not get through may be much: it is not freed here.
    fn drop(&mut self) {
        self.free_all();
    }
}

/// How far a slot has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    Begun,
    Ended,
}

/// Slots that are arriving.
pub struct Target {
    engine: Engine,
    session: Session,
    slots: BTreeMap<Slot, Progress>,
    spans: Vec<(u32, u32)>,
    reply: Vec<u8>,
}

impl Target {
    /// Nothing has arrived yet. `session` stands for the source in the commands that are repeated.
    #[must_use]
    pub fn new(limits: Limits, session: Session, lazy_free: LazyFree) -> Self {
        let mut engine = Engine::new(lazy_free);
        engine.limits = limits;
        engine.keep_expired();
        Self { engine, session, slots: BTreeMap::new(), spans: Vec::new(), reply: Vec::new() }
    }

    fn free_all(&mut self) {
        for slot in std::mem::take(&mut self.slots).into_keys() {
            let space = self.engine.detach(slot);
            self.engine.free(space);
        }
    }

    /// Number of slots that have begun to arrive and were not handed over yet.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.slots.len()
    }

    /// Applies one frame; `before` is the digest of all frames before it.
    ///
    /// # Errors
    /// See [`TargetError`]; the stream is of no use after one.
    pub fn apply(
        &mut self,
        frame: &Frame<'_>,
        before: Digest,
        node: &mut Node,
    ) -> Result<Applied, TargetError> {
        let Frame { kind, db, slot, sequence, payload } = *frame;
        let unreadable = |what| StreamError::Content { sequence, what };
        if !matches!(kind, Kind::Begin | Kind::Prepare) && !self.slots.contains_key(&slot) {
            return Err(unreadable("its slot has not begun").into());
        }
        match kind {
            Kind::Begin => {
                let old = self.engine.detach(slot);
                self.engine.free(old);
                self.slots.insert(slot, Progress::Begun);
            }
            Kind::Values => {
                for entry in Entries::new(payload) {
                    self.put(db, slot, &entry.map_err(unreadable)?).map_err(unreadable)?;
                }
            }
            Kind::Part => {
                let (number, entry) = Entries::part(payload).ok_or(unreadable("a part ends too early"))?;
                if number == 0 {
                    self.put(db, slot, &entry).map_err(unreadable)?;
                } else {
                    self.append(db, slot, &entry).map_err(unreadable)?;
                }
            }
            Kind::Effect => self.repeat(frame, node)?,
            Kind::Deleted => {
                let mut fields = Fields::new(payload);
                while !fields.is_empty() {
                    let key = fields.bytes().ok_or(unreadable("a key ends too early"))?;
                    self.engine.remove_raw(db, &self.key(slot, key).map_err(unreadable)?);
                }
            }
            Kind::Flushed => drop(self.engine.flush(Some(db), |flushed| flushed == slot)),
            Kind::Swapped => {
                let [a, b] = *payload else { return Err(unreadable("not two databases").into()) };
                let (a, b) = (usize::from(a), usize::from(b));
                if a >= DATABASES || b >= DATABASES {
                    return Err(unreadable("no such database").into());
                }
                self.engine.swap(a, b, |swapped| swapped == slot);
            }
            Kind::End => drop(self.slots.insert(slot, Progress::Ended)),
            Kind::Prepare => return self.prepare(payload, before, &unreadable).map(Applied::Prepared),
            Kind::Applied | Kind::Ready | Kind::Failed => {
                return Err(unreadable("it goes the other way").into());
            }
        }
        Ok(Applied::Going)
    }

    /// A key that must belong to the slot.
    fn key<'k>(&self, slot: Slot, bytes: &'k [u8]) -> Result<Key<'k>, &'static str> {
        let key = Key::new(bytes);
        if key.slot == slot { Ok(key) } else { Err("a key of another slot") }
    }

    fn put(&mut self, db: usize, slot: Slot, entry: &Entry<'_>) -> Result<(), &'static str> {
        let key = self.key(slot, entry.head.key)?;
        let (value, used) =
            rdb::decode(entry.value, &self.engine.limits).map_err(|_| "a value cannot be decoded")?;
        if used != entry.value.len() {
            return Err("a value is followed by something");
        }
        let mut record = value.into_record(key.bytes, entry.head.expire_at);
        entry.head.finish(&mut record);
        self.engine.put_raw(db, &key, record);
        Ok(())
    }

    fn append(&mut self, db: usize, slot: Slot, entry: &Entry<'_>) -> Result<(), &'static str> {
        let key = self.key(slot, entry.head.key)?;
        let limits = self.engine.limits;
        // Only whole sorted sets may be packed: that form loses the sign of a zero.
        let apart = Limits { zset_max_listpack_entries: 0, ..limits };
        let (part, _) = rdb::decode(entry.value, &apart).map_err(|_| "a value cannot be decoded")?;
        self.engine
            .change_raw(db, &key, |record| {
                let object = record.value_mut().ok_or("a part of a short value")?;
                rdb::append_part(object, part, &limits).map_err(|_| "a part does not fit the parts before it")
            })
            .ok_or("a part of no key")?
    }

    /// Runs a command again, at the time at which the source ran it.
    fn repeat(&mut self, frame: &Frame<'_>, node: &mut Node) -> Result<(), TargetError> {
        let sequence = frame.sequence;
        let unreadable = |what| StreamError::Content { sequence, what };
        let mut fields = Fields::new(frame.payload);
        let now =
            fields.fixed::<8>().map(i64::from_le_bytes).ok_or(unreadable("an effect without a time"))?;
        let count = fields.number().ok_or(unreadable("an effect without words"))?;
        self.spans.clear();
        for _ in 0..count {
            let word = fields.bytes().ok_or(unreadable("an effect ends too early"))?;
            let start = word.as_ptr() as usize - frame.payload.as_ptr() as usize;
            self.spans.push((start as u32, word.len() as u32));
        }
        let args = Args::new(frame.payload, &self.spans);
        let failed = |error: Error| TargetError::Effect {
            sequence,
            command: args.get(0).map(|name| String::from_utf8_lossy(name).into_owned()).unwrap_or_default(),
            error,
        };
        let command = command::resolve(&args, false).map_err(failed)?;
        let handler = node.handlers.get(command).filter(|_| command.is_write());
        let handler = handler.ok_or(unreadable("an effect that is no write"))?;
        self.engine.set_now(now);
        self.session.db = frame.db;
        self.reply.clear();
        let reply = Reply::new(&mut self.reply, self.session.protocol);
        let mut call = Call {
            engine: &mut self.engine,
            node,
            session: &mut self.session,
            args,
            reply,
            command,
            first_key: None,
        };
        let result = handler(&mut call);
        self.engine.settle();
        result.map_err(failed)
    }

    /// Compares what has arrived with what was sent.
    fn prepare(
        &mut self,
        payload: &[u8],
        before: Digest,
        unreadable: &impl Fn(&'static str) -> StreamError,
    ) -> Result<Vec<Slot>, TargetError> {
        let short = || unreadable("it ends too early");
        let mut fields = Fields::new(payload);
        if fields.fixed::<8>().map(u64::from_le_bytes).ok_or_else(short)? != before.0 {
            return Err(TargetError::Digest);
        }
        let count = fields.number().ok_or_else(short)?;
        let mut slots = Vec::new();
        for _ in 0..count {
            let slot = fields.fixed::<2>().map(u16::from_le_bytes).ok_or_else(short)?;
            if self.slots.get(&slot) != Some(&Progress::Ended) {
                return Err(TargetError::Incomplete { slot, what: "its end is missing".to_owned() });
            }
            for (db, found) in self.engine.keys_by_database(slot).into_iter().enumerate() {
                let sent = fields.number().ok_or_else(short)?;
                if sent != found {
                    let what = format!("{found} keys of {sent} in database {db}");
                    return Err(TargetError::Incomplete { slot, what });
                }
            }
            slots.push(slot);
        }
        if !fields.is_empty() {
            return Err(unreadable("it is too long").into());
        }
        Ok(slots)
    }

    /// Takes a slot out, to be served.
    #[must_use]
    pub fn hand_over(&mut self, slot: Slot) -> SlotSpace {
        self.slots.remove(&slot);
        self.engine.detach(slot)
    }
}
