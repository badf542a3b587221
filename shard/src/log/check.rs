//! Examines a directory without changing it, and salvages what is sound of a damaged one into another.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

use slotway_common::platform::files;

use super::file::{Ending, Next, Reader};
use super::format::OpenError;
use super::manifest::{Manifest, Named, data_files};
use crate::changes::frame;
use crate::stream::Kind;

/// What a file of the log was found to be.
struct Examined {
    named: Named,
    frames: BTreeMap<&'static str, u64>,
    /// Whole frames end here.
    sound: u64,
    length: u64,
    /// The numbers before its first frame and of its last.
    numbers: Option<(u64, u64)>,
    torn_at: Option<u64>,
    damage: Option<OpenError>,
}

/// What was found in a directory.
pub struct Report {
    manifest: Manifest,
    files: Vec<Examined>,
    strays: Vec<String>,
}

/// Examines a node's `log` directory.
///
/// # Errors
/// When there is no manifest that can be read, so that nothing is known of the files.
pub fn examine(directory: &Path) -> Result<Report, OpenError> {
    let missing = || OpenError::Missing { path: directory.join(super::manifest::NAME) };
    let manifest = Manifest::read(directory)?.ok_or_else(missing)?;
    let count = manifest.files().count();
    let base = usize::from(manifest.base.is_some());
    let mut files: Vec<Examined> = Vec::new();
    for (number, named) in manifest.files().enumerate() {
        let ending = match named.bytes {
            Some(bytes) => Ending::Complete(bytes),
            None if number + 1 == count && number >= base => Ending::Open,
            None => Ending::Complete(u64::MAX),
        };
        let mut found = examine_file(directory, named, ending);
        let before = files.last().filter(|_| number > base).and_then(|file| file.numbers);
        if let (Some((_, last)), Some((first, _)), None) = (before, found.numbers, &found.damage)
            && last != first
        {
            let what = format!("it goes on after frame {first}, not after {last}");
            found.damage = Some(OpenError::Damaged { path: directory.join(&named.file), offset: 0, what });
            found.sound = 0;
        }
        files.push(found);
    }
    let io = |error| OpenError::Io { path: directory.to_owned(), error };
    let strays = data_files(directory)
        .map_err(io)?
        .iter()
        .filter_map(|path| path.file_name()?.to_str().map(str::to_owned))
        .filter(|name| !manifest.files().any(|named| named.file == *name))
        .collect();
    Ok(Report { manifest, files, strays })
}

fn examine_file(directory: &Path, named: &Named, ending: Ending) -> Examined {
    let mut found = Examined {
        named: named.clone(),
        frames: BTreeMap::new(),
        sound: 0,
        length: directory.join(&named.file).metadata().map_or(0, |data| data.len()),
        numbers: None,
        torn_at: None,
        damage: None,
    };
    let mut reader = match Reader::open(directory, &named.file, ending) {
        Ok(reader) => reader,
        Err(OpenError::Damaged { path, offset, what }) if offset > 0 => {
            // Of another length than was written: what there is can be read all the same.
            found.damage = Some(OpenError::Damaged { path, offset, what });
            match Reader::open(directory, &named.file, Ending::Open) {
                Ok(reader) => reader,
                Err(_) => return found,
            }
        }
        Err(error) => {
            found.damage = Some(error);
            return found;
        }
    };
    let first = reader.sequence;
    loop {
        match reader.next() {
            Ok(Next::Frames(bytes, offset)) => {
                found.sound = offset + bytes.len() as u64;
                let mut rest = bytes.as_slice();
                while let Ok(frame) = frame::parse(rest) {
                    *found.frames.entry(name(frame.kind)).or_default() += 1;
                    rest = rest.get(frame.length()..).unwrap_or_default();
                }
                found.numbers = Some((first, reader.sequence));
            }
            Ok(Next::End { torn_at }) => {
                found.torn_at = torn_at;
                found.numbers = Some((first, reader.sequence));
                return found;
            }
            Err(error) => {
                found.damage.get_or_insert(error);
                return found;
            }
        }
    }
}

/// Lets no slot of a base have frames after `last`: these are lost, and their numbers are given again.
fn lower_ends(directory: &Path, name: &str, file: &File, last: u64) -> Result<(), OpenError> {
    let io = |error| OpenError::Io { path: directory.join(name), error };
    let length = file.metadata().map_err(io)?.len();
    let mut reader = Reader::open(directory, name, Ending::Complete(length))?;
    while let Next::Frames(bytes, offset) = reader.next()? {
        let mut at = 0;
        while let Ok(found) = frame::parse(bytes.get(at..).unwrap_or_default()) {
            let as_of = found.payload.try_into().map_or(0, u64::from_le_bytes);
            if found.kind == Kind::End && as_of > last {
                let mut lowered = Vec::new();
                frame::put(
                    Kind::End,
                    found.db,
                    found.slot,
                    found.sequence,
                    &last.to_le_bytes(),
                    &mut lowered,
                );
                frame::seal(&mut lowered);
                file.write_all_at(&lowered, offset + at as u64).map_err(io)?;
            }
            at += found.length();
        }
    }
    Ok(())
}

fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Begin => "slots",
        Kind::Values => "values",
        Kind::Part => "parts of values",
        Kind::Effect => "commands",
        Kind::Deleted => "deletions",
        Kind::Flushed => "flushed databases",
        Kind::Swapped => "swapped databases",
        Kind::Mark => "marks",
        Kind::Staged | Kind::Arrived => "frames of moves",
        Kind::Attached => "slots that came",
        Kind::Detached => "slots that went",
        _ => "others",
    }
}

impl Report {
    /// The first damage in the order of the files, if there is any.
    #[must_use]
    pub fn damage(&self) -> Option<String> {
        self.files.iter().find_map(|file| file.damage.as_ref()).map(ToString::to_string)
    }

    /// All of it, for people.
    #[must_use]
    pub fn text(&self) -> String {
        let Manifest { node, cluster, off, complete, .. } = &self.manifest;
        let mut text = format!("log of node {node}, cluster {cluster}, format {}\n", self.manifest.version);
        if *off {
            text.push_str("switched off: it is not what the node held last\n");
        }
        if !complete {
            text.push_str("without a base yet: it is worth nothing\n");
        }
        for file in &self.files {
            let kinds: Vec<String> =
                file.frames.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
            let kinds = if kinds.is_empty() { "nothing".to_owned() } else { kinds.join(", ") };
            // Writing to a text does not fail.
            let _ = writeln!(text, "{}: {} bytes: {kinds}", file.named.file, file.length);
            if let Some(offset) = file.torn_at {
                let length = file.length.saturating_sub(offset);
                let _ = writeln!(
                    text,
                    "  a torn tail of {length} bytes at offset {offset}, which a start cuts off"
                );
            }
            if let Some(damage) = &file.damage {
                let _ = writeln!(text, "  {damage}");
            }
        }
        for stray in &self.strays {
            let _ = writeln!(text, "{stray}: no part of the log, dropped at a start");
        }
        text
    }

    /// Copies what is sound, up to the first damage, to a new directory that a node can start with. Gives what was left out,
    /// a line each.
    ///
    /// # Errors
    /// When the base is damaged, so that what comes after it means nothing, or the directory is there or cannot be made.
    pub fn salvage(&self, from: &Path, to: &Path) -> Result<Vec<String>, OpenError> {
        let io = |error| OpenError::Io { path: to.to_owned(), error };
        let mut manifest = Manifest { base: None, increments: Vec::new(), ..self.manifest.clone() };
        let mut left_out = Vec::new();
        let mut kept: Vec<(&str, u64)> = Vec::new();
        let mut is_over = false;
        // The number of the last frame that is kept.
        let mut last = 0;
        for (number, file) in self.files.iter().enumerate() {
            let name = file.named.file.as_str();
            let is_base = number == 0 && self.manifest.base.is_some();
            if is_over {
                left_out.push(format!("{name}: all {} bytes", file.length));
                continue;
            }
            if let (true, Some(damage)) = (is_base, &file.damage) {
                let path = from.join(name);
                let what = format!("nothing can be salvaged without the base ({damage})");
                return Err(OpenError::Damaged { path, offset: file.sound, what });
            }
            let length = match (&file.damage, file.torn_at) {
                (None, None) => file.length,
                (None, Some(offset)) => offset,
                (Some(_), _) => file.sound,
            };
            is_over = file.damage.is_some();
            if let Some((_, number)) = file.numbers.filter(|_| !is_base && length > 0) {
                last = number;
            }
            if length < file.length {
                left_out.push(format!("{name}: {} bytes from offset {length} on", file.length - length));
            }
            if length == 0 {
                continue;
            }
            let named = Named { file: name.to_owned(), bytes: Some(length) };
            if is_base {
                manifest.base = Some(named);
            } else {
                manifest.increments.push(named);
            }
            kept.push((name, length));
        }
        let parent = to.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        std::fs::create_dir_all(parent).map_err(io)?;
        std::fs::create_dir(to).map_err(io)?;
        for (name, length) in kept {
            let path = to.join(name);
            std::fs::copy(from.join(name), &path).map_err(io)?;
            let file = OpenOptions::new().write(true).open(&path).map_err(io)?;
            file.set_len(length).map_err(io)?;
            if manifest.base.as_ref().is_some_and(|base| base.file == name) {
                lower_ends(to, name, &file, last)?;
            }
            files::sync_all(&file).map_err(io)?;
        }
        files::sync_directory(parent).map_err(io)?;
        manifest.write(to).map_err(io)?;
        Ok(left_out)
    }
}
