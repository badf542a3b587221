//! `cmsgpack`: MessagePack (github.com/antirez/lua-cmsgpack, version 0.4.0; format: msgpack.org, without binary and
//! extension types).

use super::limit::LONGEST;
use crate::script::lua::{Frame, Kind, Native, Outcome, Raise, whole};

pub const FUNCTIONS: &[(&str, Native)] =
    &[("pack", pack), ("unpack", unpack), ("unpack_one", unpack_one), ("unpack_limit", unpack_limit)];

/// Tables nested deeper than this are written as nil.
const DEEPEST: usize = 16;

/// Sets what the library tells of itself in the table at the top.
pub fn describe(frame: &mut Frame<'_>) {
    for (name, text) in [
        ("_NAME", "cmsgpack"),
        ("_VERSION", "lua-cmsgpack 0.4.0"),
        ("_COPYRIGHT", "Copyright (C) 2012, Salvatore Sanfilippo"),
        ("_DESCRIPTION", "MessagePack C implementation for Lua"),
    ] {
        frame.push_bytes(text.as_bytes());
        frame.set_field(-2, name.as_bytes());
    }
}

fn pack(frame: &mut Frame<'_>) -> Outcome {
    let count = frame.top();
    if count == 0 {
        return Err(Raise::Argument(0, b"MessagePack pack needs input.".to_vec()));
    }
    let mut out = Vec::new();
    for index in 1..=i32::try_from(count).unwrap_or(0) {
        frame.push_copy(index);
        write(frame, 0, &mut out)?;
    }
    frame.push_bytes(&out);
    Ok(1)
}

/// Writes the value at the top, which goes.
fn write(frame: &mut Frame<'_>, depth: usize, out: &mut Vec<u8>) -> Result<(), Raise> {
    if out.len() > LONGEST {
        return Err(Raise::text("not enough memory"));
    }
    match frame.kind(-1) {
        Kind::String => write_bytes(frame.bytes(-1).unwrap_or_default(), out),
        Kind::Boolean => out.push(if frame.truth(-1) { 0xC3 } else { 0xC2 }),
        Kind::Number => write_number(frame.number(-1).unwrap_or(0.0), out),
        Kind::Table if depth < DEEPEST => write_table(frame, depth, out)?,
        _ => out.push(0xC0),
    }
    frame.pop(1);
    Ok(())
}

fn write_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    match bytes.len() {
        length @ 0..32 => out.push(0xA0 | length as u8),
        length @ 32..0x100 => out.extend_from_slice(&[0xD9, length as u8]),
        length => write_length(length, 0xDA, out),
    }
    out.extend_from_slice(bytes);
}

/// A length in two bytes behind `code`, or in four behind the code after it.
fn write_length(length: usize, code: u8, out: &mut Vec<u8>) {
    match u16::try_from(length) {
        Ok(length) => {
            out.push(code);
            out.extend_from_slice(&length.to_be_bytes());
        }
        Err(_) => {
            out.push(code + 1);
            out.extend_from_slice(&(length as u32).to_be_bytes());
        }
    }
}

fn write_number(number: f64, out: &mut Vec<u8>) {
    let integer = whole(number);
    if number.is_finite() && integer as f64 == number {
        return write_integer(integer, out);
    }
    let short = number as f32;
    if f64::from(short) == number {
        out.push(0xCA);
        out.extend_from_slice(&short.to_be_bytes());
    } else {
        out.push(0xCB);
        out.extend_from_slice(&number.to_be_bytes());
    }
}

fn write_integer(integer: i64, out: &mut Vec<u8>) {
    let mut put = |code: u8, bytes: &[u8]| {
        out.push(code);
        out.extend_from_slice(bytes);
    };
    let bytes = integer.to_be_bytes();
    let [.., b4, b5, b6, b7] = bytes;
    match integer {
        -32..=127 => put(b7, &[]),
        128..=0xFF => put(0xCC, &[b7]),
        0x100..=0xFFFF => put(0xCD, &[b6, b7]),
        0x1_0000..=0xFFFF_FFFF => put(0xCE, &[b4, b5, b6, b7]),
        0x1_0000_0000.. => put(0xCF, &bytes),
        -128..=-33 => put(0xD0, &[b7]),
        -0x8000..=-129 => put(0xD1, &[b6, b7]),
        -0x8000_0000..=-0x8001 => put(0xD2, &[b4, b5, b6, b7]),
        _ => put(0xD3, &bytes),
    }
}

/// Writes the table at the top as an array if its keys are 1 to their number, else as a map.
fn write_table(frame: &mut Frame<'_>, depth: usize, out: &mut Vec<u8>) -> Result<(), Raise> {
    let (mut count, mut highest) = (0_u32, 0_i32);
    let is_array = frame.traverse(-1, |frame| {
        count += 1;
        let key = frame.number(-2).filter(|_| frame.kind(-2) == Kind::Number).unwrap_or(0.0);
        if key <= 0.0 || key.fract() != 0.0 || key > f64::from(i32::MAX) {
            return Err(());
        }
        highest = highest.max(key as i32);
        Ok(())
    });
    if is_array.is_ok() && i64::from(highest) == i64::from(count) {
        let length = frame.length(-1);
        match length {
            0..16 => out.push(0x90 | length as u8),
            _ => write_length(length, 0xDC, out),
        }
        for number in 1..=i32::try_from(length).unwrap_or(i32::MAX) {
            frame.push_element(-1, number);
            write(frame, depth + 1, out)?;
        }
        return Ok(());
    }
    if is_array.is_err() {
        frame.pop(2);
        count = 0;
        let _ = frame.traverse::<()>(-1, |_| {
            count += 1;
            Ok(())
        });
    }
    match count {
        0..16 => out.push(0x80 | count as u8),
        _ => write_length(count as usize, 0xDE, out),
    }
    frame.traverse(-1, |frame| {
        frame.push_copy(-2);
        write(frame, depth + 1, out)?;
        frame.push_copy(-1);
        write(frame, depth + 1, out)
    })
}

fn unpack(frame: &mut Frame<'_>) -> Outcome {
    unpack_some(frame, 0, 0)
}

fn unpack_one(frame: &mut Frame<'_>) -> Outcome {
    let offset = optional(frame, 2)?;
    unpack_some(frame, 1, offset)
}

fn unpack_limit(frame: &mut Frame<'_>) -> Outcome {
    let limit = i64::from(frame.check_integer(2)? as i32);
    let offset = optional(frame, 3)?;
    unpack_some(frame, limit, offset)
}

fn optional(frame: &Frame<'_>, argument: usize) -> Result<i64, Raise> {
    match frame.kind(i32::try_from(argument).unwrap_or(0)) {
        Kind::None | Kind::Nil => Ok(0),
        _ => Ok(i64::from(frame.check_integer(argument)? as i32)),
    }
}

/// Pushes so many values from a place on (all from the start if both are 0), behind the place of the next one.
fn unpack_some(frame: &mut Frame<'_>, limit: i64, offset: i64) -> Outcome {
    let data = frame.check_bytes(1)?.to_vec();
    let all = limit == 0 && offset == 0;
    if offset < 0 || limit < 0 {
        return Err(Raise::text(format!(
            "Invalid request to unpack with offset of {offset} and limit of {}.",
            data.len()
        )));
    }
    let Some(rest) = usize::try_from(offset).ok().and_then(|offset| data.get(offset..)) else {
        let length = data.len();
        return Err(Raise::text(format!("Start offset {offset} greater than input length {length}.")));
    };
    let mut reader = Reader { rest };
    let limit = if all { i64::from(i32::MAX) } else { limit };
    frame.truncate(1);
    let mut count = 0;
    while !reader.rest.is_empty() && count < limit {
        if !frame.has_room(4) {
            return Err(Raise::text("stack overflow (in function mp_decode_to_lua_type)"));
        }
        reader.value(frame)?;
        count += 1;
    }
    let mut results = usize::try_from(count).unwrap_or(0);
    if !all {
        let next = if reader.rest.is_empty() { -1.0 } else { (data.len() - reader.rest.len()) as f64 };
        frame.push_number(next);
        frame.insert(2);
        results += 1;
    }
    Ok(results)
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], Raise> {
        if self.rest.len() < length {
            return Err(Raise::text("Missing bytes in input."));
        }
        let (taken, rest) = self.rest.split_at(length);
        self.rest = rest;
        Ok(taken)
    }

    fn unsigned(&mut self, bytes: usize) -> Result<u64, Raise> {
        Ok(self.take(bytes)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn signed(&mut self, bytes: usize) -> Result<i64, Raise> {
        let unused = 64 - 8 * bytes;
        Ok((self.unsigned(bytes)? << unused).cast_signed() >> unused)
    }

    fn length(&mut self, bytes: usize) -> Result<usize, Raise> {
        Ok(self.unsigned(bytes)? as usize)
    }

    fn value(&mut self, frame: &mut Frame<'_>) -> Result<(), Raise> {
        let code = self.take(1)?.first().copied().unwrap_or(0xC1);
        match code {
            0x00..=0x7F => frame.push_number(f64::from(code)),
            0x80..=0x8F => return self.map(frame, usize::from(code & 0x0F)),
            0x90..=0x9F => return self.array(frame, usize::from(code & 0x0F)),
            0xA0..=0xBF => frame.push_bytes(self.take(usize::from(code & 0x1F))?),
            0xC0 => frame.push_nil(),
            0xC2 => frame.push_boolean(false),
            0xC3 => frame.push_boolean(true),
            0xCA => {
                let bits = self.unsigned(4)? as u32;
                frame.push_number(f64::from(f32::from_bits(bits)));
            }
            0xCB => {
                let bits = self.unsigned(8)?;
                frame.push_number(f64::from_bits(bits));
            }
            0xCC..=0xCF => {
                let number = self.unsigned(1 << (code - 0xCC))?;
                frame.push_number(number.cast_signed() as f64);
            }
            0xD0..=0xD3 => {
                let number = self.signed(1 << (code - 0xD0))?;
                frame.push_number(number as f64);
            }
            0xD9..=0xDB => {
                let length = self.length(1 << (code - 0xD9))?;
                frame.push_bytes(self.take(length)?);
            }
            0xDC | 0xDD => {
                let length = self.length(if code == 0xDC { 2 } else { 4 })?;
                return self.array(frame, length);
            }
            0xDE | 0xDF => {
                let length = self.length(if code == 0xDE { 2 } else { 4 })?;
                return self.map(frame, length);
            }
            0xE0..=0xFF => frame.push_number(f64::from(code.cast_signed())),
            _ => return Err(Raise::text("Bad data format in input.")),
        }
        Ok(())
    }

    fn array(&mut self, frame: &mut Frame<'_>, length: usize) -> Result<(), Raise> {
        if !frame.has_room(8) {
            return Err(Raise::text("stack overflow (in function mp_decode_to_lua_array)"));
        }
        frame.push_table(length.min(self.rest.len()), 0);
        for number in 1..=length {
            self.value(frame)?;
            frame.set_element(-2, i32::try_from(number).unwrap_or(i32::MAX));
        }
        Ok(())
    }

    fn map(&mut self, frame: &mut Frame<'_>, length: usize) -> Result<(), Raise> {
        if !frame.has_room(8) {
            return Err(Raise::text("stack overflow (in function mp_decode_to_lua_hash)"));
        }
        frame.push_table(0, 0);
        for _ in 0..length {
            self.value(frame)?;
            self.value(frame)?;
            let bad = match frame.kind(-2) {
                Kind::Nil => Some(&b"table index is nil"[..]),
                Kind::Number if frame.number(-2).is_some_and(f64::is_nan) => Some(&b"table index is NaN"[..]),
                _ => None,
            };
            if let Some(text) = bad {
                frame.push_bytes(text);
                return Err(Raise::Top);
            }
            frame.set(-3);
        }
        Ok(())
    }
}
