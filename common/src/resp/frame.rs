//! Finds the end of a reply without decoding it.
//!
//! A proxy forwards replies as the bytes that came in, so all it needs of a reply is where it ends and what kind of
//! reply it is. [`Scanner`] reads RESP2 and RESP3, keeps its place when a reply is split anywhere (inside a length, in
//! the middle of a CR LF, between two elements) and never looks at a byte twice. It holds no bytes and calls no
//! function recursively: nesting is a count of the frames still owed, so a deep reply costs no stack.
//!
//! Format: RESP3 specification (github.com/redis/redis-specifications, protocol/RESP3.md), streamed types included.

use memchr::memchr;

/// Longest body of one string, in bytes. Redis itself stops at `proto-max-bulk-len`, 512 MB unless configured; DUMP
/// payloads and verbatim texts stay under that too.
pub const MAX_BODY: u64 = 1 << 32;
/// Longest line (simple strings, errors, numbers), in bytes without its type byte. Big numbers and error texts are
/// lines, and neither is long in practice.
pub const MAX_LINE: usize = 1 << 20;
/// Most frames that one reply may consist of, elements of nested aggregates included.
pub const MAX_FRAMES: u64 = 1 << 32;
/// Deepest nesting of streamed aggregates, the only nesting that needs memory.
pub const MAX_STREAMED_DEPTH: usize = 32;

/// What was wrong with a reply. The connection that it came from cannot be used any further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The first byte of a frame is none of the types.
    #[error("unknown reply type byte {0:#04x}")]
    Type(u8),
    /// A length or a count that is not a number, or a negative one where there is no such thing.
    #[error("bad length in a reply")]
    Length,
    /// A CR without its LF, or a body that is longer than its length says.
    #[error("reply without its line end")]
    LineEnd,
    /// One of the limits of this module.
    #[error("reply over the limit of {0}")]
    Limit(&'static str),
    /// `.` or `;` outside the streamed type that they belong to.
    #[error("part of a streamed reply out of place")]
    Streamed,
    /// A reply that nothing asked for; for those who keep count, the scanner itself does not.
    #[error("reply without a request")]
    Unexpected,
}

/// How far [`Scanner::scan`] came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// The reply ends `usize` bytes into the given bytes (at least 1). The scanner is ready for the next reply.
    Complete(usize),
    /// All given bytes belong to the reply and it is not over yet.
    Partial,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// At the type byte of a frame.
    Type,
    /// In a line whose content does not matter. `cr`: the last byte seen was a CR.
    Line {
        cr: bool,
        length: usize,
    },
    /// In the line of a length or count.
    Number {
        kind: u8,
        sign: Sign,
        digits: u8,
        value: u64,
    },
    /// After `?` or the CR of a number line.
    NumberEnd {
        kind: u8,
        sign: Sign,
        value: u64,
    },
    /// In a body of which `left` bytes and a CR LF are still to come.
    Body {
        left: u64,
        streamed: bool,
    },
    BodyCr {
        streamed: bool,
    },
    BodyLf {
        streamed: bool,
    },
    /// Between two chunks of a streamed string.
    Chunk,
    /// After `.`, the end of a streamed aggregate.
    End,
    EndLf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    Plus,
    Minus,
    /// A `?` instead of a number: the size is not known in advance.
    Unknown,
}

/// What is still owed by an outer streamed aggregate while an inner one is read.
#[derive(Debug, Clone, Copy)]
struct Streamed {
    owed: u64,
    was_streamed: bool,
}

/// Resumable scanner for a sequence of replies.
#[derive(Debug)]
pub struct Scanner {
    state: State,
    /// Frames still to come until the reply is complete, the current one included. Not counted inside a streamed
    /// aggregate, which ends with its own mark.
    owed: u64,
    /// Whether the innermost open aggregate is a streamed one.
    streamed: bool,
    outer: Vec<Streamed>,
    frames: u64,
    /// Type byte of the reply itself; 0 until known.
    first: u8,
    /// Whether `first` is that of the current reply already.
    named: bool,
}

impl Default for Scanner {
    fn default() -> Self {
        Self::new()
    }
}

impl Scanner {
    /// A scanner at the start of a reply.
    pub const fn new() -> Self {
        Self {
            state: State::Type,
            owed: 1,
            streamed: false,
            outer: Vec::new(),
            frames: 0,
            first: 0,
            named: false,
        }
    }

    /// Whether the scanner stands between two replies.
    #[inline]
    pub fn is_idle(&self) -> bool {
        self.frames == 0 && self.state == State::Type
    }

    /// Type byte of the reply that is being scanned or was completed last (`b'$'`, `b'-'`, `b'>'`, …), attributes in
    /// front of it left out. 0 before the first byte.
    #[inline]
    pub fn kind(&self) -> u8 {
        self.first
    }

    /// Reads on. After [`Progress::Complete`] the next call starts the next reply, at the byte after the end.
    ///
    /// # Errors
    /// [`FrameError`] when the bytes are no RESP. The scanner is unusable afterwards.
    #[inline]
    pub fn scan(&mut self, bytes: &[u8]) -> Result<Progress, FrameError> {
        if self.frames == 0
            && self.state == State::Type
            && let Some((kind, end)) = whole_simple_frame(bytes)
        {
            self.first = kind;
            return Ok(Progress::Complete(end));
        }
        self.scan_slowly(bytes)
    }

    fn scan_slowly(&mut self, bytes: &[u8]) -> Result<Progress, FrameError> {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            match self.state {
                State::Type => {
                    at += 1;
                    self.begin(byte)?;
                }
                State::Line { cr, length } => {
                    let rest = &bytes[at..];
                    match memchr(b'\n', rest) {
                        Some(end) => {
                            let ended = if end == 0 { cr } else { rest[end - 1] == b'\r' };
                            if !ended {
                                return Err(FrameError::LineEnd);
                            }
                            at += end + 1;
                            if self.frame_done() {
                                return Ok(self.complete(at));
                            }
                        }
                        None => {
                            let length = length + rest.len();
                            if length > MAX_LINE {
                                return Err(FrameError::Limit("line length"));
                            }
                            self.state = State::Line { cr: rest.last() == Some(&b'\r'), length };
                            return Ok(Progress::Partial);
                        }
                    }
                }
                State::Number { kind, sign, digits, value } => {
                    at += 1;
                    self.state = match byte {
                        b'0'..=b'9' if sign != Sign::Unknown && digits < 19 => State::Number {
                            kind,
                            sign,
                            digits: digits + 1,
                            value: value * 10 + u64::from(byte - b'0'),
                        },
                        b'-' if digits == 0 && sign == Sign::Plus => {
                            State::Number { kind, sign: Sign::Minus, digits, value }
                        }
                        b'?' if digits == 0 && sign == Sign::Plus => {
                            State::Number { kind, sign: Sign::Unknown, digits: 1, value }
                        }
                        b'\r' if digits > 0 => State::NumberEnd { kind, sign, value },
                        _ => return Err(FrameError::Length),
                    };
                }
                State::NumberEnd { kind, sign, value } => {
                    at += 1;
                    if byte != b'\n' {
                        return Err(FrameError::LineEnd);
                    }
                    if self.number(kind, sign, value)? {
                        return Ok(self.complete(at));
                    }
                }
                State::Body { left, streamed } => {
                    let here = (bytes.len() - at) as u64;
                    if here <= left {
                        let left = left - here;
                        self.state = if left == 0 {
                            State::BodyCr { streamed }
                        } else {
                            State::Body { left, streamed }
                        };
                        return Ok(Progress::Partial);
                    }
                    at += left as usize;
                    self.state = State::BodyCr { streamed };
                }
                State::BodyCr { streamed } => {
                    at += 1;
                    if byte != b'\r' {
                        return Err(FrameError::LineEnd);
                    }
                    self.state = State::BodyLf { streamed };
                }
                State::BodyLf { streamed } => {
                    at += 1;
                    if byte != b'\n' {
                        return Err(FrameError::LineEnd);
                    }
                    if streamed {
                        self.state = State::Chunk;
                    } else if self.frame_done() {
                        return Ok(self.complete(at));
                    }
                }
                State::Chunk => {
                    at += 1;
                    if byte != b';' {
                        return Err(FrameError::Streamed);
                    }
                    self.state = State::Number { kind: b';', sign: Sign::Plus, digits: 0, value: 0 };
                }
                State::End => {
                    at += 1;
                    if byte != b'\r' {
                        return Err(FrameError::LineEnd);
                    }
                    self.state = State::EndLf;
                }
                State::EndLf => {
                    at += 1;
                    if byte != b'\n' {
                        return Err(FrameError::LineEnd);
                    }
                    let Some(outer) = self.outer.pop() else { return Err(FrameError::Streamed) };
                    self.owed = outer.owed;
                    self.streamed = outer.was_streamed;
                    if self.frame_done() {
                        return Ok(self.complete(at));
                    }
                }
            }
        }
        Ok(Progress::Partial)
    }

    /// Takes the type byte of the next frame.
    fn begin(&mut self, kind: u8) -> Result<(), FrameError> {
        self.frames += 1;
        if self.frames > MAX_FRAMES {
            return Err(FrameError::Limit("elements"));
        }
        // An attribute comes before its reply and owes its own frames first, so the reply's own type byte is the first
        // one seen while a single frame is owed.
        if !self.named && self.owed == 1 && kind != b'|' {
            self.first = kind;
            self.named = true;
        }
        self.state = match kind {
            b'+' | b'-' | b':' | b',' | b'#' | b'(' | b'_' => State::Line { cr: false, length: 0 },
            b'$' | b'=' | b'!' | b'*' | b'~' | b'>' | b'%' | b'|' => {
                State::Number { kind, sign: Sign::Plus, digits: 0, value: 0 }
            }
            // Only directly inside a streamed aggregate, that is when none of the counted elements is owed.
            b'.' if self.streamed && self.owed == 0 => State::End,
            b'.' | b';' => return Err(FrameError::Streamed),
            other => return Err(FrameError::Type(other)),
        };
        // Inside a streamed aggregate elements are not owed before they begin.
        if self.streamed && self.owed == 0 && kind != b'.' {
            self.owed = 1;
        }
        Ok(())
    }

    /// Acts on the length or count of a frame; true when the reply is complete.
    fn number(&mut self, kind: u8, sign: Sign, value: u64) -> Result<bool, FrameError> {
        match (kind, sign) {
            (b'$' | b'=' | b'!', Sign::Plus) => {
                self.body(value, false)?;
                Ok(false)
            }
            (b'$', Sign::Unknown) => {
                self.state = State::Chunk;
                Ok(false)
            }
            (b';', Sign::Plus) if value == 0 => Ok(self.frame_done()),
            (b';', Sign::Plus) => {
                self.body(value, true)?;
                Ok(false)
            }
            // The null string and the null array of RESP2.
            (b'$' | b'*', Sign::Minus) if value == 1 => Ok(self.frame_done()),
            (b'*' | b'~' | b'>' | b'%' | b'|', Sign::Plus) => {
                let each = if matches!(kind, b'%' | b'|') { 2 } else { 1 };
                let elements = value.checked_mul(each).ok_or(FrameError::Limit("elements"))?;
                let owed = self.owed.checked_add(elements).ok_or(FrameError::Limit("elements"))?;
                if owed > MAX_FRAMES {
                    return Err(FrameError::Limit("elements"));
                }
                self.owed = owed;
                self.state = State::Type;
                // An attribute is not the frame that was owed.
                if kind == b'|' { Ok(false) } else { Ok(self.frame_done()) }
            }
            (b'*' | b'~' | b'%', Sign::Unknown) => {
                if self.outer.len() >= MAX_STREAMED_DEPTH {
                    return Err(FrameError::Limit("streamed nesting"));
                }
                self.outer.push(Streamed { owed: self.owed, was_streamed: self.streamed });
                self.streamed = true;
                self.owed = 0;
                self.state = State::Type;
                Ok(false)
            }
            _ => Err(FrameError::Length),
        }
    }

    fn body(&mut self, length: u64, streamed: bool) -> Result<(), FrameError> {
        if length > MAX_BODY {
            return Err(FrameError::Limit("string length"));
        }
        self.state =
            if length == 0 { State::BodyCr { streamed } } else { State::Body { left: length, streamed } };
        Ok(())
    }

    /// Counts a frame as done; true when the whole reply is.
    #[inline]
    fn frame_done(&mut self) -> bool {
        self.state = State::Type;
        self.owed = self.owed.saturating_sub(1);
        self.owed == 0 && self.outer.is_empty()
    }

    #[inline]
    fn complete(&mut self, at: usize) -> Progress {
        self.state = State::Type;
        self.owed = 1;
        self.frames = 0;
        self.named = false;
        Progress::Complete(at)
    }
}

/// The common case: a line or a string that lies whole in `bytes`. Returns its type byte and its end; `None` leaves
/// everything else, malformed input too, to the state machine.
#[inline]
fn whole_simple_frame(bytes: &[u8]) -> Option<(u8, usize)> {
    let kind = *bytes.first()?;
    match kind {
        b'$' => {
            let mut at = 1;
            let mut length = 0usize;
            // Nine digits cannot overflow and cover every string that could lie in one read.
            while at <= 9 {
                let byte = *bytes.get(at)?;
                if !byte.is_ascii_digit() {
                    break;
                }
                length = length * 10 + usize::from(byte - b'0');
                at += 1;
            }
            if at == 1 || bytes.get(at..at + 2)? != b"\r\n" {
                return None;
            }
            let end = at + 2 + length;
            if bytes.get(end..end + 2)? != b"\r\n" {
                return None;
            }
            Some((kind, end + 2))
        }
        b'+' | b':' | b'_' | b'-' | b'#' | b',' => {
            let end = memchr(b'\n', bytes)?;
            if end >= 2 && bytes.get(end - 1) == Some(&b'\r') { Some((kind, end + 1)) } else { None }
        }
        _ => None,
    }
}

/// The elements of a complete array, set, push or map reply, as the bytes that they came in.
///
/// For merging replies that were framed by a [`Scanner`] before. Attributes stay with the element behind them.
#[derive(Clone, Debug)]
pub struct Elements<'a> {
    rest: &'a [u8],
    left: u64,
}

impl<'a> Elements<'a> {
    /// Opens an aggregate; `None` when `reply` is something else (a null array, an error, a string).
    pub fn open(reply: &'a [u8]) -> Option<Self> {
        let kind = *reply.first()?;
        let each = match kind {
            b'*' | b'~' | b'>' => 1,
            b'%' => 2,
            _ => return None,
        };
        let (count, header) = count_line(reply)?;
        Some(Self { rest: reply.get(header..)?, left: count.checked_mul(each)? })
    }

    /// Elements not taken yet; a map has two for each pair.
    pub fn left(&self) -> u64 {
        self.left
    }

    /// The bytes of the elements not taken yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        if self.left == 0 {
            return None;
        }
        self.left -= 1;
        let end = match whole_simple_frame(self.rest) {
            Some((_, end)) => end,
            None => match Scanner::new().scan_slowly(self.rest) {
                Ok(Progress::Complete(end)) => end,
                Ok(Progress::Partial) | Err(_) => {
                    self.left = 0;
                    return None;
                }
            },
        };
        let (element, rest) = self.rest.split_at_checked(end)?;
        self.rest = rest;
        Some(element)
    }
}

/// The number in the first line of a frame (`:12`, `*3`, `$5`) and the length of that line with its CR LF.
fn count_line(frame: &[u8]) -> Option<(u64, usize)> {
    let end = memchr(b'\r', frame)?;
    let mut count = 0u64;
    let digits = frame.get(1..end)?;
    if digits.is_empty() {
        return None;
    }
    for &digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        count = count.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
    }
    Some((count, end + 2))
}

/// The value of a complete integer reply; `None` when the reply is of another type.
pub fn integer(reply: &[u8]) -> Option<i64> {
    let line = reply.strip_prefix(b":")?.strip_suffix(b"\r\n")?;
    std::str::from_utf8(line).ok()?.parse().ok()
}

/// The content of a complete string reply (bulk or simple; a verbatim string without its format); `None` for every
/// other type, the null string included.
pub fn string(reply: &[u8]) -> Option<&[u8]> {
    match *reply.first()? {
        b'+' => reply.get(1..)?.strip_suffix(b"\r\n"),
        kind @ (b'$' | b'=') => {
            let (length, header) = count_line(reply)?;
            let body = reply.get(header..header.checked_add(usize::try_from(length).ok()?)?)?;
            if kind == b'=' { body.get(4..) } else { Some(body) }
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
