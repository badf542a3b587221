//! The log: what makes the data outlive the process.
//!
//! A directory per node holds a base, which has all keys as they were, slot by slot, and increments, which have every
//! change since. The README beside it has the format byte by byte, and why recovery is right.
//!
//! It follows the node's changes ([`crate::changes`]): what has gathered at the end of a turn goes to a thread that writes
//! and syncs it ([`writer`]); replies are held until it has. [`load`] reads a directory back, [`base`] writes a new base, [`check`]
//! examines a directory without changing it.

mod base;
pub mod check;
mod directory;
mod file;
mod format;
mod group;
mod increment;
mod live_files;
pub mod load;
mod manifest;
mod shared;
mod status;
mod syncer;
#[cfg(test)]
mod tests;
mod writer;

pub use base::{Copying, Progress};
pub use directory::{Lock, Opened, open};
pub use format::OpenError;
pub use shared::Fsync;
pub use status::Status;

use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use slotway_common::fault;
use tokio::sync::Notify;

use crate::changes::Changes;
use crate::engine::Engine;
use format::VERSION;
use manifest::Manifest;
use shared::{Job, Shared};
use writer::{Place, Writer};

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
    fsync: Fsync,
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

    /// Takes what has gathered to the thread that writes, unless it is part of a group.
    pub fn hand_over(&mut self, changes: &mut Changes) {
        if let Some(writer) = &self.writer
            && let Some((bytes, last)) = changes.take()
        {
            changes.reuse(writer.shared.push_frames(bytes, last));
        }
    }

    /// The same in the middle of a turn, when much has gathered.
    #[inline]
    pub fn hand_over_much(&mut self, changes: &mut Changes) {
        if changes.waiting_bytes() > CHUNK {
            self.hand_over(changes);
        }
    }

    /// Hands over what had gathered before the group in progress, because that will take long.
    pub fn hand_over_before_group(&mut self, changes: &mut Changes) {
        if let Some(writer) = &self.writer
            && let Some((bytes, last)) = changes.take_before_group()
        {
            writer.shared.push_frames(bytes, last);
        }
    }

    /// Has all that was done so far synced, whatever is set; gives its last number.
    pub fn sync(&mut self, changes: &mut Changes) -> u64 {
        self.hand_over(changes);
        if let Some(shared) = self.shared() {
            shared.push(Job::Sync);
        }
        changes.sequence()
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
        changes: &mut Changes,
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
        let sequence = changes.sequence();
        let place = Place { directory: directory.clone(), manifest, sequence };
        self.go_on(engine, changes, place, fsync)
            .map_err(|error| format!("{}: {error}", directory.display()))?;
        if !is_empty {
            self.want_base(true);
        }
        Ok(())
    }

    /// Goes on with the log that was read.
    ///
    /// # Errors
    /// Of the file system.
    pub fn resume(
        &mut self,
        engine: &mut Engine,
        changes: &mut Changes,
        opened: Opened,
        sequence: u64,
    ) -> io::Result<()> {
        let Opened { directory, manifest, .. } = opened;
        changes.begin(engine, sequence);
        self.go_on(engine, changes, Place { directory, manifest, sequence }, self.fsync)
    }

    /// Differs after the log was switched on or off.
    #[must_use]
    pub fn switched(&self) -> u64 {
        self.switched
    }

    fn go_on(
        &mut self,
        engine: &Engine,
        changes: &mut Changes,
        place: Place,
        fsync: Fsync,
    ) -> io::Result<()> {
        self.fsync = fsync;
        self.status.base_began_with = 0;
        self.writer = Some(Writer::start(place, fsync, engine.lazy_free().bytes())?);
        self.switched += 1;
        self.changed.notify_one();
        changes.follow(true);
        Ok(())
    }

    /// Ends the log: what it has is kept, and is not what the node holds any more.
    pub fn switch_off(&mut self, engine: &mut Engine, changes: &mut Changes) {
        self.stop_copying(engine, changes, "the log is switched off");
        self.hand_over(changes);
        changes.follow(false);
        if let Some(writer) = self.writer.take() {
            writer.close(true);
            self.switched += 1;
            self.changed.notify_one();
        }
    }

    /// Writes and syncs what is left, at the end of the process.
    pub fn close(&mut self, changes: &mut Changes) {
        self.hand_over(changes);
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

/// True while a test has planted that replies go out before what they tell is safe.
#[must_use]
#[inline]
pub fn replies_at_once() -> bool {
    fault::planted("reply-before-write")
}
