//! Geographical indexes: sorted sets whose scores are places.

pub(super) mod search;

use slotway_common::error::Error;
use slotway_common::number::parse_f64;
use slotway_common::resp::Reply;

use super::zset::{self, Adding};
use crate::call::{Call, DataCommand, reads, writes};
use crate::types::ZSet;
use crate::types::geo::Place;

pub(super) const HANDLERS: &[DataCommand] = &[
    writes("geoadd", geoadd),
    reads("geodist", geodist),
    reads("geohash", geohash),
    reads("geopos", geopos),
];

/// Reads a longitude and a latitude from argument `index` on.
fn place(call: &Call<'_>, index: usize) -> Result<Place, Error> {
    let number = |index| parse_f64(call.args.at(index)).ok_or(Error::NotFloat);
    let place = Place { longitude: number(index)?, latitude: number(index + 1)? };
    if !place.is_valid() {
        let Place { longitude, latitude } = place;
        return Err(Error::err(format!("invalid longitude,latitude pair {longitude:.6},{latitude:.6}")));
    }
    Ok(place)
}

/// The metres of a unit.
fn unit(text: &[u8]) -> Result<f64, Error> {
    Ok(match text.to_ascii_lowercase().as_slice() {
        b"m" => 1.0,
        b"km" => 1000.0,
        b"ft" => 0.3048,
        b"mi" => 1609.34,
        _ => return Err(Error::err("unsupported unit provided. please use M, KM, FT, MI")),
    })
}

/// A distance with four digits, a bulk string in both protocols.
fn distance(reply: &mut Reply<'_>, distance: f64) {
    reply.bulk(format!("{distance:.4}").as_bytes());
}

/// A longitude and a latitude with up to 17 digits after the point.
fn coordinates(reply: &mut Reply<'_>, place: Place) {
    reply.array(2);
    for number in [place.longitude, place.latitude] {
        let text = format!("{number:.17}");
        let text = text.trim_end_matches('0').trim_end_matches('.');
        let text = if text == "-0" { "0" } else { text };
        if reply.is_resp3() {
            reply.raw(format!(",{text}\r\n").as_bytes());
        } else {
            reply.bulk(text.as_bytes());
        }
    }
}

fn geoadd(call: &mut Call<'_>) -> Result<(), Error> {
    let mut adding = Adding::default();
    let mut first = 2;
    while first < call.args.len() {
        if call.args.is(first, "NX") {
            adding.if_absent = true;
        } else if call.args.is(first, "XX") {
            adding.if_present = true;
        } else if call.args.is(first, "CH") {
            adding.count_changed = true;
        } else {
            break;
        }
        first += 1;
    }
    let places = call.args.len() - first;
    if places == 0 || !places.is_multiple_of(3) || adding.if_absent && adding.if_present {
        return Err(Error::Syntax);
    }
    let scores = (first..call.args.len())
        .step_by(3)
        .map(|index| place(call, index).map(|place| place.score()))
        .collect::<Result<Vec<f64>, Error>>()?;
    let args = call.args;
    zset::put(call, adding, &scores, |index| args.at(first + index * 3 + 2))
}

fn geodist(call: &mut Call<'_>) -> Result<(), Error> {
    let unit = match call.args.len() {
        4 => 1.0,
        5 => unit(call.args.at(4))?,
        _ => return Err(Error::Syntax),
    };
    let (key, first, second) = (call.key(1), call.args.at(2), call.args.at(3));
    let zset = call.engine.read::<ZSet>(call.db, &key)?;
    match zset.and_then(|zset| zset.score(first).zip(zset.score(second))) {
        Some((first, second)) => {
            let metres = Place::of_score(first).distance(&Place::of_score(second));
            distance(&mut call.reply, metres / unit);
        }
        None => call.reply.null(),
    }
    Ok(())
}

/// Replies something about each member from argument 2 on; about one that is missing what `missing` writes.
fn of_members(
    call: &mut Call<'_>,
    missing: impl Fn(&mut Reply<'_>),
    write: impl Fn(&mut Reply<'_>, Place),
) -> Result<(), Error> {
    let (key, members) = (call.key(1), call.args.rest(2));
    let zset = call.engine.read::<ZSet>(call.db, &key)?;
    call.reply.array(members.len());
    for member in members.iter() {
        match zset.and_then(|zset| zset.score(member)) {
            Some(score) => write(&mut call.reply, Place::of_score(score)),
            None => missing(&mut call.reply),
        }
    }
    Ok(())
}

fn geohash(call: &mut Call<'_>) -> Result<(), Error> {
    of_members(call, |reply| reply.null(), |reply, place| reply.bulk(&place.geohash()))
}

fn geopos(call: &mut Call<'_>) -> Result<(), Error> {
    of_members(call, |reply| reply.null_array(), coordinates)
}
