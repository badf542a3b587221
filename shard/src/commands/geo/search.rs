//! The search for places: GEOSEARCH, GEORADIUS, GEORADIUSBYMEMBER and their forms that store or only read.

use std::cmp::Ordering;

use slotway_common::error::Error;
use slotway_common::number::parse_f64;

use super::{coordinates, distance, place, unit};
use crate::call::{Call, DataCommand, reads, writes};
use crate::commands::items::element;
use crate::commands::zset;
use crate::engine::Limits;
use crate::types::ZSet;
use crate::types::geo::{Area, Place, Shape};
use crate::types::item::{IntText, Item};

pub(in crate::commands) const HANDLERS: &[DataCommand] = &[
    writes("georadius", |call| radius(call, Middle::Place, true)),
    reads("georadius_ro", |call| radius(call, Middle::Place, false)),
    writes("georadiusbymember", |call| radius(call, Middle::Member, true)),
    reads("georadiusbymember_ro", |call| radius(call, Middle::Member, false)),
    reads("geosearch", |call| search(call, 1)),
    writes("geosearchstore", |call| search(call, 2)),
];

/// Where the arguments of the older commands have the middle of the circle.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Middle {
    Place,
    Member,
}

#[derive(Default)]
struct Options {
    with_distance: bool,
    with_hash: bool,
    with_place: bool,
    any: bool,
    /// Nearest or farthest first; without, in the order in which they were found.
    order: Option<Order>,
    count: Option<usize>,
    /// The argument that names the key to store at.
    store: Option<usize>,
    store_distance: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Nearest,
    Farthest,
}

impl Options {
    /// Reads the option at `index` if it is one that all the commands have; gives the number of its arguments.
    fn common(&mut self, call: &Call<'_>, index: usize) -> Result<usize, Error> {
        if call.args.is(index, "WITHDIST") {
            self.with_distance = true;
        } else if call.args.is(index, "WITHHASH") {
            self.with_hash = true;
        } else if call.args.is(index, "WITHCOORD") {
            self.with_place = true;
        } else if call.args.is(index, "ANY") {
            self.any = true;
        } else if call.args.is(index, "ASC") {
            self.order = Some(Order::Nearest);
        } else if call.args.is(index, "DESC") {
            self.order = Some(Order::Farthest);
        } else if call.args.is(index, "COUNT") && index + 1 < call.args.len() {
            let count = usize::try_from(call.integer(index + 1)?).ok().filter(|count| *count > 0);
            self.count = Some(count.ok_or(Error::err("COUNT must be > 0"))?);
            return Ok(2);
        } else {
            return Err(Error::Syntax);
        }
        Ok(1)
    }

    /// What is refused only when all options have been read.
    fn check(&self, name: &'static str) -> Result<(), Error> {
        if self.store.is_some() && (self.with_distance || self.with_hash || self.with_place) {
            let text = format!("{name} is not compatible with WITHDIST, WITHHASH and WITHCOORD options");
            return Err(Error::err(text));
        }
        Ok(())
    }

    fn check_any(&self) -> Result<(), Error> {
        if self.any && self.count.is_none() {
            return Err(Error::err("the ANY argument requires COUNT argument"));
        }
        Ok(())
    }
}

/// Reads a radius and its unit from argument `index` on.
fn circle(call: &Call<'_>, index: usize) -> Result<(Shape, f64), Error> {
    let radius = parse_f64(call.args.at(index)).ok_or(Error::err("need numeric radius"))?;
    if radius < 0.0 {
        return Err(Error::err("radius cannot be negative"));
    }
    Ok((Shape::Circle { radius }, unit(call.args.at(index + 1))?))
}

fn rectangle(call: &Call<'_>, index: usize) -> Result<(Shape, f64), Error> {
    let width = parse_f64(call.args.at(index)).ok_or(Error::err("need numeric width"))?;
    let height = parse_f64(call.args.at(index + 1)).ok_or(Error::err("need numeric height"))?;
    if height < 0.0 || width < 0.0 {
        return Err(Error::err("height or width cannot be negative"));
    }
    Ok((Shape::Box { width, height }, unit(call.args.at(index + 2))?))
}

/// Where a member of the index lies; `None` if there is no index.
fn member(call: &mut Call<'_>, source: usize, index: usize) -> Result<Option<Place>, Error> {
    let (key, name) = (call.key(source), call.args.at(index));
    match call.engine.peek::<ZSet>(call.db, &key)? {
        None => Ok(None),
        Some(zset) => match zset.score(name) {
            Some(score) => Ok(Some(Place::of_score(score))),
            None => Err(Error::err("could not decode requested zset member")),
        },
    }
}

fn radius(call: &mut Call<'_>, middle: Middle, can_store: bool) -> Result<(), Error> {
    let (key, db) = (call.key(1), call.db);
    let exists = call.engine.read::<ZSet>(db, &key)?.is_some();
    let (first, area) = match middle {
        Middle::Place => {
            let middle = place(call, 2)?;
            let (shape, unit) = circle(call, 4)?;
            (6, Some(Area { middle, shape, unit }))
        }
        // Without an index the radius is not looked at.
        Middle::Member if !exists => (5, None),
        Middle::Member => {
            let middle = member(call, 1, 2)?;
            let (shape, unit) = circle(call, 3)?;
            (5, middle.map(|middle| Area { middle, shape, unit }))
        }
    };
    let mut options = Options::default();
    let mut index = first;
    while index < call.args.len() {
        let store = can_store && index + 1 < call.args.len();
        if store && (call.args.is(index, "STORE") || call.args.is(index, "STOREDIST")) {
            options.store = Some(index + 1);
            options.store_distance = call.args.is(index, "STOREDIST");
            index += 2;
        } else {
            index += options.common(call, index)?;
        }
    }
    options.check("STORE option in GEORADIUS")?;
    options.check_any()?;
    run(call, 1, area.filter(|_| exists), &options)
}

/// GEOSEARCH, and with `source` 2 GEOSEARCHSTORE.
fn search(call: &mut Call<'_>, source: usize) -> Result<(), Error> {
    let (key, db) = (call.key(source), call.db);
    let exists = call.engine.read::<ZSet>(db, &key)?.is_some();
    let stores = source == 2;
    let mut options = Options { store: stores.then_some(1), ..Options::default() };
    let (mut from_member, mut from_place, mut by_radius, mut by_box) = (false, false, false, false);
    let (mut middle, mut shape) = (None, None);
    let mut index = source + 1;
    while index < call.args.len() {
        let follow = call.args.len() - index - 1;
        if call.args.is(index, "FROMMEMBER") && follow >= 1 && !from_place {
            middle = member(call, source, index + 1)?;
            from_member = true;
            index += 2;
        } else if call.args.is(index, "FROMLONLAT") && follow >= 2 && !from_member {
            middle = Some(place(call, index + 1)?);
            from_place = true;
            index += 3;
        } else if call.args.is(index, "BYRADIUS") && follow >= 2 && !by_box {
            shape = Some(circle(call, index + 1)?);
            by_radius = true;
            index += 3;
        } else if call.args.is(index, "BYBOX") && follow >= 3 && !by_radius {
            shape = Some(rectangle(call, index + 1)?);
            by_box = true;
            index += 4;
        } else if stores && call.args.is(index, "STOREDIST") {
            options.store_distance = true;
            index += 1;
        } else {
            index += options.common(call, index)?;
        }
    }
    options.check("GEOSEARCHSTORE")?;
    let one_of = |what: &str| {
        Error::Bytes([format!("exactly one of {what} for ").as_bytes(), call.args.at(0)].concat())
    };
    if !from_member && !from_place {
        return Err(one_of("FROMMEMBER or FROMLONLAT can be specified"));
    }
    if !by_radius && !by_box {
        return Err(one_of("BYRADIUS and BYBOX can be specified"));
    }
    options.check_any()?;
    let area = middle.zip(shape).map(|(middle, (shape, unit))| Area { middle, shape, unit });
    run(call, source, area.filter(|_| exists), &options)
}

/// A place that was found.
struct Found<'z> {
    member: Item<'z>,
    score: f64,
    place: Place,
    /// In metres.
    distance: f64,
}

/// Searches the index at argument `source`; none without an area.
fn run(call: &mut Call<'_>, source: usize, area: Option<Area>, options: &Options) -> Result<(), Error> {
    let (key, db, limits) = (call.key(source), call.db, call.engine.limits);
    let index = call.engine.peek::<ZSet>(db, &key)?;
    let mut found = Vec::new();
    if let (Some(index), Some(area)) = (index, &area) {
        area.search(index, |member, score, place, distance| {
            found.push(Found { member, score, place, distance });
            !options.any || Some(found.len()) != options.count
        });
    }
    // The first ones of no order would be any: COUNT alone means the nearest ones.
    let nearest = options.count.filter(|_| !options.any).map(|_| Order::Nearest);
    if let Some(order) = options.order.or(nearest) {
        found.sort_by(|a, b| {
            let nearer = a.distance.partial_cmp(&b.distance).unwrap_or(Ordering::Equal);
            if order == Order::Nearest { nearer } else { nearer.reverse() }
        });
    }
    found.truncate(options.count.unwrap_or(usize::MAX));
    let unit = area.map_or(1.0, |area| area.unit);
    if let Some(target) = options.store {
        let result = stored(&found, options.store_distance.then_some(unit), &limits);
        let count = result.len();
        // The result counts for as many changes as it has members.
        call.engine.dirty((count as u64).saturating_sub(1));
        let is_search = call.command.name == "geosearchstore";
        zset::store(call, target, result, if is_search { "geosearchstore" } else { "georadiusstore" });
        return Ok(());
    }
    let reply = &mut call.reply;
    let with = [options.with_distance, options.with_hash, options.with_place];
    let extra = with.iter().filter(|wanted| **wanted).count();
    reply.array(found.len());
    for Found { member, score, place, distance: metres } in &found {
        if extra > 0 {
            reply.array(1 + extra);
        }
        element(reply, *member);
        if options.with_distance {
            distance(reply, metres / unit);
        }
        if options.with_hash {
            reply.int(*score as i64);
        }
        if options.with_place {
            coordinates(reply, *place);
        }
    }
    Ok(())
}

/// The sorted set to store: with the distances in a unit as scores, or those of the index.
fn stored(found: &[Found<'_>], unit: Option<f64>, limits: &Limits) -> ZSet {
    let mut result = ZSet::new();
    for Found { member, score, distance, .. } in found {
        let score = unit.map_or(*score, |unit| distance / unit);
        result.set(member.text(&mut IntText::new()), score, limits);
    }
    result
}
