//! The files that are the log now, and how others take their place.
//!
//! Each change is a manifest that is written as a whole: until it is there, the old files are the log. What cannot be prepared is
//! given up, and the log stays as it was. What fails later is an error: nobody knows then which files are the log.

use std::io;
use std::path::{Path, PathBuf};

use slotway_common::fault;
use slotway_common::platform::threads;

use super::directory;
use super::increment::Increment;
use super::manifest::{self, Manifest, Named};
use super::shared::Installed;

pub(super) struct LiveFiles {
    directory: PathBuf,
    manifest: Manifest,
    /// The one that is written to, the last that the manifest names.
    pub(super) increment: Increment,
    /// The increments from this one on are those since the last rotation.
    keep_from: usize,
}

impl LiveFiles {
    /// Begins a new increment, names it in the manifest, and drops what the manifest does not name.
    pub(super) fn begin(directory: PathBuf, mut manifest: Manifest, sequence: u64) -> io::Result<Self> {
        let increment = Increment::create(&directory, &mut manifest, sequence)?;
        manifest.write(&directory)?;
        directory::mark(&directory)?;
        fault::point("log-begun");
        directory::drop_leftovers(&directory, &manifest);
        let keep_from = manifest.increments.len() - 1;
        Ok(Self { directory, manifest, increment, keep_from })
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Bytes of the base.
    pub(super) fn base_bytes(&self) -> u64 {
        self.manifest.base.as_ref().and_then(|named| named.bytes).unwrap_or(0)
    }

    /// Bytes of the increments that nothing is written to any more.
    pub(super) fn closed_bytes(&self) -> u64 {
        self.manifest.increments.iter().filter_map(|named| named.bytes).sum()
    }

    pub(super) fn saved_at(&self) -> i64 {
        self.manifest.saved_at
    }

    /// What comes next goes to a new increment. All before it is on disk. The inner error says why none can be begun.
    pub(super) fn rotate(&mut self, sequence: u64) -> io::Result<Result<(), String>> {
        let mut manifest = self.manifest.clone();
        if let Some(last) = manifest.increments.last_mut() {
            last.bytes = Some(self.increment.offset);
        }
        let closed = manifest.increments.len();
        let made = Increment::create(&self.directory, &mut manifest, sequence)
            .and_then(|next| Ok((next, manifest.draft(&self.directory)?)));
        let (next, draft) = match made {
            Ok(made) => made,
            Err(error) => {
                self.manifest.next = manifest.next;
                return Ok(Err(format!("no increment can be begun: {error}")));
            }
        };
        fault::point("log-rotated");
        manifest::put(&draft, &self.directory)?;
        (self.manifest, self.increment, self.keep_from) = (manifest, next, closed);
        Ok(Ok(()))
    }

    /// Puts a base into force, and drops what it stands for. The inner error says why it cannot be named.
    pub(super) fn install(&mut self, installed: Installed) -> io::Result<Result<(), String>> {
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
                return Ok(Err(format!("{}: {error}", self.directory.display())));
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
        Ok(Ok(()))
    }

    /// Says in the manifest that all is on disk. With `off` it says that the log was switched off.
    pub(super) fn close(&mut self, off: bool) -> io::Result<()> {
        if let Some(last) = self.manifest.increments.last_mut() {
            last.bytes = Some(self.increment.offset);
        }
        self.manifest.off = off;
        self.manifest.write(&self.directory)?;
        if off {
            directory::unmark(&self.directory)?;
        }
        Ok(())
    }
}
