//! Keys that are set once, with a time to live, and then only read.

use slotway_common::resp::Value;

use super::segment::Segment;

/// Clocks count milliseconds, and a turn of a shard's loop has one time.
const SLACK: u64 = 30_000;

pub(super) fn check(segment: &Segment<'_>) -> Result<(), String> {
    let Some(set) = segment.seen.iter().find(|seen| seen.command() == "SET") else {
        // Lost with its slot, it must not come back.
        return match segment.seen.iter().find(|seen| matches!(seen.reply, Some(Value::Bulk(_)))) {
            Some(seen) => Err(format!("a value that is gone: {}", seen.operation.describe())),
            None => Ok(()),
        };
    };
    let life = set.word(4).parse::<u64>().map_err(|error| format!("{}: {error}", set.word(4)))? * 1000;
    for seen in segment.seen.iter().filter(|seen| seen.command() == "GET") {
        let (get, done) = (seen.operation, set.operation);
        match seen.reply {
            Some(null) if null.is_null() => {
                let early = get.returned + 2_000 < done.invoked + life;
                if set.reply.is_some() && early && get.number > done.number {
                    return Err(format!("gone too early: {}, after {}", get.describe(), done.describe()));
                }
            }
            Some(Value::Bulk(value)) => {
                if value != set.word(2).as_bytes() {
                    return Err(format!("another value: {}, after {}", get.describe(), done.describe()));
                }
                if set.reply.is_some() && get.invoked > done.returned + life + SLACK {
                    return Err(format!("there for too long: {}, after {}", get.describe(), done.describe()));
                }
            }
            Some(_) => return Err(format!("not a string: {}", get.describe())),
            None => {}
        }
    }
    Ok(())
}
