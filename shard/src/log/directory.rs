//! The directory: whose it is, that one process uses it, and that its files are those of the manifest.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use super::format::OpenError;
use super::manifest::{Manifest, data_files};
use crate::changes::frame;
use crate::stream::Kind;

/// A file beside the directory of a log that says that there is one: a log that is gone as a whole must not look like one
/// that has never been.
const MARKER: &str = "has-log";
/// No first frame of a file is longer.
const LONGEST_HEAD: usize = 1024;

/// A node's directory, for one process. Let go of when this is dropped, or the process ends.
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the directory, which is made if it is not there.
    ///
    /// # Errors
    /// When another process has it, or it cannot be written to.
    pub fn take(directory: &Path) -> Result<Self, OpenError> {
        let path = directory.join("lock");
        let io = |error| OpenError::Io { path: path.clone(), error };
        std::fs::create_dir_all(directory).map_err(io)?;
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(io)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(OpenError::InUse { path: directory.to_owned() }),
            Err(TryLockError::Error(error)) => Err(io(error)),
        }
    }
}

/// A directory with a log that is to be read.
pub struct Opened {
    pub(super) directory: PathBuf,
    pub(super) manifest: Manifest,
}

impl Opened {
    /// The id of the cluster that it belongs to.
    #[must_use]
    pub fn cluster(&self) -> &str {
        &self.manifest.cluster
    }

    /// The seed of the hashes by which its base is ordered.
    #[must_use]
    pub fn hash_seed(&self) -> u64 {
        self.manifest.hash_seed
    }
}

/// Looks what a directory has; None if it has no log that counts. Changes nothing.
///
/// # Errors
/// When it is not this node's, or not what was written.
pub fn open(directory: &Path, node: &str, cluster: &str) -> Result<Option<Opened>, OpenError> {
    if !directory.exists() {
        return nothing(directory);
    }
    let Some(manifest) = Manifest::read(directory)? else {
        let files =
            data_files(directory).map_err(|error| OpenError::Io { path: directory.to_owned(), error })?;
        if files.iter().any(|path| has_data(path)) {
            return Err(OpenError::NoManifest { path: directory.to_owned() });
        }
        return nothing(directory);
    };
    let other = |ours: String, theirs: String| OpenError::Other { path: directory.to_owned(), ours, theirs };
    if manifest.node != node {
        return Err(other(format!("node {node}"), format!("node {}", manifest.node)));
    }
    if !cluster.is_empty() && manifest.cluster != cluster {
        return Err(other(format!("cluster {cluster}"), format!("cluster {}", manifest.cluster)));
    }
    if manifest.off || !manifest.complete {
        let why =
            if manifest.off { "was switched off" } else { "had just been switched on and has no base yet" };
        tracing::warn!("{}: the log {why}; it is not read", directory.display());
        return Ok(None);
    }
    Ok(Some(Opened { directory: directory.to_owned(), manifest }))
}

/// There is no log; an error if there was one.
fn nothing(directory: &Path) -> Result<Option<Opened>, OpenError> {
    let marker = directory.with_file_name(MARKER);
    if marker.exists() {
        return Err(OpenError::Lost { path: directory.to_owned(), marker });
    }
    Ok(None)
}

/// Says beside the directory that it has a log, once its manifest is on disk.
pub(super) fn mark(directory: &Path) -> io::Result<()> {
    let marker = directory.with_file_name(MARKER);
    if !marker.exists() {
        File::create(&marker)?.sync_all()?;
        directory.parent().map_or(Ok(()), super::file::sync_directory)?;
    }
    Ok(())
}

/// The log of this directory does not count any more.
pub(super) fn unmark(directory: &Path) -> io::Result<()> {
    match std::fs::remove_file(directory.with_file_name(MARKER)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Whether a file has more than its first frame. The first increment is made before the manifest that names it, perhaps
/// several times.
fn has_data(path: &Path) -> bool {
    let is_base = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("base."));
    let Ok(bytes) = std::fs::read(path) else { return true };
    let head = frame::read(&bytes).ok().filter(|frame| frame.kind == Kind::Head);
    is_base || bytes.len() > LONGEST_HEAD || head.is_some_and(|head| head.length() < bytes.len())
}

/// Makes the directory of a new log. What an earlier log has left is no part of it, and goes once the new manifest is
/// there.
///
/// # Errors
/// When it cannot be made.
pub(super) fn prepare(directory: &Path, mut manifest: Manifest) -> Result<Manifest, OpenError> {
    let io = |error| OpenError::Io { path: directory.to_owned(), error };
    std::fs::create_dir_all(directory).map_err(io)?;
    if let Some(parent) = directory.parent() {
        super::file::sync_directory(parent).map_err(io)?;
    }
    manifest.pass_over(directory).map_err(io)?;
    Ok(manifest)
}

/// Drops what no manifest names, once the manifest is on disk.
pub(super) fn drop_leftovers(directory: &Path, manifest: &Manifest) {
    let Ok(files) = data_files(directory) else { return };
    for path in files {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if !manifest.files().any(|named| named.file == name) {
            match std::fs::remove_file(&path) {
                Ok(()) => tracing::info!("{}: left by an earlier process, dropped", path.display()),
                Err(error) => tracing::warn!("{} is no part of the log, and stays: {error}", path.display()),
            }
        }
    }
}
