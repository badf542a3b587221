//! The thread that syncs once a second, so that writing need not wait for it.

use std::fs::File;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use slotway_common::fault;
use slotway_common::platform::{clock, files, threads};

use super::shared::{Job, Shared};

/// A handle to it. Dropping it ends it.
pub(super) struct Syncer {
    state: Arc<(Mutex<SyncState>, Condvar)>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct SyncState {
    task: Option<(Arc<File>, u64, u64)>,
    busy_since: Option<Instant>,
    on_disk: u64,
    stop: bool,
}

impl Syncer {
    pub(super) fn start(shared: Arc<Shared>) -> io::Result<Self> {
        let state: Arc<(Mutex<SyncState>, Condvar)> = Arc::default();
        let (theirs, theirs_shared) = (state.clone(), shared.clone());
        let thread = threads::spawn("log-sync", move || sync_when_asked(&theirs, &theirs_shared))?;
        Ok(Self { state, shared, thread: Some(thread) })
    }

    fn state(&self) -> MutexGuard<'_, SyncState> {
        self.state.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn begin(&self, file: Arc<File>, offset: u64, sequence: u64) {
        let mut state = self.state();
        state.task = Some((file, offset, sequence));
        state.busy_since = Some(clock::monotonic());
        self.shared.syncing.store(true, Ordering::Relaxed);
        self.state.1.notify_all();
    }

    pub(super) fn is_busy(&self) -> bool {
        self.state().busy_since.is_some()
    }

    pub(super) fn busy_for(&self) -> Duration {
        self.state().busy_since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Waits until no sync is under way.
    pub(super) fn wait(&self) {
        let mut state = self.state();
        while state.busy_since.is_some() {
            state = self.state.1.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    pub(super) fn offset_on_disk(&self) -> u64 {
        self.state().on_disk
    }

    pub(super) fn set_offset_on_disk(&self, offset: u64) {
        self.state().on_disk = offset;
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        self.state().stop = true;
        self.state.1.notify_all();
        if let Some(thread) = self.thread.take() {
            // A panic of it has been told on standard error.
            let _ = thread.join();
        }
    }
}

fn sync_when_asked(state: &(Mutex<SyncState>, Condvar), shared: &Shared) {
    let lock = || state.0.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        let mut found = lock();
        let (file, offset, sequence) = loop {
            if let Some(task) = found.task.take() {
                break task;
            }
            if found.stop {
                return;
            }
            found = state.1.wait(found).unwrap_or_else(PoisonError::into_inner);
        };
        drop(found);
        fault::point("log-fsync");
        let result = fault::io("log-fsync-error").and_then(|()| files::sync_data(&file));
        fault::point("log-fsynced");
        let mut found = lock();
        found.busy_since = None;
        shared.syncing.store(false, Ordering::Relaxed);
        match result {
            Ok(()) => {
                found.on_disk = offset;
                shared.synced.fetch_max(sequence, Ordering::Release);
            }
            Err(error) => shared.fail(error.to_string()),
        }
        drop(found);
        state.1.notify_all();
        shared.push(Job::Synced);
        shared.news.notify_one();
    }
}
