//! The thread that writes the log.
//!
//! The data thread hands frames over with their last number and learns up to which number they have been written and
//! synced ([`Shared`]). What several clients wait for is written and synced together, since the thread takes all that has
//! gathered each time. A write or sync that fails is the last thing it does: nobody knows then what is on disk.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use slotway_common::fault;
use slotway_common::platform::{clock, files, threads};
use tokio::sync::Notify;

use super::directory;
use super::file::{self, Head};
use super::group::Group;
use super::manifest::{self, Manifest, Named};
use super::syncer::Syncer;
use crate::changes::frame;
use crate::engine::GarbageBytes;

/// When what was written is synced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fsync {
    /// Before a client gets its reply.
    Always,
    /// Once a second.
    #[default]
    EverySecond,
    /// When the system thinks fit.
    No,
}

const SECOND: Duration = Duration::from_secs(1);
/// A sync that has taken so long holds up everything that is to be written.
const LATE: Duration = Duration::from_secs(2);
/// Buffers up to this size are used again.
const KEEP: usize = 1024 * 1024;
/// Frames that were handed over in turn are written together up to this size.
const TOGETHER: usize = 256 * 1024;
/// What a new one begins with: it doubles from there, and so takes from the allocator what its capacity says.
const BUFFER: usize = 64 * 1024;

/// What the thread is asked to do, in this order.
pub(super) enum Job {
    /// Frames without checksums, and the number of the last one.
    Frames(Vec<u8>, u64),
    Policy(Fsync),
    /// Sync all that came before.
    Sync,
    /// A sync of the other thread has ended.
    Synced,
    /// Go on in a new increment.
    Rotate,
    /// A base is on disk that has in it what the increments before the last rotation say.
    Install(Installed),
    /// The base that was begun comes to nothing.
    GiveUp(String),
    /// Sync, say in the manifest that all is on disk, and end. With true the log is switched off.
    Close(bool),
}

/// A base that was written.
pub(super) struct Installed {
    pub(super) named: Named,
    pub(super) saved_at: i64,
}

/// What the threads share.
pub(super) struct Shared {
    queue: Mutex<Queue>,
    work: Condvar,
    /// The numbers of the last frames that were written, and that are on disk.
    pub(super) written: AtomicU64,
    pub(super) synced: AtomicU64,
    /// Bytes that wait to be written.
    pub(super) queued: AtomicUsize,
    /// Where their buffers count as memory that will be free soon: nothing need be evicted for it.
    garbage: Arc<GarbageBytes>,
    /// Bytes of all increments that the manifest names, and of the base.
    pub(super) increment_bytes: AtomicU64,
    pub(super) base_bytes: AtomicU64,
    pub(super) saved_at: AtomicI64,
    /// Increments that were begun after the first one.
    pub(super) rotated: AtomicU64,
    /// Bases that were put into force, and that came to nothing.
    pub(super) installed: AtomicU64,
    pub(super) given_up: AtomicU64,
    /// Syncs that took too long.
    pub(super) delayed: AtomicU64,
    pub(super) syncing: AtomicBool,
    /// The longest write since that was last asked for, and the longest sync that replies waited for.
    pub(super) slowest_write: Slowest,
    pub(super) slowest_sync: Slowest,
    failure: OnceLock<String>,
    last_given_up: Mutex<Option<String>>,
    /// Something of this has changed.
    pub(super) news: Notify,
}

/// The longest of some durations, in microseconds.
#[derive(Default)]
pub(super) struct Slowest(AtomicU64);

impl Slowest {
    fn note(&self, took: Duration) {
        self.0.fetch_max(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(super) fn take(&self) -> Duration {
        Duration::from_micros(self.0.swap(0, Ordering::Relaxed))
    }
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    /// Empty buffers to be used again.
    spare: Vec<Vec<u8>>,
    waits: bool,
}

impl Shared {
    fn new(sequence: u64, garbage: Arc<GarbageBytes>) -> Arc<Self> {
        Arc::new(Self {
            garbage,
            queue: Mutex::default(),
            work: Condvar::new(),
            written: AtomicU64::new(sequence),
            synced: AtomicU64::new(sequence),
            queued: AtomicUsize::new(0),
            increment_bytes: AtomicU64::new(0),
            base_bytes: AtomicU64::new(0),
            saved_at: AtomicI64::new(0),
            rotated: AtomicU64::new(0),
            installed: AtomicU64::new(0),
            given_up: AtomicU64::new(0),
            delayed: AtomicU64::new(0),
            syncing: AtomicBool::new(false),
            slowest_write: Slowest::default(),
            slowest_sync: Slowest::default(),
            failure: OnceLock::new(),
            last_given_up: Mutex::default(),
            news: Notify::new(),
        })
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands a job over.
    pub(super) fn push(&self, job: Job) {
        let mut queue = self.queue();
        queue.jobs.push_back(job);
        let waits = std::mem::take(&mut queue.waits);
        drop(queue);
        if waits {
            self.work.notify_one();
        }
    }

    /// Hands frames over; gives an empty buffer for the next ones.
    pub(super) fn push_frames(&self, bytes: Vec<u8>, last: u64) -> Vec<u8> {
        self.queued.fetch_add(bytes.len(), Ordering::Relaxed);
        self.garbage.sent.fetch_add(bytes.capacity() as u64, Ordering::Relaxed);
        let mut queue = self.queue();
        queue.jobs.push_back(Job::Frames(bytes, last));
        let spare = queue.spare.pop();
        let waits = std::mem::take(&mut queue.waits);
        drop(queue);
        // It is in use again, and was never freed.
        let reused = spare.as_ref().map_or(0, Vec::capacity);
        self.garbage.sent.fetch_sub(reused as u64, Ordering::Relaxed);
        if waits {
            self.work.notify_one();
        }
        spare.unwrap_or_else(|| Vec::with_capacity(BUFFER))
    }

    /// Takes the frames of the next jobs into this buffer.
    fn join(&self, mut bytes: Vec<u8>, mut last: u64, jobs: &mut VecDeque<Job>) -> (Vec<u8>, u64) {
        let capacity = bytes.capacity();
        while let Some(Job::Frames(more, sequence)) = jobs.front_mut()
            && bytes.len() + more.len() <= TOGETHER
        {
            bytes.extend_from_slice(more);
            last = *sequence;
            let emptied = std::mem::take(more);
            jobs.pop_front();
            self.give_back(emptied);
        }
        self.garbage.sent.fetch_add((bytes.capacity() - capacity) as u64, Ordering::Relaxed);
        (bytes, last)
    }

    /// Keeps the buffer of frames that have been written, to be used again, or frees it.
    fn give_back(&self, mut bytes: Vec<u8>) {
        let capacity = bytes.capacity();
        if capacity <= KEEP {
            bytes.clear();
            let mut queue = self.queue();
            if queue.spare.len() < 4 {
                queue.spare.push(bytes);
                return;
            }
        }
        drop(bytes);
        self.garbage.freed.fetch_add(capacity as u64, Ordering::Relaxed);
    }

    /// Why nothing is written any more.
    pub(super) fn failure(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
    }

    /// Why the last base came to nothing, if it was the last one.
    pub(super) fn last_given_up(&self) -> Option<String> {
        self.last_given_up.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn fail(&self, reason: String) {
        tracing::error!("the log cannot be written, so nothing more is: {reason}");
        // Only the first reason is of interest.
        let _ = self.failure.set(reason);
        self.news.notify_one();
    }

    fn gave_up(&self, reason: Option<String>) {
        *self.last_given_up.lock().unwrap_or_else(PoisonError::into_inner) = reason;
    }
}

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
        let Place { directory, mut manifest, sequence } = place;
        let shared = Shared::new(sequence, garbage);
        let closed = manifest.increments.iter().filter_map(|named| named.bytes).sum();
        shared.increment_bytes.store(closed, Ordering::Relaxed);
        shared
            .base_bytes
            .store(manifest.base.as_ref().and_then(|named| named.bytes).unwrap_or(0), Ordering::Relaxed);
        shared.saved_at.store(manifest.saved_at, Ordering::Relaxed);
        let open = Increment::create(&directory, &mut manifest, sequence)?;
        manifest.write(&directory)?;
        directory::mark(&directory)?;
        fault::point("log-begun");
        directory::drop_leftovers(&directory, &manifest);
        let syncer = Syncer::start(shared.clone())?;
        let closed_before = manifest.increments.len() - 1;
        let mut log = Open {
            directory,
            manifest,
            shared: shared.clone(),
            increment: open,
            fsync,
            last_sync: clock::monotonic(),
            syncer,
            sequence,
            keep_from: closed_before,
            due: None,
            group: Group::default(),
        };
        let thread = threads::spawn("log", move || log.run())?;
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

/// The increment that is being written to.
struct Increment {
    file: Arc<File>,
    head: Head,
    offset: u64,
    /// Up to here it is on disk, as the last mark in it says.
    marked: u64,
}

impl Increment {
    /// Makes one and adds it to the manifest, which is still to be written.
    fn create(directory: &Path, manifest: &mut Manifest, sequence: u64) -> io::Result<Self> {
        let name = manifest.name("increment");
        let head = Head::new(&manifest.node, &manifest.cluster, &name);
        let (file, offset) = file::create(directory, &head, sequence)?;
        manifest.increments.push(Named { file: name, bytes: None });
        Ok(Self { file: Arc::new(file), head, offset, marked: offset })
    }
}

/// The thread's side.
struct Open {
    directory: PathBuf,
    manifest: Manifest,
    shared: Arc<Shared>,
    increment: Increment,
    fsync: Fsync,
    last_sync: Instant,
    syncer: Syncer,
    /// The number of the last frame that was written.
    sequence: u64,
    /// The increments from this one on are those since the last rotation.
    keep_from: usize,
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

impl Open {
    fn run(&mut self) {
        loop {
            let jobs = self.wait();
            match self.work(jobs) {
                Ok(true) => self.shared.news.notify_one(),
                Ok(false) => return,
                Err(error) => {
                    let path = self.directory.join(&self.increment.head.name);
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
                    if let Some(last) = self.manifest.increments.last_mut() {
                        last.bytes = Some(self.increment.offset);
                    }
                    self.manifest.off = off;
                    self.manifest.write(&self.directory)?;
                    if off {
                        directory::unmark(&self.directory)?;
                    }
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
        let increment = &mut self.increment;
        let on_disk = self.syncer.offset_on_disk();
        if on_disk > increment.marked {
            let mark = file::mark(increment.head.nonce, on_disk, self.sequence);
            (&*increment.file).write_all(&mark)?;
            increment.offset += mark.len() as u64;
            increment.marked = on_disk;
        }
        fault::point("log-write");
        if let Err(error) = fault::io("log-write-error") {
            // As on a disk that gets full: a part is there.
            let part = bytes.get(..bytes.len() / 2).unwrap_or_default();
            return (&*increment.file).write_all(part).and(Err(error));
        }
        (&*increment.file).write_all(&bytes)?;
        increment.offset += bytes.len() as u64;
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
            files::sync_data(&self.increment.file)?;
            fault::point("log-fsynced");
            let synced = self.unsynced();
            let waiting = last_frame(&self.shared.queue().jobs).map_or(0, |last| last - self.sequence);
            self.group.synced(synced, waiting, clock::since(began));
            if self.fsync == Fsync::Always {
                self.shared.slowest_sync.note(clock::since(began));
            }
            self.syncer.set_offset_on_disk(self.increment.offset);
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
        self.syncer.begin(self.increment.file.clone(), self.increment.offset, self.sequence);
    }

    /// What comes next goes to a new increment. All before it is on disk then. Where none can be made, the old one goes on,
    /// and there will be no base.
    fn rotate(&mut self) -> io::Result<()> {
        fault::point("log-rotate");
        self.sync()?;
        let mut manifest = self.manifest.clone();
        if let Some(last) = manifest.increments.last_mut() {
            last.bytes = Some(self.increment.offset);
        }
        let closed = manifest.increments.len();
        let made = Increment::create(&self.directory, &mut manifest, self.sequence)
            .and_then(|next| Ok((next, manifest.draft(&self.directory)?)));
        let (next, draft) = match made {
            Ok(made) => made,
            Err(error) => {
                self.manifest.next = manifest.next;
                self.give_up(format!("no increment can be begun: {error}"));
                return Ok(());
            }
        };
        fault::point("log-rotated");
        manifest::put(&draft, &self.directory)?;
        (self.manifest, self.increment, self.keep_from) = (manifest, next, closed);
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
        let file = installed.named.file.clone();
        let mut manifest = self.manifest.clone();
        let old: Vec<Named> = manifest
            .base
            .replace(installed.named)
            .into_iter()
            .chain(manifest.increments.drain(..self.keep_from))
            .collect();
        manifest.saved_at = installed.saved_at;
        manifest.complete = true;
        let draft = match manifest.draft(&self.directory) {
            Ok(draft) => draft,
            Err(error) => {
                // What stays is dropped at the next start.
                let _ = std::fs::remove_file(self.directory.join(&file));
                self.give_up(format!("{}: {error}", self.directory.display()));
                return Ok(());
            }
        };
        manifest::put(&draft, &self.directory)?;
        (self.manifest, self.keep_from) = (manifest, 0);
        fault::point("log-installed");
        let old: Vec<PathBuf> = old.iter().map(|named| self.directory.join(&named.file)).collect();
        // A large file takes a while. What stays is dropped at the next start.
        let _ = threads::spawn_in_background("log-drop", move || {
            for path in old {
                fault::point("log-drop");
                if let Err(error) = std::fs::remove_file(&path) {
                    tracing::warn!("{} is no part of the log any more, and stays: {error}", path.display());
                }
            }
        });
        let shared = &self.shared;
        let base = self.manifest.base.as_ref().and_then(|named| named.bytes).unwrap_or(0);
        shared.base_bytes.store(base, Ordering::Relaxed);
        let closed: u64 = self.manifest.increments.iter().filter_map(|named| named.bytes).sum();
        shared.increment_bytes.store(closed + self.increment.offset, Ordering::Relaxed);
        shared.saved_at.store(installed.saved_at, Ordering::Relaxed);
        shared.gave_up(None);
        shared.installed.fetch_add(1, Ordering::Release);
        Ok(())
    }
}
