//! The disks of all hosts, in memory.
//!
//! A file has what was written and, of that, what was synced. When a host [crashes](crash), some of what was not synced
//! may be there all the same, whole, in part or damaged, as on a disk whose machine has lost its power.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::random;

/// The longest that a disk takes to write something durably, in microseconds.
const SLOWEST: u64 = 6000;

#[derive(Default)]
struct File {
    /// What outlives a crash.
    durable: Vec<u8>,
    /// What was written over it and not synced: offsets and bytes.
    written: Vec<(usize, Vec<u8>)>,
}

impl File {
    fn put(&mut self, offset: usize, bytes: &[u8]) {
        let end = offset + bytes.len();
        if self.durable.len() < end {
            self.durable.resize(end, 0);
        }
        if let Some(place) = self.durable.get_mut(offset..end) {
            place.copy_from_slice(bytes);
        }
    }

    fn sync(&mut self) {
        for (offset, bytes) in std::mem::take(&mut self.written) {
            self.put(offset, &bytes);
        }
    }

    /// Of each write that was not synced a part is there, perhaps none or all, and perhaps with a wrong bit.
    fn crash(&mut self) {
        for (offset, mut bytes) in std::mem::take(&mut self.written) {
            let kept = random::below(bytes.len() as u64 + 1) as usize;
            // Most of it may be zeros: where it ends in what comes before them, more is lost.
            let told = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            let kept = if random::below(2) == 0 { kept } else { kept % (told + 1) };
            bytes.truncate(kept);
            if kept > 0 && random::below(4) == 0 {
                let at = random::below(kept as u64) as usize;
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << random::below(8);
                }
            }
            self.put(offset, &bytes);
        }
    }
}

thread_local! {
    static FILES: RefCell<BTreeMap<PathBuf, File>> = const { RefCell::new(BTreeMap::new()) };
}

fn with<R>(path: &Path, work: impl FnOnce(&mut File) -> R) -> R {
    FILES.with_borrow_mut(|files| work(files.entry(path.to_owned()).or_default()))
}

/// Ends everything that was on its way to the files below `directory`.
pub fn crash(directory: &Path) {
    FILES.with_borrow_mut(|files| {
        files.iter_mut().filter(|(path, _)| path.starts_with(directory)).for_each(|(_, file)| file.crash());
    });
}

/// As a process that goes on sees it; only processes that start read.
pub(in crate::platform) fn read(path: &Path) -> Option<Vec<u8>> {
    FILES.with_borrow_mut(|files| {
        let file = files.get_mut(path)?;
        file.sync();
        Some(file.durable.clone())
    })
}

pub(in crate::platform) fn replace(path: &Path, bytes: &[u8]) {
    with(path, |file| *file = File { durable: bytes.to_vec(), written: Vec::new() });
}

pub(in crate::platform) fn write_at(path: &Path, bytes: &[u8], offset: u64) {
    let offset = usize::try_from(offset).unwrap_or(usize::MAX);
    with(path, |file| file.written.push((offset, bytes.to_vec())));
}

pub(in crate::platform) fn sync(path: &Path) {
    with(path, File::sync);
}

pub(in crate::platform) fn cut(path: &Path, length: u64) {
    with(path, |file| {
        file.sync();
        file.durable.resize(usize::try_from(length).unwrap_or(usize::MAX), 0);
    });
}

pub(in crate::platform) async fn latency() {
    tokio::time::sleep(Duration::from_micros(random::below(SLOWEST))).await;
}
