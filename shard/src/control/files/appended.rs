//! The log's file.

use std::io;
use std::path::{Path, PathBuf};

use slotway_common::platform::files::{self, Stored};

use super::record::{Kind, encode};

/// Zeros that are written ahead of the entries. To sync bytes that the file has already takes one write of the disk,
/// while a file that grows has its length to be written too: on a disk where one takes 4 ms, syncing an entry took 4 or
/// 8 ms before and takes 4 ms now.
const ROOM: u64 = 256 * 1024;

/// The open log.
pub struct Log {
    path: PathBuf,
    file: Stored,
    /// Bytes, all of them on disk.
    length: u64,
    /// The same with the zeros behind them.
    room: u64,
    /// Index and offset of each entry.
    places: Vec<(u64, u64)>,
    /// A write that failed leaves nobody knows what: nothing is written after it.
    broken: bool,
}

impl Log {
    /// Opens a log of which `length` bytes are good; what is behind them is cut.
    pub fn open(path: &Path, length: u64, places: Vec<(u64, u64)>) -> io::Result<Self> {
        let file = Stored::open(path, length)?;
        Ok(Self { path: path.to_owned(), file, length, room: length, places, broken: false })
    }

    /// Writes entries behind the others and waits until they are on disk.
    pub async fn append(&mut self, entries: &[(u64, Vec<u8>)]) -> io::Result<()> {
        let mut bytes = Vec::new();
        let mut places = Vec::with_capacity(entries.len());
        for (index, entry) in entries {
            places.push((*index, self.length + bytes.len() as u64));
            encode(Kind::Entry, self.length, entry, &mut bytes);
        }
        let end = self.length + bytes.len() as u64;
        if end > self.room {
            bytes.resize(bytes.len() + ROOM as usize, 0);
        }
        self.unbroken(|log| log.file.write_at(&bytes, log.length))?;
        files::disk_latency().await;
        self.unbroken(|log| {
            log.file.sync()?;
            log.room = log.room.max(log.length + bytes.len() as u64);
            log.length = end;
            log.places.append(&mut places);
            Ok(())
        })
    }

    /// Drops the entry `index` and all behind it.
    pub fn truncate(&mut self, index: u64) -> io::Result<()> {
        let kept = self.places.partition_point(|(known, _)| *known < index);
        let Some((_, length)) = self.places.get(kept).copied() else { return Ok(()) };
        self.unbroken(|log| {
            log.file.cut(length)?;
            (log.length, log.room) = (length, length);
            log.places.truncate(kept);
            Ok(())
        })
    }

    /// Puts a new log in the place of this one.
    pub fn replace(&mut self, head: &[u8], entries: &[(u64, Vec<u8>)]) -> io::Result<()> {
        let mut bytes = Vec::new();
        encode(Kind::Head, 0, head, &mut bytes);
        let mut places = Vec::with_capacity(entries.len());
        for (index, entry) in entries {
            places.push((*index, bytes.len() as u64));
            encode(Kind::Entry, 0, entry, &mut bytes);
        }
        self.unbroken(|log| {
            files::replace_private(&log.path, &bytes)?;
            *log = Self::open(&log.path, bytes.len() as u64, places)?;
            Ok(())
        })
    }

    fn unbroken(&mut self, write: impl FnOnce(&mut Self) -> io::Result<()>) -> io::Result<()> {
        if self.broken {
            return Err(io::Error::other("an earlier write to the Raft log failed"));
        }
        let result = write(self);
        self.broken = result.is_err();
        result
    }
}
