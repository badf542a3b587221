//! The version of the files of a log, and what can be wrong with them.

use std::io;
use std::path::PathBuf;

/// The version of the directory's format that this program writes, and the only one that it reads.
pub const VERSION: u32 = 1;

/// Why a directory cannot be used, in one line.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{}: {error}", path.display())]
    Io { path: PathBuf, error: io::Error },
    #[error("{} is damaged at offset {offset}: {what}; `slotway check` tells more", path.display())]
    Damaged { path: PathBuf, offset: u64, what: String },
    #[error("{} is missing; `slotway check` tells more", path.display())]
    Missing { path: PathBuf },
    #[error("{} has the format {version}, and this program knows {VERSION} only", path.display())]
    Version { path: PathBuf, version: u32 },
    #[error("{} belongs to {theirs}, not to {ours}", path.display())]
    Other { path: PathBuf, ours: String, theirs: String },
    #[error("{} is in use by another process", path.display())]
    InUse { path: PathBuf },
    #[error("{} has files of a log and no manifest, which says what they are; `slotway check` tells more", path.display())]
    NoManifest { path: PathBuf },
    #[error(
        "{} is gone or empty, and {} says that there is a log: put it back, or remove that file to start with nothing",
        path.display(),
        marker.display()
    )]
    Lost { path: PathBuf, marker: PathBuf },
}
