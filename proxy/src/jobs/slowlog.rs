//! SLOWLOG: the shards' slow commands, as one log.
//!
//! An entry's number is made of the shard's number for it and the shard, so that no two are the same and the numbers of
//! one shard still grow. The client of an entry is the connection that the shard was sent it over.

use std::rc::Rc;

use slotway_common::command::bad_subcommand_call;
use slotway_common::error::Error;
use slotway_common::number::parse_i64;
use slotway_common::resp::Reply;
use slotway_common::resp::frame::{Elements, integer};

use super::asking::{ask_all, shards, values};
use crate::core::Job;
use crate::worker::Worker;

/// Entries that GET shows if it is not told how many.
const SHOWN: i64 = 10;

pub(super) async fn get(worker: &Rc<Worker>, job: &Job, reply: &mut Reply<'_>) -> Result<(), Error> {
    let args = job.args.args();
    let count = match args.len() {
        2 => SHOWN,
        3 => parse_i64(args.at(2))
            .filter(|count| *count >= -1)
            .ok_or(Error::err("count should be greater than or equal to -1"))?,
        _ => return Err(bad_subcommand_call(&args)),
    };
    let text = count.to_string();
    let answers = ask_all(worker, &[b"SLOWLOG", b"GET", text.as_bytes()]).await?;
    let stride = shards(worker).len().max(1) as i64;
    let mut entries: Vec<(i64, i64, &[u8])> = Vec::new();
    for (position, answer) in answers.iter().enumerate() {
        for entry in Elements::open(&answer.reply).into_iter().flatten() {
            let Some(mut fields) = Elements::open(entry) else { continue };
            let (Some(id), Some(at)) =
                (fields.next().and_then(integer), fields.clone().next().and_then(integer))
            else {
                continue;
            };
            entries.push((at, id * stride + position as i64, fields.rest()));
        }
    }
    entries.sort_by_key(|(at, id, _)| std::cmp::Reverse((*at, *id)));
    if count >= 0 {
        entries.truncate(count as usize);
    }
    reply.array(entries.len());
    for (_, id, rest) in entries {
        reply.array(6);
        reply.int(id);
        reply.raw(rest);
    }
    Ok(())
}

pub(super) async fn len(worker: &Rc<Worker>, _job: &Job, reply: &mut Reply<'_>) -> Result<(), Error> {
    let lengths = values(worker, &[b"SLOWLOG", b"LEN"]).await?;
    reply.int(lengths.iter().filter_map(|(_, length)| length.as_int()).sum());
    Ok(())
}

pub(super) async fn reset(worker: &Rc<Worker>, _job: &Job, reply: &mut Reply<'_>) -> Result<(), Error> {
    ask_all(worker, &[b"SLOWLOG", b"RESET"]).await?;
    reply.ok();
    Ok(())
}
