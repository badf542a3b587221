//! What goes together: commands, keys and channels.

use std::collections::BTreeMap;

use super::bits::Commands;
use super::rules::RuleError;
use super::{has_blanks, text};
use crate::command::{Categories, Command, Route, find_by_full_name};

/// A pattern of keys, and what may be done with those that match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeyPattern {
    pub pattern: Vec<u8>,
    pub read: bool,
    pub write: bool,
}

/// Commands with the keys and channels that they may be used on.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(super) struct Selector {
    pub commands: Commands,
    /// All commands, also those that nobody has thought of.
    pub all_commands: bool,
    /// First arguments with which a command may be called that is not allowed otherwise, by its row.
    pub first_args: BTreeMap<u16, Vec<Vec<u8>>>,
    pub all_keys: bool,
    pub keys: Vec<KeyPattern>,
    pub all_channels: bool,
    pub channels: Vec<Vec<u8>>,
}

fn command_named(name: &[u8]) -> Result<&'static Command, RuleError> {
    find_by_full_name(name).filter(|row| row.route != Route::Internal).ok_or(RuleError::Unknown)
}

impl Selector {
    /// One that allows nothing, and all channels if that is wanted.
    pub fn new(all_channels: bool) -> Self {
        Self { all_channels, ..Self::default() }
    }

    /// Everything.
    pub fn all() -> Self {
        Self {
            commands: Commands::ALL,
            all_commands: true,
            all_keys: true,
            all_channels: true,
            ..Self::default()
        }
    }

    pub fn is_unrestricted(&self) -> bool {
        self.all_commands && self.all_keys && self.all_channels
    }

    /// Changes it as a rule says.
    pub fn apply(&mut self, rule: &[u8]) -> Result<(), RuleError> {
        let word = text(rule).to_ascii_lowercase();
        match word.as_slice() {
            b"allkeys" | b"~*" => (self.all_keys, self.keys) = (true, Vec::new()),
            b"resetkeys" => (self.all_keys, self.keys) = (false, Vec::new()),
            b"allchannels" | b"&*" => (self.all_channels, self.channels) = (true, Vec::new()),
            b"resetchannels" => (self.all_channels, self.channels) = (false, Vec::new()),
            b"allcommands" | b"+@all" => {
                (self.commands, self.all_commands) = (Commands::ALL, true);
                self.first_args.clear();
            }
            b"nocommands" | b"-@all" => {
                (self.commands, self.all_commands) = (Commands::default(), false);
                self.first_args.clear();
            }
            _ => match rule {
                [b'~' | b'%', ..] => self.add_keys(rule)?,
                [b'&', pattern @ ..] => self.add_channels(pattern)?,
                [b'+', b'@', ..] => self.set_category(word.get(2..).unwrap_or_default(), true)?,
                [b'-', b'@', ..] => self.set_category(word.get(2..).unwrap_or_default(), false)?,
                [b'+', ..] => self.allow(text(rule).get(1..).unwrap_or_default())?,
                [b'-', ..] => self.set_command(command_named(word.get(1..).unwrap_or_default())?, false),
                _ => return Err(RuleError::Syntax),
            },
        }
        Ok(())
    }

    fn add_keys(&mut self, rule: &[u8]) -> Result<(), RuleError> {
        if self.all_keys {
            return Err(RuleError::KeysAfterAll);
        }
        let (mut read, mut write, mut rest) = (true, true, rule.get(1..).unwrap_or_default());
        if rule.first() == Some(&b'%') {
            (read, write) = (false, false);
            loop {
                match rest {
                    [b'r' | b'R', tail @ ..] if !read => (read, rest) = (true, tail),
                    [b'w' | b'W', tail @ ..] if !write => (write, rest) = (true, tail),
                    [b'~', tail @ ..] if read || write => {
                        rest = tail;
                        break;
                    }
                    [] if read || write => break,
                    _ => return Err(RuleError::Syntax),
                }
            }
        }
        if has_blanks(rest) {
            return Err(RuleError::Syntax);
        }
        match self.keys.iter_mut().find(|known| known.pattern == rest) {
            Some(known) => (known.read, known.write) = (known.read | read, known.write | write),
            None => self.keys.push(KeyPattern { pattern: rest.to_vec(), read, write }),
        }
        Ok(())
    }

    fn add_channels(&mut self, pattern: &[u8]) -> Result<(), RuleError> {
        if self.all_channels {
            return Err(RuleError::ChannelsAfterAll);
        }
        if has_blanks(pattern) {
            return Err(RuleError::Syntax);
        }
        if !self.channels.iter().any(|known| known == pattern) {
            self.channels.push(pattern.to_vec());
        }
        Ok(())
    }

    fn set_category(&mut self, name: &[u8], value: bool) -> Result<(), RuleError> {
        let category = Categories::named(name).ok_or(RuleError::Unknown)?;
        self.commands.set_category(category, value);
        self.all_commands &= value;
        let in_category = |id: u16| {
            let row = crate::command::TABLE.get(usize::from(id));
            row.is_some_and(|row| row.categories.contains(category))
        };
        self.first_args.retain(|id, _| !in_category(*id));
        Ok(())
    }

    fn set_command(&mut self, command: &Command, value: bool) {
        self.commands.set(command, value);
        self.all_commands &= value;
        self.first_args.remove(&command.id);
    }

    /// `command`, `container|subcommand` or `command|first-argument`.
    fn allow(&mut self, what: &[u8]) -> Result<(), RuleError> {
        let Some(bar) = what.iter().rposition(|byte| *byte == b'|') else {
            self.set_command(command_named(what)?, true);
            return Ok(());
        };
        let (name, argument) = (what.get(..bar).unwrap_or_default(), what.get(bar + 1..).unwrap_or_default());
        let command = command_named(name)?;
        if command.container.is_some() {
            return Err(RuleError::FirstArgument);
        }
        if argument.is_empty() {
            return Err(RuleError::Syntax);
        }
        if command.is_container() {
            self.set_command(command_named(what)?, true);
            return Ok(());
        }
        let known = self.first_args.entry(command.id).or_default();
        if !known.iter().any(|known| known.eq_ignore_ascii_case(argument)) {
            known.push(argument.to_vec());
        }
        Ok(())
    }
}
