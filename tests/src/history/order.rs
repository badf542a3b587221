//! Lists and counters: a reply is the command's place in the one order of all of them.

use std::collections::BTreeMap;

use slotway_common::resp::Value;

use super::segment::{Seen, Segment};
use super::{LAST, Operation};

/// Elements are appended, and the list is read at the end.
pub(super) fn list(segment: &Segment<'_>) -> Result<(), String> {
    let pushes: Vec<Seen<'_>> =
        segment.seen.iter().copied().filter(|seen| seen.command() == "RPUSH").collect();
    let places = in_order(&pushes)?;
    let Some(last) = segment.seen.iter().rev().find(|seen| seen.operation.client == LAST) else {
        return Ok(());
    };
    let Some(Value::Array(items)) = last.reply else {
        return Err(format!("no list at the end: {}", last.operation.describe()));
    };
    let mut wanted: BTreeMap<&[u8], &Seen<'_>> =
        pushes.iter().map(|push| (push.word(2).as_bytes(), push)).collect();
    for (position, item) in items.iter().enumerate() {
        let bytes = item.as_bytes().unwrap_or_default();
        let Some(push) = wanted.remove(bytes) else {
            let again = pushes.iter().any(|push| push.word(2).as_bytes() == bytes);
            let what = if again { "is there twice" } else { "was never appended since the slot was empty" };
            return Err(format!("{item} at place {position} {what}"));
        };
        if push.reply.and_then(Value::as_int).is_some_and(|reply| reply != position as i64 + 1) {
            return Err(format!("at place {position}: {}", push.operation.describe()));
        }
    }
    match wanted.values().find(|push| push.reply.is_some()) {
        Some(lost) => {
            let length = items.len();
            Err(format!("lost from the list of {length}: {}", lost.operation.describe()))
        }
        None if places > items.len() as i64 => Err(format!("{} elements of {places}", items.len())),
        None => Ok(()),
    }
}

/// Ones are added, and the sum is read at the end.
pub(super) fn counter(segment: &Segment<'_>) -> Result<(), String> {
    let adds: Vec<Seen<'_>> =
        segment.seen.iter().copied().filter(|seen| matches!(seen.command(), "INCR" | "HINCRBY")).collect();
    let highest = in_order(&adds)?;
    let Some(last) = segment.seen.iter().rev().find(|seen| seen.operation.client == LAST) else {
        return Ok(());
    };
    let sum = match last.reply {
        Some(null) if null.is_null() => 0,
        Some(reply) => number(reply).ok_or_else(|| format!("no number: {}", last.operation.describe()))?,
        None => return Ok(()),
    };
    let known = adds.iter().filter(|add| add.reply.is_some()).count() as i64;
    let unknown = adds.len() as i64 - known;
    if sum < known || sum < highest {
        return Err(format!(
            "the sum is {sum}, after {known} acknowledged additions of which one said {highest}"
        ));
    }
    if sum > known + unknown {
        return Err(format!(
            "the sum is {sum}, after {known} acknowledged additions and {unknown} unknown ones"
        ));
    }
    Ok(())
}

fn number(reply: &Value) -> Option<i64> {
    match reply {
        Value::Int(number) => Some(*number),
        other => std::str::from_utf8(other.as_bytes()?).ok()?.parse().ok(),
    }
}

/// Checks that the replies are places in an order in which everybody's commands are in the order in which they were
/// sent, and nobody's come before one that had ended when they began. Gives the highest place.
fn in_order(seen: &[Seen<'_>]) -> Result<i64, String> {
    let mut placed: Vec<(i64, &Operation)> = Vec::new();
    for one in seen {
        let Some(reply) = one.reply else { continue };
        let place = number(reply).ok_or_else(|| format!("no number: {}", one.operation.describe()))?;
        placed.push((place, one.operation));
    }
    placed.sort_by_key(|(place, _)| *place);
    if let Some(pair) = placed.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(format!("the same place: {}, and {}", pair[0].1.describe(), pair[1].1.describe()));
    }
    if let Some((place, operation)) = placed.first()
        && *place < 1
    {
        return Err(format!("a place below 1: {}", operation.describe()));
    }
    // Of all later places the command that ended first.
    let mut earliest: Option<&Operation> = None;
    let mut next_of_client: BTreeMap<u32, &Operation> = BTreeMap::new();
    for (_, operation) in placed.iter().rev() {
        if let Some(later) = earliest.filter(|later| later.returned < operation.invoked) {
            return Err(format!(
                "{} came before {}, which had ended when it began",
                operation.describe(),
                later.describe()
            ));
        }
        if let Some(later) = next_of_client.insert(operation.client, operation)
            && later.number < operation.number
        {
            return Err(format!("{} overtook {}", operation.describe(), later.describe()));
        }
        if earliest.is_none_or(|later| operation.returned < later.returned) {
            earliest = Some(operation);
        }
    }
    Ok(placed.last().map_or(0, |(place, _)| *place))
}
