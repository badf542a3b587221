//! Scores of places, and the letters of public geohashes.

use super::cell::{Cell, LATITUDES, LONGITUDES, Range};
use super::place::{LATITUDE_MAX, LONGITUDE_MAX, Place};

/// Halvings of either range in a score.
pub(super) const STEPS: u32 = 26;

impl Place {
    /// The score that stands for it.
    #[must_use]
    pub fn score(&self) -> f64 {
        Cell::of(*self, LONGITUDES, LATITUDES, STEPS).bits as f64
    }

    /// The middle of the cell that a score stands for.
    #[must_use]
    pub fn of_score(score: f64) -> Self {
        let (longitude, latitude) = Cell { bits: bits_of(score), steps: STEPS }.sides(LONGITUDES, LATITUDES);
        let middle = |side: Range, most: f64| ((side.min + side.max) / 2.0).clamp(-most, most);
        Self { longitude: middle(longitude, LONGITUDE_MAX), latitude: middle(latitude, LATITUDE_MAX) }
    }

    /// The eleven letters of the public geohash (geohash.org), whose latitudes reach to the poles. The last one is
    /// always `0`: a score has bits for ten and a half.
    #[must_use]
    pub fn geohash(&self) -> [u8; 11] {
        const LETTERS: &[u8; 32] = b"0123456789bcdefghjkmnpqrstuvwxyz";
        let poles = Range { min: -90.0, max: 90.0 };
        let bits = Cell::of(*self, LONGITUDES, poles, STEPS).bits;
        std::array::from_fn(|index| match index {
            10 => LETTERS[0],
            _ => LETTERS[(bits >> (47 - index * 5)) as usize & 31],
        })
    }
}

/// The bits of a score, as the processor converts a double to an unsigned integer: a sorted set can hold any score.
fn bits_of(score: f64) -> u64 {
    const HALF: f64 = 9_223_372_036_854_775_808.0;
    if score < HALF {
        return score as i64 as u64;
    }
    let rest = score - HALF;
    if rest < HALF { rest as i64 as u64 ^ 1 << 63 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_comes_back_from_its_score() {
        let palermo = Place { longitude: 13.361389, latitude: 38.115556 };
        assert_eq!(palermo.score(), 3_479_099_956_230_698.0);
        let back = Place::of_score(palermo.score());
        assert!(back.distance(&palermo) < 1.0);
        assert_eq!(&back.geohash(), b"sqc8b49rny0");
    }

    #[test]
    fn scores_of_no_place_are_read_as_some_place() {
        for score in [f64::INFINITY, f64::NEG_INFINITY, -1.0, 1e19, 1e300] {
            assert!(Place::of_score(score).is_valid(), "{score}");
        }
    }
}
