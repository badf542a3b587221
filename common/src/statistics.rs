//! Calls of commands and the errors that they ended with, as INFO tells them.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use crate::command::{COUNT, Command, TABLE};
use crate::error::Error;

/// Calls of one command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CommandStats {
    pub calls: u64,
    pub microseconds: u64,
    /// Refused before they ran, which are no calls.
    pub rejected: u64,
    /// Ended with an error.
    pub failed: u64,
}

/// What a process has run for clients.
#[derive(Clone, Debug)]
pub struct Statistics {
    /// Calls of all commands.
    pub calls: u64,
    /// Error replies.
    pub errors: u64,
    /// By the id of the command's row.
    by_command: Box<[CommandStats]>,
    /// Error replies by their prefix (`ERR`, `WRONGTYPE`, …).
    by_error: BTreeMap<String, u64>,
}

impl Default for Statistics {
    fn default() -> Self {
        Self {
            calls: 0,
            errors: 0,
            by_command: vec![CommandStats::default(); COUNT].into_boxed_slice(),
            by_error: BTreeMap::new(),
        }
    }
}

/// Distinct prefixes of errors that are counted: scripts can make up their own.
const MAX_PREFIXES: usize = 128;
/// A prefix ends within so many bytes, or the error counts as `ERR`.
const MAX_PREFIX: usize = 31;

impl Statistics {
    /// A command has run.
    #[inline]
    pub fn ran(&mut self, command: &Command, took: Duration) {
        self.calls += 1;
        if let Some(stats) = self.by_command.get_mut(usize::from(command.id)) {
            stats.calls += 1;
            stats.microseconds += took.as_micros() as u64;
        }
    }

    /// A command that was counted as run took this much longer: its client had to wait for data.
    pub fn took_longer(&mut self, command: &Command, took: Duration) {
        if let Some(stats) = self.by_command.get_mut(usize::from(command.id)) {
            stats.microseconds += took.as_micros() as u64;
        }
    }

    /// A command was refused before it ran.
    pub fn rejected(&mut self, command: &Command) {
        if let Some(stats) = self.by_command.get_mut(usize::from(command.id)) {
            stats.rejected += 1;
        }
    }

    /// A command has ended with an error.
    pub fn failed(&mut self, command: &Command) {
        if let Some(stats) = self.by_command.get_mut(usize::from(command.id)) {
            stats.failed += 1;
        }
    }

    /// An error was replied, of which this is the line, without the leading `-`.
    pub fn replied_error(&mut self, line: &[u8]) {
        self.errors += 1;
        let start = line.get(..MAX_PREFIX).unwrap_or(line);
        let prefix = match start.iter().position(|byte| *byte == b' ') {
            Some(end) => String::from_utf8_lossy(&line[..end]).into_owned(),
            None => "ERR".to_owned(),
        };
        if self.by_error.len() < MAX_PREFIXES || self.by_error.contains_key(&prefix) {
            *self.by_error.entry(prefix).or_default() += 1;
        }
    }

    /// The same, of an error.
    pub fn error(&mut self, error: &Error) {
        self.replied_error(&error.wire());
    }

    /// Of one command.
    #[must_use]
    pub fn of(&self, command: &Command) -> CommandStats {
        self.by_command.get(usize::from(command.id)).copied().unwrap_or_default()
    }

    /// The lines of `INFO commandstats`.
    #[must_use]
    pub fn command_lines(&self) -> String {
        let mut text = String::new();
        for (row, stats) in TABLE.iter().zip(&self.by_command) {
            if *stats == CommandStats::default() {
                continue;
            }
            let CommandStats { calls, microseconds, rejected, failed } = *stats;
            let mean = if calls == 0 { 0.0 } else { microseconds as f64 / calls as f64 };
            let _ = write!(
                text,
                "cmdstat_{}:calls={calls},usec={microseconds},usec_per_call={mean:.2},rejected_calls={rejected},\
                 failed_calls={failed}\r\n",
                row.name
            );
        }
        text
    }

    /// The lines of `INFO errorstats`.
    #[must_use]
    pub fn error_lines(&self) -> String {
        let mut text = String::new();
        for (prefix, count) in &self.by_error {
            let _ = write!(text, "errorstat_{prefix}:count={count}\r\n");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::find_by_full_name;

    #[test]
    fn a_refused_command_is_no_call_and_an_error_counts_by_its_first_word() {
        let mut statistics = Statistics::default();
        let get = find_by_full_name(b"get").unwrap();
        statistics.ran(get, Duration::from_micros(3));
        statistics.rejected(get);
        statistics.error(&Error::WrongType);
        statistics.replied_error(b"NOSPACES");
        statistics.replied_error(&[b'x'; 200]);
        assert_eq!(
            statistics.command_lines(),
            "cmdstat_get:calls=1,usec=3,usec_per_call=3.00,rejected_calls=1,failed_calls=0\r\n"
        );
        assert_eq!(statistics.error_lines(), "errorstat_ERR:count=2\r\nerrorstat_WRONGTYPE:count=1\r\n");
        assert_eq!(statistics.errors, 3);
    }

    #[test]
    fn made_up_prefixes_of_errors_are_counted_up_to_a_bound() {
        let mut statistics = Statistics::default();
        (0..1000).for_each(|number| statistics.replied_error(format!("E{number} x").as_bytes()));
        assert_eq!((statistics.errors, statistics.by_error.len()), (1000, MAX_PREFIXES));
    }
}
