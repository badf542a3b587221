//! The log: what makes the data outlive the process.
//!
//! A directory per node holds a base, which has all keys as they were, slot by slot, and increments, which have every
//! change since. The crate's README has the format byte by byte, and why recovery is right.
//!
//! On the data thread changes become frames ([`changes`]) that gather in a buffer. A thread writes and syncs them
//! ([`writer`]); replies are held until it has. [`load`] reads a directory back, [`base`] writes a new base, [`check`]
//! examines a directory without changing it.

mod base;
mod changes;
pub mod check;
mod directory;
mod file;
mod frame;
mod group;
mod load;
mod manifest;
mod status;
mod syncer;
#[cfg(test)]
mod tests;
mod writer;

pub use base::{Copying, Progress};
pub use changes::Ran;
pub use directory::{Lock, Opened, open};
pub use load::{Loader, Loading};
pub use status::Status;
pub use writer::Fsync;

use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use slotway_common::fault;
use slotway_common::slot::Slot;
use tokio::sync::Notify;

use crate::engine::{Engine, Notes, Watcher};
use crate::node::{Node, Shard};
use crate::stream::{Kind, put_bytes};
use changes::Frames;
use manifest::{Manifest, VERSION};
use writer::{Job, Place, Shared, Writer};

/// Why a directory cannot be used, in one line.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{}: {error}", path.display())]
    Io { path: PathBuf, error: io::Error },
    #[error("{} is damaged at offset {offset}: {what}; `slotway check` tells more", path.display())]
    Damaged { path: PathBuf, offset: u64, what: String },
    #[error("{} is missing; `slotway check` tells more", path.display())]
    Missing { path: PathBuf },
    #[error("{} has the format {version}, and this program knows {VERSION} only", path.display())]
    Version { path: PathBuf, version: u32 },
    #[error("{} belongs to {theirs}, not to {ours}", path.display())]
    Other { path: PathBuf, ours: String, theirs: String },
    #[error("{} is in use by another process", path.display())]
    InUse { path: PathBuf },
    #[error("{} has files of a log and no manifest, which says what they are; `slotway check` tells more", path.display())]
    NoManifest { path: PathBuf },
    #[error(
        "{} is gone or empty, and {} says that there is a log: put it back, or remove that file to start with nothing",
        path.display(),
        marker.display()
    )]
    Lost { path: PathBuf, marker: PathBuf },
}

/// Bytes that may wait to be written before no more commands are run.
const BACKLOG: usize = 64 * 1024 * 1024;
/// Bytes that are handed over at once, before the turn ends.
const CHUNK: usize = 1024 * 1024;

/// The data thread's side of the log.
#[derive(Default)]
pub struct Log {
    /// Where a log can be, once it is known what was there.
    place: Option<(PathBuf, String)>,
    writer: Option<Writer>,
    frames: Frames,
    fsync: Fsync,
    /// Something waits to be handed to the writer.
    pub handover: Rc<Notify>,
    /// A new base is wanted.
    pub wanted: Rc<Notify>,
    /// It was switched on or off, or could not be.
    pub changed: Rc<Notify>,
    copying: Option<Copying>,
    status: Status,
    /// Streams that bring slots, in the middle of a batch.
    staging: usize,
    /// How often it was switched on or off.
    switched: u64,
    batch: Option<OpenBatch>,
}

/// A batch in progress.
#[derive(Clone, Copy, Debug)]
struct OpenBatch {
    /// Where its frames begin.
    from: usize,
    /// The last frame before it.
    before: u64,
}

impl Log {
    /// True when what is done is logged.
    #[must_use]
    #[inline]
    pub fn is_on(&self) -> bool {
        self.writer.is_some()
    }

    /// From now on the log may be switched on, in the node's directory.
    pub fn set_place(&mut self, directory: &Path, node: &str) {
        self.place = Some((directory.to_owned(), node.to_owned()));
    }

    /// Where the log can be: its directory and the node.
    #[must_use]
    pub fn place(&self) -> Option<(&Path, &str)> {
        self.place.as_ref().map(|(directory, node)| (directory.as_path(), node.as_str()))
    }

    fn shared(&self) -> Option<&Arc<Shared>> {
        self.writer.as_ref().map(|writer| &writer.shared)
    }

    /// Tells of every change of what [`Log::released`] and [`Log::failure`] say; none without a log.
    pub async fn news(shared: Watched) {
        shared.0.news.notified().await;
    }

    /// What [`Log::news`] takes.
    #[must_use]
    pub fn watched(&self) -> Option<Watched> {
        self.shared().cloned().map(Watched)
    }

    /// The number of the last frame, written or not.
    #[must_use]
    #[inline]
    pub fn sequence(&self) -> u64 {
        self.frames.sequence
    }

    /// Up to this frame all is as safe as replies need it. Once it is known that the log has failed, replies tell of nothing
    /// new.
    #[must_use]
    #[inline]
    pub fn released(&self) -> u64 {
        if self.status.failure.is_some() {
            return u64::MAX;
        }
        let Some(shared) = self.shared() else { return u64::MAX };
        let safe = if self.fsync == Fsync::Always { &shared.synced } else { &shared.written };
        safe.load(Ordering::Acquire)
    }

    /// Up to this frame all is on disk.
    #[must_use]
    pub fn synced(&self) -> u64 {
        self.shared().map_or(u64::MAX, |shared| shared.synced.load(Ordering::Acquire))
    }

    /// True when so much waits to be written that nothing more should be run.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        self.shared().is_some_and(|shared| shared.queued.load(Ordering::Relaxed) > BACKLOG)
    }

    /// Why nothing is logged any more although it should be.
    #[must_use]
    pub fn failure(&self) -> Option<&str> {
        self.status.failure.as_deref().or_else(|| self.shared()?.failure())
    }

    /// Logs a command that gives the same again.
    #[inline]
    fn effect(&mut self, ran: &Ran<'_>, slot: Slot, now: i64) {
        if self.frames.bytes.is_empty() {
            self.handover.notify_one();
        }
        self.frames.effect(ran.db, slot, now, ran.args.iter());
        if self.frames.bytes.len() > CHUNK && self.batch.is_none() {
            self.hand_over();
        }
    }

    /// Begins a batch: until [`Log::end_batch`], within the same turn but for scripts that are slow, everything that is logged will be applied whole or not
    /// at all. Expiry and eviction before it are to be noted before.
    /// Gives false, and begins none, while there is one already.
    pub fn begin_batch(&mut self) -> bool {
        if self.batch.is_some() {
            return false;
        }
        self.batch = Some(OpenBatch { from: self.frames.bytes.len(), before: self.frames.sequence });
        true
    }

    /// The last frame that a reply can tell of: nobody has seen anything of a batch in progress.
    #[must_use]
    #[inline]
    pub fn seen(&self) -> u64 {
        self.batch.map_or(self.frames.sequence, |batch| batch.before)
    }

    /// Hands over what had gathered before the batch in progress, because that will take long.
    pub fn hand_over_before_batch(&mut self) {
        let (Some(batch), Some(writer)) = (&mut self.batch, &self.writer) else { return };
        if batch.from > 0 {
            let own = self.frames.bytes.split_off(batch.from);
            let before = std::mem::replace(&mut self.frames.bytes, own);
            writer.shared.push_frames(before, batch.before);
            batch.from = 0;
        }
    }

    pub fn end_batch(&mut self) {
        if let Some(OpenBatch { from, .. }) = self.batch.take() {
            frame::join(self.frames.bytes.get_mut(from..).unwrap_or_default());
        }
        if self.frames.bytes.len() > CHUNK {
            self.hand_over();
        } else if !self.frames.bytes.is_empty() {
            self.handover.notify_one();
        }
    }

    fn changes(&mut self, engine: &Engine, notes: &Notes, ran: Option<&Ran<'_>>) {
        if self.is_on() {
            self.frames.changes(engine, notes, ran);
            self.handover.notify_one();
        }
        if let Some(copying) = &mut self.copying {
            copying.source.record(engine, notes, ran);
        }
    }

    fn put(&mut self, kind: Kind, slot: Slot, payload: &[u8]) {
        if self.is_on() {
            self.frames.put(kind, 0, slot, payload);
            self.handover.notify_one();
        }
    }

    /// Hands what has gathered to the writer, unless it is part of a batch.
    pub fn hand_over(&mut self) {
        if self.batch.is_some() {
            return;
        }
        if let Some(writer) = &self.writer
            && !self.frames.bytes.is_empty()
        {
            let bytes = std::mem::take(&mut self.frames.bytes);
            self.frames.bytes = writer.shared.push_frames(bytes, self.frames.sequence);
        }
    }

    /// Has all that was done so far synced, whatever is set; gives its last number.
    pub fn sync(&mut self) -> u64 {
        self.hand_over();
        if let Some(shared) = self.shared() {
            shared.push(Job::Sync);
        }
        self.frames.sequence
    }

    /// Logs a frame that brings slots here.
    pub fn staged(&mut self, id: &str, frame: &crate::stream::Frame<'_>) {
        if !self.is_on() {
            return;
        }
        let mut payload = Vec::with_capacity(frame.payload.len() + id.len() + 4);
        put_bytes(id.as_bytes(), &mut payload);
        payload.push(frame.kind as u8);
        payload.extend_from_slice(frame.payload);
        self.frames.put(Kind::Staged, frame.db, frame.slot, &payload);
        self.handover.notify_one();
    }

    /// Logs that slots are here whole.
    pub fn arrived(&mut self, id: &str, slots: &[Slot]) {
        let mut payload = Vec::new();
        put_bytes(id.as_bytes(), &mut payload);
        slots.iter().for_each(|slot| payload.extend_from_slice(&slot.to_le_bytes()));
        self.put(Kind::Arrived, 0, &payload);
    }

    /// Logs that a slot that had arrived is served here, or that one is served elsewhere, by the move's id.
    pub fn handed(&mut self, engine: &mut Engine, slot: Slot, id: &str, here: bool) {
        let mut payload = Vec::new();
        put_bytes(id.as_bytes(), &mut payload);
        self.put(if here { Kind::Attached } else { Kind::Detached }, slot, &payload);
        if let Some(copying) = &mut self.copying
            && copying.source.slot() == Some(slot)
        {
            copying.source.begin_again(slot);
            engine.watch(slot, Watcher::Copy, true);
        }
    }

    /// Counts streams that are in the middle of a batch: until it is complete no new base begins.
    pub fn count_staging(&mut self, begins: bool) {
        self.staging = if begins { self.staging + 1 } else { self.staging.saturating_sub(1) };
    }

    /// Begins a log where there is none. Without data in `engine` it is whole at once, else once it has a base.
    ///
    /// # Errors
    /// One line.
    pub fn switch_on(
        &mut self,
        engine: &mut Engine,
        cluster: &str,
        hash_seed: u64,
        fsync: Fsync,
    ) -> Result<(), String> {
        let Some((directory, node)) = self.place.clone() else { return Ok(()) };
        let is_empty = engine.is_empty();
        let manifest = Manifest {
            version: VERSION,
            node,
            cluster: cluster.to_owned(),
            hash_seed,
            complete: is_empty,
            ..Manifest::default()
        };
        let manifest = directory::prepare(&directory, manifest).map_err(|error| error.to_string())?;
        let sequence = self.frames.sequence;
        let place = Place { directory: directory.clone(), manifest, sequence };
        self.go_on(engine, place, fsync).map_err(|error| format!("{}: {error}", directory.display()))?;
        if !is_empty {
            self.want_base(true);
        }
        Ok(())
    }

    /// Goes on with the log that was read.
    ///
    /// # Errors
    /// Of the file system.
    pub fn resume(&mut self, engine: &mut Engine, opened: Opened, sequence: u64) -> io::Result<()> {
        let Opened { directory, manifest, .. } = opened;
        self.go_on(engine, Place { directory, manifest, sequence }, self.fsync)
    }

    /// Differs after the log was switched on or off.
    #[must_use]
    pub fn switched(&self) -> u64 {
        self.switched
    }

    fn go_on(&mut self, engine: &mut Engine, place: Place, fsync: Fsync) -> io::Result<()> {
        self.frames.sequence = place.sequence;
        self.fsync = fsync;
        self.status.base_began_with = 0;
        self.writer = Some(Writer::start(place, fsync, engine.lazy_free().bytes())?);
        self.switched += 1;
        self.changed.notify_one();
        engine.log_changes(true);
        Ok(())
    }

    /// Ends the log: what it has is kept, and is not what the node holds any more.
    pub fn switch_off(&mut self, engine: &mut Engine) {
        self.stop_copying(engine, "the log is switched off");
        engine.log_changes(false);
        self.hand_over();
        if let Some(writer) = self.writer.take() {
            writer.close(true);
            self.switched += 1;
            self.changed.notify_one();
        }
    }

    /// Writes and syncs what is left, at the end of the process.
    pub fn close(&mut self) {
        self.hand_over();
        if let Some(writer) = self.writer.take() {
            writer.close(false);
        }
    }

    pub fn set_fsync(&mut self, fsync: Fsync) {
        if self.fsync != fsync {
            self.fsync = fsync;
            if let Some(shared) = self.shared() {
                shared.push(Job::Policy(fsync));
            }
        }
    }

    #[must_use]
    pub fn fsync(&self) -> Fsync {
        self.fsync
    }

    /// Nothing is logged any more although it should be.
    pub fn fail(&mut self, reason: String) {
        if self.status.failure.is_none() {
            self.status.failure = Some(reason);
            self.changed.notify_one();
        }
    }
}

/// What a task waits on that cannot keep the log itself.
pub struct Watched(Arc<Shared>);

/// Logs what a command, expiry or eviction has changed, and passes it to whoever copies slots. True when the writer
/// should slow down, because the slots that it writes to are moving.
#[inline]
pub fn note_changes(engine: &mut Engine, node: &mut Node, ran: Option<&Ran<'_>>) -> bool {
    if let Some(ran) = ran
        && ran.is_repeatable
        && let Some(slot) = ran.slot
        && engine.take_plain_write()
    {
        node.log.effect(ran, slot, engine.now());
        return false;
    }
    note_more(engine, node, ran)
}

#[cold]
fn note_more(engine: &mut Engine, node: &mut Node, ran: Option<&Ran<'_>>) -> bool {
    let notes = engine.take_notes();
    node.log.changes(engine, &notes, ran);
    node.moves.record(engine, &notes, ran)
}

impl Shard {
    /// As [`note_changes`], for what no command has changed.
    pub fn note_changes(&mut self) {
        note_changes(&mut self.engine, &mut self.node, None);
    }
}

/// True while a test has planted that replies go out before what they tell is safe.
#[must_use]
#[inline]
pub fn replies_at_once() -> bool {
    fault::planted("reply-before-write")
}
