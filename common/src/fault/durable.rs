//! What the disk would hold if the machine lost its power now.
//!
//! If the environment's `SLOTWAY_DURABLE` names a directory, every sync through [`crate::platform::files`] is noted
//! there, before whoever asked for it goes on:
//!
//! - `files/<inode>` has of each file what was synced,
//! - `names/<path>/<number>/` has the names of a directory as they were when it was synced the last time (the highest
//!   number), as links to those files. In the path `%` stands for `/`.
//!
//! A test that kills a process and puts this in the place of its directory has cut the power.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// By so many bytes at its start a file is told from another one that had its inode before. A manifest has fewer, all of
/// which count.
const START: u64 = 64 * 1024;

struct Shadow {
    directory: PathBuf,
    one_at_a_time: Mutex<()>,
}

impl Shadow {
    fn get() -> Option<&'static Self> {
        static SHADOW: OnceLock<Option<Shadow>> = OnceLock::new();
        let make = || {
            let directory = PathBuf::from(std::env::var_os("SLOTWAY_DURABLE")?);
            Some(Self { directory, one_at_a_time: Mutex::default() })
        };
        SHADOW.get_or_init(make).as_ref()
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        self.one_at_a_time.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn file(&self, inode: u64) -> PathBuf {
        self.directory.join("files").join(inode.to_string())
    }

    /// Notes that the first `length` bytes are on disk.
    fn note_file(&self, file: &File, length: u64) -> io::Result<()> {
        let _guard = self.lock();
        let path = self.file(file.metadata()?.ino());
        fs::create_dir_all(self.directory.join("files"))?;
        // It may have been opened for writing only.
        let mut whole = File::open(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
        let known = path.metadata().map_or(0, |data| data.len());
        let compared = known.min(length).min(START);
        if known > length || starts(&mut whole, compared)? != starts(&mut open_or_new(&path)?, compared)? {
            let beside = path.with_extension("new");
            whole.seek(SeekFrom::Start(0))?;
            io::copy(&mut whole.take(length), &mut File::create(&beside)?)?;
            return fs::rename(beside, path);
        }
        let mut shadow = OpenOptions::new().append(true).create(true).open(&path)?;
        whole.seek(SeekFrom::Start(known))?;
        io::copy(&mut whole.take(length - known), &mut shadow).map(drop)
    }

    fn note_directory(&self, directory: &Path) -> io::Result<()> {
        let _guard = self.lock();
        let name = fs::canonicalize(directory)?.display().to_string().replace('/', "%");
        let versions = self.directory.join("names").join(name);
        fs::create_dir_all(&versions)?;
        fs::create_dir_all(self.directory.join("files"))?;
        let mut numbers: Vec<u64> = Vec::new();
        for entry in fs::read_dir(&versions)? {
            numbers.extend(entry?.file_name().to_str().and_then(|name| name.parse::<u64>().ok()));
        }
        let next = numbers.iter().max().map_or(0, |last| last + 1);
        let draft = versions.join("new");
        // Left by a process that was killed here.
        let _ = fs::remove_dir_all(&draft);
        fs::create_dir(&draft)?;
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            // What is dropped meanwhile is not there.
            let Ok(data) = entry.metadata() else { continue };
            let place = draft.join(entry.file_name());
            if data.is_dir() {
                fs::create_dir(place)?;
            } else {
                // A file that was never synced is there, and empty.
                let file = self.file(data.ino());
                drop(open_or_new(&file)?);
                fs::hard_link(file, place)?;
            }
        }
        fs::rename(draft, versions.join(next.to_string()))?;
        for number in numbers {
            fs::remove_dir_all(versions.join(number.to_string()))?;
        }
        Ok(())
    }
}

fn open_or_new(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).append(true).create(true).open(path)
}

fn starts(file: &mut File, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.take(length).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Syncs a file with `sync`, and notes it.
pub(crate) fn file(file: &File, sync: impl FnOnce(&File) -> io::Result<()>) -> io::Result<()> {
    let Some(shadow) = Shadow::get() else { return sync(file) };
    let length = file.metadata()?.len();
    sync(file)?;
    shadow.note_file(file, length)
}

/// Notes that a directory was synced.
pub(crate) fn directory(directory: &Path) -> io::Result<()> {
    Shadow::get().map_or(Ok(()), |shadow| shadow.note_directory(directory))
}
