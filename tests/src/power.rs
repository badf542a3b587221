//! Machines that lose their power: of a node's log only what had reached the disk is left, and what may have.
//!
//! The processes note what they sync (`common/src/fault/durable.rs`); that is put in the place of what they wrote.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rand::Rng;
use rand::rngs::StdRng;

use crate::cluster::Plan;
use crate::folder::Folder;
use crate::site::Site;

/// What happens to that which was written and not synced.
pub enum Unsynced<'r> {
    /// It is lost.
    Lost,
    /// Some of it is there, perhaps in part, perhaps damaged.
    AtRandom(&'r mut StdRng),
}

impl Site {
    /// As [`Site::start`], with disks that can lose what was not synced.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start_with_disks(plan: &Plan, planted: &str) -> Site {
        Site::start_with(plan, planted, None, Some(Folder::new().expect("a folder for what is durable")))
    }

    /// Leaves of the log of a node that does not run what the disk has after a power cut.
    ///
    /// # Panics
    /// When the site was not started with disks.
    pub fn lose_unsynced(&self, node: &str, unsynced: Unsynced<'_>) {
        let log = self.log_directory(node);
        let parent = log.parent().expect("the node's directory");
        if !self.durable_names(parent).is_some_and(|names| names.join("log").exists()) {
            fs::remove_dir_all(&log).expect("a log can be removed");
            return;
        }
        let Some(names) = self.durable_names(&log) else {
            let written = read(&log).into_keys();
            written.for_each(|name| fs::remove_file(log.join(name)).expect("a log can be removed"));
            return;
        };
        let durable = read(&names);
        let mut left: BTreeMap<String, Vec<u8>> =
            durable.into_iter().map(|(name, (_, bytes))| (name, bytes)).collect();
        let written = read(&log);
        if let Unsynced::AtRandom(random) = unsynced {
            // Names first: of files, and of files that are gone.
            left.retain(|name, _| written.contains_key(name) || random.random());
            for (name, (inode, bytes)) in &written {
                let synced =
                    fs::read(self.durable().join("files").join(inode.to_string())).unwrap_or_default();
                let is_new = !left.contains_key(name);
                let is_other = left.get(name).is_some_and(|left| !bytes.starts_with(left));
                if (is_new || is_other) && random.random() {
                    left.insert(name.clone(), synced);
                }
                if let Some(left) = left.get_mut(name).filter(|left| bytes.starts_with(left)) {
                    left.extend(torn(&bytes[left.len()..], random));
                }
            }
        }
        fs::remove_dir_all(&log).expect("a log can be removed");
        fs::create_dir(&log).expect("a log can be made");
        for (name, bytes) in &left {
            fs::write(log.join(name), bytes).expect("a file of a log can be written");
        }
        self.note_all(&log);
    }

    /// What a directory has is on the disk.
    fn note_all(&self, directory: &Path) {
        let names = self.durable_names(directory).expect("the directory has been synced");
        for (name, (inode, bytes)) in read(directory) {
            let file = self.durable().join("files").join(inode.to_string());
            // Of a file that had the inode before; other names of it stay what they are.
            let _ = fs::remove_file(&file);
            fs::write(&file, bytes).expect("what is durable can be noted");
            let _ = fs::remove_file(names.join(&name));
            fs::hard_link(&file, names.join(&name)).expect("what is durable can be noted");
        }
        for name in read(&names).into_keys().filter(|name| !directory.join(name).exists()) {
            fs::remove_file(names.join(name)).expect("what is durable can be noted");
        }
    }

    /// Whether the disk of a node has these bytes in its log.
    ///
    /// # Panics
    /// When the site was not started with disks.
    #[must_use]
    pub fn is_durable(&self, node: &str, wanted: &[u8]) -> bool {
        let names = self.durable_names(&self.log_directory(node));
        let files = names.map(|names| read(&names)).unwrap_or_default();
        files.values().any(|(_, bytes)| bytes.windows(wanted.len()).any(|found| found == wanted))
    }

    fn durable(&self) -> &Path {
        self.durable.as_ref().expect("a site with disks").path()
    }

    /// The directory with the names that were synced last.
    fn durable_names(&self, directory: &Path) -> Option<PathBuf> {
        let versions = self.durable().join("names").join(directory.display().to_string().replace('/', "%"));
        let numbers =
            fs::read_dir(&versions).ok()?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        numbers.max().map(|last: u64| versions.join(last.to_string()))
    }
}

/// The files of a directory with their inodes; those that go while they are read are left out.
fn read(directory: &Path) -> BTreeMap<String, (u64, Vec<u8>)> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let inode = entry.metadata().ok().filter(fs::Metadata::is_file)?.ino();
            Some((entry.file_name().to_str()?.to_owned(), (inode, fs::read(entry.path()).ok()?)))
        })
        .collect()
}

/// What may be there of bytes that were written.
fn torn(bytes: &[u8], random: &mut StdRng) -> Vec<u8> {
    let mut kept = bytes[..random.random_range(0..=bytes.len())].to_vec();
    if !kept.is_empty() && random.random() {
        let at = random.random_range(0..kept.len());
        kept[at] ^= 1 << random.random_range(0..8);
    }
    kept
}
