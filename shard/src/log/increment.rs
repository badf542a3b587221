//! The increment that is being written to.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use slotway_common::fault;

use super::file::{self, Head};
use super::manifest::{Manifest, Named};

pub(super) struct Increment {
    pub(super) file: Arc<File>,
    head: Head,
    /// Its length.
    pub(super) offset: u64,
    /// Up to here it is on disk, as the last mark in it says.
    marked: u64,
}

impl Increment {
    /// Makes one and adds it to the manifest, which is still to be written.
    pub(super) fn create(directory: &Path, manifest: &mut Manifest, sequence: u64) -> io::Result<Self> {
        let name = manifest.name("increment");
        let head = Head::new(&manifest.node, &manifest.cluster, &name);
        let (file, offset) = file::create(directory, &head, sequence)?;
        manifest.increments.push(Named { file: name, bytes: None });
        Ok(Self { file: Arc::new(file), head, offset, marked: offset })
    }

    pub(super) fn name(&self) -> &str {
        &self.head.name
    }

    /// Appends frames, after a mark where more is `on_disk` (bytes of this file) than the last one says. `sequence` is the number of
    /// the frame before them.
    pub(super) fn append(&mut self, frames: &[u8], on_disk: u64, sequence: u64) -> io::Result<()> {
        let mut file = &*self.file;
        if on_disk > self.marked {
            let mark = file::mark(self.head.nonce, on_disk, sequence);
            file.write_all(&mark)?;
            self.offset += mark.len() as u64;
            self.marked = on_disk;
        }
        fault::point("log-write");
        if let Err(error) = fault::io("log-write-error") {
            // As on a disk that gets full: a part is there.
            let part = frames.get(..frames.len() / 2).unwrap_or_default();
            return file.write_all(part).and(Err(error));
        }
        file.write_all(frames)?;
        self.offset += frames.len() as u64;
        Ok(())
    }
}
