//! Applies the frames of a slot stream that carry values and changes to an engine, wherever they come from.

use slotway_common::command;
use slotway_common::error::Error;
use slotway_common::resp::{Args, Protocol, Reply};
use slotway_common::slot::Slot;

use super::{Entries, Entry, Fields, Kind};
use crate::call::{self, Call, Handlers};
use crate::engine::{DATABASES, DbIndex, Engine, Key, Limits};
use crate::rdb;

/// Why a frame cannot be applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SinkError {
    /// What is wrong with it.
    Unreadable(&'static str),
    /// A command that has run elsewhere does not run here.
    Effect { command: String, error: Error },
}

impl From<&'static str> for SinkError {
    fn from(what: &'static str) -> Self {
        Self::Unreadable(what)
    }
}

impl std::fmt::Display for SinkError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unreadable(what) => f.write_str(what),
            Self::Effect { command, error } => write!(f, "{command} cannot be repeated: {error}"),
        }
    }
}

/// What applying needs beside the engine.
pub struct Sink {
    handlers: &'static Handlers,
    spans: Vec<(u32, u32)>,
    reply: Vec<u8>,
}

impl Sink {
    /// `handlers` run the commands that are repeated.
    #[must_use]
    pub fn new(handlers: &'static Handlers) -> Self {
        Self { handlers, spans: Vec::new(), reply: Vec::new() }
    }

    /// Applies a frame of one of the kinds from `Values` to `Swapped`.
    ///
    /// # Errors
    /// See [`SinkError`].
    pub fn apply(
        &mut self,
        (kind, db, slot): (Kind, DbIndex, Slot),
        payload: &[u8],
        engine: &mut Engine,
    ) -> Result<(), SinkError> {
        match kind {
            Kind::Values => {
                for entry in Entries::new(payload) {
                    put(engine, db, slot, &entry?)?;
                }
            }
            Kind::Part => {
                let (number, entry) = Entries::part(payload).ok_or("a part ends too early")?;
                if number == 0 {
                    put(engine, db, slot, &entry)?;
                } else {
                    append(engine, db, slot, &entry)?;
                }
            }
            Kind::Effect => self.repeat(db, payload, engine)?,
            Kind::Deleted => {
                let mut fields = Fields::new(payload);
                while !fields.is_empty() {
                    let bytes = fields.bytes().ok_or("a key ends too early")?;
                    engine.remove_raw(db, &key(slot, bytes)?);
                }
            }
            Kind::Flushed => drop(engine.flush(Some(db), |flushed| flushed == slot)),
            Kind::Swapped => {
                let [a, b] = *payload else { return Err("not two databases".into()) };
                let (a, b) = (usize::from(a), usize::from(b));
                if a >= DATABASES || b >= DATABASES {
                    return Err("no such database".into());
                }
                engine.swap(a, b, |swapped| swapped == slot);
            }
            _ => return Err("it changes nothing".into()),
        }
        Ok(())
    }

    /// Runs a command again, at the time at which it has run.
    fn repeat(&mut self, db: DbIndex, payload: &[u8], engine: &mut Engine) -> Result<(), SinkError> {
        let mut fields = Fields::new(payload);
        let now = fields.fixed::<8>().map(i64::from_le_bytes).ok_or("an effect without a time")?;
        let count = fields.number().ok_or("an effect without words")?;
        self.spans.clear();
        for _ in 0..count {
            let word = fields.bytes().ok_or("an effect ends too early")?;
            let start = word.as_ptr() as usize - payload.as_ptr() as usize;
            self.spans.push((start as u32, word.len() as u32));
        }
        let args = Args::new(payload, &self.spans);
        let failed = |error: Error| SinkError::Effect {
            command: args.get(0).map(|name| String::from_utf8_lossy(name).into_owned()).unwrap_or_default(),
            error,
        };
        let command = command::resolve(&args, false).map_err(failed)?;
        let handler = call::handler(self.handlers, command).filter(|_| command.is_write());
        let handler = handler.ok_or("an effect that is no write")?;
        engine.set_now(now);
        self.reply.clear();
        let reply = Reply::new(&mut self.reply, Protocol::Resp2);
        let result = handler(&mut Call::new(engine, db, command, args, reply));
        engine.settle();
        // Those who listen have been told when it ran.
        engine.take_events();
        result.map_err(failed)
    }
}

/// A key that must belong to the slot.
fn key(slot: Slot, bytes: &[u8]) -> Result<Key<'_>, &'static str> {
    let key = Key::new(bytes);
    if key.slot == slot { Ok(key) } else { Err("a key of another slot") }
}

fn put(engine: &mut Engine, db: DbIndex, slot: Slot, entry: &Entry<'_>) -> Result<(), &'static str> {
    let key = key(slot, entry.head.key)?;
    let (value, used) = rdb::decode(entry.value, &engine.limits).map_err(|_| "a value cannot be decoded")?;
    if used != entry.value.len() {
        return Err("a value is followed by something");
    }
    let mut record = value.into_record(key.bytes, entry.head.expire_at);
    entry.head.finish(&mut record);
    engine.put_raw(db, &key, record);
    Ok(())
}

fn append(engine: &mut Engine, db: DbIndex, slot: Slot, entry: &Entry<'_>) -> Result<(), &'static str> {
    let key = key(slot, entry.head.key)?;
    let limits = engine.limits;
    // Only whole sorted sets may be packed: that form loses the sign of a zero.
    let apart = Limits { zset_max_listpack_entries: 0, ..limits };
    let (part, _) = rdb::decode(entry.value, &apart).map_err(|_| "a value cannot be decoded")?;
    engine
        .change_raw(db, &key, |record| {
            let object = record.value_mut().ok_or("a part of a short value")?;
            rdb::append_part(object, part, &limits).map_err(|_| "a part does not fit the parts before it")
        })
        .ok_or("a part of no key")?
}
