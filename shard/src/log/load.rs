//! Reads a directory back at the start: the base, then the increments, each frame once it is known to be whole.
//!
//! A thread reads and checks ([`super::file`]); the data thread applies what it is given, in slices, and answers clients
//! meanwhile. Nothing expires before the last frame.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use slotway_common::fault;
use slotway_common::platform::{clock, files, threads};
use slotway_common::slot::{SLOTS, Slot};
use tokio::sync::mpsc;

use super::Log;
use super::directory::Opened;
use super::file::{self, Ending, Next, Reader};
use super::format::OpenError;
use super::manifest::Named;
use crate::call::Handlers;
use crate::changes::Changes;
use crate::changes::frame::{self, Frame};
use crate::engine::{Engine, SlotSpace};
use crate::migration::Target;
use crate::parts::Parts;
use crate::role::Loading;
use crate::stream::{self, Digest, Fields, HEADER, Kind, Sink};

/// Chunks that are read ahead.
const AHEAD: usize = 8;

/// What reading fills.
pub struct Loaded<'a> {
    pub engine: &'a mut Engine,
    pub log: &'a mut Log,
    pub changes: &'a mut Changes,
    /// Slots that are here whole and not owned yet, with their moves' ids.
    pub arrived: &'a mut BTreeMap<Slot, (String, SlotSpace)>,
    /// Parts and outcomes of transactions across shards.
    pub parts: &'a mut Parts,
}

/// What the reading thread gives.
pub enum Piece {
    Frames { file: usize, bytes: Vec<u8>, offset: u64 },
    Done(Box<Done>),
}

/// How it ended.
pub struct Done {
    opened: Opened,
    sequence: u64,
    torn: Option<(PathBuf, u64, u64)>,
}

/// Applies what is read.
pub struct Loader {
    pieces: mpsc::Receiver<Result<Piece, OpenError>>,
    paths: Vec<PathBuf>,
    has_base: bool,
    sink: Sink,
    handlers: &'static Handlers,
    /// Of each slot the number of the last frame that the base has in it.
    as_of: Vec<u64>,
    targets: BTreeMap<String, Target>,
    arrived: BTreeMap<Slot, (String, SlotSpace)>,
    base_is_complete: bool,
    progress: Loading,
}

impl Loader {
    /// Begins to read.
    ///
    /// # Errors
    /// When a file is missing, or no thread can be started.
    pub fn start(opened: Opened, now: i64, handlers: &'static Handlers) -> Result<Self, OpenError> {
        let directory = opened.directory.clone();
        let paths: Vec<PathBuf> = opened.manifest.files().map(|named| directory.join(&named.file)).collect();
        let mut total_bytes = 0;
        for path in &paths {
            total_bytes += path.metadata().map_err(|_| OpenError::Missing { path: path.clone() })?.len();
        }
        let progress = Loading { since: now / 1000, total_bytes, loaded_bytes: Arc::default() };
        let (sender, pieces) = mpsc::channel(AHEAD);
        let has_base = opened.manifest.base.is_some();
        let read = progress.loaded_bytes.clone();
        threads::spawn("log-read", move || {
            let result = read_all(opened, &sender, &read);
            // Who reads may have given up.
            let _ = sender.blocking_send(result.map(|done| Piece::Done(Box::new(done))));
        })
        .map_err(|error| OpenError::Io { path: directory, error })?;
        Ok(Self {
            pieces,
            paths,
            has_base,
            sink: Sink::new(handlers),
            handlers,
            as_of: vec![0; usize::from(SLOTS)],
            targets: BTreeMap::new(),
            arrived: BTreeMap::new(),
            base_is_complete: false,
            progress,
        })
    }

    #[must_use]
    pub fn progress(&self) -> Loading {
        self.progress.clone()
    }

    /// Waits for what was read next.
    ///
    /// # Errors
    /// When the directory is damaged.
    pub async fn next(&mut self) -> Result<Piece, OpenError> {
        let piece = self.pieces.recv().await;
        piece.ok_or_else(|| OpenError::Missing { path: self.paths.last().cloned().unwrap_or_default() })?
    }

    /// Applies what was read; false after the last, when the log goes on in a new increment.
    ///
    /// # Errors
    /// When the directory is damaged, or cannot be written to.
    pub fn apply(&mut self, piece: Piece, to: &mut Loaded<'_>) -> Result<bool, OpenError> {
        match piece {
            Piece::Frames { file, bytes, offset } => {
                fault::point("log-loading");
                self.frames(to, file, &bytes, offset)?;
                Ok(true)
            }
            Piece::Done(done) => self.finish(to, *done).map(|()| false),
        }
    }

    fn frames(
        &mut self,
        to: &mut Loaded<'_>,
        file: usize,
        bytes: &[u8],
        offset: u64,
    ) -> Result<(), OpenError> {
        let mut at = 0;
        while let Ok(found) = frame::parse(bytes.get(at..).unwrap_or_default()) {
            let of_base = file == 0 && self.has_base;
            let applied =
                if of_base { self.of_base(&found, to.engine) } else { self.of_increment(&found, to) };
            applied.map_err(|what| OpenError::Damaged {
                path: self.paths.get(file).cloned().unwrap_or_default(),
                offset: offset + at as u64,
                what,
            })?;
            at += found.length();
        }
        Ok(())
    }

    fn of_base(&mut self, found: &Frame<'_>, engine: &mut Engine) -> Result<(), String> {
        let Frame { kind, db, slot, payload, .. } = *found;
        match kind {
            Kind::Begin => {
                let old = engine.detach(slot);
                engine.free(old);
            }
            Kind::End => {
                let as_of =
                    payload.try_into().map(u64::from_le_bytes).map_err(|_| "a slot's end has no number")?;
                if let Some(place) = self.as_of.get_mut(usize::from(slot)) {
                    *place = as_of;
                }
            }
            Kind::Complete => self.base_is_complete = true,
            _ => self.put((kind, db, slot), payload, engine)?,
        }
        Ok(())
    }

    fn of_increment(&mut self, found: &Frame<'_>, to: &mut Loaded<'_>) -> Result<(), String> {
        let Loaded { engine, parts, .. } = to;
        let Frame { kind, db, slot, sequence, payload, .. } = *found;
        let is_new = self.as_of.get(usize::from(slot)).is_none_or(|as_of| sequence > *as_of);
        match kind {
            Kind::Mark => {}
            // Whatever the base has of the slot: a part has changed nothing of it yet.
            Kind::Prepared | Kind::Outcome => parts.read(kind, payload, clock::monotonic())?,
            Kind::Staged => self.staged(found, engine)?,
            Kind::Arrived => self.arrived(payload, engine)?,
            Kind::Attached => {
                let Some((_, space)) = self.arrived.remove(&slot) else {
                    return if is_new {
                        Err("a slot is taken over that has not arrived".to_owned())
                    } else {
                        Ok(())
                    };
                };
                if is_new {
                    engine.attach(slot, space);
                } else {
                    engine.free(space);
                }
            }
            Kind::Detached if is_new => {
                let space = engine.detach(slot);
                engine.free(space);
            }
            Kind::Detached => {}
            _ if is_new => self.put((kind, db, slot), payload, engine)?,
            _ => {}
        }
        Ok(())
    }

    fn put(&mut self, head: (Kind, usize, Slot), payload: &[u8], engine: &mut Engine) -> Result<(), String> {
        self.sink.apply(head, payload, engine).map_err(|error| format!("a frame cannot be applied: {error}"))
    }

    fn staged(&mut self, found: &Frame<'_>, engine: &Engine) -> Result<(), String> {
        let mut fields = Fields::new(found.payload);
        let id = fields.bytes().ok_or("a staged frame has no id")?;
        let kind = fields.byte().and_then(Kind::of).ok_or("a staged frame has no kind")?;
        let id = String::from_utf8_lossy(id).into_owned();
        let handlers = self.handlers;
        let target = self
            .targets
            .entry(id)
            .or_insert_with(|| Target::new(engine.limits, handlers, engine.lazy_free()));
        let frame = stream::Frame {
            kind,
            db: found.db,
            slot: found.slot,
            sequence: found.sequence,
            payload: fields.rest(),
        };
        target.apply(&frame, Digest::default()).map_err(|error| error.to_string())?;
        Ok(())
    }

    fn arrived(&mut self, payload: &[u8], engine: &Engine) -> Result<(), String> {
        let mut fields = Fields::new(payload);
        let id = fields.bytes().ok_or("an arrival has no id")?;
        let id = String::from_utf8_lossy(id).into_owned();
        let target = self.targets.get_mut(&id).ok_or("what arrives has not begun to")?;
        while let Some(slot) = fields.fixed::<2>().map(u16::from_le_bytes) {
            if let Some((_, old)) = self.arrived.insert(slot, (id.clone(), target.hand_over(slot))) {
                engine.free(old);
            }
        }
        Ok(())
    }

    /// Tells of a torn tail, and goes on in a new increment.
    fn finish(&mut self, to: &mut Loaded<'_>, done: Done) -> Result<(), OpenError> {
        let Done { mut opened, sequence, torn } = done;
        if self.has_base && !self.base_is_complete {
            let path = self.paths.first().cloned().unwrap_or_default();
            let offset = path.metadata().map_or(0, |data| data.len());
            return Err(OpenError::Damaged { path, offset, what: "it has no end".to_owned() });
        }
        let as_of = self.as_of.iter().copied().max().unwrap_or(0);
        if as_of > sequence {
            let path = self.paths.last().cloned().unwrap_or_default();
            let offset = path.metadata().map_or(0, |data| data.len());
            let what = format!("it ends with frame {sequence}, and the base knows of frame {as_of}");
            return Err(OpenError::Damaged { path, offset, what });
        }
        if let Some((path, offset, length)) = torn {
            tracing::warn!(
                "{}: a torn tail of {} bytes at offset {offset} is cut off: it was being written when the process ended",
                path.display(),
                length - offset
            );
        }
        self.targets.clear();
        *to.arrived = std::mem::take(&mut self.arrived);
        to.engine.loaded();
        let directory = opened.directory.clone();
        let io = |error| OpenError::Io { path: directory.clone(), error };
        opened.manifest.pass_over(&directory).map_err(io)?;
        to.log.resume(to.engine, to.changes, opened, sequence).map_err(io)?;
        fault::point("log-loaded");
        Ok(())
    }
}

fn read_all(
    mut opened: Opened,
    sender: &mpsc::Sender<Result<Piece, OpenError>>,
    loaded: &AtomicU64,
) -> Result<Done, OpenError> {
    let directory = opened.directory.clone();
    let mut torn = None;
    let mut file = 0;
    if let Some(base) = opened.manifest.base.clone() {
        let ending = Ending::Complete(base.bytes.unwrap_or(0));
        read_file(&opened, &base, file, ending, sender, loaded)?;
        file += 1;
    }
    let count = opened.manifest.increments.len();
    let mut sequence = None;
    let mut empty = Vec::new();
    for number in 0..count {
        let Some(mut named) = opened.manifest.increments.get(number).cloned() else { break };
        let is_last = number + 1 == count;
        let ending = match named.bytes {
            Some(bytes) => Ending::Complete(bytes),
            None if is_last => Ending::Open,
            None => {
                let path = directory.join(super::manifest::NAME);
                let what = format!("{} is neither complete nor the last increment", named.file);
                return Err(OpenError::Damaged { path, offset: 0, what });
            }
        };
        let (reader, torn_at) = read_file(&opened, &named, file, ending, sender, loaded)?;
        let path = directory.join(&named.file);
        if sequence.is_some_and(|before| before != reader.first) {
            let what =
                format!("it goes on after frame {}, not after {}", reader.first, sequence.unwrap_or(0));
            return Err(OpenError::Damaged { path, offset: 0, what });
        }
        sequence = Some(reader.last);
        if let Some(offset) = torn_at {
            torn = Some((path.clone(), offset, reader.length));
        }
        named.bytes = Some(torn_at.unwrap_or(reader.length));
        if reader.first == reader.last && torn_at.is_none_or(|offset| offset == reader.head) {
            empty.push(named.file.clone());
        } else if named.bytes != Some(reader.length) || ending == Ending::Open {
            cut(&path, named.bytes.unwrap_or(0)).map_err(|error| OpenError::Io { path, error })?;
        }
        if let Some(place) = opened.manifest.increments.get_mut(number) {
            *place = named;
        }
        file += 1;
    }
    opened.manifest.increments.retain(|named| !empty.contains(&named.file));
    Ok(Done { opened, sequence: sequence.unwrap_or(0), torn })
}

/// Leaves `length` bytes of the file, on disk.
fn cut(path: &std::path::Path, length: u64) -> std::io::Result<()> {
    let file = std::fs::OpenOptions::new().write(true).open(path)?;
    if file.metadata()?.len() != length {
        file.set_len(length)?;
    }
    fault::point("log-cut");
    files::sync_all(&file)?;
    path.parent().map_or(Ok(()), file::sync_directory)
}

/// What a file turned out to be.
struct Found {
    /// The numbers of the frames before its first one and of its last.
    first: u64,
    last: u64,
    length: u64,
    /// Bytes of its first frame.
    head: u64,
}

fn read_file(
    opened: &Opened,
    named: &Named,
    file: usize,
    ending: Ending,
    sender: &mpsc::Sender<Result<Piece, OpenError>>,
    loaded: &AtomicU64,
) -> Result<(Found, Option<u64>), OpenError> {
    let Opened { directory, manifest } = opened;
    let mut reader = Reader::open(directory, &named.file, ending)?;
    if (&reader.head.node, &reader.head.cluster) != (&manifest.node, &manifest.cluster) {
        return Err(OpenError::Other {
            path: directory.join(&named.file),
            ours: format!("node {} of cluster {}", manifest.node, manifest.cluster),
            theirs: format!("node {} of cluster {}", reader.head.node, reader.head.cluster),
        });
    }
    let first = reader.sequence;
    let head = reader.head.encode(0).len() as u64;
    debug_assert!(head >= HEADER as u64);
    loop {
        match reader.next()? {
            Next::Frames(bytes, offset) => {
                loaded.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                if sender.blocking_send(Ok(Piece::Frames { file, bytes, offset })).is_err() {
                    return Err(OpenError::Missing { path: directory.clone() });
                }
            }
            Next::End { torn_at } => {
                let found = Found { first, last: reader.sequence, length: reader.length(), head };
                return Ok((found, torn_at));
            }
        }
    }
}
