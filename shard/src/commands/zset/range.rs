//! Sorted-set commands on ranges: by rank, by score and by member.

use slotway_common::error::Error;

use super::bounds::{LexRange, ScoreRange};
use super::{reply_members, store};
use crate::call::{Call, DataCommand, reads, writes};
use crate::commands::bounds::clamp;
use crate::engine::EventClass;
use crate::types::ZSet;
use crate::types::item::IntText;

pub(in crate::commands) const HANDLERS: &[DataCommand] = &[
    reads("zrange", |call| range(call, Form { from: 1, store: false, by: None, reverse: None })),
    writes("zrangestore", |call| range(call, Form { from: 2, store: true, by: None, reverse: None })),
    reads("zrevrange", |call| range(call, Form::old(By::Rank, true))),
    reads("zrangebyscore", |call| range(call, Form::old(By::Score, false))),
    reads("zrevrangebyscore", |call| range(call, Form::old(By::Score, true))),
    reads("zrangebylex", |call| range(call, Form::old(By::Member, false))),
    reads("zrevrangebylex", |call| range(call, Form::old(By::Member, true))),
    reads("zcount", zcount),
    reads("zlexcount", zlexcount),
    writes("zremrangebyrank", |call| remove(call, By::Rank)),
    writes("zremrangebyscore", |call| remove(call, By::Score)),
    writes("zremrangebylex", |call| remove(call, By::Member)),
];

/// What the two ends of a range are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Rank,
    Score,
    Member,
}

/// What a command's name says; what it does not say, its options do.
struct Form {
    /// Position of the key that is read.
    from: usize,
    store: bool,
    by: Option<By>,
    reverse: Option<bool>,
}

impl Form {
    fn old(by: By, reverse: bool) -> Self {
        Form { from: 1, store: false, by: Some(by), reverse: Some(reverse) }
    }
}

/// A range as the arguments give it.
enum Range<'a> {
    Rank(i64, i64),
    Score(ScoreRange),
    Member(LexRange<'a>),
}

impl<'a> Range<'a> {
    fn parse(call: &Call<'a>, by: By, least: usize, most: usize) -> Result<Self, Error> {
        Ok(match by {
            By::Rank => Range::Rank(call.integer(least)?, call.integer(most)?),
            By::Score => Range::Score(ScoreRange::parse(call.args.at(least), call.args.at(most))?),
            By::Member => Range::Member(LexRange::parse(call.args.at(least), call.args.at(most))?),
        })
    }

    /// The ranks it covers, from the lowest: the first one, and how many. Offsets count from the highest in `reverse`.
    fn find(&self, zset: &ZSet, reverse: bool) -> (usize, usize) {
        match self {
            Range::Rank(start, end) => match clamp(*start, *end, zset.len()) {
                Some((from, to)) => (if reverse { zset.len() - to } else { from }, to - from),
                None => (0, 0),
            },
            Range::Score(range) => range.find(zset),
            Range::Member(range) => range.find(zset, reverse),
        }
    }
}

fn range(call: &mut Call<'_>, form: Form) -> Result<(), Error> {
    let Form { from, store: storing, mut by, mut reverse } = form;
    let (mut scores, mut limit) = (false, (0, -1));
    let mut index = from + 3;
    while index < call.args.len() {
        if !storing && call.args.is(index, "WITHSCORES") {
            scores = true;
        } else if call.args.is(index, "LIMIT") && index + 2 < call.args.len() {
            limit = (call.integer(index + 1)?, call.integer(index + 2)?);
            index += 2;
        } else if reverse.is_none() && call.args.is(index, "REV") {
            reverse = Some(true);
        } else if by.is_none() && call.args.is(index, "BYLEX") {
            by = Some(By::Member);
        } else if by.is_none() && call.args.is(index, "BYSCORE") {
            by = Some(By::Score);
        } else {
            return Err(Error::Syntax);
        }
        index += 1;
    }
    let (by, reverse) = (by.unwrap_or(By::Rank), reverse.unwrap_or(false));
    if by == By::Rank && limit.1 != -1 {
        return Err(Error::err(
            "syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX",
        ));
    }
    if by == By::Member && scores {
        return Err(Error::err("syntax error, WITHSCORES not supported in combination with BYLEX"));
    }
    // Downwards, the upper bound is given first.
    let swapped = reverse && by != By::Rank;
    let (least, most) = if swapped { (from + 2, from + 1) } else { (from + 1, from + 2) };
    let range = Range::parse(call, by, least, most)?;
    let (key, limits) = (call.key(from), call.engine.limits);
    let Some(zset) = call.engine.read::<ZSet>(call.db, &key)? else {
        if storing {
            store(call, 1, ZSet::new(), "zrangestore");
        } else {
            call.reply.array(0);
        }
        return Ok(());
    };
    let (first, covered) = range.find(zset, reverse);
    let (skipped, count) = if by == By::Rank { (0, covered) } else { limited(limit, covered) };
    let start = if reverse { (first + covered).saturating_sub(1 + skipped) } else { first + skipped };
    let members = zset.iter_from(start, reverse).take(count);
    if storing {
        let mut result = ZSet::new();
        for (member, score) in members {
            result.set(member.text(&mut IntText::new()), score, &limits);
        }
        store(call, 1, result, "zrangestore");
    } else {
        reply_members(&mut call.reply, count, scores, members);
    }
    Ok(())
}

/// Which of `count` members LIMIT leaves: how many are skipped, and how many remain. A negative offset skips all, a
/// negative number leaves all.
fn limited((offset, number): (i64, i64), count: usize) -> (usize, usize) {
    let skipped = usize::try_from(offset).unwrap_or(usize::MAX).min(count);
    (skipped, usize::try_from(number).unwrap_or(usize::MAX).min(count - skipped))
}

fn zcount(call: &mut Call<'_>) -> Result<(), Error> {
    count(call, By::Score)
}

fn zlexcount(call: &mut Call<'_>) -> Result<(), Error> {
    count(call, By::Member)
}

fn count(call: &mut Call<'_>, by: By) -> Result<(), Error> {
    let range = Range::parse(call, by, 2, 3)?;
    let key = call.key(1);
    let zset = call.engine.read::<ZSet>(call.db, &key)?;
    let count = zset.map_or(0, |zset| range.find(zset, false).1);
    call.reply.len(count);
    Ok(())
}

fn remove(call: &mut Call<'_>, by: By) -> Result<(), Error> {
    let range = Range::parse(call, by, 2, 3)?;
    let key = call.key(1);
    let mut removed = 0;
    if let Some(mut zset) = call.engine.edit::<ZSet>(call.db, &key)? {
        let (first, count) = range.find(&zset, false);
        zset.remove_range(first, count);
        removed = count;
    }
    if removed > 0 {
        let event = match by {
            By::Rank => "zremrangebyrank",
            By::Score => "zremrangebyscore",
            By::Member => "zremrangebylex",
        };
        call.notify(EventClass::SORTED_SET, event, &key);
    }
    call.engine.dirty(removed as u64);
    call.reply.len(removed);
    Ok(())
}
