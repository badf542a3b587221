//! The files of the log: how each begins, how far it was on disk, and reading one.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use slotway_common::fault;
use slotway_common::platform::{files, random};

use super::format::OpenError;
use super::format::VERSION;
use crate::changes::frame::{self, Bad, Frame};
use crate::stream::{Fields, HEADER, Kind, MAGIC, put_bytes, put_number};

/// What a file says about itself in its first frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Drawn at random for each file. Marks repeat it, so that no value that a client stores can look like one.
    pub nonce: u64,
    pub node: String,
    pub cluster: String,
    /// The name that the file has.
    pub name: String,
}

impl Head {
    pub fn new(node: &str, cluster: &str, name: &str) -> Self {
        let nonce = u64::from_le_bytes(random::secret_bytes());
        Self { nonce, node: node.to_owned(), cluster: cluster.to_owned(), name: name.to_owned() }
    }

    /// The first frame of a file whose first numbered frame comes after `sequence`.
    pub fn encode(&self, sequence: u64) -> Vec<u8> {
        let mut payload = VERSION.to_le_bytes().to_vec();
        payload.extend_from_slice(&self.nonce.to_le_bytes());
        for text in [&self.node, &self.cluster, &self.name] {
            put_bytes(text.as_bytes(), &mut payload);
        }
        let mut bytes = Vec::new();
        frame::put(Kind::Head, 0, 0, sequence, &payload, &mut bytes);
        frame::seal(&mut bytes);
        bytes
    }

    fn decode(payload: &[u8]) -> Option<(u32, Self)> {
        let mut fields = Fields::new(payload);
        let version = u32::from_le_bytes(fields.fixed()?);
        let nonce = u64::from_le_bytes(fields.fixed()?);
        let mut text = || String::from_utf8(fields.bytes()?.to_vec()).ok();
        Some((version, Self { nonce, node: text()?, cluster: text()?, name: text()? }))
    }
}

/// A frame that says that the first `offset` bytes of the file were on disk when it was written.
pub fn mark(nonce: u64, offset: u64, sequence: u64) -> Vec<u8> {
    let mut payload = nonce.to_le_bytes().to_vec();
    put_number(offset, &mut payload);
    let mut bytes = Vec::new();
    frame::put(Kind::Mark, 0, 0, sequence, &payload, &mut bytes);
    frame::seal(&mut bytes);
    bytes
}

fn marked(frame: &Frame<'_>, nonce: u64) -> Option<u64> {
    let mut fields = Fields::new(frame.payload);
    let same = frame.kind == Kind::Mark && u64::from_le_bytes(fields.fixed()?) == nonce;
    fields.number().filter(|_| same)
}

/// Makes a file that begins with `head`, on disk with its name.
///
/// # Errors
/// Of the file system; there may be a file then that no manifest names.
pub fn create(directory: &Path, head: &Head, sequence: u64) -> io::Result<(File, u64)> {
    fault::io("log-create-error")?;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(directory.join(&head.name))?;
    let bytes = head.encode(sequence);
    file.write_all(&bytes)?;
    files::sync_all(&file)?;
    fault::point("log-created");
    sync_directory(directory)?;
    Ok((file, bytes.len() as u64))
}

/// Makes names durable.
///
/// # Errors
/// Of the file system.
pub fn sync_directory(directory: &Path) -> io::Result<()> {
    if fault::planted("directory-not-synced") {
        return Ok(());
    }
    fault::io("log-directory-error")?;
    files::sync_directory(directory)
}

/// What a file may have at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It was complete and on disk, with so many bytes: whatever is not there is lost.
    Complete(u64),
    /// It was being written to: what had not reached the disk may be missing.
    Open,
}

/// Bytes that are read at once.
const CHUNK: usize = 1024 * 1024;

/// Reads a file from its start to its end, in chunks of whole commands.
pub struct Reader {
    path: std::path::PathBuf,
    file: File,
    ending: Ending,
    pub head: Head,
    length: u64,
    /// Bytes that were read and not given yet, and where in the file they begin.
    buffer: Vec<u8>,
    offset: u64,
    ended: bool,
    /// The number of the last frame.
    pub sequence: u64,
}

/// What comes next in a file.
pub enum Next {
    /// Whole frames whose checksums and numbers were checked, no command in part, and the offset at which they begin.
    Frames(Vec<u8>, u64),
    /// The end. A torn tail begins at the offset, if there is one.
    End { torn_at: Option<u64> },
}

impl Reader {
    /// Opens a file and reads its first frame.
    ///
    /// # Errors
    /// When it cannot be read, does not begin as it should or is not the file of this name.
    pub fn open(directory: &Path, name: &str, ending: Ending) -> Result<Self, OpenError> {
        let path = directory.join(name);
        let io = |error| OpenError::Io { path: path.clone(), error };
        let mut file = File::open(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => OpenError::Missing { path: path.clone() },
            _ => io(error),
        })?;
        let length = file.metadata().map_err(io)?.len();
        let damaged = |offset, what: String| OpenError::Damaged { path: path.clone(), offset, what };
        if let Ending::Complete(bytes) = ending
            && bytes != length
        {
            return Err(damaged(
                length.min(bytes),
                format!("it has {length} bytes, and {bytes} were written"),
            ));
        }
        let mut start = vec![0; (length.min(64 * 1024)) as usize];
        file.read_exact(&mut start).map_err(io)?;
        let first = match frame::read(&start) {
            Ok(first) if first.kind == Kind::Head => first,
            Ok(_) => return Err(damaged(0, "it does not begin as a file of a log".to_owned())),
            Err(Bad::Short(_)) => return Err(damaged(0, "it ends within its first frame".to_owned())),
            Err(Bad::Damaged(what)) => return Err(damaged(0, what.to_owned())),
        };
        let (version, head) = Head::decode(first.payload)
            .ok_or_else(|| damaged(0, "its first frame is not readable".to_owned()))?;
        if version != VERSION {
            return Err(OpenError::Version { path, version });
        }
        if head.name != name {
            return Err(damaged(0, format!("it is the file {}", head.name)));
        }
        let (sequence, offset) = (first.sequence, first.length() as u64);
        file.seek(SeekFrom::Start(offset)).map_err(io)?;
        Ok(Self { path, file, ending, head, length, buffer: Vec::new(), offset, ended: false, sequence })
    }

    /// Bytes of the file.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// What comes next.
    ///
    /// # Errors
    /// When the file cannot be read or is damaged. A torn tail is no error.
    pub fn next(&mut self) -> Result<Next, OpenError> {
        let mut wanted = CHUNK;
        loop {
            self.fill(wanted)?;
            // To the end of the last whole command, and of the last whole frame.
            let (mut whole, mut read) = (0, 0);
            let (mut sequence, mut sequence_of_whole) = (self.sequence, self.sequence);
            let bad = loop {
                let rest = self.buffer.get(read..).unwrap_or_default();
                if rest.is_empty() {
                    break Bad::Short(HEADER);
                }
                let frame = match frame::read(rest) {
                    Ok(frame) => frame,
                    Err(bad) => break bad,
                };
                let numbered = !matches!(frame.kind, Kind::Mark | Kind::Head);
                if frame.sequence != sequence + u64::from(numbered) {
                    break Bad::Damaged("a frame is missing before this one");
                }
                sequence = frame.sequence;
                read += frame.length();
                if !frame.goes_on {
                    (whole, sequence_of_whole) = (read, sequence);
                }
            };
            if whole > 0 {
                let rest = self.buffer.split_off(whole);
                let frames = std::mem::replace(&mut self.buffer, rest);
                let offset = self.offset;
                self.offset += whole as u64;
                self.sequence = sequence_of_whole;
                return Ok(Next::Frames(frames, offset));
            }
            match bad {
                Bad::Short(needed) if !self.ended => {
                    wanted = wanted.max(read + needed).max(self.buffer.len() + CHUNK);
                }
                Bad::Short(_) if self.buffer.is_empty() => return Ok(Next::End { torn_at: None }),
                Bad::Short(_) => return self.tail(read, "it ends within a frame or a command"),
                Bad::Damaged(what) => return self.tail(read, what),
            }
        }
    }

    fn fill(&mut self, wanted: usize) -> Result<(), OpenError> {
        if self.ended || self.buffer.len() >= wanted {
            return Ok(());
        }
        let missing = (wanted - self.buffer.len()) as u64;
        let read = (&mut self.file).take(missing).read_to_end(&mut self.buffer);
        let read = read.map_err(|error| OpenError::Io { path: self.path.clone(), error })?;
        self.ended = (read as u64) < missing;
        Ok(())
    }

    /// What follows is not what was written: damage, or the torn tail of a file that was being written to. It is damage if
    /// some mark behind says that it had been on disk.
    fn tail(&mut self, bad_at: usize, what: &'static str) -> Result<Next, OpenError> {
        let offset = self.offset + bad_at as u64;
        let damaged = OpenError::Damaged { path: self.path.clone(), offset, what: what.to_owned() };
        if self.ending != Ending::Open {
            return Err(damaged);
        }
        self.fill(usize::MAX)?;
        let behind = self.buffer.get(bad_at..).unwrap_or_default();
        let was_on_disk = memchr::memmem::find_iter(behind, &MAGIC)
            .filter_map(|at| frame::read(behind.get(at..)?).ok())
            .filter_map(|frame| marked(&frame, self.head.nonce))
            .any(|mark| mark > offset);
        if was_on_disk && !fault::planted("silent-truncation") {
            return Err(damaged);
        }
        // A command of which only a part is there counts as none of it.
        Ok(Next::End { torn_at: Some(self.offset) })
    }
}
