//! What `slotway up` prints: its own lines and those of its children, each behind a name.

use std::io::{self, IsTerminal, Write};

/// Colours of the names, as SGR parameters: readable on dark and on light grounds.
const COLOURS: [&str; 6] = ["36", "33", "32", "35", "34", "31"];

const OWN_NAME: &str = "slotway";

/// Writes whole lines to standard output.
pub(super) struct Output {
    names: Vec<String>,
    width: usize,
    coloured: bool,
}

impl Output {
    pub(super) fn new<'a>(names: impl Iterator<Item = &'a str>) -> Output {
        let names: Vec<String> = names.map(str::to_owned).collect();
        let width = names.iter().map(String::len).chain([OWN_NAME.len()]).max().unwrap_or_default();
        Output { names, width, coloured: io::stdout().is_terminal() }
    }

    /// A line of this command itself.
    pub(super) fn say(&self, text: &str) {
        self.line(OWN_NAME, text);
    }

    /// A line of a child. If nobody reads any more, it is lost.
    pub(super) fn line(&self, name: &str, text: &str) {
        let line = self.format(name, text);
        let mut out = io::stdout().lock();
        let _ = out.write_all(line.as_bytes()).and_then(|()| out.flush());
    }

    fn format(&self, name: &str, text: &str) -> String {
        let width = self.width;
        if !self.coloured {
            return format!("{name:width$} | {text}\n");
        }
        let colour = match self.names.iter().position(|other| other == name) {
            Some(position) => COLOURS.get(position % COLOURS.len()).copied().unwrap_or_default(),
            None => "1",
        };
        format!("\x1b[{colour}m{name:width$} |\x1b[0m {text}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_in_one_column() {
        let mut output = Output { coloured: false, ..Output::new(["a-0", "orders-eu-0"].into_iter()) };
        assert_eq!(output.format("a-0", "hello"), "a-0         | hello\n");
        assert_eq!(output.format("slotway", "hello"), "slotway     | hello\n");
        output.coloured = true;
        assert_eq!(output.format("a-0", "hello"), "\x1b[36ma-0         |\x1b[0m hello\n");
    }
}
