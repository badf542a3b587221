//! `bit`: operations on 32 bits (bitop.luajit.org, version 1.0).

use crate::script::lua::{Frame, Native, Outcome, Raise};

pub const FUNCTIONS: &[(&str, Native)] = &[
    ("tobit", |frame| unary(frame, |bits| bits)),
    ("bnot", |frame| unary(frame, |bits| !bits)),
    ("band", |frame| fold(frame, |a, b| a & b)),
    ("bor", |frame| fold(frame, |a, b| a | b)),
    ("bxor", |frame| fold(frame, |a, b| a ^ b)),
    ("lshift", |frame| shift(frame, |bits, by| bits << by)),
    ("rshift", |frame| shift(frame, |bits, by| bits >> by)),
    ("arshift", |frame| shift(frame, |bits, by| (bits.cast_signed() >> by).cast_unsigned())),
    ("rol", |frame| shift(frame, u32::rotate_left)),
    ("ror", |frame| shift(frame, u32::rotate_right)),
    ("bswap", |frame| unary(frame, u32::swap_bytes)),
    ("tohex", tohex),
];

/// The number as 32 bits, rounded to even and modulo 2^32: what adding 2^52 + 2^51 leaves in the lowest bits.
fn bits(frame: &Frame<'_>, argument: usize) -> Result<u32, Raise> {
    Ok((frame.check_number(argument)? + 6_755_399_441_055_744.0).to_bits() as u32)
}

fn give(frame: &mut Frame<'_>, bits: u32) -> Outcome {
    frame.push_number(f64::from(bits.cast_signed()));
    Ok(1)
}

fn unary(frame: &mut Frame<'_>, of: impl Fn(u32) -> u32) -> Outcome {
    let number = bits(frame, 1)?;
    give(frame, of(number))
}

fn fold(frame: &mut Frame<'_>, of: impl Fn(u32, u32) -> u32) -> Outcome {
    let mut result = bits(frame, 1)?;
    for argument in (2..=frame.top()).rev() {
        result = of(result, bits(frame, argument)?);
    }
    give(frame, result)
}

fn shift(frame: &mut Frame<'_>, of: impl Fn(u32, u32) -> u32) -> Outcome {
    let number = bits(frame, 1)?;
    let by = bits(frame, 2)? & 31;
    give(frame, of(number, by))
}

fn tohex(frame: &mut Frame<'_>) -> Outcome {
    let number = bits(frame, 1)?;
    let digits = if frame.top() < 2 { 8 } else { bits(frame, 2)?.cast_signed() };
    let text = if digits < 0 { format!("{number:08X}") } else { format!("{number:08x}") };
    let digits = digits.unsigned_abs().min(8) as usize;
    frame.push_bytes(text.get(8 - digits..).unwrap_or_default().as_bytes());
    Ok(1)
}
