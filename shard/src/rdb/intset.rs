//! The arrays that sets of integers are written as: the bytes an integer takes (u32: 2, 4 or 8), their number (u32), and
//! the integers in ascending order; all little-endian.

use super::read::{Corrupt, integer, number};
use crate::types::intset::IntSet;

/// Writes a set of integers.
pub(super) fn write(out: &mut Vec<u8>, numbers: &IntSet) {
    let width = [numbers.iter().next(), numbers.iter().next_back()]
        .into_iter()
        .flatten()
        .map(|number| match number {
            -0x8000..0x8000 => 2,
            -0x8000_0000..0x8000_0000 => 4,
            _ => 8,
        })
        .max()
        .unwrap_or(2);
    out.extend_from_slice(&(width as u32).to_le_bytes());
    out.extend_from_slice(&(numbers.len() as u32).to_le_bytes());
    for number in numbers.iter() {
        out.extend_from_slice(&number.to_le_bytes()[..width]);
    }
}

/// The integers, ascending and at least one.
pub(super) fn read(bytes: &[u8]) -> Result<Vec<i64>, Corrupt> {
    let (header, contents) = bytes.split_at_checked(8).ok_or(Corrupt)?;
    let (width, count) = (number(&header[..4]) as usize, number(&header[4..]) as usize);
    if !matches!(width, 2 | 4 | 8) || count == 0 || contents.len() != width * count {
        return Err(Corrupt);
    }
    let numbers: Vec<i64> = contents.chunks_exact(width).map(integer).collect();
    if !numbers.is_sorted_by(|one, next| one < next) {
        return Err(Corrupt);
    }
    Ok(numbers)
}
