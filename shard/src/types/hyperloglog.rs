//! The HyperLogLog, in Redis's own representation: a string that any Redis reads and counts alike.
//!
//! | bytes | what |
//! |---|---|
//! | 4 | `HYLL` |
//! | 1 | 0: dense, 1: sparse |
//! | 3 | zero |
//! | 8 | the last count, lowest byte first; the highest bit says that it is out of date |
//! | n | the registers |
//!
//! There are 16,384 registers of 6 bits. A hash chooses one by its lowest 14 bits and offers it the number of zeros
//! that follow, plus one; a register keeps the largest offer. Dense registers stand one after the other, lowest bits
//! first. Sparse ones are run lengths ([`sparse`]). The estimate is Ertl's ("New cardinality estimation algorithms for
//! HyperLogLog sketches", 2017).

mod hash;
mod sparse;

use hash::murmur;

/// Registers of a HyperLogLog.
pub const REGISTERS: usize = 1 << INDEX_BITS;
const INDEX_BITS: u32 = 14;
/// The largest offer to a register is one more.
const HASH_BITS: u32 = 64 - INDEX_BITS;
const HEADER: usize = 16;
const DENSE_LENGTH: usize = HEADER + REGISTERS * 6 / 8;
const MAGIC: &[u8] = b"HYLL";
const DENSE: u8 = 0;
const SPARSE: u8 = 1;
/// Where the header says which representation follows, and the bytes of the last count.
const ENCODING_AT: usize = 4;
const COUNT: std::ops::Range<usize> = 8..16;
const OUT_OF_DATE: u8 = 0x80;

/// The registers of a sparse one do not add up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corrupted;

/// A new one in which nothing was counted, sparse.
#[must_use]
pub fn new() -> Vec<u8> {
    let mut bytes = vec![0; HEADER];
    bytes[..MAGIC.len()].copy_from_slice(MAGIC);
    bytes[ENCODING_AT] = SPARSE;
    sparse::put_zeros(&mut bytes, REGISTERS);
    bytes
}

/// Whether a string is one, as far as its header tells.
#[must_use]
pub fn is_valid(bytes: &[u8]) -> bool {
    bytes.len() >= HEADER
        && bytes.starts_with(MAGIC)
        && match bytes.get(ENCODING_AT) {
            Some(&DENSE) => bytes.len() == DENSE_LENGTH,
            Some(&SPARSE) => true,
            _ => false,
        }
}

/// Whether its registers are run lengths. The string is a valid one, here and below.
#[must_use]
pub fn is_sparse(bytes: &[u8]) -> bool {
    bytes.get(ENCODING_AT) == Some(&SPARSE)
}

/// The last count, unless something has been added since.
#[must_use]
pub fn cached(bytes: &[u8]) -> Option<u64> {
    let count = bytes.get(COUNT)?.try_into().ok().map(u64::from_le_bytes)?;
    (count >> 56 < u64::from(OUT_OF_DATE)).then_some(count)
}

/// Keeps a count that is right until something is added.
pub fn cache(bytes: &mut [u8], count: u64) {
    if let Some(place) = bytes.get_mut(COUNT) {
        place.copy_from_slice(&count.to_le_bytes());
    }
}

/// Says that the last count is out of date.
pub fn outdate(bytes: &mut [u8]) {
    if let Some(byte) = bytes.get_mut(COUNT.end - 1) {
        *byte |= OUT_OF_DATE;
    }
}

/// Counts an element; true when a register grew. A sparse one that needs more than `most` bytes becomes dense.
///
/// # Errors
/// When the registers are corrupted.
pub fn add(bytes: &mut Vec<u8>, element: &[u8], most: usize) -> Result<bool, Corrupted> {
    let hash = murmur(element);
    let index = (hash as usize) & (REGISTERS - 1);
    let zeros = ((hash >> INDEX_BITS) | 1 << HASH_BITS).trailing_zeros();
    raise(bytes, index, zeros as u8 + 1, most)
}

/// Offers `value` to a register; true when it grew.
///
/// # Errors
/// When the registers are corrupted.
pub fn raise(bytes: &mut Vec<u8>, index: usize, value: u8, most: usize) -> Result<bool, Corrupted> {
    if is_sparse(bytes) {
        match sparse::raise(bytes, index, value, most)? {
            sparse::Raised::No => return Ok(false),
            sparse::Raised::Yes => {
                outdate(bytes);
                return Ok(true);
            }
            sparse::Raised::TooLarge => make_dense(bytes)?,
        }
    }
    let registers = bytes.get_mut(HEADER..).unwrap_or_default();
    let grows = dense(registers, index) < value;
    if grows {
        set_dense(registers, index, value);
    }
    Ok(grows)
}

/// Makes a sparse one dense; what was counted, and the last count, stay.
///
/// # Errors
/// When the registers are corrupted; nothing was changed.
pub fn make_dense(bytes: &mut Vec<u8>) -> Result<(), Corrupted> {
    if !is_sparse(bytes) {
        return Ok(());
    }
    let mut new = vec![0; DENSE_LENGTH];
    new[..HEADER].copy_from_slice(&bytes[..HEADER]);
    new[ENCODING_AT] = DENSE;
    let registers = &mut new[HEADER..];
    sparse::each(&bytes[HEADER..], |index, value| set_dense(registers, index, value))?;
    *bytes = new;
    Ok(())
}

/// Raises every register of `most` to that of this one.
///
/// # Errors
/// When the registers are corrupted.
pub fn merge(bytes: &[u8], most: &mut [u8; REGISTERS]) -> Result<(), Corrupted> {
    let registers = bytes.get(HEADER..).unwrap_or_default();
    if is_sparse(bytes) {
        return sparse::each(registers, |index, value| most[index] = most[index].max(value));
    }
    for (index, place) in most.iter_mut().enumerate() {
        *place = (*place).max(dense(registers, index));
    }
    Ok(())
}

/// The number of different elements that were counted, as far as the registers tell.
///
/// # Errors
/// When the registers are corrupted.
pub fn count(bytes: &[u8]) -> Result<u64, Corrupted> {
    let registers = bytes.get(HEADER..).unwrap_or_default();
    let mut histogram = [0; 64];
    if is_sparse(bytes) {
        sparse::histogram(registers, &mut histogram)?;
    } else {
        (0..REGISTERS).for_each(|index| histogram[usize::from(dense(registers, index))] += 1);
    }
    Ok(estimate(&histogram))
}

/// As [`count`], of registers one a byte.
#[must_use]
pub fn count_registers(registers: &[u8; REGISTERS]) -> u64 {
    let mut histogram = [0; 64];
    registers.iter().for_each(|value| histogram[usize::from(*value & 63)] += 1);
    estimate(&histogram)
}

/// The run lengths of a sparse one as PFDEBUG DECODE tells them.
#[must_use]
pub fn describe(bytes: &[u8]) -> String {
    sparse::describe(bytes.get(HEADER..).unwrap_or_default())
}

fn estimate(histogram: &[u32; 64]) -> u64 {
    const ALPHA: f64 = 0.721_347_520_444_481_7;
    let m = REGISTERS as f64;
    let mut z = m * tau((m - f64::from(histogram[HASH_BITS as usize + 1])) / m);
    for count in histogram[1..=HASH_BITS as usize].iter().rev() {
        z += f64::from(*count);
        z *= 0.5;
    }
    z += m * sigma(f64::from(histogram[0]) / m);
    (ALPHA * m * m / z).round() as u64
}

fn sigma(mut x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if z == before {
            return z;
        }
    }
}

fn tau(mut x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x) * (1.0 - x) * y;
        if z == before {
            return z / 3.0;
        }
    }
}

/// The bytes in which a register lies, the second one perhaps behind the end, and by how many bits.
fn dense_place(index: usize) -> (usize, u32) {
    (index * 6 / 8, (index * 6 % 8) as u32)
}

fn dense(registers: &[u8], index: usize) -> u8 {
    let (at, shift) = dense_place(index);
    let byte = |at: usize| u16::from(registers.get(at).copied().unwrap_or(0));
    ((byte(at) | byte(at + 1) << 8) >> shift) as u8 & 63
}

fn set_dense(registers: &mut [u8], index: usize, value: u8) {
    let (at, shift) = dense_place(index);
    let (mask, value) = ((63u16 << shift).to_le_bytes(), (u16::from(value) << shift).to_le_bytes());
    for (offset, (mask, value)) in mask.into_iter().zip(value).enumerate() {
        if let Some(byte) = registers.get_mut(at + offset) {
            *byte = *byte & !mask | value;
        }
    }
}

/// All registers, one a byte.
///
/// # Errors
/// When the registers are corrupted.
pub fn registers(bytes: &[u8]) -> Result<[u8; REGISTERS], Corrupted> {
    let mut all = [0; REGISTERS];
    merge(bytes, &mut all)?;
    Ok(all)
}

#[cfg(test)]
mod tests;
