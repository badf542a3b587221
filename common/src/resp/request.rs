//! Request framing: multibulk and inline commands, with Redis's limits and protocol errors.

use std::fmt;
use std::ops::Index;

use crate::number::parse_i64;

/// Longest inline request, and longest count line, in bytes.
const MAX_LINE: usize = 64 * 1024;

/// What a client may send before the connection is closed.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Longest argument in bytes (`proto-max-bulk-len`).
    pub max_bulk: usize,
    /// False until AUTH has succeeded where it is needed: then at most 10 arguments of 16 KiB.
    pub authenticated: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_bulk: 512 * 1024 * 1024, authenticated: true }
    }
}

/// A request that cannot be framed. [`ProtocolError::reply`] is sent, then the connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolError {
    BigInline,
    UnbalancedQuotes,
    BigCount,
    InvalidCount,
    UnauthenticatedCount,
    BigBulkCount,
    ExpectedDollar(u8),
    InvalidBulk,
    UnauthenticatedBulk,
}

impl ProtocolError {
    /// The error reply, byte for byte as Redis sends it: the byte that was no `$` comes back as it is, which need not
    /// be UTF-8.
    #[must_use]
    pub fn reply(&self) -> Vec<u8> {
        match self {
            Self::ExpectedDollar(byte @ 0x80..) => {
                [b"-ERR Protocol error: expected '$', got '", &[*byte][..], b"'\r\n"].concat()
            }
            _ => format!("-ERR Protocol error: {self}\r\n").into_bytes(),
        }
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BigInline => f.write_str("too big inline request"),
            Self::UnbalancedQuotes => f.write_str("unbalanced quotes in request"),
            Self::BigCount => f.write_str("too big mbulk count string"),
            Self::InvalidCount => f.write_str("invalid multibulk length"),
            Self::UnauthenticatedCount => f.write_str("unauthenticated multibulk length"),
            Self::BigBulkCount => f.write_str("too big bulk count string"),
            // Redis puts the byte through its error reply, where line breaks become spaces.
            Self::ExpectedDollar(b'\r' | b'\n') => f.write_str("expected '$', got ' '"),
            Self::ExpectedDollar(byte) => write!(f, "expected '$', got '{}'", char::from(*byte)),
            Self::InvalidBulk => f.write_str("invalid bulk length"),
            Self::UnauthenticatedBulk => f.write_str("unauthenticated bulk length"),
        }
    }
}

impl std::error::Error for ProtocolError {}

/// Where an argument lies: start and length in bytes.
pub type Span = (u32, u32);

/// The arguments of one command, the name included, as slices of the read buffer.
#[derive(Clone, Copy)]
pub struct Args<'a> {
    buffer: &'a [u8],
    spans: &'a [Span],
}

impl<'a> Args<'a> {
    /// Arguments at `spans` of `buffer`. Every span must lie inside the buffer.
    #[must_use]
    pub fn new(buffer: &'a [u8], spans: &'a [Span]) -> Self {
        Self { buffer, spans }
    }

    /// Number of arguments, the command's name included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    #[must_use]
    #[inline]
    pub fn get(&self, index: usize) -> Option<&'a [u8]> {
        let (start, length) = *self.spans.get(index)?;
        self.buffer.get(start as usize..start as usize + length as usize)
    }

    /// Argument `index` with the buffer's lifetime; empty when there is none.
    #[must_use]
    #[inline]
    pub fn at(&self, index: usize) -> &'a [u8] {
        self.get(index).unwrap_or_default()
    }

    /// The last argument; empty when there is none.
    #[must_use]
    pub fn last(&self) -> &'a [u8] {
        self.at(self.len().wrapping_sub(1))
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &'a [u8]> + ExactSizeIterator + use<'a> {
        let buffer = self.buffer;
        self.spans
            .iter()
            .map(move |&(start, length)| &buffer[start as usize..start as usize + length as usize])
    }

    /// The arguments from `from` on.
    #[must_use]
    pub fn rest(&self, from: usize) -> Args<'a> {
        Args { buffer: self.buffer, spans: self.spans.get(from..).unwrap_or_default() }
    }

    /// The arguments `from..to`.
    #[must_use]
    pub fn range(&self, from: usize, to: usize) -> Args<'a> {
        Args { buffer: self.buffer, spans: self.spans.get(from..to).unwrap_or_default() }
    }

    /// True when argument `index` is `word`, ASCII case ignored.
    #[must_use]
    pub fn is(&self, index: usize, word: &str) -> bool {
        self.get(index).is_some_and(|arg| arg.eq_ignore_ascii_case(word.as_bytes()))
    }

    /// Appends the command to `out` as a multibulk request.
    pub fn encode(&self, out: &mut Vec<u8>) {
        encode(self.iter(), out);
    }
}

impl Index<usize> for Args<'_> {
    type Output = [u8];

    fn index(&self, index: usize) -> &[u8] {
        let (start, length) = self.spans[index];
        &self.buffer[start as usize..start as usize + length as usize]
    }
}

impl fmt::Debug for Args<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|arg| arg.escape_ascii().to_string())).finish()
    }
}

/// Appends `args` to `out` as a multibulk request.
pub fn encode<'a>(args: impl ExactSizeIterator<Item = &'a [u8]>, out: &mut Vec<u8>) {
    write_header(b'*', args.len(), out);
    for arg in args {
        write_header(b'$', arg.len(), out);
        out.extend_from_slice(arg);
        out.extend_from_slice(b"\r\n");
    }
}

pub(super) fn write_header(kind: u8, number: usize, out: &mut Vec<u8>) {
    let mut digits = itoa::Buffer::new();
    out.push(kind);
    out.extend_from_slice(digits.format(number).as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// What [`Parser::parse`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// The frame is not whole yet: call again with the same start and more bytes.
    Incomplete,
    /// A whole frame of this many bytes; [`Parser::args`] has its arguments (none for an empty line).
    Frame(usize),
}

/// An incremental request parser: it continues where it stopped, so a large request that arrives
/// in many pieces is scanned once.
#[derive(Debug, Default)]
pub struct Parser {
    spans: Vec<Span>,
    /// Offset of the first byte not looked at yet, from the frame's start.
    position: usize,
    /// Arguments still to come of a multibulk request whose count has been read.
    remaining: Option<usize>,
    /// Length of the bulk whose header has been read.
    bulk: Option<usize>,
    /// Arguments of an inline request, unquoted; spans point here then.
    inline: Option<Vec<u8>>,
    done: bool,
}

impl Parser {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The arguments of the frame just found; `buffer` must start with that frame.
    #[must_use]
    #[inline]
    pub fn args<'a>(&'a self, buffer: &'a [u8]) -> Args<'a> {
        Args { buffer: self.inline.as_deref().unwrap_or(buffer), spans: &self.spans }
    }

    /// The arguments' places, from the frame's start (for an inline request: in its own copy).
    #[must_use]
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// True when the frame just found was an inline request, which cannot be forwarded as it is.
    #[must_use]
    pub fn is_inline(&self) -> bool {
        self.inline.is_some()
    }

    /// Bytes that the frame in progress is known to need from its start (0 when unknown).
    #[must_use]
    pub fn needed(&self) -> usize {
        self.bulk.map_or(0, |length| self.position + length + 2)
    }

    /// Gives back memory held for a large request.
    pub fn shrink(&mut self) {
        if self.spans.capacity() > 64 {
            self.spans = Vec::new();
        }
        self.inline = None;
    }

    /// Looks for one request at the start of `buffer`.
    ///
    /// # Errors
    /// A [`ProtocolError`] when the bytes are no request; the connection cannot be used further.
    #[inline]
    pub fn parse(&mut self, buffer: &[u8], limits: &Limits) -> Result<Parsed, ProtocolError> {
        if self.done {
            self.done = false;
            self.position = 0;
            self.inline = None;
        }
        if self.position == 0 {
            match buffer.first() {
                None => return Ok(Parsed::Incomplete),
                Some(b'*') => {}
                Some(_) => return self.parse_inline(buffer),
            }
        }
        self.parse_multibulk(buffer, limits)
    }

    fn finish(&mut self, length: usize) -> Parsed {
        self.done = true;
        self.remaining = None;
        self.bulk = None;
        Parsed::Frame(length)
    }

    fn parse_multibulk(&mut self, buffer: &[u8], limits: &Limits) -> Result<Parsed, ProtocolError> {
        let mut remaining = match self.remaining {
            Some(remaining) => remaining,
            None => {
                let Some((count, next)) = number_line(buffer, 1).map_err(|reason| match reason {
                    BadLine::Long => ProtocolError::BigCount,
                    BadLine::NotNumber => ProtocolError::InvalidCount,
                })?
                else {
                    return Ok(Parsed::Incomplete);
                };
                if count > i64::from(i32::MAX) {
                    return Err(ProtocolError::InvalidCount);
                }
                if count > 10 && !limits.authenticated {
                    return Err(ProtocolError::UnauthenticatedCount);
                }
                self.spans.clear();
                self.position = next;
                let count = usize::try_from(count).unwrap_or(0);
                if count == 0 {
                    return Ok(self.finish(next));
                }
                self.spans.reserve(count.min(1024));
                count
            }
        };
        while remaining > 0 {
            let length = match self.bulk {
                Some(length) => length,
                None => match self.bulk_header(buffer, limits)? {
                    Some(length) => length,
                    None => {
                        self.remaining = Some(remaining);
                        return Ok(Parsed::Incomplete);
                    }
                },
            };
            let end = self.position + length;
            if buffer.len() < end + 2 {
                self.bulk = Some(length);
                self.remaining = Some(remaining);
                return Ok(Parsed::Incomplete);
            }
            self.bulk = None;
            self.spans.push((to_u32(self.position), to_u32(length)));
            self.position = end + 2;
            remaining -= 1;
        }
        Ok(self.finish(self.position))
    }

    #[inline]
    fn bulk_header(&mut self, buffer: &[u8], limits: &Limits) -> Result<Option<usize>, ProtocolError> {
        // Redis looks at the first byte only once the whole line is there.
        let line = number_line(buffer, self.position + 1);
        if let (Ok(Some(_)) | Err(BadLine::NotNumber), Some(&first)) = (&line, buffer.get(self.position))
            && first != b'$'
        {
            return Err(ProtocolError::ExpectedDollar(first));
        }
        let (length, next) = match line {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(None),
            Err(BadLine::Long) => return Err(ProtocolError::BigBulkCount),
            Err(BadLine::NotNumber) => return Err(ProtocolError::InvalidBulk),
        };
        let length = usize::try_from(length).map_err(|_| ProtocolError::InvalidBulk)?;
        if length > limits.max_bulk || length > u32::MAX as usize / 2 {
            return Err(ProtocolError::InvalidBulk);
        }
        if length > 16_384 && !limits.authenticated {
            return Err(ProtocolError::UnauthenticatedBulk);
        }
        self.position = next;
        Ok(Some(length))
    }

    fn parse_inline(&mut self, buffer: &[u8]) -> Result<Parsed, ProtocolError> {
        // As in Redis, which looks for the line end in a C string, a line with a NUL in it never ends. Cutting it there
        // would run another command than the one that was meant.
        let newline = memchr::memchr2(b'\n', 0, buffer).filter(|&end| buffer.get(end) == Some(&b'\n'));
        let Some(newline) = newline else {
            return if buffer.len() > MAX_LINE {
                Err(ProtocolError::BigInline)
            } else {
                Ok(Parsed::Incomplete)
            };
        };
        let line = &buffer[..newline];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        self.spans.clear();
        let mut text = Vec::with_capacity(line.len());
        split_words(line, &mut text, &mut self.spans)?;
        self.inline = Some(text);
        Ok(self.finish(newline + 1))
    }
}

fn to_u32(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

enum BadLine {
    Long,
    NotNumber,
}

/// Reads the number from `start` to the next line end; gives it and the offset behind the line.
#[inline]
fn number_line(buffer: &[u8], start: usize) -> Result<Option<(i64, usize)>, BadLine> {
    let Some(line) = buffer.get(start..) else { return Ok(None) };
    // Nearly every count has one to three digits.
    if let [digit @ b'0'..=b'9', b'\r', _, ..] = line {
        return Ok(Some((i64::from(digit - b'0'), start + 3)));
    }
    if let [tens @ b'1'..=b'9', ones @ b'0'..=b'9', b'\r', _, ..] = line {
        return Ok(Some((i64::from(tens - b'0') * 10 + i64::from(ones - b'0'), start + 4)));
    }
    match memchr::memchr(b'\r', line) {
        None if line.len() > MAX_LINE => Err(BadLine::Long),
        None => Ok(None),
        Some(end) if end + 1 >= line.len() => Ok(None),
        Some(end) => match parse_i64(&line[..end]) {
            Some(number) => Ok(Some((number, start + end + 2))),
            None => Err(BadLine::NotNumber),
        },
    }
}

/// Splits an inline request into words, with the quoting rules of redis-cli: `"…"` with escapes
/// `\n \r \t \b \a \xHH`, `'…'` with `\'`; a closing quote must be followed by a blank or the end.
fn split_words(line: &[u8], text: &mut Vec<u8>, spans: &mut Vec<Span>) -> Result<(), ProtocolError> {
    let is_blank = |byte: u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c);
    let mut rest = line;
    loop {
        while let [first, tail @ ..] = rest
            && is_blank(*first)
        {
            rest = tail;
        }
        if rest.is_empty() {
            return Ok(());
        }
        let start = text.len();
        rest = one_word(rest, text, is_blank).ok_or(ProtocolError::UnbalancedQuotes)?;
        spans.push((to_u32(start), to_u32(text.len() - start)));
    }
}

/// The words of a line, with the quoting rules of inline requests; nothing if a quote is left open.
#[must_use]
pub fn split_line(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let (mut text, mut spans) = (Vec::new(), Vec::new());
    split_words(line, &mut text, &mut spans).ok()?;
    let word = |(start, length): &Span| {
        let start = *start as usize;
        text.get(start..start + *length as usize).unwrap_or_default().to_vec()
    };
    Some(spans.iter().map(word).collect())
}

fn one_word<'a>(mut rest: &'a [u8], text: &mut Vec<u8>, is_blank: impl Fn(u8) -> bool) -> Option<&'a [u8]> {
    loop {
        match rest {
            [] => return Some(&[]),
            [byte, tail @ ..] if is_blank(*byte) => return Some(tail),
            [quote @ (b'"' | b'\''), tail @ ..] => {
                rest = quoted(*quote, tail, text)?;
                return match rest {
                    [] => Some(rest),
                    [next, ..] if is_blank(*next) => Some(rest),
                    _ => None,
                };
            }
            [byte, tail @ ..] => {
                text.push(*byte);
                rest = tail;
            }
        }
    }
}

/// Reads a quoted text behind its opening quote; gives what follows the closing one.
fn quoted<'a>(quote: u8, mut rest: &'a [u8], text: &mut Vec<u8>) -> Option<&'a [u8]> {
    let hex = |digit: u8| char::from(digit).to_digit(16);
    loop {
        match (quote, rest) {
            (_, []) => return None,
            (b'"', [b'\\', b'x', high, low, tail @ ..]) if hex(*high).is_some() && hex(*low).is_some() => {
                text.push((hex(*high)? * 16 + hex(*low)?) as u8);
                rest = tail;
            }
            (b'"', [b'\\', escaped, tail @ ..]) => {
                text.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 8,
                    b'a' => 7,
                    other => *other,
                });
                rest = tail;
            }
            (b'\'', [b'\\', b'\'', tail @ ..]) => {
                text.push(b'\'');
                rest = tail;
            }
            (_, [byte, tail @ ..]) if *byte == quote => return Some(tail),
            (_, [byte, tail @ ..]) => {
                text.push(*byte);
                rest = tail;
            }
        }
    }
}

#[cfg(test)]
mod tests;
