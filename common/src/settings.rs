//! CONFIG parameters: their table, their values, and CONFIG GET and SET.
//!
//! The table ([`Name`]) has the parameters of Redis 7.0 under their names, with its types, ranges and defaults. Each row says
//! what setting it does ([`Support`]): it works, it works from the
//! start only, it is accepted and ignored, or it is fixed.
//! What is fixed can still be read, and "set" to the value that it has, so that tools which set `activedefrag no` or
//! `protected-mode no` go on working, while nobody is told that something is in force when it is not.

mod output_limits;
mod parameter;
mod stored;
mod support_table;
mod table;
mod value;

use std::borrow::Cow;
use std::collections::BTreeMap;

pub use output_limits::{OutputLimit, OutputLimits};
pub use parameter::{Kind, Parameter, Support};
pub use stored::StoredText;
pub use support_table::{SETTINGS_TABLE_MARKS, settings_table};
pub use table::Name;
pub use value::{Value, percentile};

use crate::error::Error;
use crate::glob;
use crate::resp::{Args, Reply};
use parameter::Row;
use table::{NAMES, TABLE};

/// The current values of all parameters.
#[derive(Clone, Debug)]
pub struct Settings {
    /// By row of the table.
    values: Vec<Value>,
}

/// Changes that are valid together and not yet made.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    values: Vec<(Row, Value)>,
}

impl Changes {
    /// The parameters that change.
    pub fn names(&self) -> impl Iterator<Item = Name> {
        self.values.iter().filter_map(|(row, _)| NAMES.get(*row).copied())
    }

    /// The new values by name, to be sent on or stored.
    #[must_use]
    pub fn stored(&self) -> BTreeMap<String, StoredText> {
        self.values
            .iter()
            .filter_map(|(row, value)| {
                Some((TABLE.get(*row)?.name.to_owned(), StoredText::new(&value.text())))
            })
            .collect()
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self::new()
    }
}

impl Settings {
    /// Every parameter at its default.
    #[must_use]
    pub fn new() -> Self {
        let default = |parameter: &Parameter| {
            // The tests read every default; this keeps a wrong one visible rather than fatal.
            Value::parse(parameter.kind, parameter.default.as_bytes(), None)
                .unwrap_or_else(|_| Value::Text(parameter.default.as_bytes().to_vec()))
        };
        Self { values: TABLE.iter().map(default).collect() }
    }

    /// The value of a parameter.
    #[must_use]
    pub fn value(&self, name: Name) -> &Value {
        &self.values[name as usize]
    }

    /// The value of a parameter of the kind [`Kind::Bool`].
    #[must_use]
    pub fn is(&self, name: Name) -> bool {
        matches!(self.value(name), Value::Bool(true))
    }

    /// The number of a parameter of the kind [`Kind::Integer`] or [`Kind::Memory`] (bytes; at most `i64::MAX`).
    #[must_use]
    pub fn number(&self, name: Name) -> i64 {
        match self.value(name) {
            Value::Integer(number) | Value::Octal(number) => *number,
            Value::Memory(bytes) => i64::try_from(*bytes).unwrap_or(i64::MAX),
            _ => 0,
        }
    }

    /// The number of a parameter that is not negative, as a size.
    #[must_use]
    pub fn size(&self, name: Name) -> usize {
        usize::try_from(self.number(name)).unwrap_or(if self.number(name) < 0 { 0 } else { usize::MAX })
    }

    /// The bytes of a parameter of the kind [`Kind::Memory`].
    #[must_use]
    pub fn bytes(&self, name: Name) -> u64 {
        match self.value(name) {
            Value::Memory(bytes) => *bytes,
            _ => 0,
        }
    }

    /// The word of a parameter of the kind [`Kind::Choice`].
    #[must_use]
    pub fn choice(&self, name: Name) -> &'static str {
        match self.value(name) {
            Value::Choice(word) => word,
            _ => "",
        }
    }

    /// The value as a text that can be read again.
    #[must_use]
    pub fn text(&self, name: Name) -> Cow<'_, [u8]> {
        self.value(name).text()
    }

    /// `client-output-buffer-limit`.
    #[must_use]
    pub fn output_limits(&self) -> OutputLimits {
        match self.value(Name::ClientOutputBufferLimit) {
            Value::OutputLimits(limits) => *limits,
            _ => OutputLimits::default(),
        }
    }

    /// `save`: pairs of seconds and changes.
    #[must_use]
    pub fn save_points(&self) -> Vec<(i64, i64)> {
        let text = self.text(Name::Save);
        let text = String::from_utf8_lossy(&text);
        let numbers: Vec<i64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        numbers.as_chunks::<2>().0.iter().map(|[seconds, changes]| (*seconds, *changes)).collect()
    }

    /// `latency-tracking-info-percentiles`.
    #[must_use]
    pub fn percentiles(&self) -> &[f64] {
        match self.value(Name::LatencyTrackingInfoPercentiles) {
            Value::Percentiles(list) => list,
            _ => &[],
        }
    }

    /// Answers CONFIG GET, of which `patterns` are the arguments. A name that is no pattern is shown as it was written.
    pub fn config_get(&self, patterns: &Args<'_>, reply: &mut Reply<'_>) {
        let mut shown: Vec<(Cow<'_, [u8]>, Row)> = Vec::new();
        let all = || {
            TABLE.iter().enumerate().flat_map(|(row, parameter)| {
                [Some(parameter.name), parameter.alias].into_iter().flatten().map(move |name| (name, row))
            })
        };
        for pattern in patterns.iter() {
            let matching: Vec<(Cow<'_, [u8]>, Row)> = if pattern.iter().any(|byte| b"[*?".contains(byte)) {
                all()
                    .filter(|(name, _)| glob::matches_ignoring_case(pattern, name.as_bytes()))
                    .map(|(name, row)| (Cow::Borrowed(name.as_bytes()), row))
                    .collect()
            } else {
                parameter::find(pattern)
                    .map(|(row, _)| (Cow::Owned(pattern.to_vec()), row))
                    .into_iter()
                    .collect()
            };
            for (name, row) in matching {
                if !shown.iter().any(|(known, _)| known.eq_ignore_ascii_case(&name)) {
                    shown.push((name, row));
                }
            }
        }
        reply.map(shown.len());
        for (name, row) in shown {
            reply.bulk(&name);
            reply.bulk(&self.values[row].shown());
        }
    }

    /// Checks the pairs of names and values of a CONFIG SET, given as its arguments after `CONFIG SET`.
    ///
    /// # Errors
    /// Redis's error for the first pair that is wrong, and a reason of our own where a parameter is fixed.
    pub fn config_set(&self, pairs: &Args<'_>) -> Result<Changes, Error> {
        if !pairs.len().is_multiple_of(2) {
            return Err(Error::Syntax);
        }
        let mut rows: Vec<(Row, &str, &[u8])> = Vec::new();
        for index in (0..pairs.len()).step_by(2) {
            let given = pairs.at(index);
            let Some((row, name)) = parameter::find(given) else {
                let mut text = b"Unknown option or number of arguments for CONFIG SET - '".to_vec();
                text.extend(
                    given.iter().map(|&byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { byte }),
                );
                text.push(b'\'');
                return Err(Error::Bytes(text));
            };
            let given = String::from_utf8_lossy(given);
            match TABLE.get(row).map(|parameter| parameter.support) {
                Some(Support::Start | Support::Constant) => {
                    return Err(failed(&given, "can't set immutable config"));
                }
                Some(Support::Protected) => return Err(failed(&given, "can't set protected config")),
                _ => {}
            }
            // A parameter and its alias may both be there: then the later one holds, as in Redis.
            if rows.iter().any(|(_, known, _)| *known == name) {
                return Err(failed(&given, "duplicate parameter"));
            }
            rows.push((row, name, pairs.at(index + 1)));
        }
        let mut changes = Changes::default();
        for (row, name, text) in rows {
            let value = self.check(row, text, &changes).map_err(|reason| failed(name, &reason))?;
            changes.values.retain(|(other, _)| *other != row);
            changes.values.push((row, value));
        }
        Ok(changes)
    }

    /// Makes changes that were checked. Returns the parameters whose value is another one now.
    pub fn apply(&mut self, changes: Changes) -> Vec<Name> {
        let mut changed = Vec::new();
        for (row, value) in changes.values {
            if let (Some(place), Some(name)) = (self.values.get_mut(row), NAMES.get(row))
                && *place != value
            {
                *place = value;
                changed.push(*name);
            }
        }
        changed
    }

    /// Sets a parameter at the start, from the cluster file or what was stored. What can be set at the start only is
    /// allowed here.
    ///
    /// # Errors
    /// Why not, in one line.
    pub fn load(&mut self, name: &str, text: &[u8]) -> Result<(), String> {
        let Some((row, _)) = parameter::find(name.as_bytes()) else {
            return Err(format!("there is no setting `{}`", name.escape_debug()));
        };
        let value = self
            .check(row, text, &Changes::default())
            .map_err(|reason| format!("setting `{name}` cannot be `{}`: {reason}", text.escape_ascii()))?;
        self.values[row] = value;
        Ok(())
    }

    /// Sets what the process itself knows, as its port and its directory. Such values are shown, and not stored.
    pub fn fix(&mut self, name: Name, text: &str) {
        if let Ok(value) = Value::parse(TABLE[name as usize].kind, text.as_bytes(), None) {
            self.values[name as usize] = value;
        }
    }

    /// The values that differ from their defaults and can be set, by name: what is to be stored.
    #[must_use]
    pub fn stored(&self) -> BTreeMap<String, StoredText> {
        TABLE
            .iter()
            .zip(&self.values)
            .filter(|(parameter, _)| matches!(parameter.support, Support::Live | Support::Ignored))
            .filter(|(parameter, value)| *value.text() != *parameter.default.as_bytes())
            .map(|(parameter, value)| (parameter.name.to_owned(), StoredText::new(&value.text())))
            .collect()
    }

    /// Takes over stored values: those that are not named get their defaults, but for what is set at the start only.
    ///
    /// # Errors
    /// The first value that is wrong, in one line; nothing was changed then.
    pub fn restore(&mut self, stored: &BTreeMap<String, StoredText>) -> Result<Vec<Name>, String> {
        let mut fresh = Self::new();
        for (row, parameter) in TABLE.iter().enumerate() {
            if !matches!(parameter.support, Support::Live | Support::Ignored) {
                fresh.values[row] = self.values[row].clone();
            }
        }
        for (name, text) in stored {
            fresh.load(name, &text.bytes())?;
        }
        let changed =
            NAMES.iter().filter(|name| self.value(**name) != fresh.value(**name)).copied().collect();
        *self = fresh;
        Ok(changed)
    }

    fn check(&self, row: Row, text: &[u8], before: &Changes) -> Result<Value, Cow<'static, str>> {
        let Some(parameter) = TABLE.get(row) else { return Err("no such setting".into()) };
        let now = before.values.iter().find(|(other, _)| *other == row).map(|(_, value)| value);
        let now = now.or_else(|| self.values.get(row));
        let value = Value::parse(parameter.kind, text, now)?;
        match parameter.support {
            _ if Some(&value) == self.values.get(row) => Ok(value),
            Support::Fixed(reason) => Err(reason.into()),
            Support::Constant | Support::Protected => Err("it has one value in Slotway".into()),
            Support::Live | Support::Start | Support::Ignored => Ok(value),
        }
    }
}

impl Name {
    /// Every parameter.
    pub fn all() -> impl Iterator<Item = Self> {
        NAMES.iter().copied()
    }

    /// The row of the parameter.
    #[must_use]
    pub fn parameter(self) -> &'static Parameter {
        &TABLE[self as usize]
    }

    /// The parameter of that name or alias, in any case.
    #[must_use]
    pub fn find(name: &[u8]) -> Option<Self> {
        parameter::find(name).and_then(|(row, _)| NAMES.get(row).copied())
    }
}

/// Whether a file's `settings` could be set, without setting anything: for the check of a cluster file.
///
/// # Errors
/// Why not, in one line.
pub fn check(name: &str, text: &str) -> Result<(), String> {
    Settings::new().load(name, text.as_bytes())
}

fn failed(name: &str, reason: &str) -> Error {
    let name = name.replace(['\r', '\n'], " ");
    Error::err(format!("CONFIG SET failed (possibly related to argument '{name}') - {reason}"))
}

#[cfg(test)]
mod tests;
