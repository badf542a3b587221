//! Cells: what is left of the Earth after some halvings.

use super::place::{LATITUDE_MAX, LONGITUDE_MAX, Place};

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Range {
    pub min: f64,
    pub max: f64,
}

pub(super) const LONGITUDES: Range = Range { min: -LONGITUDE_MAX, max: LONGITUDE_MAX };
pub(super) const LATITUDES: Range = Range { min: -LATITUDE_MAX, max: LATITUDE_MAX };

/// The bits of the halvings, the last ones lowest: latitudes in the even bits, longitudes in the odd ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cell {
    pub bits: u64,
    /// Halvings of either range.
    pub steps: u32,
}

const ODD: u64 = 0xaaaa_aaaa_aaaa_aaaa;
const EVEN: u64 = 0x5555_5555_5555_5555;

/// The bits of a number at every other place.
fn spread(number: u32) -> u64 {
    let mut bits = u64::from(number);
    for (shift, mask) in [
        (16, 0x0000_ffff_0000_ffff),
        (8, 0x00ff_00ff_00ff_00ff),
        (4, 0x0f0f_0f0f_0f0f_0f0f),
        (2, 0x3333_3333_3333_3333),
        (1, EVEN),
    ] {
        bits = (bits | bits << shift) & mask;
    }
    bits
}

/// Every other bit, from the lowest on.
fn gather(bits: u64) -> u32 {
    let mut bits = bits & EVEN;
    for (shift, mask) in [
        (1, 0x3333_3333_3333_3333),
        (2, 0x0f0f_0f0f_0f0f_0f0f),
        (4, 0x00ff_00ff_00ff_00ff),
        (8, 0x0000_ffff_0000_ffff),
        (16, 0x0000_0000_ffff_ffff),
    ] {
        bits = (bits | bits >> shift) & mask;
    }
    bits as u32
}

impl Cell {
    /// The cell in which a place lies. A place outside the ranges has none, which is told as no halving at all.
    pub fn of(place: Place, longitudes: Range, latitudes: Range, steps: u32) -> Self {
        let outside = |at: f64, range: Range| at < range.min || at > range.max;
        if !place.is_valid() || outside(place.longitude, longitudes) || outside(place.latitude, latitudes) {
            return Self::default();
        }
        let part = |at: f64, range: Range| {
            ((at - range.min) / (range.max - range.min) * (1u64 << steps) as f64) as u32
        };
        let bits = spread(part(place.latitude, latitudes)) | spread(part(place.longitude, longitudes)) << 1;
        Self { bits, steps }
    }

    /// Its longitudes and its latitudes.
    pub fn sides(self, longitudes: Range, latitudes: Range) -> (Range, Range) {
        let side = |at: u32, range: Range| {
            let scale = range.max - range.min;
            let parts = (1u64 << self.steps) as f64;
            Range {
                min: range.min + (f64::from(at) * 1.0 / parts) * scale,
                max: range.min + (f64::from(at.wrapping_add(1)) * 1.0 / parts) * scale,
            }
        };
        (side(gather(self.bits >> 1), longitudes), side(gather(self.bits), latitudes))
    }

    /// The cell so many columns and rows (-1, 0 or 1) away, around the Earth if need be.
    pub fn neighbour(self, east: i8, north: i8) -> Self {
        let used = 64 - self.steps * 2;
        let step = |own: u64, own_mask: u64, gaps: u64, by: i8| {
            let gaps = gaps >> used;
            let moved = match by {
                0 => return own,
                1.. => own.wrapping_add(gaps + 1),
                _ => (own | gaps).wrapping_sub(gaps + 1),
            };
            moved & own_mask >> used
        };
        let longitude = step(self.bits & ODD, ODD, EVEN, east);
        let latitude = step(self.bits & EVEN, EVEN, ODD, north);
        Self { bits: longitude | latitude, steps: self.steps }
    }

    /// The scores of its places: from the first to before the second.
    pub fn scores(self) -> (f64, f64) {
        let unused = 52 - self.steps * 2;
        ((self.bits << unused) as f64, (self.bits.wrapping_add(1) << unused) as f64)
    }
}
