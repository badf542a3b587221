//! LATENCY: slow events of all shards.

use std::collections::BTreeMap;
use std::rc::Rc;

use slotway_common::error::Error;
use slotway_common::resp::{Protocol, Reply, Value};

use super::asking::{ask_all_reachable, decode, name, successful, values};
use crate::core::Job;
use crate::worker::Worker;

/// For each event when it was slow last on any shard, how slow then, and how slow at most.
pub(super) async fn latest(worker: &Rc<Worker>, job: &Job, reply: &mut Reply<'_>) -> Result<(), Error> {
    let mut events: BTreeMap<Vec<u8>, (i64, i64, i64)> = BTreeMap::new();
    for (_, answer) in as_sent(worker, job).await? {
        for event in answer.as_array().unwrap_or_default() {
            let Some([name, at, last, longest]) = event.as_array() else { continue };
            let (Some(name), Some(at), Some(last), Some(longest)) =
                (name.as_bytes(), at.as_int(), last.as_int(), longest.as_int())
            else {
                continue;
            };
            let known = events.entry(name.to_vec()).or_insert((at, last, longest));
            let newer = (at, last) > (known.0, known.1);
            let (at, last) = if newer { (at, last) } else { (known.0, known.1) };
            *known = (at, last, known.2.max(longest));
        }
    }
    reply.array(events.len());
    for (name, (at, last, longest)) in events {
        reply.array(4);
        reply.bulk(&name);
        reply.int(at);
        reply.int(last);
        reply.int(longest);
    }
    Ok(())
}

/// The slowest sample of each second, oldest first.
pub(super) async fn history(worker: &Rc<Worker>, job: &Job, reply: &mut Reply<'_>) -> Result<(), Error> {
    let mut samples: BTreeMap<i64, i64> = BTreeMap::new();
    for (_, answer) in as_sent(worker, job).await? {
        for sample in answer.as_array().unwrap_or_default() {
            if let Some([at, latency]) = sample.as_array()
                && let (Some(at), Some(latency)) = (at.as_int(), latency.as_int())
            {
                let known = samples.entry(at).or_insert(latency);
                *known = latency.max(*known);
            }
        }
    }
    reply.array(samples.len());
    for (at, latency) in samples {
        reply.array(2);
        reply.int(at);
        reply.int(latency);
    }
    Ok(())
}

/// Events that were forgotten: the most that any shard forgot, since the shards' events are the same ones.
pub(super) async fn reset(worker: &Rc<Worker>, job: &Job, reply: &mut Reply<'_>) -> Result<(), Error> {
    let forgotten = as_sent(worker, job).await?;
    reply.int(forgotten.iter().filter_map(|(_, count)| count.as_int()).max().unwrap_or(0));
    Ok(())
}

/// DOCTOR and GRAPH: what each shard says, under its name.
pub(super) async fn text(worker: &Rc<Worker>, job: &Job, reply: &mut Reply<'_>) -> Result<(), Error> {
    let args = job.args.args();
    let words: Vec<&[u8]> = args.iter().collect();
    let mut text = Vec::new();
    let mut last_error = None;
    for (shard, answer) in ask_all_reachable(worker, &words).await {
        match answer.and_then(successful).and_then(|reply| decode(&reply)) {
            Ok(part) => {
                text.extend_from_slice(format!("# Shard {}\n", name(worker, shard)).as_bytes());
                text.extend_from_slice(part.as_bytes().unwrap_or_default());
                text.push(b'\n');
            }
            Err(error) => last_error = Some(error),
        }
    }
    match last_error {
        // An event without samples is an error of each shard that has none.
        Some(error) if text.is_empty() => Err(error),
        _ => {
            reply.verbatim("txt", &text);
            Ok(())
        }
    }
}

/// Calls of each command, and how many took at most so long, added up.
pub(super) async fn histogram(worker: &Rc<Worker>, job: &Job, reply: &mut Reply<'_>) -> Result<(), Error> {
    let mut commands: BTreeMap<Vec<u8>, (i64, Vec<BTreeMap<i64, i64>>)> = BTreeMap::new();
    let shards = as_sent(worker, job).await?.into_iter().map(|(_, answer)| answer);
    for answer in shards.chain(own_histograms(worker, job).await) {
        for pair in answer.as_array().unwrap_or_default().chunks_exact(2) {
            let (Some(name), Some(fields)) = (pair[0].as_bytes(), pair[1].as_array()) else { continue };
            let entry = commands.entry(name.to_vec()).or_default();
            entry.0 += fields.get(1).and_then(Value::as_int).unwrap_or(0);
            let counts = fields.get(3).and_then(Value::as_array).unwrap_or_default();
            let pairs =
                counts.chunks_exact(2).filter_map(|pair| Some((pair[0].as_int()?, pair[1].as_int()?)));
            entry.1.push(pairs.collect());
        }
    }
    reply.map(commands.len());
    for (name, (calls, shards)) in commands {
        reply.bulk(&name);
        reply.map(2);
        reply.bulk(b"calls");
        reply.int(calls);
        reply.bulk(b"histogram_usec");
        let merged = merge_cumulative(&shards);
        reply.map(merged.len());
        for (bound, count) in merged {
            reply.int(bound);
            reply.int(count);
        }
    }
    Ok(())
}

/// Those of the commands that this proxy has answered.
async fn own_histograms(worker: &Rc<Worker>, job: &Job) -> Vec<Value> {
    let words = job.args.clone();
    let of_worker = move |worker: &Rc<Worker>| {
        let mut out = Vec::new();
        let latency = &worker.core.borrow().latency;
        latency.write_histograms(&words.args().rest(2), &mut Reply::new(&mut out, Protocol::Resp2));
        out
    };
    let replies = worker.context.fleet.each(of_worker).await;
    replies.iter().filter_map(|reply| decode(reply).ok()).collect()
}

/// Adds cumulative counts whose bounds differ: at each bound every histogram counts with what it had up to there.
fn merge_cumulative(histograms: &[BTreeMap<i64, i64>]) -> BTreeMap<i64, i64> {
    let bounds: std::collections::BTreeSet<i64> =
        histograms.iter().flat_map(|counts| counts.keys().copied()).collect();
    let up_to = |counts: &BTreeMap<i64, i64>, bound: i64| {
        counts.range(..=bound).next_back().map_or(0, |(_, count)| *count)
    };
    bounds
        .into_iter()
        .map(|bound| (bound, histograms.iter().map(|counts| up_to(counts, bound)).sum()))
        .collect()
}

async fn as_sent(worker: &Rc<Worker>, job: &Job) -> Result<Vec<(usize, Value)>, Error> {
    let args = job.args.args();
    let words: Vec<&[u8]> = args.iter().collect();
    values(worker, &words).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cumulative_counts_with_different_bounds_add_up() {
        let merged = merge_cumulative(&[BTreeMap::from([(1, 5), (4, 8)]), BTreeMap::from([(2, 1), (8, 3)])]);
        assert_eq!(merged, BTreeMap::from([(1, 5), (2, 6), (4, 9), (8, 11)]));
    }
}
