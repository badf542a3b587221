//! Sets, hashes and sorted sets: members that are unique are added, and some are taken out.

use std::collections::{BTreeMap, BTreeSet};

use slotway_common::resp::Value;

use super::LAST;
use super::segment::{Seen, Segment};

/// A member with its value or score; sets have none.
type Member = (String, String);

pub(super) fn check(segment: &Segment<'_>) -> Result<(), String> {
    let mut added: BTreeMap<String, (String, Seen<'_>)> = BTreeMap::new();
    let mut taken: BTreeSet<String> = BTreeSet::new();
    let mut takes_unknown = 0;
    let mut left: Option<Vec<Member>> = None;
    for seen in &segment.seen {
        if let Some((member, with)) = addition(seen) {
            if seen.reply.is_some_and(|reply| reply.as_int() != Some(1)) {
                return Err(format!("a new member was there already: {}", seen.operation.describe()));
            }
            added.insert(member, (with, *seen));
        }
    }
    let known = |(member, with): &Member, seen: &Seen<'_>| match added.get(member) {
        None => {
            Err(format!("{member} was never added since the slot was empty: {}", seen.operation.describe()))
        }
        Some((wanted, _)) if wanted != with => {
            Err(format!("{member} comes with {with} and not with {wanted}: {}", seen.operation.describe()))
        }
        Some((_, addition)) if addition.operation.invoked > seen.operation.returned => {
            Err(format!("{member} was there before it was added: {}", seen.operation.describe()))
        }
        Some(_) => Ok(()),
    };
    for seen in segment.seen.iter().filter(|seen| matches!(seen.command(), "SPOP" | "ZPOPMIN")) {
        let Some(reply) = seen.reply else {
            takes_unknown += 1;
            continue;
        };
        for member in members(reply, seen.command() == "ZPOPMIN") {
            known(&member, seen)?;
            if !taken.insert(member.0) {
                return Err(format!("taken for the second time: {}", seen.operation.describe()));
            }
        }
    }
    for seen in segment.seen.iter().filter(|seen| seen.operation.client == LAST) {
        let Some(reply) = seen.reply else { continue };
        let found = members(reply, seen.command() != "SMEMBERS");
        for member in &found {
            known(member, seen)?;
            if taken.contains(&member.0) {
                return Err(format!("{} was taken and is still there", member.0));
            }
        }
        left = Some(found);
    }
    let Some(left) = left else { return Ok(()) };
    let count = left.len();
    let left: BTreeSet<String> = left.into_iter().map(|(member, _)| member).collect();
    if left.len() < count {
        return Err(format!("{count} members of which only {} differ", left.len()));
    }
    let lost: Vec<&Seen<'_>> = added
        .iter()
        .filter(|(member, (_, seen))| {
            seen.reply.is_some() && !taken.contains(*member) && !left.contains(*member)
        })
        .map(|(_, (_, seen))| seen)
        .collect();
    match lost.first() {
        Some(first) if lost.len() > takes_unknown => Err(format!(
            "{} members are lost, and at most {takes_unknown} can have been taken unseen; one is {}",
            lost.len(),
            first.operation.describe()
        )),
        _ => Ok(()),
    }
}

fn addition(seen: &Seen<'_>) -> Option<Member> {
    let words = &seen.operation.words;
    let word = |position: usize| words.get(position).cloned().unwrap_or_default();
    match seen.command() {
        "SADD" => Some((word(2), String::new())),
        "HSET" => Some((word(2), word(3))),
        "ZADD" => Some((word(3), word(2))),
        _ => None,
    }
}

/// The members of a reply in any protocol; `pairs`: each is followed by what belongs to it.
fn members(reply: &Value, pairs: bool) -> Vec<Member> {
    let text = |value: &Value| match value {
        Value::Double(number) => number.to_string(),
        other => String::from_utf8_lossy(other.as_bytes().unwrap_or_default()).into_owned(),
    };
    match reply {
        Value::Map(items) => items.iter().map(|(member, with)| (text(member), text(with))).collect(),
        Value::Array(items) | Value::Set(items) => {
            let mut flat = Vec::new();
            for item in items {
                match item.as_array() {
                    Some(inner) => flat.extend(inner.iter().map(text)),
                    None => flat.push(text(item)),
                }
            }
            if pairs {
                flat.chunks(2)
                    .map(|pair| (pair[0].clone(), pair.get(1).cloned().unwrap_or_default()))
                    .collect()
            } else {
                flat.into_iter().map(|member| (member, String::new())).collect()
            }
        }
        null if null.is_null() => Vec::new(),
        other => vec![(text(other), String::new())],
    }
}
