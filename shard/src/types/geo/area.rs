//! Areas, and the cells in which to look for their places.

use super::cell::{Cell, LATITUDES, LONGITUDES};
use super::place::{EARTH_RADIUS_METERS, Place, degrees, radians};
use super::score::STEPS;
use crate::types::item::Item;
use crate::types::zset::ZSet;

/// The form of an area, lengths in the unit that was asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    Circle { radius: f64 },
    Box { width: f64, height: f64 },
}

/// A circle or a box around a place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Area {
    pub middle: Place,
    pub shape: Shape,
    /// Metres of the unit.
    pub unit: f64,
}

impl Area {
    /// Metres from the middle to a place inside; `None` for one outside.
    #[must_use]
    pub fn distance_inside(&self, place: &Place) -> Option<f64> {
        match self.shape {
            Shape::Circle { radius } => {
                let distance = self.middle.distance(place);
                (distance <= radius * self.unit).then_some(distance)
            }
            Shape::Box { width, height } => {
                if place.distance_north(&self.middle) > height * self.unit / 2.0 {
                    return None;
                }
                let column = Place { longitude: self.middle.longitude, latitude: place.latitude };
                let inside = place.distance(&column) <= width * self.unit / 2.0;
                inside.then(|| self.middle.distance(place))
            }
        }
    }

    /// Gives the places of an index inside the area, cell by cell, with their scores and distances in metres, until
    /// `found` says that it is enough.
    pub fn search<'z>(&self, index: &'z ZSet, mut found: impl FnMut(Item<'z>, f64, Place, f64) -> bool) {
        let cells = self.cells();
        let mut last = 0;
        for (number, cell) in cells.iter().enumerate() {
            // Far from the equator or for large areas neighbours can be the same.
            if cell.steps == 0 && cell.bits == 0 || last > 0 && cells[last] == *cell {
                continue;
            }
            let (min, max) = cell.scores();
            let first = index.rank_by_score(|score| score < min);
            for (member, score) in index.iter_from(first, false).take_while(|(_, score)| *score < max) {
                let place = Place::of_score(score);
                if let Some(distance) = self.distance_inside(&place)
                    && !found(member, score, place, distance)
                {
                    return;
                }
            }
            last = number;
        }
    }

    /// The smallest and the largest longitude and latitude of the area.
    fn bounds(&self) -> (Place, Place) {
        let (width, height) = match self.shape {
            Shape::Circle { radius } => (radius, radius),
            Shape::Box { width, height } => (width / 2.0, height / 2.0),
        };
        let (width, height) = (self.unit * width, self.unit * height);
        let Place { longitude, latitude } = self.middle;
        let north = degrees(height / EARTH_RADIUS_METERS);
        let east = |latitude: f64| degrees(width / EARTH_RADIUS_METERS / radians(latitude).cos());
        // A degree of longitude is shortest on the side of the nearer pole.
        let east = if latitude < 0.0 { east(latitude - north) } else { east(latitude + north) };
        (
            Place { longitude: longitude - east, latitude: latitude - north },
            Place { longitude: longitude + east, latitude: latitude + north },
        )
    }

    /// The cell of the middle and its neighbours, which cover the area; those that it does not reach are empty.
    fn cells(&self) -> [Cell; 9] {
        let (min, max) = self.bounds();
        let radius = match self.shape {
            Shape::Circle { radius } => radius,
            Shape::Box { width, height } => {
                ((width / 2.0) * (width / 2.0) + (height / 2.0) * (height / 2.0)).sqrt()
            }
        };
        let mut steps = steps_for(radius * self.unit, self.middle.latitude);
        let at = |steps| Cell::of(self.middle, LONGITUDES, LATITUDES, steps);
        let sides = |cell: Cell| cell.sides(LONGITUDES, LATITUDES);
        let mut cell = at(steps);
        let too_small = sides(cell.neighbour(0, 1)).1.max < max.latitude
            || sides(cell.neighbour(0, -1)).1.min > min.latitude
            || sides(cell.neighbour(1, 0)).0.max < max.longitude
            || sides(cell.neighbour(-1, 0)).0.min > min.longitude;
        if steps > 1 && too_small {
            steps -= 1;
            cell = at(steps);
        }
        let (longitudes, latitudes) = sides(cell);
        // The order in which Redis looks shows in replies that are not sorted.
        [(0, 0), (0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, 1), (1, -1), (-1, -1)].map(|(east, north)| {
            let useless = steps >= 2
                && (north < 0 && latitudes.min < min.latitude
                    || north > 0 && latitudes.max > max.latitude
                    || east < 0 && longitudes.min < min.longitude
                    || east > 0 && longitudes.max > max.longitude);
            if useless { Cell::default() } else { cell.neighbour(east, north) }
        })
    }
}

/// How often to halve the Earth so that a cell and its neighbours cover a radius in metres.
fn steps_for(mut radius: f64, latitude: f64) -> u32 {
    /// Half of the equator in the projection.
    const FARTHEST: f64 = 20_037_726.37;
    if radius == 0.0 {
        return STEPS;
    }
    let mut steps = 1i32;
    while radius < FARTHEST {
        radius *= 2.0;
        steps += 1;
    }
    steps -= 2;
    // Cells get narrow towards the poles.
    if latitude.abs() > 66.0 {
        steps -= if latitude.abs() > 80.0 { 2 } else { 1 };
    }
    steps.clamp(1, STEPS as i32) as u32
}
