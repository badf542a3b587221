//! Jobs a second of task queues, through the proxy over three shards: as they come, with their keys all over the shards, and with a
//! hash tag that keeps all of them on one.

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use slotway_tests::client_scripts;

use crate::Effort;
use crate::servers::{Options, Side};

/// What one framework did.
#[derive(Debug, Serialize)]
pub struct Queue {
    pub name: &'static str,
    /// Jobs a second with its default settings, and with a hash tag.
    pub spread: f64,
    pub tagged: f64,
}

struct Kind {
    name: &'static str,
    script: &'static str,
    /// What stands before its keys, without and with a hash tag.
    prefixes: [&'static str; 2],
    jobs: f64,
}

const KINDS: [Kind; 2] = [
    Kind { name: "BullMQ", script: "bench_bullmq.mjs", prefixes: ["bull", "{bull}"], jobs: 3_000.0 },
    Kind { name: "Celery", script: "bench_celery.py", prefixes: ["", "{celery}"], jobs: 1_000.0 },
];

pub fn measure(options: &Options, effort: &Effort) -> Result<Vec<Queue>> {
    let side = Side::proxy(options)?;
    let mut all = Vec::new();
    for kind in &KINDS {
        let mut rates = [Vec::new(), Vec::new()];
        for _ in 0..effort.rounds {
            for (prefix, rates) in kind.prefixes.iter().zip(&mut rates) {
                let jobs = format!("{:.0}", kind.jobs * effort.scale);
                let printed = client_scripts::output(kind.script, side.endpoint, &[prefix, &jobs])
                    .context("no client libraries; `make setup` installs them")?;
                let rate = printed.lines().find_map(|line| line.parse::<f64>().ok());
                ensure!(rate.is_some(), "{} printed {printed}", kind.script);
                rates.extend(rate);
            }
        }
        let [spread, tagged] = rates.map(|mut rates| {
            rates.sort_by(f64::total_cmp);
            rates.get(rates.len() / 2).copied().unwrap_or(0.0)
        });
        let measured = Queue { name: kind.name, spread, tagged };
        eprintln!("{measured:?}");
        all.push(measured);
    }
    Ok(all)
}
