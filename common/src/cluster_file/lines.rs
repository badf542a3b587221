//! Where in the text each value stands, for reasons that arise after parsing.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser};

use super::Problem;

/// The line of every key and element, by a path such as `shards[1].nodes[0].client`.
pub(super) struct Lines(HashMap<String, usize>);

/// A collection whose end has not been seen.
enum Open {
    Mapping { path: String, key: Option<String> },
    Sequence { path: String, next: usize },
}

impl Lines {
    /// Reads the whole text, and refuses what the types would hide: a key given twice, a second document, no content.
    pub(super) fn of(text: &str) -> Result<Lines, Problem> {
        let mut lines = HashMap::new();
        let mut open: Vec<Open> = Vec::new();
        let mut documents = 0;
        for event in Parser::new_from_str(text) {
            let (event, span) = event.map_err(|error| Problem {
                line: error.marker().line().max(1),
                reason: format!("not valid YAML: {}", error.info()),
            })?;
            let line = span.start.line().max(1);
            match event {
                Event::DocumentStart(_) => {
                    documents += 1;
                    if documents > 1 {
                        return Err(Problem {
                            line,
                            reason: "a second document starts here, a file describes one cluster".to_owned(),
                        });
                    }
                }
                Event::Scalar(value, ..) => {
                    if let Some(Open::Mapping { path, key: key @ None }) = open.last_mut() {
                        let path = join(path, &value);
                        if let Some(first) = lines.insert(path, line) {
                            return Err(Problem {
                                line,
                                reason: format!("key `{value}` is given twice, first in line {first}"),
                            });
                        }
                        *key = Some(value.into_owned());
                        continue;
                    }
                    begin(&mut open, &mut lines, line);
                }
                Event::Alias(_) => drop(begin(&mut open, &mut lines, line)),
                Event::SequenceStart(..) => {
                    refuse_collection_as_key(&open, line)?;
                    let path = begin(&mut open, &mut lines, line);
                    open.push(Open::Sequence { path, next: 0 });
                }
                Event::MappingStart(..) => {
                    refuse_collection_as_key(&open, line)?;
                    let path = begin(&mut open, &mut lines, line);
                    open.push(Open::Mapping { path, key: None });
                }
                Event::SequenceEnd | Event::MappingEnd => drop(open.pop()),
                Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
            }
        }
        if documents == 0 {
            return Err(Problem {
                line: 1,
                reason: "the file is empty, it needs `cluster`, `proxies` and `shards`".to_owned(),
            });
        }
        Ok(Lines(lines))
    }

    /// The line of the value at `path`, or of the closest thing around it.
    pub(super) fn of_path(&self, path: &str) -> usize {
        let mut path = path;
        loop {
            if let Some(line) = self.0.get(path) {
                return *line;
            }
            match path.rfind(['.', '[']) {
                Some(end) => path = path.get(..end).unwrap_or_default(),
                None => return 1,
            }
        }
    }
}

/// Notes that a value begins, and gives its path.
fn begin(open: &mut [Open], lines: &mut HashMap<String, usize>, line: usize) -> String {
    match open.last_mut() {
        None => String::new(),
        Some(Open::Mapping { path, key }) => join(path, &key.take().unwrap_or_default()),
        Some(Open::Sequence { path, next }) => {
            let path = format!("{path}[{next}]");
            *next += 1;
            lines.insert(path.clone(), line);
            path
        }
    }
}

fn refuse_collection_as_key(open: &[Open], line: usize) -> Result<(), Problem> {
    match open.last() {
        Some(Open::Mapping { key: None, .. }) => {
            Err(Problem { line, reason: "a key must be a plain word".to_owned() })
        }
        _ => Ok(()),
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}
