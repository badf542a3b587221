//! Registers as run lengths, in the order of the registers:
//!
//! | code | means |
//! |---|---|
//! | `00llllll` | 1 to 64 registers that are 0 |
//! | `01llllll llllllll` | 1 to 16,384 registers that are 0, high bits first |
//! | `1vvvvvll` | 1 to 4 registers of the same value from 1 to 32 |
//!
//! All lengths and values are kept less one.

use std::fmt::Write as _;

use super::{Corrupted, HEADER, REGISTERS};

const LARGEST: u8 = 32;
const LONGEST_RUN: usize = 4;
const LONGEST_SHORT_ZEROS: usize = 64;

/// One code.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Run {
    /// 0 for zeros of either form.
    value: u8,
    registers: usize,
    bytes: usize,
}

impl Run {
    fn read(codes: &[u8]) -> Option<Self> {
        let first = *codes.first()?;
        Some(match first >> 6 {
            0 => Self { value: 0, registers: usize::from(first & 63) + 1, bytes: 1 },
            1 => {
                let low = codes.get(1).copied().unwrap_or(0);
                Self { value: 0, registers: (usize::from(first & 63) << 8 | usize::from(low)) + 1, bytes: 2 }
            }
            _ => Self { value: (first >> 2 & 31) + 1, registers: usize::from(first & 3) + 1, bytes: 1 },
        })
    }
}

fn runs(codes: &[u8]) -> impl Iterator<Item = Run> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let run = Run::read(codes.get(at..)?)?;
        at += run.bytes;
        Some(run)
    })
}

/// Appends codes for so many registers that are 0.
pub(super) fn put_zeros(out: &mut Vec<u8>, registers: usize) {
    match registers.checked_sub(1) {
        None => {}
        Some(length) if registers <= LONGEST_SHORT_ZEROS => out.push(length as u8),
        Some(length) => out.extend_from_slice(&[0x40 | (length >> 8) as u8, length as u8]),
    }
}

fn code(value: u8, registers: usize) -> u8 {
    0x80 | (value - 1) << 2 | (registers - 1) as u8
}

fn put_values(out: &mut Vec<u8>, value: u8, registers: usize) {
    if registers > 0 {
        out.push(code(value, registers));
    }
}

/// Gives every register that is not 0.
pub(super) fn each(codes: &[u8], mut set: impl FnMut(usize, u8)) -> Result<(), Corrupted> {
    let mut index = 0;
    for run in runs(codes) {
        if run.value > 0 {
            if index + run.registers > REGISTERS {
                break;
            }
            (index..index + run.registers).for_each(|index| set(index, run.value));
        }
        index += run.registers;
    }
    if index == REGISTERS { Ok(()) } else { Err(Corrupted) }
}

/// Adds for every value the number of registers that have it.
pub(super) fn histogram(codes: &[u8], histogram: &mut [u32; 64]) -> Result<(), Corrupted> {
    let mut registers = 0;
    for run in runs(codes) {
        registers += run.registers;
        histogram[usize::from(run.value)] += run.registers as u32;
    }
    if registers == REGISTERS { Ok(()) } else { Err(Corrupted) }
}

pub(super) fn describe(codes: &[u8]) -> String {
    let mut text = String::new();
    for run in runs(codes) {
        let _ = match run {
            Run { value: 0, bytes: 1, registers } => write!(text, "z:{registers} "),
            Run { value: 0, registers, .. } => write!(text, "Z:{registers} "),
            Run { value, registers, .. } => write!(text, "v:{value},{registers} "),
        };
    }
    text.truncate(text.trim_end().len());
    text
}

/// What came of raising a register.
pub(super) enum Raised {
    No,
    Yes,
    /// It does not fit this representation; nothing was changed.
    TooLarge,
}

/// Raises one register. The codes come out as Redis's do, so that its HyperLogLogs are the same byte for byte: runs are
/// split where the register lies, and then joined with their neighbours where Redis looks for that.
pub(super) fn raise(bytes: &mut Vec<u8>, index: usize, value: u8, most: usize) -> Result<Raised, Corrupted> {
    if value > LARGEST {
        return Ok(Raised::TooLarge);
    }
    let (mut at, mut first, mut previous) = (HEADER, 0, None);
    let run = loop {
        let run = bytes.get(at..).and_then(Run::read).ok_or(Corrupted)?;
        if index < first + run.registers {
            break run;
        }
        previous = Some(at);
        at += run.bytes;
        first += run.registers;
    };
    if run.value >= value {
        return Ok(Raised::No);
    }
    let (before, after) = (index - first, first + run.registers - 1 - index);
    let mut codes = Vec::with_capacity(5);
    // A long code for a single register stays a case for splitting, which makes it a short one.
    let put = |out: &mut Vec<u8>, registers| match run.value {
        0 => put_zeros(out, registers),
        value => put_values(out, value, registers),
    };
    put(&mut codes, before);
    codes.push(code(value, 1));
    put(&mut codes, after);
    if codes.len() > run.bytes && bytes.len() + codes.len() - run.bytes > most {
        return Ok(Raised::TooLarge);
    }
    let end = (at + run.bytes).min(bytes.len());
    bytes.splice(at..end, codes);
    join(bytes, previous.unwrap_or(HEADER));
    Ok(Raised::Yes)
}

/// Joins runs of one value that follow each other, in the five codes from `at` on.
fn join(bytes: &mut Vec<u8>, mut at: usize) {
    for _ in 0..5 {
        let Some(run) = bytes.get(at..).and_then(Run::read) else { return };
        if run.value > 0
            && let Some(next) = bytes.get(at + 1..).and_then(Run::read)
            && next.value == run.value
            && run.registers + next.registers <= LONGEST_RUN
        {
            bytes[at + 1] = code(run.value, run.registers + next.registers);
            bytes.remove(at);
            continue;
        }
        at += run.bytes;
    }
}
