//! Places on the Earth as scores of a sorted set: geohashes of 52 bits, and the search for those in an area.
//!
//! A geohash halves the range of longitudes and that of latitudes in turns, so that the places of a cell are a range of
//! scores. The latitudes end where the Web Mercator projection is a square (EPSG:900913). Computed exactly as Redis
//! does, operation by operation, so that scores, distances and what lies on an edge agree to the last digit.

mod area;
mod cell;

pub use area::{Area, Shape};
use cell::{Cell, Range};

/// A longitude and a latitude in degrees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Place {
    pub longitude: f64,
    pub latitude: f64,
}

pub const LONGITUDE_MAX: f64 = 180.0;
pub const LATITUDE_MAX: f64 = 85.051_128_78;

const LONGITUDES: Range = Range { min: -LONGITUDE_MAX, max: LONGITUDE_MAX };
const LATITUDES: Range = Range { min: -LATITUDE_MAX, max: LATITUDE_MAX };
/// Halvings of either range in a score.
const STEPS: u32 = 26;
const EARTH_RADIUS_METERS: f64 = 6_372_797.560_856;

fn radians(degrees: f64) -> f64 {
    degrees * (std::f64::consts::PI / 180.0)
}

fn degrees(radians: f64) -> f64 {
    radians / (std::f64::consts::PI / 180.0)
}

impl Place {
    /// Whether an index can hold it.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        (-LONGITUDE_MAX..=LONGITUDE_MAX).contains(&self.longitude)
            && (-LATITUDE_MAX..=LATITUDE_MAX).contains(&self.latitude)
    }

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

    /// Metres between two places, on a sphere (haversine formula).
    #[must_use]
    pub fn distance(&self, other: &Place) -> f64 {
        let v = ((radians(other.longitude) - radians(self.longitude)) / 2.0).sin();
        if v == 0.0 {
            return self.distance_north(other);
        }
        let (from, to) = (radians(self.latitude), radians(other.latitude));
        let u = ((to - from) / 2.0).sin();
        let a = u * u + from.cos() * to.cos() * v * v;
        2.0 * EARTH_RADIUS_METERS * a.sqrt().asin()
    }

    /// Metres between the latitudes of two places.
    fn distance_north(&self, other: &Place) -> f64 {
        EARTH_RADIUS_METERS * (radians(other.latitude) - radians(self.latitude)).abs()
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
