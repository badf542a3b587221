//! Unions, intersections and differences of sorted sets and sets.

use slotway_common::error::Error;
use slotway_common::number::parse_f64;

use super::{reply_members, store};
use crate::call::{Call, DataCommand, reads, writes};
use crate::commands::items::at_least;
use crate::engine::{Engine, Key};
use crate::types::item::IntText;
use crate::types::item::Item;
use crate::types::{Object, Set, ZSet};

pub(in crate::commands) const HANDLERS: &[DataCommand] = &[
    reads("zunion", |call| reply(call, Operation::Union)),
    reads("zinter", |call| reply(call, Operation::Intersection)),
    reads("zdiff", |call| reply(call, Operation::Difference)),
    writes("zunionstore", |call| store_result(call, Operation::Union)),
    writes("zinterstore", |call| store_result(call, Operation::Intersection)),
    writes("zdiffstore", |call| store_result(call, Operation::Difference)),
    reads("zintercard", zintercard),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Operation {
    Union,
    Intersection,
    Difference,
}

/// What becomes of the scores that a member has in several inputs.
#[derive(Clone, Copy)]
enum Aggregate {
    Sum,
    Min,
    Max,
}

impl Aggregate {
    fn of(self, score: f64, other: f64) -> f64 {
        match self {
            // Infinities of both signs add up to nothing.
            Aggregate::Sum => not_nan(score + other),
            Aggregate::Min if other < score => other,
            Aggregate::Max if other > score => other,
            Aggregate::Min | Aggregate::Max => score,
        }
    }
}

fn not_nan(score: f64) -> f64 {
    if score.is_nan() { 0.0 } else { score }
}

/// A sorted set, or a set whose members all have the score 1.
#[derive(Clone, Copy)]
enum Input<'e> {
    Absent,
    Set(&'e Set),
    ZSet(&'e ZSet),
}

impl<'e> Input<'e> {
    fn read(engine: &'e Engine, db: usize, key: &Key<'_>) -> Result<Self, Error> {
        match engine.peek_record(db, key) {
            None => Ok(Input::Absent),
            Some(record) => match record.value() {
                Some(Object::Set(set)) => Ok(Input::Set(set)),
                Some(Object::ZSet(zset)) => Ok(Input::ZSet(zset)),
                _ => Err(Error::WrongType),
            },
        }
    }

    fn len(self) -> usize {
        match self {
            Input::Absent => 0,
            Input::Set(set) => set.len(),
            Input::ZSet(zset) => zset.len(),
        }
    }

    fn score(self, member: Item<'_>) -> Option<f64> {
        match self {
            Input::Absent => None,
            Input::Set(set) => set.contains_item(member).then_some(1.0),
            Input::ZSet(zset) => zset.score_of_item(member),
        }
    }

    fn iter(self) -> impl Iterator<Item = (Item<'e>, f64)> {
        let (set, zset) = match self {
            Input::Absent => (None, None),
            Input::Set(set) => (Some(set), None),
            Input::ZSet(zset) => (None, Some(zset)),
        };
        let unscored = set.into_iter().flat_map(|set| set.iter().map(|member| (member, 1.0)));
        unscored.chain(zset.into_iter().flat_map(ZSet::iter))
    }
}

/// The arguments from the number of keys on, read as far as they do not depend on the keys' values.
struct Request<'a> {
    keys: Vec<Key<'a>>,
    /// Position after the keys.
    options: usize,
}

impl<'a> Request<'a> {
    fn parse(call: &Call<'a>, numkeys: usize) -> Result<Self, Error> {
        let count = call.integer(numkeys)?;
        let Some(count) = usize::try_from(count).ok().filter(|count| *count > 0) else {
            let name = call.command.name;
            return Err(Error::err(format!("at least 1 input key is needed for '{name}' command")));
        };
        let options = numkeys + 1;
        if count > call.args.len() - options {
            return Err(Error::Syntax);
        }
        let keys = (options..options + count).map(|index| call.key(index)).collect();
        Ok(Self { keys, options: options + count })
    }

    /// Reads the values; all types are checked before the options are read.
    fn inputs<'e>(&self, engine: &'e mut Engine, db: usize) -> Result<Vec<Input<'e>>, Error> {
        for key in &self.keys {
            engine.touch(db, key);
            Input::read(engine, db, key)?;
        }
        self.keys.iter().map(|key| Input::read(engine, db, key)).collect()
    }
}

struct Options {
    weights: Vec<f64>,
    aggregate: Aggregate,
    scores: bool,
}

impl Options {
    fn parse(
        args: &slotway_common::resp::Args<'_>,
        request: &Request<'_>,
        operation: Operation,
        storing: bool,
    ) -> Result<Self, Error> {
        let mut options =
            Options { weights: vec![1.0; request.keys.len()], aggregate: Aggregate::Sum, scores: false };
        let weighted = operation != Operation::Difference;
        let mut index = request.options;
        while index < args.len() {
            let left = args.len() - index;
            if weighted && left > request.keys.len() && args.is(index, "WEIGHTS") {
                for weight in &mut options.weights {
                    index += 1;
                    *weight = parse_f64(args.at(index)).ok_or(Error::err("weight value is not a float"))?;
                }
            } else if weighted && left >= 2 && args.is(index, "AGGREGATE") {
                index += 1;
                options.aggregate = if args.is(index, "SUM") {
                    Aggregate::Sum
                } else if args.is(index, "MIN") {
                    Aggregate::Min
                } else if args.is(index, "MAX") {
                    Aggregate::Max
                } else {
                    return Err(Error::Syntax);
                };
            } else if !storing && args.is(index, "WITHSCORES") {
                options.scores = true;
            } else {
                return Err(Error::Syntax);
            }
            index += 1;
        }
        Ok(options)
    }
}

/// Runs the operation; says too whether scores were asked for.
fn run(
    call: &mut Call<'_>,
    numkeys: usize,
    operation: Operation,
    storing: bool,
) -> Result<(ZSet, bool), Error> {
    let request = Request::parse(call, numkeys)?;
    let (args, limits) = (call.args, call.engine.limits);
    let inputs = request.inputs(call.engine, call.db)?;
    let options = Options::parse(&args, &request, operation, storing)?;
    let mut weighted: Vec<(Input<'_>, f64)> = inputs.into_iter().zip(options.weights).collect();
    // Packed, it would not keep −0, which a reply tells.
    let mut result = ZSet::unpacked();
    let mut set = |member: Item<'_>, score: f64| {
        result.set(member.text(&mut IntText::new()), score, &limits);
    };
    if operation != Operation::Difference {
        // From the smallest to the largest; with floats the order of a sum shows.
        weighted.sort_by_key(|(input, _)| input.len());
    }
    match operation {
        Operation::Difference => {
            if let Some(((first, _), others)) = weighted.split_first() {
                for (member, score) in first.iter() {
                    if others.iter().all(|(other, _)| other.score(member).is_none()) {
                        set(member, score);
                    }
                }
            }
        }
        Operation::Intersection => intersect(&weighted, options.aggregate, |member, score| {
            set(member, score);
            true
        }),
        Operation::Union => {
            for (input, weight) in &weighted {
                for (member, score) in input.iter() {
                    let score = not_nan(score * weight);
                    let mut text = IntText::new();
                    let member = member.text(&mut text);
                    let mut union = score;
                    if let Some(before) = result.score(member) {
                        union = options.aggregate.of(before, score);
                        if union == before && union.is_sign_negative() != before.is_sign_negative() {
                            // Setting 0 for −0 would change nothing.
                            result.remove(member);
                        }
                    }
                    result.set(member, union, &limits);
                }
            }
        }
    }
    Ok((result, options.scores))
}

/// Hands over the members that all inputs have, which are ordered by length, until `each` wants no more.
fn intersect(inputs: &[(Input<'_>, f64)], aggregate: Aggregate, mut each: impl FnMut(Item<'_>, f64) -> bool) {
    let Some(((smallest, weight), others)) = inputs.split_first() else { return };
    for (member, score) in smallest.iter() {
        let score = others.iter().try_fold(not_nan(score * weight), |score, (other, weight)| {
            Some(aggregate.of(score, other.score(member)? * weight))
        });
        if let Some(score) = score
            && !each(member, score)
        {
            return;
        }
    }
}

fn reply(call: &mut Call<'_>, operation: Operation) -> Result<(), Error> {
    let (result, scores) = run(call, 1, operation, false)?;
    reply_members(&mut call.reply, result.len(), scores, result.iter());
    Ok(())
}

fn store_result(call: &mut Call<'_>, operation: Operation) -> Result<(), Error> {
    let (result, _) = run(call, 2, operation, true)?;
    let result = result.repacked(&call.engine.limits);
    let event = match operation {
        Operation::Union => "zunionstore",
        Operation::Intersection => "zinterstore",
        Operation::Difference => "zdiffstore",
    };
    store(call, 1, result, event);
    Ok(())
}

fn zintercard(call: &mut Call<'_>) -> Result<(), Error> {
    let request = Request::parse(call, 1)?;
    let args = call.args;
    let inputs = request.inputs(call.engine, call.db)?;
    let (mut index, mut most) = (request.options, 0);
    while index < args.len() {
        if !args.is(index, "LIMIT") || index + 1 == args.len() {
            return Err(Error::Syntax);
        }
        most = at_least(args.at(index + 1), 0, "LIMIT can't be negative")?;
        index += 2;
    }
    let mut weighted: Vec<(Input<'_>, f64)> = inputs.into_iter().map(|input| (input, 1.0)).collect();
    weighted.sort_by_key(|(input, _)| input.len());
    let mut found = 0;
    intersect(&weighted, Aggregate::Sum, |_, _| {
        found += 1;
        found != most
    });
    call.reply.len(found);
    Ok(())
}
