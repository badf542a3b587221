//! Commands that wait for what they do not find.

use slotway_common::error::Error;
use slotway_common::timeout;

use super::items::Check;
use super::{list, zset};
use crate::call::want::{Awaited, Want};
use crate::call::{Call, DataCommand, writes};
use crate::types::list::End;

pub(super) const HANDLERS: &[DataCommand] = &[
    writes("blpop", |call| pop(call, Awaited::List, |call, at| list::pop_with_key(call, at, End::Head))),
    writes("brpop", |call| pop(call, Awaited::List, |call, at| list::pop_with_key(call, at, End::Tail))),
    writes("bzpopmin", |call| pop(call, Awaited::SortedSet, |call, at| zset::pop_with_key(call, at, false))),
    writes("bzpopmax", |call| pop(call, Awaited::SortedSet, |call, at| zset::pop_with_key(call, at, true))),
    writes("blmove", blmove),
    writes("brpoplpush", brpoplpush),
    writes("blmpop", |call| pop_many(call, Awaited::List, list::lmpop_at)),
    writes("bzmpop", |call| pop_many(call, Awaited::SortedSet, zset::zmpop_at)),
];

/// When a wait of so many seconds ends.
fn deadline(call: &Call<'_>, index: usize) -> Result<Option<i64>, Error> {
    timeout::from_seconds(call.args.at(index)).map(|milliseconds| ends_after(call.now(), milliseconds))
}

/// When a wait of so many milliseconds from `now` on ends; never for 0, and where that is too far away to be told.
pub(super) fn ends_after(now: i64, milliseconds: u64) -> Option<i64> {
    let left = i64::try_from(milliseconds).ok().filter(|left| *left > 0)?;
    now.checked_add(left)
}

/// BLPOP and the like: tries the keys in their order.
fn pop(
    call: &mut Call<'_>,
    awaited: Awaited,
    take: fn(&mut Call<'_>, usize) -> Result<bool, Error>,
) -> Result<(), Error> {
    let last = call.args.len() - 1;
    let deadline = deadline(call, last)?;
    for index in 1..last {
        if take(call, index)? {
            return Ok(());
        }
    }
    call.wait(Want { awaited, keys: (1..last).collect(), deadline, args: None });
    Ok(())
}

/// BLMPOP and BZMPOP, whose timeout is looked at last.
fn pop_many(
    call: &mut Call<'_>,
    awaited: Awaited,
    take: fn(&mut Call<'_>, usize, Check) -> Result<Option<std::ops::Range<usize>>, Error>,
) -> Result<(), Error> {
    if let Some(keys) = take(call, 2, |call| deadline(call, 1).map(drop))? {
        let deadline = deadline(call, 1)?;
        call.wait(Want { awaited, keys: keys.collect(), deadline, args: None });
    }
    Ok(())
}

fn blmove(call: &mut Call<'_>) -> Result<(), Error> {
    let (from, to) = (list::end_named(call.args.at(3))?, list::end_named(call.args.at(4))?);
    let deadline = deadline(call, 5)?;
    move_or_wait(call, from, to, deadline)
}

fn brpoplpush(call: &mut Call<'_>) -> Result<(), Error> {
    let deadline = deadline(call, 3)?;
    move_or_wait(call, End::Tail, End::Head, deadline)
}

fn move_or_wait(call: &mut Call<'_>, from: End, to: End, deadline: Option<i64>) -> Result<(), Error> {
    if !list::move_between(call, from, to)? {
        if call.may_wait {
            call.wait(Want { awaited: Awaited::List, keys: vec![1], deadline, args: None });
        } else {
            // Unlike the others, and unlike when its time is up, it gives a string then.
            call.reply.null();
        }
    }
    Ok(())
}
