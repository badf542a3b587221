//! Writing a new base while the slots are served, with a copy of them ([`crate::changes::SlotCopy`]).
//!
//! The log goes on in a new increment first, so that the base and what comes from there on is all that is needed. Slots
//! that are empty then are not copied: the increments have all that they get. The others are copied one by one, and the
//! end of each tells up to which frame of the log the copy has it. A thread writes the file.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use slotway_common::fault;
use slotway_common::platform::{clock, files, threads};
use slotway_common::slot::{SLOTS, Slot};

use super::Log;
use super::file::{self, Head};
use super::manifest::Named;
use super::shared::{Installed, Job, Shared};
use crate::changes::{Changes, CopyId, Finished, frame};
use crate::engine::{Engine, HandedOver};
use crate::parts::{Outcome, Parts, Phase, put_outcome, put_prepared};
use crate::stream::{Digest, Kind};

/// Bytes that are copied into memory at once, and that may wait for the disk.
const CHUNK: usize = 256 * 1024;
const WAITING: usize = 4 * 1024 * 1024;
/// Bytes after which the file is synced while it is written: the disk has to serve the increments as well.
const SYNC_EVERY: u64 = 4 * 1024 * 1024;

/// A base in the making.
pub struct Copying {
    pub(super) copy: CopyId,
    to: Sender<HandedOver>,
    waiting: Arc<AtomicUsize>,
    failed: Arc<AtomicBool>,
    pub(super) keys: u64,
}

/// How far a base has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// There is more to copy.
    Going,
    /// The disk is behind.
    Waiting,
    /// Everything is copied, or the file cannot be written: the writer has the rest.
    Ended,
}

impl Log {
    /// True while slots are in the middle of arriving: their frames are in the increments that a base would replace.
    #[must_use]
    pub fn is_staging(&self) -> bool {
        self.staging > 0
    }

    /// True while a base is being made, or is about to be.
    #[must_use]
    pub fn is_saving(&self) -> bool {
        self.status.wanted || self.copying.is_some() || self.status.is_installing(self.shared())
    }

    /// True when a base is about to be begun: nothing that arrives may begin then.
    #[must_use]
    pub fn is_base_wanted(&self) -> bool {
        self.status.wanted
    }

    /// Asks for a new base.
    pub fn want_base(&mut self, automatic: bool) {
        self.status.wanted = true;
        self.status.automatic = automatic;
        self.wanted.notify_one();
    }

    /// Has the log go on in a new increment, so that a base can be begun; [`Log::rotation`] tells when it does.
    pub fn rotate(&mut self, engine: &Engine, changes: &mut Changes) {
        let Some(shared) = self.shared().cloned() else { return };
        self.status.begun(&shared, engine.changes());
        self.hand_over(changes);
        shared.push(Job::Rotate);
    }

    /// Whether the log goes on in a new increment: none while that is not known yet, false when it cannot.
    #[must_use]
    pub fn rotation(&self) -> Option<bool> {
        self.status.rotation(self.shared())
    }

    /// No base is begun, although one was wanted.
    pub fn forget_base(&mut self) {
        self.status.wanted = false;
    }

    /// Begins a new base, after a rotation.
    ///
    /// # Errors
    /// When no thread can be started. The log goes on with the old one.
    pub fn begin_base(
        &mut self,
        engine: &mut Engine,
        changes: &mut Changes,
        parts: &Parts,
        node: &str,
        cluster: &str,
    ) -> io::Result<()> {
        self.status.wanted = false;
        let Some(shared) = self.shared().cloned() else { return Ok(()) };
        let Some((directory, _)) = self.place.clone() else { return Ok(()) };
        let slots: Vec<Slot> = (0..SLOTS).filter(|slot| engine.slot(*slot).keys() > 0).collect();
        let (to, pieces) = channel();
        let (waiting, failed): (Arc<AtomicUsize>, Arc<AtomicBool>) = Default::default();
        let writing = Writing {
            directory,
            node: node.to_owned(),
            cluster: cluster.to_owned(),
            shared: shared.clone(),
            waiting: waiting.clone(),
            failed: failed.clone(),
        };
        if let Err(error) = threads::spawn_in_background("log-base", move || writing.run(&pieces)) {
            shared.push(Job::GiveUp(error.to_string()));
            return Err(error);
        }
        // What stands in the increments before this one, and is not over, is said again: those will be gone.
        for (id, part) in parts.iter().filter(|(_, part)| part.phase == Phase::Prepared) {
            changes.prepared(part.slots.first().copied().unwrap_or(0), |out| put_prepared(id, part, out));
        }
        for (id, outcome) in parts.outcomes() {
            if let Outcome::Committed(others) = outcome {
                changes.outcome(0, |out| put_outcome(id, true, others, out));
            }
        }
        let copy = changes.begin_copy(engine, slots, Finished::LeftOut, (0, Digest::default()));
        let keys = (0..crate::engine::DATABASES).map(|db| engine.totals(db).keys()).sum();
        self.copying = Some(Copying { copy, to, waiting, failed, keys });
        Ok(())
    }

    /// Copies for about `slice`.
    pub fn copy_base(&mut self, engine: &mut Engine, changes: &mut Changes, slice: Duration) -> Progress {
        let Some(copying) = &mut self.copying else { return Progress::Ended };
        if copying.failed.load(Ordering::Acquire) {
            self.stop_copying(engine, changes, "");
            return Progress::Ended;
        }
        let (started, id) = (clock::monotonic(), copying.copy);
        let mut out = Vec::new();
        while started.elapsed() < slice && copying.waiting.load(Ordering::Relaxed) < WAITING {
            if changes.advance(engine, id) {
                fault::point("log-copy");
            }
            let Some(copy) = changes.copy_mut(id) else { break };
            if copy.queued() >= CHUNK || copy.is_copied() {
                out.reserve(CHUNK);
                let more = copy.send(CHUNK, &mut out);
                let is_whole = !more && copy.is_copied();
                copying.waiting.fetch_add(out.len(), Ordering::Relaxed);
                // It fails when the thread has ended, which `failed` tells.
                let piece = HandedOver::new(std::mem::take(&mut out), engine.lazy_free().bytes());
                let _ = copying.to.send(piece);
                if is_whole {
                    // Before the thread learns that it has everything: what the base has must not be newer than what the
                    // writer has been given.
                    self.hand_over(changes);
                    self.copying = None;
                    changes.end_copy(engine, id);
                    return Progress::Ended;
                }
            }
        }
        if copying.waiting.load(Ordering::Relaxed) < WAITING { Progress::Going } else { Progress::Waiting }
    }

    /// Gives the base up that is in the making.
    pub(super) fn stop_copying(&mut self, engine: &mut Engine, changes: &mut Changes, why: &str) {
        if let Some(copying) = self.copying.take() {
            changes.end_copy(engine, copying.copy);
            if !why.is_empty() {
                copying.failed.store(true, Ordering::Release);
                tracing::warn!("no new base of the log is made: {why}");
            }
        }
    }
}

/// The thread's side.
struct Writing {
    directory: PathBuf,
    node: String,
    cluster: String,
    shared: Arc<Shared>,
    waiting: Arc<AtomicUsize>,
    failed: Arc<AtomicBool>,
}

impl Writing {
    fn run(self, pieces: &Receiver<HandedOver>) {
        let saved_at = clock::now_ms() / 1000;
        // The thread that names increments may be busy: a base has its number from the time.
        let name = format!("base.{:013}", clock::now_ms());
        let path = self.directory.join(&name);
        match self.write(&name, pieces) {
            Ok(bytes) => {
                let named = Named { file: name, bytes: Some(bytes) };
                self.shared.push(Job::Install(Installed { named, saved_at }));
            }
            Err(error) => {
                self.failed.store(true, Ordering::Release);
                // What is left of it is dropped at the next start otherwise.
                let _ = std::fs::remove_file(&path);
                self.shared.push(Job::GiveUp(format!("{}: {error}", path.display())));
            }
        }
    }

    fn write(&self, name: &str, pieces: &Receiver<HandedOver>) -> io::Result<u64> {
        fault::io("log-base-error")?;
        let head = Head::new(&self.node, &self.cluster, name);
        let (mut file, mut offset): (File, u64) = file::create(&self.directory, &head, 0)?;
        let mut last = 0;
        let mut synced = offset;
        for piece in pieces {
            fault::io("log-base-error")?;
            let mut rest: &[u8] = &piece;
            while let Ok(frame) = frame::parse(rest) {
                last = frame.sequence;
                rest = rest.get(frame.length()..).unwrap_or_default();
            }
            file.write_all(&piece)?;
            offset += piece.len() as u64;
            self.waiting.fetch_sub(piece.len(), Ordering::Relaxed);
            if offset - synced > SYNC_EVERY {
                files::sync_data(&file)?;
                synced = offset;
            }
            if self.failed.load(Ordering::Acquire) {
                return Err(io::Error::other("it was given up"));
            }
        }
        if self.failed.load(Ordering::Acquire) {
            return Err(io::Error::other("it was given up"));
        }
        let mut end = Vec::new();
        frame::put(Kind::Complete, 0, 0, last + 1, &[], &mut end);
        frame::seal(&mut end);
        file.write_all(&end)?;
        fault::point("log-base-fsync");
        files::sync_all(&file)?;
        fault::point("log-base-fsynced");
        file::sync_directory(&self.directory)?;
        Ok(offset + end.len() as u64)
    }
}
