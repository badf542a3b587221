//! Places on the Earth as scores of a sorted set: geohashes of 52 bits, and the search for those in an area.
//!
//! A geohash halves the range of longitudes and that of latitudes in turns, so that the places of a cell are a range of
//! scores. The latitudes end where the Web Mercator projection is a square (EPSG:900913). Computed exactly as Redis
//! does, operation by operation, so that scores, distances and what lies on an edge agree to the last digit.

mod area;
mod cell;
mod place;
mod score;

pub use area::{Area, Shape};
pub use place::{LATITUDE_MAX, LONGITUDE_MAX, Place};
