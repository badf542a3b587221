//! Decoded replies, for tests, tools and slow paths.

use std::fmt;

use crate::number::{parse_f64, parse_i64};

/// A reply, decoded. Attributes are read and dropped.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Simple(Vec<u8>),
    Error(Vec<u8>),
    Int(i64),
    Bulk(Vec<u8>),
    /// `_`, of RESP3.
    Null,
    /// `$-1`, of RESP2.
    NullBulk,
    /// `*-1`, of RESP2.
    NullArray,
    Array(Vec<Value>),
    Map(Vec<(Value, Value)>),
    Set(Vec<Value>),
    Push(Vec<Value>),
    Double(f64),
    Boolean(bool),
    Verbatim(Vec<u8>),
    BigNumber(Vec<u8>),
}

/// Bytes that are no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed reply at byte {offset}")]
pub struct MalformedReply {
    pub offset: usize,
}

/// Deepest nesting of aggregates that is read.
const MAX_DEPTH: usize = 64;

impl Value {
    /// Reads one reply from the start of `bytes`: the value and its length, or `None` if more
    /// bytes are needed.
    ///
    /// # Errors
    /// [`MalformedReply`] when the bytes are no RESP2 or RESP3 reply.
    pub fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, MalformedReply> {
        let mut reader = Reader { bytes, position: 0 };
        match reader.value(0) {
            Ok(value) => Ok(Some((value, reader.position))),
            Err(Stop::Incomplete) => Ok(None),
            Err(Stop::Malformed) => Err(MalformedReply { offset: reader.position }),
        }
    }

    /// The text of a simple or bulk string, if it is one.
    #[must_use]
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Simple(bytes) | Self::Bulk(bytes) | Self::Verbatim(bytes) => Some(bytes),
            _ => None,
        }
    }

    #[must_use]
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            _ => None,
        }
    }

    /// The elements of an array, set or push.
    #[must_use]
    pub fn as_array(&self) -> Option<&[Value]> {
        match self {
            Self::Array(items) | Self::Set(items) | Self::Push(items) => Some(items),
            _ => None,
        }
    }

    /// Whether it is a null, in whichever form.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null | Self::NullBulk | Self::NullArray)
    }

    #[must_use]
    pub fn is_error(&self) -> bool {
        matches!(self, Self::Error(_))
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, open: &str, items: &[Value], close: &str| {
            f.write_str(open)?;
            for (index, item) in items.iter().enumerate() {
                write!(f, "{}{item}", if index > 0 { ", " } else { "" })?;
            }
            f.write_str(close)
        };
        match self {
            Self::Simple(text) => write!(f, "+{}", text.escape_ascii()),
            Self::Error(text) => write!(f, "-{}", text.escape_ascii()),
            Self::Int(number) => write!(f, ":{number}"),
            Self::Bulk(text) => write!(f, "\"{}\"", text.escape_ascii()),
            Self::Verbatim(text) => write!(f, "={}", text.escape_ascii()),
            Self::BigNumber(text) => write!(f, "({}", text.escape_ascii()),
            Self::Null | Self::NullBulk => f.write_str("null"),
            Self::NullArray => f.write_str("null array"),
            Self::Double(number) => write!(f, ",{number}"),
            Self::Boolean(value) => write!(f, "#{value}"),
            Self::Array(items) => list(f, "[", items, "]"),
            Self::Set(items) => list(f, "~{", items, "}"),
            Self::Push(items) => list(f, ">[", items, "]"),
            Self::Map(pairs) => {
                f.write_str("{")?;
                for (index, (key, value)) in pairs.iter().enumerate() {
                    write!(f, "{}{key}: {value}", if index > 0 { ", " } else { "" })?;
                }
                f.write_str("}")
            }
        }
    }
}

enum Stop {
    Incomplete,
    Malformed,
}

struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Reader<'a> {
    fn line(&mut self) -> Result<&'a [u8], Stop> {
        let rest = &self.bytes[self.position..];
        let end = memchr::memchr(b'\n', rest).ok_or(Stop::Incomplete)?;
        let line = rest[..end].strip_suffix(b"\r").ok_or(Stop::Malformed)?;
        self.position += end + 1;
        Ok(line)
    }

    fn exact(&mut self, length: usize) -> Result<&'a [u8], Stop> {
        let end = self.position.checked_add(length).ok_or(Stop::Malformed)?;
        if self.bytes.len() < end + 2 {
            return Err(Stop::Incomplete);
        }
        let body = &self.bytes[self.position..end];
        if &self.bytes[end..end + 2] != b"\r\n" {
            return Err(Stop::Malformed);
        }
        self.position = end + 2;
        Ok(body)
    }

    fn items(&mut self, count: i64, depth: usize) -> Result<Vec<Value>, Stop> {
        let count = usize::try_from(count).map_err(|_| Stop::Malformed)?;
        let mut items = Vec::with_capacity(count.min(1024));
        for _ in 0..count {
            items.push(self.value(depth + 1)?);
        }
        Ok(items)
    }

    fn value(&mut self, depth: usize) -> Result<Value, Stop> {
        if depth > MAX_DEPTH {
            return Err(Stop::Malformed);
        }
        let mut line = self.line()?;
        // Any number of attributes may come first; they must not cost stack.
        while let [b'|', count @ ..] = line {
            let count = parse_i64(count).ok_or(Stop::Malformed)?;
            self.items(count.saturating_mul(2), depth)?;
            line = self.line()?;
        }
        let (&kind, rest) = line.split_first().ok_or(Stop::Malformed)?;
        let number = || parse_i64(rest).ok_or(Stop::Malformed);
        match kind {
            b'+' => Ok(Value::Simple(rest.to_vec())),
            b'-' => Ok(Value::Error(rest.to_vec())),
            b':' => Ok(Value::Int(number()?)),
            b'(' => Ok(Value::BigNumber(rest.to_vec())),
            b'_' => Ok(Value::Null),
            b'#' => Ok(Value::Boolean(rest == b"t")),
            b',' if matches!(rest, b"nan" | b"-nan") => Ok(Value::Double(f64::NAN)),
            b',' => Ok(Value::Double(parse_f64(rest).ok_or(Stop::Malformed)?)),
            b'$' if rest == b"-1" => Ok(Value::NullBulk),
            b'*' if rest == b"-1" => Ok(Value::NullArray),
            b'$' | b'=' | b'!' => {
                let length = usize::try_from(number()?).map_err(|_| Stop::Malformed)?;
                let body = self.exact(length)?;
                Ok(match kind {
                    b'$' => Value::Bulk(body.to_vec()),
                    b'!' => Value::Error(body.to_vec()),
                    _ => Value::Verbatim(body.get(4..).unwrap_or_default().to_vec()),
                })
            }
            b'*' => Ok(Value::Array(self.items(number()?, depth)?)),
            b'~' => Ok(Value::Set(self.items(number()?, depth)?)),
            b'>' => Ok(Value::Push(self.items(number()?, depth)?)),
            b'%' => {
                let count = number()?;
                let mut items = self.items(count.saturating_mul(2), depth)?.into_iter();
                let mut pairs = Vec::with_capacity(items.len() / 2);
                while let (Some(key), Some(value)) = (items.next(), items.next()) {
                    pairs.push((key, value));
                }
                Ok(Value::Map(pairs))
            }
            _ => Err(Stop::Malformed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_replies_decode_and_every_prefix_is_incomplete() {
        let bytes = b"%1\r\n$1\r\na\r\n*3\r\n:1\r\n_\r\n~1\r\n,1.5\r\n";
        let (value, length) = Value::parse(bytes).unwrap().unwrap();
        assert_eq!(length, bytes.len());
        assert_eq!(value.to_string(), "{\"a\": [:1, null, ~{,1.5}]}");
        for end in 0..bytes.len() {
            assert_eq!(Value::parse(&bytes[..end]), Ok(None), "{end}");
        }
    }

    #[test]
    fn each_null_is_told_from_the_others() {
        for (bytes, value) in
            [(&b"_\r\n"[..], Value::Null), (b"$-1\r\n", Value::NullBulk), (b"*-1\r\n", Value::NullArray)]
        {
            assert_eq!(Value::parse(bytes).unwrap(), Some((value.clone(), bytes.len())));
            assert!(value.is_null());
        }
    }

    #[test]
    fn malformed_replies_are_refused() {
        for bytes in [&b"?\r\n"[..], b"$x\r\n", b"*-2\r\n", b"$1\r\nabc\r\n", b":1\n"] {
            assert!(Value::parse(bytes).is_err(), "{}", bytes.escape_ascii());
        }
    }
}
