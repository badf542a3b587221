//! The target's half of a move, without I/O: applies frames to an engine of their own, where nobody sees the slots until
//! they are handed over.
//!
//! Nothing expires there by itself: the source says which keys have gone, until the slots are served here.

use std::collections::BTreeMap;

use slotway_common::cluster_state::{AbortKind, AbortReason};
use slotway_common::error::Error;
use slotway_common::slot::Slot;

use crate::call::Handlers;
use crate::engine::{Engine, LazyFree, Limits, SlotSpace};
use crate::stream::{Digest, Fields, Frame, Kind, Sink, SinkError, StreamError};

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

impl From<TargetError> for AbortReason {
    fn from(error: TargetError) -> Self {
        let kind = match error {
            // What the source has run and this shard does not run would go wrong again.
            TargetError::Effect { .. } => AbortKind::Failed,
            TargetError::Stream(_) | TargetError::Incomplete { .. } | TargetError::Digest => {
                AbortKind::Damaged
            }
        };
        Self::new(kind, error)
    }
}

/// What a frame came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Applied {
    Going,
    /// The batch is complete: these slots can be handed over.
    Complete(Vec<Slot>),
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
    sink: Sink,
    slots: BTreeMap<Slot, Progress>,
}

impl Target {
    /// Nothing has arrived yet. `handlers` run the commands that are repeated.
    #[must_use]
    pub fn new(limits: Limits, handlers: &'static Handlers, lazy_free: LazyFree) -> Self {
        let mut engine = Engine::new(lazy_free);
        engine.limits = limits;
        engine.keep_expired();
        Self { engine, sink: Sink::new(handlers), slots: BTreeMap::new() }
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
    pub fn apply(&mut self, frame: &Frame<'_>, before: Digest) -> Result<Applied, TargetError> {
        let Frame { kind, db, slot, sequence, payload } = *frame;
        let unreadable = |what| StreamError::Content { sequence, what };
        if !matches!(kind, Kind::Begin | Kind::Final) && !self.slots.contains_key(&slot) {
            return Err(unreadable("its slot has not begun").into());
        }
        match kind {
            Kind::Begin => {
                let old = self.engine.detach(slot);
                self.engine.free(old);
                self.slots.insert(slot, Progress::Begun);
            }
            Kind::End => drop(self.slots.insert(slot, Progress::Ended)),
            Kind::Final => return self.complete(payload, before, &unreadable).map(Applied::Complete),
            Kind::Values | Kind::Part | Kind::Effect | Kind::Deleted | Kind::Flushed | Kind::Swapped => {
                let applied = self.sink.apply((kind, db, slot), payload, &mut self.engine);
                applied.map_err(|error| match error {
                    SinkError::Unreadable(what) => TargetError::Stream(unreadable(what)),
                    SinkError::Effect { command, error } => TargetError::Effect { sequence, command, error },
                })?;
            }
            _ => return Err(unreadable("it has no place in a move").into()),
        }
        Ok(Applied::Going)
    }

    /// Compares what has arrived with what was sent.
    fn complete(
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
