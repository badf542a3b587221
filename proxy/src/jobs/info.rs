//! INFO: Redis's shape, with the figures of the whole cluster.
//!
//! What is about data is the shards' own INFO, merged; what is about clients and the server is the proxy's.

mod merge;
mod own;
mod sections;

use std::rc::Rc;

use slotway_common::error::Error;
use slotway_common::platform::process;
use slotway_common::resp::Reply;

use super::asking::{ask_all_reachable, decode, name, successful};
use crate::core::Job;
use crate::worker::Worker;

use sections::Sections;

pub(super) async fn info(worker: &Rc<Worker>, job: &Job, reply: &mut Reply<'_>) -> Result<(), Error> {
    let args = job.args.args();
    let wanted = Sections::wanted(&args.rest(1));
    let mut text = String::new();
    if wanted.any_of_shards() {
        let words: Vec<&[u8]> =
            [&b"INFO"[..]].into_iter().chain(wanted.of_shards().iter().map(|name| name.as_bytes())).collect();
        let mut texts = Vec::new();
        for (_, answer) in ask_all_reachable(worker, &words).await {
            // A shard that is down has no figures; those of the others are still worth showing.
            if let Ok(value) = answer.and_then(successful).and_then(|reply| decode(&reply)) {
                texts.push(String::from_utf8_lossy(value.as_bytes().unwrap_or_default()).into_owned());
            }
        }
        texts.extend(own::statistics(worker).await);
        let mut merged = merge::merge(&texts);
        merge::override_with(&mut merged, own::sections(worker).await);
        merge::add_cpu(&mut merged, process::cpu_times());
        merge::add_denied(&mut merged, worker.context.denied());
        text = merge::write(&merged, &wanted);
    }
    if wanted.shards {
        if !text.is_empty() {
            text.push_str("\r\n");
        }
        text.push_str(&shards(worker).await);
    }
    reply.verbatim("txt", text.as_bytes());
    Ok(())
}

/// `INFO shards`: one line a shard.
async fn shards(worker: &Rc<Worker>) -> String {
    let mut text = String::from("# Shards\r\n");
    for (position, (shard, answer)) in
        ask_all_reachable(worker, &[b"SLOTWAY", b"STATS"]).await.into_iter().enumerate()
    {
        let (node, address, slots) = {
            let core = worker.core.borrow();
            let view = core.view.shards.get(shard).map(|view| (view.node.clone(), view.address.to_string()));
            let (node, address) = view.unwrap_or_default();
            (node, address, core.view.slots_by_shard().get(shard).map_or(0, Vec::len))
        };
        let head = format!(
            "shard{position}:name={},node={node},address={address},slots={slots}",
            name(worker, shard)
        );
        let stats = answer.and_then(successful).and_then(|reply| decode(&reply));
        let stats: Option<serde_json::Value> =
            stats.ok().and_then(|value| serde_json::from_slice(value.as_bytes().unwrap_or_default()).ok());
        match stats {
            Some(stats) => {
                let number =
                    |field: &str| stats.get(field).and_then(serde_json::Value::as_f64).unwrap_or(0.0);
                let databases = stats.get("databases").and_then(serde_json::Value::as_array);
                let total = |field: &str| -> u64 {
                    let databases = databases.into_iter().flatten();
                    databases.filter_map(|database| database.get(field)?.as_u64()).sum()
                };
                text.push_str(&format!(
                    "{head},state=up,keys={},expires={},used_memory={},maxmemory={},ops_per_sec={:.0}\r\n",
                    total("keys"),
                    total("expires"),
                    number("used_memory"),
                    number("maxmemory"),
                    number("instantaneous_ops_per_sec"),
                ));
            }
            None => text.push_str(&format!("{head},state=down\r\n")),
        }
    }
    text
}
