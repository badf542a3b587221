//! A place on the Earth.

/// A longitude and a latitude in degrees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Place {
    pub longitude: f64,
    pub latitude: f64,
}

pub const LONGITUDE_MAX: f64 = 180.0;
pub const LATITUDE_MAX: f64 = 85.051_128_78;

pub(super) const EARTH_RADIUS_METERS: f64 = 6_372_797.560_856;

pub(super) fn radians(degrees: f64) -> f64 {
    degrees * (std::f64::consts::PI / 180.0)
}

pub(super) fn degrees(radians: f64) -> f64 {
    radians / (std::f64::consts::PI / 180.0)
}

impl Place {
    /// Whether an index can hold it.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        (-LONGITUDE_MAX..=LONGITUDE_MAX).contains(&self.longitude)
            && (-LATITUDE_MAX..=LATITUDE_MAX).contains(&self.latitude)
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
    pub(super) fn distance_north(&self, other: &Place) -> f64 {
        EARTH_RADIUS_METERS * (radians(other.latitude) - radians(self.latitude)).abs()
    }
}
