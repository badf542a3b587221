//! How long a process needs from its start until it serves its keys.

use anyhow::{Result, ensure};
use slotway_tests::report::{Report, Row};

use crate::median;
use crate::store::{Log, Store};

/// Of one data set: from a base, as redis-server from an RDB file, and from commands, as it from its append-only file.
pub fn measure(report: &mut Report, keys: u64, rounds: usize) -> Result<()> {
    let mut ours = Store::shard(Log::EverySecond)?;
    let mut theirs = Store::redis(Log::No)?;
    let mut theirs_logging = Store::redis(Log::EverySecond)?;
    for store in [&ours, &theirs, &theirs_logging] {
        store.fill(keys)?;
    }
    let commands = restarts(&mut [&mut ours, &mut theirs_logging], keys, rounds)?;
    drop(theirs_logging);
    for store in [&ours, &theirs] {
        store.run("SAVE")?;
    }
    let saved = restarts(&mut [&mut ours, &mut theirs], keys, rounds)?;
    let million = keys as f64 / 1e6;
    for (what, [our, their], target) in
        [("a base (redis-server: RDB)", saved, 1.0), ("commands", commands, f64::INFINITY)]
    {
        report.add(Row::figure(&format!("restart from {what}, slotway"), million / our, "million keys/s"));
        report.add(Row::figure(
            &format!("restart from {what}, redis-server"),
            million / their,
            "million keys/s",
        ));
        let ratio = format!("time of a restart from {what}, to redis-server's");
        report.add(if target.is_finite() {
            Row::at_most(&ratio, our / their, target, "")
        } else {
            Row::figure(&ratio, our / their, "")
        });
    }
    Ok(())
}

/// Seconds of each, in turns.
fn restarts(stores: &mut [&mut Store; 2], keys: u64, rounds: usize) -> Result<[f64; 2]> {
    let mut seconds = [Vec::new(), Vec::new()];
    for _ in 0..rounds {
        for (store, seconds) in stores.iter_mut().zip(&mut seconds) {
            store.kill();
            seconds.push(store.start()?.as_secs_f64());
            let size = store.run("DBSIZE")?;
            ensure!(size == format!(":{keys}"), "{} has {size} of {keys} keys after a restart", store.name());
        }
    }
    Ok(seconds.map(median))
}
