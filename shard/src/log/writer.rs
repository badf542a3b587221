//! The thread that writes the log.
//!
//! The data thread hands frames over with their last number and learns up to which number they have been written and
//! synced ([`Shared`]). What several clients wait for is written and synced together, since the thread takes all that has
//! gathered each time. A write or sync that fails is the last thing it does: nobody knows then what is on disk.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use slotway_common::fault;
use slotway_common::platform::{clock, files, threads};

use super::group::Group;
use super::live_files::LiveFiles;
use super::manifest::Manifest;
use super::shared::{Fsync, Installed, Job, Shared};
use super::syncer::Syncer;
use crate::changes::frame;
use crate::engine::GarbageBytes;

const SECOND: Duration = Duration::from_secs(1);
/// A sync that has taken so long holds up everything that is to be written.
const LATE: Duration = Duration::from_secs(2);
/// A running writer. Dropping it closes the log.
pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// Where the log goes on.
pub(super) struct Place {
    pub(super) directory: PathBuf,
    pub(super) manifest: Manifest,
    /// The number of the last frame there is.
    pub(super) sequence: u64,
}

impl Writer {
    /// Begins a new increment, names it in the manifest, and starts the thread.
    ///
    /// # Errors
    /// Of the file system.
    pub(super) fn start(place: Place, fsync: Fsync, garbage: Arc<GarbageBytes>) -> io::Result<Self> {
        let Place { directory, manifest, sequence } = place;
        let shared = Shared::new(sequence, garbage);
        let files = LiveFiles::begin(directory, manifest, sequence)?;
        shared.increment_bytes.store(files.closed_bytes(), Ordering::Relaxed);
        shared.base_bytes.store(files.base_bytes(), Ordering::Relaxed);
        shared.saved_at.store(files.saved_at(), Ordering::Relaxed);
        let syncer = Syncer::start(shared.clone())?;
        let mut writing = Writing {
            files,
            shared: shared.clone(),
            fsync,
            last_sync: clock::monotonic(),
            syncer,
            sequence,
            due: None,
            group: Group::default(),
        };
        let thread = threads::spawn("log", move || writing.run())?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Writes and syncs what is left and ends. With `off` the manifest says that the log was switched off.
    pub(super) fn close(mut self, off: bool) {
        self.end(off);
    }

    fn end(&mut self, off: bool) {
        if let Some(thread) = self.thread.take() {
            self.shared.push(Job::Close(off));
            // A panic of it has been told on standard error.
            let _ = thread.join();
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.end(false);
    }
}

/// The thread's side.
struct Writing {
    files: LiveFiles,
    shared: Arc<Shared>,
    fsync: Fsync,
    last_sync: Instant,
    syncer: Syncer,
    /// The number of the last frame that was written.
    sequence: u64,
    /// What is to be done once everything up to a frame is on disk.
    due: Option<(Due, u64)>,
    group: Group,
}

/// What needs most of the log on disk: the other thread sees to that first, so that what is to be written need not wait.
enum Due {
    Rotate,
    Install(Installed),
}

/// The number of the last frame that these jobs write.
fn last_frame(jobs: &VecDeque<Job>) -> Option<u64> {
    jobs.iter().rev().find_map(|job| match job {
        Job::Frames(_, last) => Some(*last),
        _ => None,
    })
}

impl Writing {
    fn run(&mut self) {
        loop {
            let jobs = self.wait();
            match self.work(jobs) {
                Ok(true) => self.shared.news.notify_one(),
                Ok(false) => return,
                Err(error) => {
                    let path = self.files.directory().join(self.files.increment.name());
                    self.shared.fail(format!("{}: {error}", path.display()));
                    return;
                }
            }
        }
    }

    /// Waits until there is something to do, or a sync is due.
    fn wait(&mut self) -> VecDeque<Job> {
        let shared = self.shared.clone();
        let mut queue = shared.queue();
        loop {
            if !queue.jobs.is_empty() {
                return std::mem::take(&mut queue.jobs);
            }
            queue.waits = true;
            if self.fsync == Fsync::Always && shared.failure().is_none() && self.is_dirty() {
                let unsynced = self.unsynced();
                let left = self.group.more_to_come(unsynced);
                if left.is_zero() {
                    queue.waits = false;
                    return VecDeque::new();
                }
                queue = shared.work.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0;
                continue;
            }
            let syncs = self.fsync == Fsync::EverySecond && self.due.is_none() && shared.failure().is_none();
            if syncs && self.is_dirty() {
                let left = SECOND.saturating_sub(self.last_sync.elapsed());
                if left.is_zero() && !self.syncer.is_busy() {
                    queue.waits = false;
                    return VecDeque::new();
                }
                let left = left.max(Duration::from_millis(10));
                queue = shared.work.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0;
            } else {
                queue = shared.work.wait(queue).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }

    /// Frames that are written and not known to be on disk.
    fn unsynced(&self) -> u64 {
        self.sequence.saturating_sub(self.shared.synced.load(Ordering::Acquire))
    }

    fn is_dirty(&self) -> bool {
        self.unsynced() > 0
    }

    /// False when the log is closed.
    fn work(&mut self, mut jobs: VecDeque<Job>) -> io::Result<bool> {
        let mut sync = false;
        while let Some(job) = jobs.pop_front() {
            match job {
                Job::Frames(bytes, last) => {
                    let (bytes, last) = self.shared.join(bytes, last, &mut jobs);
                    self.write(bytes, last)?;
                }
                Job::Policy(fsync) => {
                    sync |= fsync == Fsync::Always;
                    self.fsync = fsync;
                }
                Job::Sync => sync = true,
                Job::Synced => {}
                Job::Rotate => self.due = Some((Due::Rotate, self.sequence)),
                Job::Install(installed) => self.due = Some((Due::Install(installed), self.sequence)),
                Job::GiveUp(reason) => self.give_up(reason),
                Job::Close(_) if self.shared.failure().is_some() => return Ok(false),
                Job::Close(off) => {
                    self.sync()?;
                    if let Some((Due::Install(installed), _)) = self.due.take() {
                        self.install(installed)?;
                    }
                    self.files.close(off)?;
                    return Ok(false);
                }
            }
        }
        if self.shared.failure().is_some() {
            // Nobody knows what a sync that failed has left out, and another one would not tell.
            return Ok(true);
        }
        let unsynced = self.unsynced();
        if sync || (self.fsync == Fsync::Always && self.group.more_to_come(unsynced).is_zero()) {
            self.sync()?;
        }
        self.do_what_is_due()?;
        if sync || self.fsync == Fsync::Always || self.due.is_some() {
            return Ok(true);
        }
        if self.fsync == Fsync::EverySecond && self.is_dirty() && self.last_sync.elapsed() >= SECOND {
            if !self.syncer.is_busy() {
                self.begin_sync();
            } else if self.syncer.busy_for() > LATE {
                tracing::warn!("a sync of the log takes more than {} s: writes wait for it", LATE.as_secs());
                self.shared.delayed.fetch_add(1, Ordering::Relaxed);
                self.syncer.wait();
            }
        }
        Ok(true)
    }

    fn write(&mut self, mut bytes: Vec<u8>, last: u64) -> io::Result<()> {
        let began = clock::monotonic();
        frame::seal(&mut bytes);
        self.files.increment.append(&bytes, self.syncer.offset_on_disk(), self.sequence)?;
        self.sequence = last;
        let shared = &self.shared;
        shared.written.store(last, Ordering::Release);
        shared.increment_bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        shared.queued.fetch_sub(bytes.len(), Ordering::Relaxed);
        shared.give_back(bytes);
        shared.slowest_write.note(clock::since(began));
        if self.fsync == Fsync::Always && fault::planted("reply-before-fsync") {
            shared.synced.store(last, Ordering::Release);
        }
        if self.fsync != Fsync::Always {
            shared.news.notify_one();
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.syncer.wait();
        if self.shared.synced.load(Ordering::Acquire) < self.sequence {
            let began = clock::monotonic();
            fault::point("log-fsync");
            fault::io("log-fsync-error")?;
            files::sync_data(&self.files.increment.file)?;
            fault::point("log-fsynced");
            let synced = self.unsynced();
            let waiting = last_frame(&self.shared.queue().jobs).map_or(0, |last| last - self.sequence);
            self.group.synced(synced, waiting, clock::since(began));
            if self.fsync == Fsync::Always {
                self.shared.slowest_sync.note(clock::since(began));
            }
            self.syncer.set_offset_on_disk(self.files.increment.offset);
            self.shared.synced.store(self.sequence, Ordering::Release);
            self.last_sync = clock::monotonic();
        }
        Ok(())
    }

    /// Does what waits for a sync, or has that begun.
    fn do_what_is_due(&mut self) -> io::Result<()> {
        let Some((due, sequence)) = self.due.take() else { return Ok(()) };
        if self.syncer.is_busy() || self.shared.synced.load(Ordering::Acquire) < sequence {
            if !self.syncer.is_busy() {
                self.begin_sync();
            }
            self.due = Some((due, sequence));
            return Ok(());
        }
        match due {
            Due::Rotate => self.rotate(),
            Due::Install(installed) => self.install(installed),
        }
    }

    fn begin_sync(&mut self) {
        self.last_sync = clock::monotonic();
        self.syncer.begin(self.files.increment.file.clone(), self.files.increment.offset, self.sequence);
    }

    /// What comes next goes to a new increment. All before it is on disk then. Where none can be made, the old one goes on,
    /// and there will be no base.
    fn rotate(&mut self) -> io::Result<()> {
        fault::point("log-rotate");
        self.sync()?;
        if let Err(reason) = self.files.rotate(self.sequence)? {
            self.give_up(reason);
            return Ok(());
        }
        self.syncer.set_offset_on_disk(0);
        self.shared.rotated.fetch_add(1, Ordering::Release);
        Ok(())
    }

    /// The base that was begun comes to nothing.
    fn give_up(&mut self, reason: String) {
        tracing::error!("the log keeps its old base: {reason}");
        self.shared.gave_up(Some(reason));
        self.shared.given_up.fetch_add(1, Ordering::Release);
    }

    /// Puts a base into force, and drops what it stands for.
    fn install(&mut self, installed: Installed) -> io::Result<()> {
        // The base has in it what was done up to the ends of its slots; the increments must not know less.
        self.sync()?;
        fault::point("log-install");
        if let Err(reason) = self.files.install(installed)? {
            self.give_up(reason);
            return Ok(());
        }
        let shared = &self.shared;
        shared.base_bytes.store(self.files.base_bytes(), Ordering::Relaxed);
        let increments = self.files.closed_bytes() + self.files.increment.offset;
        shared.increment_bytes.store(increments, Ordering::Relaxed);
        shared.saved_at.store(self.files.saved_at(), Ordering::Relaxed);
        shared.gave_up(None);
        shared.installed.fetch_add(1, Ordering::Release);
        Ok(())
    }
}
