//! Files.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Makes a directory and those that it is in, unless they are there.
///
/// # Errors
/// Any error of the file system.
pub fn create_directory(path: &Path) -> io::Result<()> {
    #[cfg(feature = "simulation")]
    if super::simulation::is_active() {
        return Ok(());
    }
    fs::create_dir_all(path)
}

/// The content of a file; `None` when there is none of that name.
///
/// # Errors
/// Any other error of the file system.
pub fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    #[cfg(feature = "simulation")]
    if super::simulation::is_active() {
        return Ok(super::simulation::disk::read(path));
    }
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Lets the time pass that a disk takes to write something durably. Only a simulated one takes it here: the system's
/// takes it in the calls themselves.
pub async fn disk_latency() {
    #[cfg(feature = "simulation")]
    if super::simulation::is_active() {
        super::simulation::disk::latency().await;
    }
}

/// A file that is written here and there.
#[derive(Debug)]
pub enum Stored {
    System(File),
    #[cfg(feature = "simulation")]
    Simulated(PathBuf),
}

impl Stored {
    /// Opens a file that is there, and makes it durably `length` bytes long if it is not.
    ///
    /// # Errors
    /// Any error of the file system.
    pub fn open(path: &Path, length: u64) -> io::Result<Self> {
        #[cfg(feature = "simulation")]
        if super::simulation::is_active() {
            super::simulation::disk::cut(path, length);
            return Ok(Self::Simulated(path.to_owned()));
        }
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        if file.metadata()?.len() != length {
            file.set_len(length)?;
            file.sync_all()?;
        }
        Ok(Self::System(file))
    }

    /// Writes bytes at an offset; [`Stored::sync`] makes them durable.
    ///
    /// # Errors
    /// Any error of the file system: nobody knows then how much of it is there.
    pub fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        match self {
            Self::System(file) => file.write_all_at(bytes, offset),
            #[cfg(feature = "simulation")]
            Self::Simulated(path) => {
                super::simulation::disk::write_at(path, bytes, offset);
                Ok(())
            }
        }
    }

    /// Waits until everything is on disk.
    ///
    /// # Errors
    /// Any error of the file system: nobody knows then how much of it is there.
    pub fn sync(&self) -> io::Result<()> {
        match self {
            Self::System(file) => file.sync_data(),
            #[cfg(feature = "simulation")]
            Self::Simulated(path) => {
                super::simulation::disk::sync(path);
                Ok(())
            }
        }
    }

    /// Cuts the file durably.
    ///
    /// # Errors
    /// Any error of the file system: nobody knows then how long it is.
    pub fn cut(&self, length: u64) -> io::Result<()> {
        match self {
            Self::System(file) => {
                file.set_len(length)?;
                file.sync_all()
            }
            #[cfg(feature = "simulation")]
            Self::Simulated(path) => {
                super::simulation::disk::cut(path, length);
                Ok(())
            }
        }
    }
}

/// Replaces `path` by `bytes` so that after a crash either the old or the new content is there:
/// written beside it, synced, renamed, and the directory synced.
///
/// # Errors
/// Any error of the file system; the old content is then unchanged.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace_with(path, bytes, &mut OpenOptions::new())
}

/// As [`replace`], for a file that only its owner can read.
///
/// # Errors
/// Any error of the file system; the old content is then unchanged.
pub fn replace_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace_with(path, bytes, private(&mut OpenOptions::new()))
}

fn replace_with(path: &Path, bytes: &[u8], options: &mut OpenOptions) -> io::Result<()> {
    #[cfg(feature = "simulation")]
    if super::simulation::is_active() {
        super::simulation::disk::replace(path, bytes);
        return Ok(());
    }
    let draft = Draft::write(path, bytes, options)?;
    draft.put()?;
    sync_directory(draft.directory())
}

/// The new content of a file, on disk beside it: [`replace_private`] step by step.
#[derive(Debug)]
pub struct Draft {
    path: PathBuf,
    beside: PathBuf,
}

impl Draft {
    /// Writes a draft that only its owner can read.
    ///
    /// # Errors
    /// Any error of the file system.
    pub fn private(path: &Path, bytes: &[u8]) -> io::Result<Self> {
        Self::write(path, bytes, private(&mut OpenOptions::new()))
    }

    fn write(path: &Path, bytes: &[u8], options: &mut OpenOptions) -> io::Result<Self> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".new");
        let draft = Self { path: path.to_owned(), beside: path.with_file_name(name) };
        fs::create_dir_all(draft.directory())?;
        let mut file = options.write(true).create(true).truncate(true).open(&draft.beside)?;
        file.write_all(bytes)?;
        sync_all(&file)?;
        Ok(draft)
    }

    fn directory(&self) -> &Path {
        self.path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
    }

    /// Gives it its name; [`sync_directory`] makes that durable.
    ///
    /// # Errors
    /// Any error of the file system.
    pub fn put(&self) -> io::Result<()> {
        fs::rename(&self.beside, &self.path)
    }
}

/// Waits until what a file has is on disk, and all that is needed to read it.
///
/// # Errors
/// Any error of the file system: nobody knows then how much of it is there.
pub fn sync_data(file: &File) -> io::Result<()> {
    synced(file, File::sync_data)
}

/// As [`sync_data`], with all that is told of the file.
///
/// # Errors
/// Any error of the file system: nobody knows then how much of it is there.
pub fn sync_all(file: &File) -> io::Result<()> {
    synced(file, File::sync_all)
}

fn synced(file: &File, sync: impl FnOnce(&File) -> io::Result<()>) -> io::Result<()> {
    #[cfg(feature = "faults")]
    return crate::fault::durable::file(file, sync);
    #[cfg(not(feature = "faults"))]
    sync(file)
}

/// Waits until the names in a directory are on disk.
///
/// # Errors
/// Any error of the file system: nobody knows then which are.
pub fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()?;
    #[cfg(feature = "faults")]
    crate::fault::durable::directory(directory)?;
    Ok(())
}

fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

/// Makes a file that only its owner can read, unless there is one by that name, which then stays.
///
/// The file appears whole: several processes that do this at once agree on the first one's content.
///
/// # Errors
/// Any error of the file system.
pub fn create_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(directory)?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}", super::random::hex_id::<8>()));
    let draft = directory.join(name);

    let mut options = OpenOptions::new();
    let options = private(options.write(true).create_new(true));
    let written = options.open(&draft).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    // A hard link fails if the name exists, which a rename would not.
    let linked = written.and_then(|()| match fs::hard_link(&draft, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        result => result,
    });
    let removed = fs::remove_file(&draft);
    linked.and(removed)
}
