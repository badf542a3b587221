//! Values of settings: read as CONFIG SET takes them, written as CONFIG GET shows them.

use std::borrow::Cow;

use super::output_limits::OutputLimits;
use super::parameter::Kind;
use crate::number::parse_i64;

/// A valid value of a parameter.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Bool(bool),
    Integer(i64),
    /// Bytes.
    Memory(u64),
    Percent(u8),
    Octal(i64),
    Choice(&'static str),
    /// Words, numbers or pairs in their canonical text.
    List(String),
    /// Classes of keyspace events.
    Events(String),
    OutputLimits(OutputLimits),
    Percentiles(Vec<f64>),
    Text(Vec<u8>),
}

impl Value {
    /// Reads `text`; `now` is the value that it is going to replace (a list of output limits changes only the classes
    /// that it names).
    ///
    /// # Errors
    /// Redis's reason, as it stands behind the parameter's name in the error of CONFIG SET.
    pub(super) fn parse(kind: Kind, text: &[u8], now: Option<&Self>) -> Result<Self, Cow<'static, str>> {
        match kind {
            Kind::Bool if text.eq_ignore_ascii_case(b"yes") => Ok(Self::Bool(true)),
            Kind::Bool if text.eq_ignore_ascii_case(b"no") => Ok(Self::Bool(false)),
            Kind::Bool => Err("argument must be 'yes' or 'no'".into()),
            Kind::Integer(least, most) => match parse_i64(text) {
                Some(number) if (least..=most).contains(&number) => Ok(Self::Integer(number)),
                Some(_) => Err(between(least, most)),
                None => Err("argument couldn't be parsed into an integer".into()),
            },
            Kind::Frequency => match Self::parse(Kind::Integer(0, i32::MAX.into()), text, now)? {
                Self::Integer(times) => Ok(Self::Integer(times.clamp(1, 500))),
                other => Ok(other),
            },
            Kind::Memory(least, most) => match parse_memory(text) {
                Some(bytes) if (least..=most).contains(&bytes) => Ok(Self::Memory(bytes)),
                Some(_) => Err(between(least, most)),
                None => Err("argument must be a memory value".into()),
            },
            Kind::MemoryOrPercent => memory_or_percent(text),
            Kind::Octal => octal(text).map(Self::Octal),
            Kind::Choice(words) => one_of(words, text).map(Self::Choice),
            Kind::Words(words) => some_of(words, text),
            Kind::Text => Ok(Self::Text(text.to_vec())),
            Kind::HostName if text.len() >= 256 => Err("Hostnames must be less than 256 characters".into()),
            Kind::HostName if text.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.')) => {
                Ok(Self::Text(text.to_vec()))
            }
            Kind::HostName => {
                Err("Hostnames may only contain alphanumeric characters, hyphens or dots".into())
            }
            Kind::SavePoints => save_points(text),
            Kind::OutputLimits => {
                let before = match now {
                    Some(Self::OutputLimits(limits)) => *limits,
                    _ => OutputLimits::default(),
                };
                before.changed_by(text).map(Self::OutputLimits).map_err(Cow::Borrowed)
            }
            Kind::KeyspaceEvents => keyspace_events(text),
            Kind::Percentiles => percentiles(text),
            Kind::OomScores => oom_scores(text),
        }
    }

    /// The text that CONFIG GET shows.
    #[must_use]
    pub fn shown(&self) -> Cow<'_, [u8]> {
        match self {
            // Redis names new keys only beside classes that it names one by one.
            Self::Events(letters) if letters.starts_with('A') => {
                Cow::Owned(letters.replace('n', "").into_bytes())
            }
            other => other.text(),
        }
    }

    /// The value as a text. Reading it gives the value again.
    #[must_use]
    pub fn text(&self) -> Cow<'_, [u8]> {
        let owned = |text: String| Cow::Owned(text.into_bytes());
        match self {
            Self::Bool(true) => Cow::Borrowed(b"yes"),
            Self::Bool(false) => Cow::Borrowed(b"no"),
            Self::Integer(number) => owned(number.to_string()),
            Self::Memory(bytes) => owned(bytes.to_string()),
            Self::Percent(percent) => owned(format!("{percent}%")),
            Self::Octal(number) => owned(format!("{number:o}")),
            Self::Choice(word) => Cow::Borrowed(word.as_bytes()),
            Self::List(text) | Self::Events(text) => Cow::Borrowed(text.as_bytes()),
            Self::OutputLimits(limits) => owned(limits.to_string()),
            Self::Percentiles(list) => {
                owned(list.iter().map(|p| percentile(*p)).collect::<Vec<_>>().join(" "))
            }
            Self::Text(text) => Cow::Borrowed(text),
        }
    }
}

/// A percentile as Redis shows it: at most six decimals.
#[must_use]
pub fn percentile(percentile: f64) -> String {
    let text = format!("{percentile:.6}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Bytes with a unit. As in Redis, a number too large for 64 bits counts as the largest one, and the unit's factor wraps.
pub(super) fn parse_memory(text: &[u8]) -> Option<u64> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let factor = match unit.to_ascii_lowercase().as_slice() {
        b"" | b"b" => 1,
        b"k" => 1000,
        b"kb" => 1 << 10,
        b"m" => 1000 * 1000,
        b"mb" => 1 << 20,
        b"g" => 1000 * 1000 * 1000,
        b"gb" => 1 << 30,
        _ => return None,
    };
    if digits >= 128 {
        return None;
    }
    let number = number.iter().try_fold(0_u64, |sum, digit| {
        sum.checked_mul(10).and_then(|sum| sum.checked_add(u64::from(digit - b'0')))
    });
    Some(number.unwrap_or(u64::MAX).wrapping_mul(factor))
}

fn between(least: impl std::fmt::Display, most: impl std::fmt::Display) -> Cow<'static, str> {
    format!("argument must be between {least} and {most} inclusive").into()
}

fn memory_or_percent(text: &[u8]) -> Result<Value, Cow<'static, str>> {
    const TOO_MUCH: Cow<'static, str> = Cow::Borrowed("percentage argument must be less or equal to 100");
    if let Some(bytes) = parse_memory(text) {
        // Redis keeps percentages as negative numbers, and thus takes sizes above 63 bits for such.
        return match bytes as i64 {
            0.. => Ok(Value::Memory(bytes)),
            percent @ -100..=-1 => Ok(Value::Percent(percent.unsigned_abs() as u8)),
            _ => Err(TOO_MUCH),
        };
    }
    match text.strip_suffix(b"%").and_then(parse_i64) {
        Some(0) => Ok(Value::Memory(0)),
        Some(percent @ 1..=100) => Ok(Value::Percent(percent as u8)),
        Some(101..) => Err(TOO_MUCH),
        _ => Err("argument must be a memory or percent value".into()),
    }
}

fn octal(text: &[u8]) -> Result<i64, Cow<'static, str>> {
    let number = std::str::from_utf8(text).ok().and_then(|text| i64::from_str_radix(text, 8).ok());
    match number {
        Some(number @ 0..=0o777) => Ok(number),
        Some(_) => Err(between(0, 0o777)),
        None => Err("argument couldn't be parsed as an octal number".into()),
    }
}

fn one_of(words: &'static [&'static str], text: &[u8]) -> Result<&'static str, Cow<'static, str>> {
    words
        .iter()
        .find(|word| word.as_bytes().eq_ignore_ascii_case(text))
        .copied()
        .ok_or_else(|| format!("argument(s) must be one of the following: {}", words.join(", ")).into())
}

fn some_of(words: &'static [&'static str], text: &[u8]) -> Result<Value, Cow<'static, str>> {
    let mut chosen = vec![false; words.len()];
    for part in text.split(|&byte| byte == b' ') {
        let word = one_of(words, part)?;
        for (flag, known) in chosen.iter_mut().zip(words) {
            *flag |= *known == word;
        }
    }
    let has = |word: &str| words.iter().zip(&chosen).any(|(known, set)| *known == word && *set);
    if has("save") && has("nosave") {
        return Err("shutdown options SAVE and NOSAVE can't be used simultaneously".into());
    }
    let mut named: Vec<&str> =
        words.iter().zip(&chosen).skip(1).filter(|(_, set)| **set).map(|(word, _)| *word).collect();
    if named.is_empty() {
        named.extend(words.first());
    }
    Ok(Value::List(named.join(" ")))
}

/// Splits at every single space, as Redis does: two in a row have an empty part between them.
pub(super) fn parts(text: &[u8]) -> Vec<&[u8]> {
    if text.is_empty() { Vec::new() } else { text.split(|&byte| byte == b' ').collect() }
}

/// A number as C's `strtoll` reads it, if the whole text is one; too large ones are cut.
pub(super) fn lenient_integer(text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?.trim_start();
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() {
        return text.is_empty().then_some(0);
    }
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(text.parse().unwrap_or(if text.starts_with('-') { i64::MIN } else { i64::MAX }))
}

fn save_points(text: &[u8]) -> Result<Value, Cow<'static, str>> {
    const INVALID: Cow<'static, str> = Cow::Borrowed("Invalid save parameters");
    let parts = parts(text);
    let (pairs, []) = parts.as_chunks::<2>() else { return Err(INVALID) };
    let mut points = Vec::new();
    for [seconds, changes] in pairs {
        match (lenient_integer(seconds), lenient_integer(changes)) {
            // Redis keeps the changes in 32 bits.
            (Some(seconds @ 1..), Some(changes @ 0..)) => {
                points.push(format!("{seconds} {}", changes as i32))
            }
            _ => return Err(INVALID),
        }
    }
    Ok(Value::List(points.join(" ")))
}

fn keyspace_events(text: &[u8]) -> Result<Value, Cow<'static, str>> {
    // Every class that `A` stands for, in the order in which Redis writes them.
    const ALL: &[u8] = b"g$lshzxetd";
    let mut set = Vec::new();
    for &byte in text {
        match byte {
            b'A' => set.extend_from_slice(ALL),
            b'K' | b'E' | b'm' | b'n' => set.push(byte),
            _ if ALL.contains(&byte) => set.push(byte),
            _ => return Err("Invalid event class character. Use 'Ag$lshzxeKEtmdn'.".into()),
        }
    }
    let has = |byte: &u8| set.contains(byte);
    let mut canonical = String::new();
    if ALL.iter().all(has) {
        canonical.push('A');
    } else {
        canonical.extend(ALL.iter().filter(|byte| has(byte)).map(|byte| char::from(*byte)));
    }
    canonical.extend(b"nKEm".iter().filter(|byte| has(byte)).map(|byte| char::from(*byte)));
    Ok(Value::Events(canonical))
}

fn percentiles(text: &[u8]) -> Result<Value, Cow<'static, str>> {
    let mut list = Vec::new();
    for part in parts(text) {
        match crate::number::parse_f64(part) {
            Some(percentile) if (0.0..=100.0).contains(&percentile) => list.push(percentile),
            Some(_) => {
                let reason = "latency-tracking-info-percentiles parameters should sit between [0.0,100.0]";
                return Err(reason.into());
            }
            None => return Err("Invalid latency-tracking-info-percentiles parameters".into()),
        }
    }
    Ok(Value::Percentiles(list))
}

fn oom_scores(text: &[u8]) -> Result<Value, Cow<'static, str>> {
    let parts = parts(text);
    if parts.len() != 3 {
        return Err("wrong number of arguments".into());
    }
    let mut scores = Vec::new();
    for part in parts {
        match lenient_integer(part) {
            Some(score @ -2000..=2000) => scores.push(score.to_string()),
            _ => return Err("Invalid oom-score-adj-values, elements must be between -2000 and 2000.".into()),
        }
    }
    Ok(Value::List(scores.join(" ")))
}
