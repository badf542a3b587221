//! Writes replies in the protocol of the client.

use super::Protocol;
use super::request::write_header;
use crate::error::Error;
use crate::number::format_f64;

/// Appends replies to a buffer, in RESP2 or RESP3.
///
/// RESP3 types become in RESP2 what Redis makes of them: a map is a flat array, a set an array, a
/// double and a verbatim string a bulk string, a boolean an integer, a null `$-1` or `*-1`.
pub struct Reply<'a> {
    out: &'a mut Vec<u8>,
    pub protocol: Protocol,
    /// Bytes that the buffer may hold.
    budget: usize,
    exceeded: bool,
}

impl<'a> Reply<'a> {
    pub fn new(out: &'a mut Vec<u8>, protocol: Protocol) -> Self {
        Self { out, protocol, budget: usize::MAX, exceeded: false }
    }

    /// Lets the buffer grow to about `bytes`: what is written beyond is dropped, and the connection, whose stream is
    /// broken then, must be closed.
    #[must_use]
    pub fn with_budget(mut self, bytes: usize) -> Self {
        self.budget = bytes;
        self
    }

    /// True when something was dropped because the buffer was full; there is no use in writing more.
    #[must_use]
    #[inline]
    pub fn is_exceeded(&self) -> bool {
        self.exceeded
    }

    #[must_use]
    pub fn is_resp3(&self) -> bool {
        self.protocol == Protocol::Resp3
    }

    /// Bytes written to the buffer so far, earlier replies included.
    #[must_use]
    pub fn position(&self) -> usize {
        self.out.len()
    }

    /// The buffer, for whole replies that are made elsewhere.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        self.out
    }

    /// Takes back everything written since [`Reply::position`] gave `position`.
    pub fn truncate(&mut self, position: usize) {
        self.out.truncate(position);
    }

    pub fn ok(&mut self) {
        self.out.extend_from_slice(b"+OK\r\n");
    }

    /// A status line; line breaks in it become spaces.
    pub fn simple(&mut self, text: &str) {
        self.line(b'+', text.as_bytes());
    }

    /// An error line; line breaks in it become spaces.
    pub fn error(&mut self, error: &Error) {
        self.line(b'-', &error.wire());
    }

    pub fn int(&mut self, number: i64) {
        let mut digits = itoa::Buffer::new();
        self.out.push(b':');
        self.out.extend_from_slice(digits.format(number).as_bytes());
        self.out.extend_from_slice(b"\r\n");
    }

    /// A length or count as an integer.
    pub fn len(&mut self, number: usize) {
        self.int(i64::try_from(number).unwrap_or(i64::MAX));
    }

    #[inline]
    pub fn bulk(&mut self, bytes: &[u8]) {
        if self.out.len().saturating_add(bytes.len()) > self.budget {
            self.exceeded = true;
            return;
        }
        self.out.reserve(bytes.len() + 24);
        write_header(b'$', bytes.len(), self.out);
        self.out.extend_from_slice(bytes);
        self.out.extend_from_slice(b"\r\n");
    }

    /// A number as a bulk string.
    pub fn bulk_int(&mut self, number: i64) {
        let mut digits = itoa::Buffer::new();
        let text = digits.format(number);
        self.bulk(text.as_bytes());
    }

    /// A null where RESP2 has the null bulk string.
    pub fn null(&mut self) {
        self.out.extend_from_slice(if self.is_resp3() { b"_\r\n" } else { b"$-1\r\n" });
    }

    /// A null where RESP2 has the null array.
    pub fn null_array(&mut self) {
        self.out.extend_from_slice(if self.is_resp3() { b"_\r\n" } else { b"*-1\r\n" });
    }

    /// A bulk string, or null.
    pub fn optional(&mut self, bytes: Option<&[u8]>) {
        match bytes {
            Some(bytes) => self.bulk(bytes),
            None => self.null(),
        }
    }

    pub fn array(&mut self, length: usize) {
        write_header(b'*', length, self.out);
    }

    /// The header of a map of `pairs` keys and values.
    pub fn map(&mut self, pairs: usize) {
        if self.is_resp3() {
            write_header(b'%', pairs, self.out);
        } else {
            self.array(pairs * 2);
        }
    }

    pub fn set(&mut self, length: usize) {
        write_header(if self.is_resp3() { b'~' } else { b'*' }, length, self.out);
    }

    pub fn push(&mut self, length: usize) {
        write_header(if self.is_resp3() { b'>' } else { b'*' }, length, self.out);
    }

    /// The header of an attribute of `pairs`; nothing may be written for it in RESP2.
    pub fn attribute(&mut self, pairs: usize) {
        write_header(b'|', pairs, self.out);
    }

    pub fn double(&mut self, number: f64) {
        let text = format_f64(number);
        if self.is_resp3() {
            self.line(b',', text.as_bytes());
        } else {
            self.bulk(text.as_bytes());
        }
    }

    pub fn boolean(&mut self, value: bool) {
        self.out.extend_from_slice(match (self.is_resp3(), value) {
            (true, true) => b"#t\r\n",
            (true, false) => b"#f\r\n",
            (false, true) => b":1\r\n",
            (false, false) => b":0\r\n",
        });
    }

    /// A text with a three-letter format (`txt`, `mkd`).
    pub fn verbatim(&mut self, format: &str, text: &[u8]) {
        if self.is_resp3() {
            write_header(b'=', text.len() + 4, self.out);
            self.out.extend_from_slice(format.as_bytes());
            self.out.push(b':');
            self.out.extend_from_slice(text);
            self.out.extend_from_slice(b"\r\n");
        } else {
            self.bulk(text);
        }
    }

    /// An arbitrary-precision integer in decimal digits.
    pub fn big_number(&mut self, digits: &str) {
        if self.is_resp3() {
            self.line(b'(', digits.as_bytes());
        } else {
            self.bulk(digits.as_bytes());
        }
    }

    /// Bytes that are already a reply in this protocol.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// Marks where an aggregate begins whose length is known only after its elements.
    #[must_use]
    pub fn begin(&self) -> usize {
        self.out.len()
    }

    /// Puts an array header of `length` elements at the mark `at`.
    pub fn finish_array(&mut self, at: usize, length: usize) {
        self.insert_header(at, b'*', length);
    }

    pub fn finish_map(&mut self, at: usize, pairs: usize) {
        if self.is_resp3() {
            self.insert_header(at, b'%', pairs);
        } else {
            self.insert_header(at, b'*', pairs * 2);
        }
    }

    pub fn finish_set(&mut self, at: usize, length: usize) {
        self.insert_header(at, if self.is_resp3() { b'~' } else { b'*' }, length);
    }

    fn insert_header(&mut self, at: usize, kind: u8, length: usize) {
        let mut header = Vec::with_capacity(24);
        write_header(kind, length, &mut header);
        self.out.splice(at..at, header);
    }

    fn line(&mut self, kind: u8, text: &[u8]) {
        self.out.push(kind);
        self.out.extend(text.iter().map(|&byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { byte }));
        self.out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(protocol: Protocol, write: impl Fn(&mut Reply<'_>)) -> String {
        let mut out = Vec::new();
        write(&mut Reply::new(&mut out, protocol));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn resp3_types_have_redis_s_resp2_form() {
        let all = |reply: &mut Reply<'_>| {
            reply.map(1);
            reply.set(2);
            reply.double(1.5);
            reply.boolean(true);
            reply.null();
            reply.null_array();
            reply.verbatim("txt", b"hi");
        };
        assert_eq!(
            written(Protocol::Resp2, all),
            "*2\r\n*2\r\n$3\r\n1.5\r\n:1\r\n$-1\r\n*-1\r\n$2\r\nhi\r\n"
        );
        assert_eq!(written(Protocol::Resp3, all), "%1\r\n~2\r\n,1.5\r\n#t\r\n_\r\n_\r\n=6\r\ntxt:hi\r\n");
    }

    #[test]
    fn nothing_is_written_beyond_the_budget() {
        let mut out = Vec::new();
        let mut reply = Reply::new(&mut out, Protocol::Resp2).with_budget(100);
        for _ in 0..1000 {
            reply.bulk(b"0123456789");
        }
        assert!(reply.is_exceeded());
        assert!(out.len() <= 120);
    }

    #[test]
    fn a_late_header_stands_before_its_elements() {
        let late = |reply: &mut Reply<'_>| {
            reply.ok();
            let at = reply.begin();
            reply.int(1);
            reply.int(2);
            reply.finish_array(at, 2);
        };
        assert_eq!(written(Protocol::Resp2, late), "+OK\r\n*2\r\n:1\r\n:2\r\n");
    }
}
