//! Replies become values of Lua, and the other way round.

use slotway_common::error::Error;
use slotway_common::number::parse_i64;
use slotway_common::resp::{Protocol, Reply};

use super::lua::{Frame, Kind, whole};

/// Nested replies beyond this are not looked into; no command has them.
const DEEPEST: usize = 64;

/// Pushes a whole reply as a value. Gives false when it is an error.
pub fn push_reply(frame: &mut Frame<'_>, reply: &[u8]) -> bool {
    let is_error = reply.first() == Some(&b'-');
    let mut reader = Reader { rest: reply };
    if reader.value(frame, 0).is_none() {
        frame.push_nil();
    }
    !is_error
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn line(&mut self) -> Option<&'a [u8]> {
        let end = memchr::memchr(b'\r', self.rest)?;
        let line = self.rest.get(..end)?;
        self.rest = self.rest.get(end + 2..)?;
        Some(line)
    }

    fn body(&mut self, length: usize) -> Option<&'a [u8]> {
        let body = self.rest.get(..length)?;
        self.rest = self.rest.get(length.checked_add(2)?..)?;
        Some(body)
    }

    /// Pushes the next value; `None` when the bytes are no reply.
    fn value(&mut self, frame: &mut Frame<'_>, depth: usize) -> Option<()> {
        let (&kind, text) = self.line()?.split_first()?;
        let number = || parse_i64(text);
        let length = || number().and_then(|number| usize::try_from(number).ok());
        match kind {
            b':' => frame.push_number(number()? as f64),
            b'$' if text == b"-1" => frame.push_boolean(false),
            b'$' => frame.push_bytes(self.body(length()?)?),
            b'+' => {
                frame.push_table(0, 1);
                frame.push_bytes(text);
                frame.set_field(-2, b"ok");
            }
            b'-' => {
                let mut line = vec![b'-'];
                line.extend_from_slice(text);
                push_command_error(frame, &line);
            }
            b'*' if text == b"-1" => frame.push_boolean(false),
            b'*' | b'>' => {
                let count = self.aggregate(frame, length()?, depth)?;
                frame.push_table(count, 0);
                for number in 1..=i32::try_from(count).ok()? {
                    self.value(frame, depth + 1)?;
                    frame.set_element(-2, number);
                }
            }
            b'%' | b'~' => {
                let count = self.aggregate(frame, length()?, depth)?;
                frame.push_table(0, 1);
                frame.push_table(0, 0);
                for _ in 0..count {
                    self.value(frame, depth + 1)?;
                    if kind == b'%' {
                        self.value(frame, depth + 1)?;
                    } else {
                        frame.push_boolean(true);
                    }
                    frame.set(-3);
                }
                frame.set_field(-2, if kind == b'%' { b"map" } else { b"set" });
            }
            b'|' => {
                for _ in 0..length()?.checked_mul(2)? {
                    self.value(frame, depth + 1)?;
                    frame.pop(1);
                }
                self.value(frame, depth)?;
            }
            b'_' => frame.push_nil(),
            b'#' => frame.push_boolean(text == b"t"),
            b',' => {
                frame.push_table(0, 1);
                let number = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
                frame.push_number(number.unwrap_or(f64::NAN));
                frame.set_field(-2, b"double");
            }
            b'(' => {
                frame.push_table(0, 1);
                frame.push_bytes(text);
                frame.set_field(-2, b"big_number");
            }
            b'=' => {
                let body = self.body(length()?)?;
                frame.push_table(0, 1);
                frame.push_table(0, 2);
                frame.push_bytes(body.get(4..)?);
                frame.set_field(-2, b"string");
                frame.push_bytes(body.get(..3)?);
                frame.set_field(-2, b"format");
                frame.set_field(-2, b"verbatim_string");
            }
            _ => return None,
        }
        Some(())
    }

    fn aggregate(&mut self, frame: &mut Frame<'_>, count: usize, depth: usize) -> Option<usize> {
        (depth < DEEPEST && frame.has_room(8)).then_some(count)
    }
}

/// Pushes an error as scripts see it. A text with a `-` in front is a whole line, whose first word is the code; any other
/// is one without a code.
pub fn push_error(frame: &mut Frame<'_>, text: &[u8]) {
    let message = match text.strip_prefix(b"-") {
        None => [b"ERR ", text.trim_ascii_end()].concat(),
        Some(line) => match memchr::memchr(b' ', line) {
            None => [b"ERR ", trim_line_ends(line)].concat(),
            Some(end) => {
                let (code, rest) = line.split_at(end);
                [code, b" ", trim_line_ends(rest.get(1..).unwrap_or_default())].concat()
            }
        },
    };
    frame.push_table(0, 3);
    frame.push_bytes(&message);
    frame.set_field(-2, b"err");
}

fn trim_line_ends(text: &[u8]) -> &[u8] {
    let is_end = |byte: &u8| matches!(byte, b'\r' | b'\n');
    let start = text.iter().position(|byte| !is_end(byte)).unwrap_or(text.len());
    let end = text.iter().rposition(|byte| !is_end(byte)).map_or(start, |last| last + 1);
    text.get(start..end).unwrap_or_default()
}

/// The error of a command, which has been counted as such already.
pub fn push_command_error(frame: &mut Frame<'_>, line: &[u8]) {
    push_error(frame, line);
    frame.push_boolean(true);
    frame.set_field(-2, b"ignore_error_stats_update");
}

/// Whether the error at `index` is that of a command.
fn is_counted(frame: &mut Frame<'_>, index: i32) -> bool {
    let counted = frame.push_field(index, b"ignore_error_stats_update") == Kind::Boolean && frame.truth(-1);
    frame.pop(1);
    counted
}

/// Writes the value at the top of the stack, which goes, as a reply. `protocol` is the one that the script has chosen.
///
/// # Errors
/// The value is an error at the outermost level.
pub fn write_result(frame: &mut Frame<'_>, protocol: Protocol, reply: &mut Reply<'_>) -> Result<(), Error> {
    if frame.kind(-1) == Kind::Table {
        if frame.push_field(-1, b"err") == Kind::String {
            let line = error_line(frame.bytes(-1).unwrap_or_default());
            frame.pop(1);
            let counted = is_counted(frame, -1);
            frame.pop(1);
            return Err(if counted { Error::Counted(line) } else { Error::Whole(line) });
        }
        frame.pop(1);
    }
    write_value(frame, protocol, reply);
    Ok(())
}

/// As C takes a text for a line of a reply: up to the first null byte, without line ends at its end, and with blanks for
/// others.
fn error_line(text: &[u8]) -> Vec<u8> {
    let text = up_to_null(text);
    let end = text.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n')).map_or(0, |last| last + 1);
    text.iter().take(end).map(|&byte| blank(byte)).collect()
}

fn up_to_null(text: &[u8]) -> &[u8] {
    text.split(|&byte| byte == 0).next().unwrap_or_default()
}

fn blank(byte: u8) -> u8 {
    if matches!(byte, b'\r' | b'\n') { b' ' } else { byte }
}

fn write_value(frame: &mut Frame<'_>, protocol: Protocol, reply: &mut Reply<'_>) {
    if !frame.has_room(4) {
        reply.error(&Error::err("reached lua stack limit"));
        frame.pop(1);
        return;
    }
    match frame.kind(-1) {
        Kind::String => reply.bulk(frame.bytes(-1).unwrap_or_default()),
        Kind::Number => reply.int(whole(frame.number(-1).unwrap_or(0.0))),
        Kind::Boolean => match (protocol, frame.truth(-1)) {
            (Protocol::Resp3, value) => reply.boolean(value),
            (Protocol::Resp2, true) => reply.int(1),
            (Protocol::Resp2, false) => reply.null(),
        },
        Kind::Table => write_table(frame, protocol, reply),
        _ => reply.null(),
    }
    frame.pop(1);
}

fn write_table(frame: &mut Frame<'_>, protocol: Protocol, reply: &mut Reply<'_>) {
    if frame.push_field(-1, b"err") == Kind::String {
        reply.error(&Error::Whole(error_line(frame.bytes(-1).unwrap_or_default())));
        return frame.pop(1);
    }
    frame.pop(1);
    if frame.push_field(-1, b"ok") == Kind::String {
        let line: Vec<u8> =
            up_to_null(frame.bytes(-1).unwrap_or_default()).iter().map(|&byte| blank(byte)).collect();
        reply.raw(b"+");
        reply.raw(&line);
        reply.raw(b"\r\n");
        return frame.pop(1);
    }
    frame.pop(1);
    if frame.push_field(-1, b"double") == Kind::Number {
        reply.double(frame.number(-1).unwrap_or(0.0));
        return frame.pop(1);
    }
    frame.pop(1);
    for name in [&b"map"[..], b"set"] {
        if frame.push_field(-1, name) == Kind::Table {
            write_entries(frame, protocol, reply, name == b"map");
            return frame.pop(1);
        }
        frame.pop(1);
    }
    if frame.push_field(-1, b"big_number") == Kind::String {
        let text: Vec<u8> =
            up_to_null(frame.bytes(-1).unwrap_or_default()).iter().map(|&byte| blank(byte)).collect();
        if reply.is_resp3() {
            reply.raw(b"(");
            reply.raw(&text);
            reply.raw(b"\r\n");
        } else {
            reply.bulk(&text);
        }
        return frame.pop(1);
    }
    frame.pop(1);
    if frame.push_field(-1, b"verbatim_string") == Kind::Table && write_verbatim(frame, reply) {
        return frame.pop(1);
    }
    frame.pop(1);
    let at = reply.begin();
    let mut count = 0;
    loop {
        let number = i32::try_from(count + 1).unwrap_or(i32::MAX);
        if frame.push_element(-1, number) == Kind::Nil || reply.is_exceeded() {
            frame.pop(1);
            break;
        }
        write_value(frame, protocol, reply);
        count += 1;
    }
    reply.finish_array(at, count);
}

/// Writes the table at the top as a map, or its keys as a set.
fn write_entries(frame: &mut Frame<'_>, protocol: Protocol, reply: &mut Reply<'_>, is_map: bool) {
    let at = reply.begin();
    let mut count = 0;
    let _ = frame.traverse(-1, |frame| {
        frame.push_copy(-2);
        write_value(frame, protocol, reply);
        if is_map {
            frame.push_copy(-1);
            write_value(frame, protocol, reply);
        }
        count += 1;
        if reply.is_exceeded() { Err(()) } else { Ok(()) }
    });
    if is_map {
        reply.finish_map(at, count);
    } else {
        reply.finish_set(at, count);
    }
}

fn write_verbatim(frame: &mut Frame<'_>, reply: &mut Reply<'_>) -> bool {
    let table = frame.absolute(-1);
    let written = frame.push_field(table, b"format") == Kind::String
        && frame.push_field(table, b"string") == Kind::String;
    if written {
        let format = frame.bytes(table + 1).unwrap_or_default();
        // Three letters, filled up with blanks.
        let format: Vec<u8> = up_to_null(format).iter().copied().chain(*b"   ").take(3).collect();
        let text = frame.bytes(table + 2).unwrap_or_default();
        reply.verbatim(&String::from_utf8_lossy(&format), text);
    }
    frame.truncate(usize::try_from(table).unwrap_or(0));
    written
}

/// The text of what was raised, which goes from the top of the stack.
pub fn error_of(frame: &mut Frame<'_>) -> Vec<u8> {
    if frame.kind(-1) == Kind::Table {
        frame.push_field(-1, b"err");
        frame.remove(-2);
    }
    let text = frame.bytes(-1).map_or_else(|| b"ERR unknown error".to_vec(), error_line);
    frame.pop(1);
    text
}

/// The error reply for what a script has raised; it goes from the top of the stack. `name` is the script's digest or the function.
pub fn script_error(frame: &mut Frame<'_>, name: &[u8]) -> Error {
    let table = frame.absolute(-1);
    if frame.kind(table) != Kind::Table {
        let text = frame.bytes(table).unwrap_or(b"execution failure");
        let text = text.get(..100).unwrap_or(text);
        let line = [b"Error running script ", name, b", ", up_to_null(text)].concat();
        frame.pop(1);
        return Error::Bytes(error_line(&line));
    }
    let mut part = |name: &[u8]| {
        frame.push_field(table, name);
        let text = frame.bytes(-1).map(|text| up_to_null(text).to_vec());
        frame.pop(1);
        text
    };
    let mut line = part(b"err").unwrap_or_else(|| b"ERR unknown error".to_vec());
    if let (Some(source), Some(number)) = (part(b"source"), part(b"line")) {
        line.extend_from_slice(&[b" script: ", name, b", on ", &*source, b":", &*number, b"."].concat());
    }
    let counted = is_counted(frame, table);
    frame.pop(1);
    let line = error_line(&line);
    if counted { Error::Counted(line) } else { Error::Whole(line) }
}
