//! `cjson.encode`.

use slotway_common::number::format_general;

use super::settings::{Setting, setting};
use crate::script::library::limit::LONGEST;
use crate::script::lua::{Frame, Kind, Outcome, Raise};

struct Encoder {
    out: Vec<u8>,
    sparse_convert: bool,
    sparse_ratio: i32,
    sparse_safe: i32,
    max_depth: i32,
    precision: usize,
    invalid_numbers: i32,
}

pub fn encode(frame: &mut Frame<'_>) -> Outcome {
    if frame.top() != 1 {
        return Err(Raise::Argument(1, b"expected 1 argument".to_vec()));
    }
    let mut encoder = Encoder {
        out: Vec::new(),
        sparse_convert: setting(frame, Setting::SparseConvert) != 0,
        sparse_ratio: setting(frame, Setting::SparseRatio),
        sparse_safe: setting(frame, Setting::SparseSafe),
        max_depth: setting(frame, Setting::EncodeDepth),
        precision: usize::try_from(setting(frame, Setting::Precision)).unwrap_or(14),
        invalid_numbers: setting(frame, Setting::EncodeInvalid),
    };
    encoder.value(frame, 0)?;
    frame.push_bytes(&encoder.out);
    Ok(1)
}

fn refused(kind: Kind, reason: &str) -> Raise {
    Raise::text(format!("Cannot serialise {}: {reason}", kind.name()))
}

impl Encoder {
    /// Writes the value at the top, which stays.
    fn value(&mut self, frame: &mut Frame<'_>, depth: i32) -> Result<(), Raise> {
        if self.out.len() > LONGEST {
            return Err(Raise::text("not enough memory"));
        }
        match frame.kind(-1) {
            Kind::String => self.string(frame.bytes(-1).unwrap_or_default()),
            Kind::Number => self.number(frame.number(-1).unwrap_or(0.0))?,
            Kind::Boolean => {
                self.out.extend_from_slice(if frame.truth(-1) { b"true" } else { b"false" });
            }
            Kind::Table => self.table(frame, depth + 1)?,
            Kind::Nil => self.out.extend_from_slice(b"null"),
            _ if frame.is_null(-1) => self.out.extend_from_slice(b"null"),
            kind => return Err(refused(kind, "type not supported")),
        }
        Ok(())
    }

    fn table(&mut self, frame: &mut Frame<'_>, depth: i32) -> Result<(), Raise> {
        if depth > self.max_depth || !frame.has_room(8) {
            return Err(Raise::text(format!("Cannot serialise, excessive nesting ({depth})")));
        }
        let length = self.array_length(frame)?;
        if length <= 0 {
            return self.object(frame, depth);
        }
        self.out.push(b'[');
        for number in 1..=length {
            if number > 1 {
                self.out.push(b',');
            }
            frame.push_element(-1, number);
            self.value(frame, depth)?;
            frame.pop(1);
        }
        self.out.push(b']');
        Ok(())
    }

    fn object(&mut self, frame: &mut Frame<'_>, depth: i32) -> Result<(), Raise> {
        self.out.push(b'{');
        let mut is_first = true;
        frame.traverse(-1, |frame| {
            if !std::mem::take(&mut is_first) {
                self.out.push(b',');
            }
            match frame.kind(-2) {
                Kind::Number => {
                    self.out.push(b'"');
                    self.number(frame.number(-2).unwrap_or(0.0))?;
                    self.out.push(b'"');
                }
                Kind::String => self.string(frame.bytes(-2).unwrap_or_default()),
                kind => return Err(refused(kind, "table key must be a number or string")),
            }
            self.out.push(b':');
            self.value(frame, depth)
        })?;
        self.out.push(b'}');
        Ok(())
    }

    /// The highest key of the table at the top if all are positive integers and it is not too sparse, else something
    /// that is not positive.
    fn array_length(&self, frame: &mut Frame<'_>) -> Result<i32, Raise> {
        let (mut highest, mut items) = (0_i32, 0_i32);
        let top = frame.top();
        let is_array = frame.traverse(-1, |frame| {
            let key = frame.number(-2).filter(|_| frame.kind(-2) == Kind::Number).unwrap_or(0.0);
            if key.floor() != key || key < 1.0 {
                return Err(());
            }
            if key > f64::from(highest) {
                // What does not fit is the lowest integer, as C makes it on x86-64.
                highest = if key <= f64::from(i32::MAX) { key as i32 } else { i32::MIN };
            }
            items = items.saturating_add(1);
            Ok(())
        });
        frame.truncate(top);
        if is_array.is_err() {
            return Ok(-1);
        }
        if self.sparse_ratio > 0
            && highest > items.wrapping_mul(self.sparse_ratio)
            && highest > self.sparse_safe
        {
            return if self.sparse_convert {
                Ok(-1)
            } else {
                Err(refused(Kind::Table, "excessively sparse array"))
            };
        }
        // What is missing is written as null; that can be very much for a key or two.
        if usize::try_from(highest.saturating_sub(items)).is_ok_and(|missing| missing > LONGEST / 5) {
            return Err(Raise::text("not enough memory"));
        }
        Ok(highest)
    }

    fn number(&mut self, number: f64) -> Result<(), Raise> {
        if !number.is_finite() {
            let text: &[u8] = match self.invalid_numbers {
                0 => return Err(refused(Kind::Number, "must not be NaN or Inf")),
                1 if number.is_nan() => b"nan",
                1 if number > 0.0 => b"inf",
                1 => b"-inf",
                _ => b"null",
            };
            self.out.extend_from_slice(text);
            return Ok(());
        }
        if number.fract() == 0.0 && number != 0.0 && number.abs() < 1e14 && self.precision == 14 {
            let mut digits = itoa::Buffer::new();
            self.out.extend_from_slice(digits.format(number as i64).as_bytes());
        } else {
            self.out.extend_from_slice(format_general(number, self.precision).as_bytes());
        }
        Ok(())
    }

    fn string(&mut self, text: &[u8]) {
        self.out.reserve(text.len() + 2);
        self.out.push(b'"');
        for &byte in text {
            match byte {
                b'"' | b'\\' | b'/' => self.out.extend_from_slice(&[b'\\', byte]),
                0x08 => self.out.extend_from_slice(b"\\b"),
                b'\t' => self.out.extend_from_slice(b"\\t"),
                b'\n' => self.out.extend_from_slice(b"\\n"),
                0x0C => self.out.extend_from_slice(b"\\f"),
                b'\r' => self.out.extend_from_slice(b"\\r"),
                0..0x20 | 0x7F => self.out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
                _ => self.out.push(byte),
            }
        }
        self.out.push(b'"');
    }
}
