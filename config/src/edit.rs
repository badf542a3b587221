//! Changes where a cluster file puts the slots, and nothing else in it: comments and layout stay.
//!
//! Only the `slots` or `weight` of shards that change are written anew. The result is read back: if it does not mean
//! what it should (anchors and merge keys can hide a shard from us), the file is left alone.

mod shards;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use slotway_common::cluster_file::{ClusterFile, ClusterFileError, Placement};
use slotway_common::platform::files;
use slotway_common::topology::SlotRanges;

use crate::plan::shortened;
use shards::ShardText;

/// Longer lines are broken where they have many ranges.
const WIDTH: usize = 100;

/// Why a file was not changed. One line.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    #[error(transparent)]
    Read(#[from] ClusterFileError),
    #[error("{}: shard {shard} is written in a way that cannot be edited: give it `{wanted}` by hand", file.display())]
    Unusual { file: PathBuf, shard: String, wanted: String },
    #[error("{}: cannot be written: {reason}", file.display())]
    Write { file: PathBuf, reason: io::Error },
    #[error("{}: somebody else has changed it meanwhile: try again", file.display())]
    ChangedMeanwhile { file: PathBuf },
}

/// A file with its new text, which has not been written.
pub(crate) struct Edited {
    path: PathBuf,
    before: String,
    after: String,
    /// What the new text means.
    pub(crate) file: ClusterFile,
    /// One line for each shard that changed.
    pub(crate) changes: Vec<String>,
}

impl Edited {
    /// Puts shards, by name, where `wanted` says.
    pub(crate) fn new(path: &Path, wanted: &BTreeMap<String, Placement>) -> Result<Self, EditError> {
        let bytes = std::fs::read(path).map_err(|source| ClusterFileError {
            file: path.to_owned(),
            line: None,
            reason: format!("cannot be read: {source}"),
        })?;
        let file = ClusterFile::of_bytes(path, &bytes)?;
        let before = String::from_utf8_lossy(&bytes).into_owned();
        let (after, changes) = place(&before, &file, wanted);
        let mut expected = file;
        for shard in &mut expected.shards {
            if let Some(placement) = wanted.get(&shard.name) {
                shard.placement = placement.clone();
            }
        }
        match ClusterFile::of_bytes(path, after.as_bytes()) {
            Ok(read) if read == expected => {
                Ok(Self { path: path.to_owned(), before, after, file: expected, changes })
            }
            read => {
                let read = read.ok();
                let found = |name: &str| {
                    let shards = read.iter().flat_map(|file| &file.shards);
                    shards.into_iter().find(|shard| shard.name == name).map(|shard| &shard.placement)
                };
                let missed = wanted.iter().find(|(name, placement)| found(name) != Some(placement));
                let (shard, placement) = missed.or(wanted.iter().next()).map_or_else(
                    || (String::new(), String::new()),
                    |(name, placement)| (name.clone(), written(placement)),
                );
                Err(EditError::Unusual { file: path.to_owned(), shard, wanted: placement })
            }
        }
    }

    /// Replaces the file, at once and whole.
    pub(crate) fn write(&self) -> Result<(), EditError> {
        if self.after == self.before {
            return Ok(());
        }
        let failed = |reason| EditError::Write { file: self.path.clone(), reason };
        // A link stays one: what it leads to is replaced.
        let path = self.path.canonicalize().map_err(failed)?;
        if std::fs::read(&path).map_err(failed)? != self.before.as_bytes() {
            return Err(EditError::ChangedMeanwhile { file: self.path.clone() });
        }
        let permissions = std::fs::metadata(&path).map_err(failed)?.permissions();
        files::replace(&path, self.after.as_bytes()).map_err(failed)?;
        std::fs::set_permissions(&path, permissions).map_err(failed)
    }
}

/// The new text, and what was changed.
fn place(text: &str, file: &ClusterFile, wanted: &BTreeMap<String, Placement>) -> (String, Vec<String>) {
    let mut after = text.to_owned();
    let mut changes = Vec::new();
    // From the end to the beginning, so that places before a change stay where they are.
    for shard in shards::find(text).iter().rev() {
        let known = file.shards.iter().find(|known| known.name == shard.name);
        let Some(placement) = wanted.get(&shard.name) else { continue };
        if known.is_some_and(|known| known.placement == *placement) {
            continue;
        }
        put(&mut after, shard, placement);
        changes.push(format!("shard {}: {}", shard.name, shown(placement)));
    }
    changes.reverse();
    (after, changes)
}

fn put(text: &mut String, shard: &ShardText, placement: &Placement) {
    let newline = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let line_start =
        |at: usize| text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |end| end + 1);
    let leading =
        |start: usize| text.get(start..).map_or(0, |line| line.len() - line.trim_start_matches(' ').len());
    if let Some(range) = shard.placement.clone() {
        let start = line_start(range.start);
        let new = wrapped(placement, range.start - start, leading(start) + 6, newline);
        text.replace_range(range, &new);
    } else if shard.is_flow {
        let start = line_start(shard.end);
        let new = wrapped(placement, shard.end - start + 2, leading(start) + 6, newline);
        text.insert_str(shard.end, &format!(", {new}"));
    } else {
        // On a line of its own below the name, so that a comment behind the name stays with it.
        let new = wrapped(placement, shard.column, shard.column + 4, newline);
        let indent = " ".repeat(shard.column);
        match text.get(shard.name_end..).and_then(|rest| rest.find('\n')) {
            Some(end) => text.insert_str(shard.name_end + end + 1, &format!("{indent}{new}{newline}")),
            None => text.push_str(&format!("{newline}{indent}{new}")),
        }
    }
}

/// `slots: 0-99`, `slots: [0-99, 105]`, `weight: 0`.
fn written(placement: &Placement) -> String {
    match placement {
        Placement::Weight(weight) => format!("weight: {weight}"),
        Placement::Slots(slots) => match slots.ranges() {
            [range] => format!("slots: {range}"),
            _ => format!("slots: [{}]", texts(slots).join(", ")),
        },
    }
}

/// As [`written`], but of many ranges the first only.
fn shown(placement: &Placement) -> String {
    match placement {
        Placement::Slots(slots) if slots.ranges().len() > 1 => format!("slots: {}", shortened(slots)),
        _ => written(placement),
    }
}

fn texts(slots: &SlotRanges) -> Vec<String> {
    slots.ranges().iter().map(ToString::to_string).collect()
}

/// As [`written`], broken into lines if it would be too long behind `column`; later lines get this indentation.
fn wrapped(placement: &Placement, column: usize, indentation: usize, newline: &str) -> String {
    let one_line = written(placement);
    let Placement::Slots(slots) = placement else { return one_line };
    if column + one_line.len() < WIDTH || slots.ranges().len() < 2 {
        return one_line;
    }
    let indent = " ".repeat(indentation);
    let mut text = "slots: [".to_owned();
    let mut width = WIDTH;
    for range in texts(slots) {
        if width + range.len() + 2 > WIDTH {
            text = text.trim_end().to_owned() + newline + &indent;
            width = indentation;
        }
        text += &range;
        text += ", ";
        width += range.len() + 2;
    }
    text.trim_end_matches(", ").to_owned() + newline + indent.get(2..).unwrap_or_default() + "]"
}
