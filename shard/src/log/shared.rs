//! What the data thread shares with the threads of the log: what they are asked to do, and how far they are.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::manifest::Named;
use crate::engine::GarbageBytes;

/// Buffers up to this size are used again.
const KEEP: usize = 1024 * 1024;
/// Frames that were handed over in turn are written together up to this size.
const TOGETHER: usize = 256 * 1024;
/// What a new one begins with: it doubles from there, and so takes from the allocator what its capacity says.
const BUFFER: usize = 64 * 1024;

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
    pub(super) work: Condvar,
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
    pub(super) fn note(&self, took: Duration) {
        self.0.fetch_max(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(super) fn take(&self) -> Duration {
        Duration::from_micros(self.0.swap(0, Ordering::Relaxed))
    }
}

#[derive(Default)]
pub(super) struct Queue {
    pub(super) jobs: VecDeque<Job>,
    /// Empty buffers to be used again.
    spare: Vec<Vec<u8>>,
    /// The thread waits for a job.
    pub(super) waits: bool,
}

impl Shared {
    pub(super) fn new(sequence: u64, garbage: Arc<GarbageBytes>) -> Arc<Self> {
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

    pub(super) fn queue(&self) -> MutexGuard<'_, Queue> {
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
    pub(super) fn join(&self, mut bytes: Vec<u8>, mut last: u64, jobs: &mut VecDeque<Job>) -> (Vec<u8>, u64) {
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
    pub(super) fn give_back(&self, mut bytes: Vec<u8>) {
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

    pub(super) fn gave_up(&self, reason: Option<String>) {
        *self.last_given_up.lock().unwrap_or_else(PoisonError::into_inner) = reason;
    }
}
