//! SCAN over all slots.
//!
//! A cursor is the slot in its high bits and a place within the slot in its low ones ([`PLACE_BITS`]), so it means the
//! same at every proxy and on every owner. Slots are walked in their order: the owner of the cursor's slot is asked for
//! the run of slots that it owns from there on. When a run ends before enough keys were found, the next one follows.

use std::rc::Rc;

use slotway_common::cursor::parse_cursor;
use slotway_common::error::Error;
use slotway_common::number::parse_i64;
use slotway_common::resp::frame::{Elements, string};
use slotway_common::resp::{Args, Reply};
use slotway_common::slot::SLOTS;

use super::asking::{ask_each, on_slots, split_on_reply, successful, target};
use crate::core::Job;
use crate::owned::OwnedArgs;
use crate::worker::Worker;

/// Bits of a cursor below those of the slot.
const PLACE_BITS: u32 = 49;
/// Runs of slots that one call may ask for. Every call ends, with a cursor to go on from, however few keys there are.
const RUNS: usize = 64;
/// Calls for slots that moved away before the topology is waited for.
const MOVES: usize = 50;

pub(super) async fn scan(worker: &Rc<Worker>, job: &Job, reply: &mut Reply<'_>) -> Result<(), Error> {
    let args = job.args.args();
    let mut cursor = parse_cursor(args.at(1))?;
    let wanted = count(&args)?;
    let mut found = 0;
    let mut keys = Vec::new();
    let mut moves = 0;
    // A cursor of 0 is the end, and also the start, where a call stays whose first slot is on its way.
    let mut ended = false;
    for _ in 0..RUNS {
        let slot = cursor >> PLACE_BITS;
        let Some((shard, run)) = u16::try_from(slot).ok().and_then(|slot| run_from(worker, slot)) else {
            if slot < u64::from(SLOTS) {
                return Err(Error::ClusterDown(
                    format!("Hash slot {slot} is not served by any shard").into(),
                ));
            }
            (cursor, ended) = (0, true);
            break;
        };
        let words = [&b"SCAN"[..], cursor.to_string().as_bytes()].map(<[u8]>::to_vec);
        let rest = args.rest(2);
        let words = words.iter().map(Vec::as_slice).chain(rest.iter());
        let part = Job { args: OwnedArgs::from_words(words), ..job.clone() };
        let mut answers = ask_each(worker, &[(target(job, shard), on_slots(&run, &part))]).await;
        let Some((_, answer)) = answers.pop() else { break };
        let (undone, answer) = split_on_reply(&successful(answer?)?)?;
        let (next, batch) = read(&answer).ok_or(Error::err("a shard's reply could not be read"))?;
        found += batch.left();
        keys.extend_from_slice(batch.rest());
        let behind = run.last().map_or(u64::from(SLOTS), |last| u64::from(*last) + 1);
        let mut goes_on = match next {
            0 if behind == u64::from(SLOTS) => 0,
            0 => behind << PLACE_BITS,
            next => next,
        };
        ended = goes_on == 0;
        // What the shard does not own any more comes again, from its new owner.
        let reached = if ended { u64::MAX } else { goes_on };
        if let Some(missed) = undone.iter().map(|slot| u64::from(*slot) << PLACE_BITS).min()
            && missed < reached
        {
            goes_on = missed.max(cursor);
            ended = false;
            moves += 1;
            worker.context.refresh.notify_one();
            tokio::time::sleep(std::time::Duration::from_millis(if moves > MOVES { 50 } else { 5 })).await;
        }
        cursor = goes_on;
        if ended || cursor != 0 && (next != 0 || found >= wanted) {
            break;
        }
    }
    if cursor == 0 && !ended {
        return Err(Error::TryAgain("slots keep moving while the command runs".into()));
    }
    reply.array(2);
    reply.bulk(cursor.to_string().as_bytes());
    reply.array(found as usize);
    reply.raw(&keys);
    Ok(())
}

/// COUNT, 10 if it is not given. What else may be wrong with the options the shard tells.
fn count(args: &Args<'_>) -> Result<u64, Error> {
    let position = (2..args.len()).step_by(2).find(|index| args.is(*index, "COUNT"));
    let count = position.and_then(|position| args.get(position + 1)).and_then(parse_i64).unwrap_or(10);
    Ok(u64::try_from(count).unwrap_or(10))
}

/// The owner of a slot and the slots from there on that it owns without a gap.
fn run_from(worker: &Worker, slot: u16) -> Option<(usize, Vec<u16>)> {
    let core = worker.core.borrow();
    let owner = core.view.owner(slot)?;
    Some((owner, (slot..SLOTS).take_while(|slot| core.view.owner(*slot) == Some(owner)).collect()))
}

/// The next cursor and the keys of a shard's reply.
fn read(reply: &[u8]) -> Option<(u64, Elements<'_>)> {
    let mut elements = Elements::open(reply)?;
    let cursor = std::str::from_utf8(string(elements.next()?)?).ok()?.parse().ok()?;
    Some((cursor, Elements::open(elements.next()?)?))
}
