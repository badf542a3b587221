//! The manifest: which files of the directory make up the log, in their order. It is the truth; a file that it does not
//! name is no part of the log.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use slotway_common::fault;
use slotway_common::platform::files::Draft;

use super::file::sync_directory;
use super::format::{OpenError, VERSION};
use crate::control::record::{self, Kind};

/// Its name in the directory.
pub const NAME: &str = "manifest";

/// A file of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    pub file: String,
    /// Its length, once nothing is written to it any more: all of it was on disk then.
    pub bytes: Option<u64>,
}

/// What the manifest says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub version: u32,
    /// The node and the id of the cluster that the directory belongs to.
    pub node: String,
    pub cluster: String,
    /// The seed of the hashes by which keys are ordered in the base.
    pub hash_seed: u64,
    /// Seconds since 1970 at which the base was complete; 0 without one.
    pub saved_at: i64,
    /// None: there was nothing when the first increment began.
    pub base: Option<Named>,
    /// In their order. The last one is being written to, or was when the process ended.
    pub increments: Vec<Named>,
    /// Greater than the number in the name of any file there has been.
    pub next: u64,
    /// False while the log of a node that holds data already has no base yet: it is worth nothing.
    pub complete: bool,
    /// The log was switched off: what it holds is not what the node held last.
    pub off: bool,
}

impl Manifest {
    /// The manifest of a directory, if there is one.
    ///
    /// # Errors
    /// When it cannot be read, is damaged, or of another version.
    pub fn read(directory: &Path) -> Result<Option<Self>, OpenError> {
        let path = directory.join(NAME);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(OpenError::Io { path, error }),
        };
        let damaged = |offset, what: String| OpenError::Damaged { path: path.clone(), offset, what };
        let records = record::scan_whole(&bytes)
            .map_err(|damage| damaged(damage.offset as u64, damage.what.to_owned()))?;
        let [found] = records.as_slice() else {
            return Err(damaged(0, "it has other records than it should".to_owned()));
        };
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let unreadable = |error: serde_json::Error| damaged(0, format!("it is not readable: {error}"));
        let version = serde_json::from_slice::<Version>(found.payload).map_err(unreadable)?.version;
        if version != VERSION {
            return Err(OpenError::Version { path, version });
        }
        let manifest: Self = serde_json::from_slice(found.payload).map_err(unreadable)?;
        for named in manifest.files() {
            if !is_data_file(&named.file) {
                return Err(damaged(0, format!("it names {:?}, which is no file of a log", named.file)));
            }
        }
        Ok(Some(manifest))
    }

    /// Makes this the directory's manifest. After a crash either it or the one before is there.
    ///
    /// # Errors
    /// Of the file system. Nobody knows then which of the two is there.
    pub fn write(&self, directory: &Path) -> io::Result<()> {
        put(&self.draft(directory)?, directory)
    }

    /// Writes it beside the directory's manifest.
    ///
    /// # Errors
    /// Of the file system. The old one is in force.
    pub fn draft(&self, directory: &Path) -> io::Result<Draft> {
        let mut bytes = Vec::new();
        record::encode(Kind::Manifest, 0, &serde_json::to_vec(self)?, &mut bytes);
        fault::point("log-manifest");
        fault::io("log-manifest-error")?;
        Draft::private(&directory.join(NAME), &bytes)
    }

    /// All files, in the order in which they are read.
    pub fn files(&self) -> impl Iterator<Item = &Named> {
        self.base.iter().chain(&self.increments)
    }

    /// Gives no increment a name that there is, also of a file that is no part of the log: a process that was killed may
    /// have made it and not named it here.
    ///
    /// # Errors
    /// Of the file system.
    pub fn pass_over(&mut self, directory: &Path) -> io::Result<()> {
        for path in data_files(directory)? {
            let name = path.file_name().and_then(|name| name.to_str());
            let number = name.and_then(|name| name.strip_prefix("increment.")?.parse::<u64>().ok());
            self.next = self.next.max(number.unwrap_or(0).saturating_add(1));
        }
        Ok(())
    }

    /// A name for a new file.
    pub fn name(&mut self, kind: &str) -> String {
        self.next = self.next.max(1);
        let name = format!("{kind}.{:08}", self.next);
        self.next += 1;
        name
    }
}

/// Makes a draft the directory's manifest.
///
/// # Errors
/// Of the file system. Nobody knows then whether it or the one before is there.
pub fn put(draft: &Draft, directory: &Path) -> io::Result<()> {
    fault::point("log-manifest-drafted");
    draft.put()?;
    fault::point("log-manifest-renamed");
    sync_directory(directory)?;
    fault::point("log-manifest-written");
    Ok(())
}

/// Whether a name is one that this module gives.
pub fn is_data_file(name: &str) -> bool {
    let number = name.strip_prefix("base.").or_else(|| name.strip_prefix("increment."));
    number.is_some_and(|number| number.len() >= 8 && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The files in a directory that have names of the log's.
///
/// # Errors
/// Of the file system.
pub fn data_files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(is_data_file) {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}
