//! `struct`: values in the binary formats of C (Roberto Ierusalimschy's library, version 0.2).

use super::limit::LONGEST;
use crate::script::lua::{Frame, Kind, Native, Outcome, Raise, whole};

pub const FUNCTIONS: &[(&str, Native)] = &[("pack", pack), ("unpack", unpack), ("size", size)];

/// Largest integer, in bytes.
const MOST: u64 = 32;
/// Alignment that `!` stands for.
const NATIVE_ALIGNMENT: u64 = 8;

/// A format that is being read.
struct Format<'a> {
    rest: &'a [u8],
    big: bool,
    alignment: u64,
}

/// One option of a format, with the bytes that it takes and those of padding before it.
struct Step {
    option: u8,
    size: u64,
    padding: u64,
}

impl<'a> Format<'a> {
    fn new(text: &'a [u8]) -> Self {
        // A null byte ends it.
        let text = text.split(|&byte| byte == 0).next().unwrap_or_default();
        Self { rest: text, big: false, alignment: 1 }
    }

    fn next(&mut self, position: u64) -> Result<Option<Step>, Raise> {
        let Some((&option, rest)) = self.rest.split_first() else { return Ok(None) };
        self.rest = rest;
        let size = match option {
            b'b' | b'B' | b'x' => 1,
            b'h' | b'H' => 2,
            b'f' => 4,
            b'l' | b'L' | b'T' | b'd' => 8,
            b'c' => self.number(1)?,
            b'i' | b'I' => match self.number(4)? {
                size if size > MOST => {
                    return Err(Raise::text(format!("integral size {size} is larger than limit of {MOST}")));
                }
                size => size,
            },
            _ => 0,
        };
        let padding = match size.min(self.alignment) {
            0 => 0,
            _ if option == b'c' => 0,
            // An integer's size need not be a power of two; then this is what C computes.
            unit => unit.wrapping_sub(position & (unit - 1)) & (unit - 1),
        };
        Ok(Some(Step { option, size, padding }))
    }

    /// A number in the format, or `otherwise` if there is none.
    fn number(&mut self, otherwise: u64) -> Result<u64, Raise> {
        let digits = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 {
            return Ok(otherwise);
        }
        let (digits, rest) = self.rest.split_at(digits);
        self.rest = rest;
        let mut number: u64 = 0;
        for digit in digits {
            number = number * 10 + u64::from(digit - b'0');
            if number > i32::MAX as u64 {
                return Err(Raise::text("integral size overflow"));
            }
        }
        Ok(number)
    }

    /// What is no value but changes how others are read.
    fn control(&mut self, option: u8) -> Result<(), Raise> {
        match option {
            b' ' => {}
            b'>' => self.big = true,
            b'<' => self.big = false,
            b'!' => {
                let alignment = self.number(NATIVE_ALIGNMENT)?;
                if !alignment.is_power_of_two() {
                    return Err(Raise::text(format!("alignment {alignment} is not a power of 2")));
                }
                self.alignment = alignment;
            }
            other => {
                let mut text = b"invalid format option '".to_vec();
                text.push(other);
                text.push(b'\'');
                return Err(Raise::Argument(1, text));
            }
        }
        Ok(())
    }
}

/// A number as C makes a `long long` of it, or an `unsigned long long` if it is not negative.
fn integer(number: f64) -> u64 {
    const HALF: f64 = 9_223_372_036_854_775_808.0;
    if number >= HALF {
        whole(number - HALF).cast_unsigned() ^ (1 << 63)
    } else {
        whole(number).cast_unsigned()
    }
}

fn pack(frame: &mut Frame<'_>) -> Outcome {
    let text = frame.check_bytes(1)?.to_vec();
    let mut format = Format::new(&text);
    let mut out = Vec::new();
    let mut argument = 1;
    // What is missing is told as nil.
    let top = frame.top();
    frame.push_nil();
    while let Some(Step { option, size, padding }) = format.next(out.len() as u64)? {
        out.resize(out.len() + padding as usize, 0);
        let mut next = || {
            argument += 1;
            argument.min(top + 1)
        };
        match option {
            b'b' | b'B' | b'h' | b'H' | b'l' | b'L' | b'T' | b'i' | b'I' => {
                let mut value = integer(frame.check_number(next())?);
                let start = out.len();
                for _ in 0..size {
                    out.push(value as u8);
                    value >>= 8;
                }
                if format.big {
                    out.get_mut(start..).unwrap_or_default().reverse();
                }
            }
            b'x' => out.push(0),
            b'f' => {
                let value = frame.check_number(next())? as f32;
                out.extend_from_slice(&if format.big { value.to_be_bytes() } else { value.to_le_bytes() });
            }
            b'd' => {
                let value = frame.check_number(next())?;
                out.extend_from_slice(&if format.big { value.to_be_bytes() } else { value.to_le_bytes() });
            }
            b'c' | b's' => {
                let number = next();
                let value = frame.check_bytes(number)?;
                let size = if size == 0 { value.len() as u64 } else { size };
                let Some(bytes) = usize::try_from(size).ok().and_then(|size| value.get(..size)) else {
                    return Err(Raise::Argument(number + 1, b"string too short".to_vec()));
                };
                if out.len() + bytes.len() > LONGEST {
                    return Err(Raise::text("not enough memory"));
                }
                out.extend_from_slice(bytes);
                if option == b's' {
                    out.push(0);
                }
            }
            other => format.control(other)?,
        }
    }
    frame.push_bytes(&out);
    Ok(1)
}

fn unpack(frame: &mut Frame<'_>) -> Outcome {
    let text = frame.check_bytes(1)?.to_vec();
    let data = frame.check_bytes(2)?.to_vec();
    let position =
        if matches!(frame.kind(3), Kind::None | Kind::Nil) { 1 } else { frame.check_integer(3)? };
    let too_short = || Raise::Argument(2, b"data string too short".to_vec());
    if position == 0 {
        return Err(Raise::Argument(3, b"offset must be 1 or greater".to_vec()));
    }
    // A negative one is a very large one.
    let mut at = position.wrapping_sub(1).cast_unsigned();
    let mut format = Format::new(&text);
    let mut results = 0;
    while let Some(Step { option, mut size, padding }) = format.next(at)? {
        at = at.wrapping_add(padding);
        let piece = |size: u64| {
            let end = at.checked_add(size)?;
            data.get(usize::try_from(at).ok()?..usize::try_from(end).ok()?)
        };
        let Some(bytes) = piece(size) else { return Err(too_short()) };
        if !frame.has_room(4) {
            return Err(Raise::text("stack overflow (too many results)"));
        }
        match option {
            b'b' | b'B' | b'h' | b'H' | b'l' | b'L' | b'T' | b'i' | b'I' => {
                frame.push_number(read_integer(bytes, format.big, option.is_ascii_lowercase()));
                results += 1;
            }
            b'x' => {}
            b'f' => {
                let bytes: [u8; 4] = bytes.try_into().unwrap_or_default();
                let value = if format.big { f32::from_be_bytes(bytes) } else { f32::from_le_bytes(bytes) };
                frame.push_number(f64::from(value));
                results += 1;
            }
            b'd' => {
                let bytes: [u8; 8] = bytes.try_into().unwrap_or_default();
                let value = if format.big { f64::from_be_bytes(bytes) } else { f64::from_le_bytes(bytes) };
                frame.push_number(value);
                results += 1;
            }
            b'c' => {
                if size == 0 {
                    let Some(number) = frame.number(-1).filter(|_| results > 0) else {
                        return Err(Raise::text("format 'c0' needs a previous size"));
                    };
                    frame.pop(1);
                    results -= 1;
                    size = integer(number);
                }
                let Some(bytes) = piece(size) else { return Err(too_short()) };
                frame.push_bytes(bytes);
                results += 1;
            }
            b's' => {
                let rest = usize::try_from(at).ok().and_then(|at| data.get(at..)).unwrap_or_default();
                let Some(length) = memchr::memchr(0, rest) else {
                    return Err(Raise::text("unfinished string in data"));
                };
                frame.push_bytes(rest.get(..length).unwrap_or_default());
                size = length as u64 + 1;
                results += 1;
            }
            other => format.control(other)?,
        }
        at = at.wrapping_add(size);
    }
    frame.push_number(at.wrapping_add(1) as f64);
    Ok(results + 1)
}

fn read_integer(bytes: &[u8], big: bool, signed: bool) -> f64 {
    let join = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
    let value = if big { bytes.iter().fold(0, join) } else { bytes.iter().rev().fold(0, join) };
    if !signed {
        return value as f64;
    }
    let mask = u64::MAX.wrapping_shl((bytes.len() as u32 * 8).wrapping_sub(1));
    (if value & mask == 0 { value } else { value | mask }).cast_signed() as f64
}

fn size(frame: &mut Frame<'_>) -> Outcome {
    let text = frame.check_bytes(1)?.to_vec();
    let mut format = Format::new(&text);
    let mut total: u64 = 0;
    while let Some(Step { option, size, padding }) = format.next(total)? {
        total = total.wrapping_add(padding);
        if option == b's' {
            return Err(Raise::Argument(1, b"option 's' has no fixed size".to_vec()));
        }
        if option == b'c' && size == 0 {
            return Err(Raise::Argument(1, b"option 'c0' has no fixed size".to_vec()));
        }
        if !option.is_ascii_alphanumeric() {
            format.control(option)?;
        }
        total = total.wrapping_add(size);
    }
    frame.push_number(total as f64);
    Ok(1)
}
