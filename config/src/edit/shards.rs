//! Finds the shards in the text of a cluster file.

use std::ops::Range;

use saphyr_parser::{Event, Parser};

/// Where a shard stands in the text. Places are in bytes.
pub(super) struct ShardText {
    pub(super) name: String,
    /// Written with braces.
    pub(super) is_flow: bool,
    /// Spaces before its keys; of one written with braces, before its first key.
    pub(super) column: usize,
    /// The end of the name.
    pub(super) name_end: usize,
    /// The end of the last value.
    pub(super) end: usize,
    /// From the key `slots` or `weight` to the end of its value.
    pub(super) placement: Option<Range<usize>>,
}

/// A collection whose end has not been seen.
struct Open {
    is_mapping: bool,
    is_flow: bool,
    /// Of a mapping: the key whose value comes next, and where the key begins.
    key: Option<(String, usize)>,
    shard: Option<ShardText>,
}

/// Every shard in the order of the text; none after something that is no YAML.
pub(super) fn find(text: &str) -> Vec<ShardText> {
    // The parser counts characters.
    let mut places: Vec<usize> = text.char_indices().map(|(place, _)| place).collect();
    places.push(text.len());
    let place = |index: usize| places.get(index).copied().unwrap_or(text.len());

    let mut shards = Vec::new();
    let mut open: Vec<Open> = Vec::new();
    let mut last_end = 0;
    for event in Parser::new_from_str(text) {
        let Ok((event, span)) = event else { return shards };
        let (start, end) = (place(span.start.index()), place(span.end.index()));
        match event {
            Event::Scalar(value, ..) => {
                last_end = start + text.get(start..end).unwrap_or_default().trim_end().len();
                let is_shards_entry = in_shards(&open);
                match open.last_mut() {
                    Some(mapping) if mapping.is_mapping && mapping.key.is_none() => {
                        mapping.key = Some((value.into_owned(), start));
                        if let Some(shard) = mapping.shard.as_mut().filter(|shard| shard.end == 0) {
                            shard.column = column(text, start);
                        }
                    }
                    Some(parent) => {
                        let named =
                            is_shards_entry && parent.key.as_ref().is_some_and(|(key, _)| key == "name");
                        if let Some(shard) = parent.shard.as_mut().filter(|_| named) {
                            shard.name = value.into_owned();
                            shard.name_end = last_end;
                        }
                        parent.ends(last_end);
                    }
                    None => {}
                }
            }
            Event::Alias(_) => {
                last_end = end;
                if let Some(parent) = open.last_mut() {
                    parent.ends(end);
                }
            }
            Event::MappingStart(..) | Event::SequenceStart(..) => {
                let is_mapping = matches!(event, Event::MappingStart(..));
                let is_flow = text.get(start..).is_some_and(|rest| rest.starts_with(['{', '[']));
                let shard = (is_mapping && is_shards_list(&open)).then(|| ShardText {
                    name: String::new(),
                    is_flow,
                    column: 0,
                    name_end: 0,
                    end: 0,
                    placement: None,
                });
                open.push(Open { is_mapping, is_flow, key: None, shard });
            }
            Event::MappingEnd | Event::SequenceEnd => {
                let Some(closed) = open.pop() else { continue };
                if closed.is_flow {
                    // Its end takes in the spaces behind the bracket.
                    last_end = start + 1;
                }
                shards.extend(closed.shard);
                if let Some(parent) = open.last_mut() {
                    parent.ends(last_end);
                }
            }
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => {}
        }
    }
    shards
}

impl Open {
    /// A value directly in this collection ends.
    fn ends(&mut self, end: usize) {
        let key = self.key.take();
        let Some(shard) = &mut self.shard else { return };
        shard.end = end;
        if let Some((key, start)) = key
            && matches!(key.as_str(), "slots" | "weight")
        {
            shard.placement = Some(start..end);
        }
    }
}

/// Whether the innermost collection is the list under the file's key `shards`.
fn is_shards_list(open: &[Open]) -> bool {
    matches!(open, [file, list] if file.is_mapping
        && file.key.as_ref().is_some_and(|(key, _)| key == "shards")
        && !list.is_mapping)
}

/// Whether the innermost collection is a shard.
fn in_shards(open: &[Open]) -> bool {
    open.last().is_some_and(|last| last.shard.is_some())
}

/// Characters between the beginning of the line and this place.
fn column(text: &str, place: usize) -> usize {
    let before = text.get(..place).unwrap_or_default();
    before.rsplit('\n').next().unwrap_or_default().chars().count()
}
