//! CPU time of processes, from the scheduler's own count.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

/// User and system time of all threads that a process has now, in nanoseconds.
///
/// `schedstat` counts to the nanosecond, where `stat` has ticks of 10 ms. See the kernel's
/// Documentation/scheduler/sched-stats.rst: the first field is time spent on a CPU.
pub fn nanoseconds(process_id: u32) -> Result<u64> {
    let mut total = 0;
    for thread in
        fs::read_dir(format!("/proc/{process_id}/task")).context("a process of the benchmark is gone")?
    {
        // A thread can end while we look.
        let Ok(text) = fs::read_to_string(thread?.path().join("schedstat")) else { continue };
        let field = text.split(' ').next().unwrap_or_default();
        total += field.parse::<u64>().context("schedstat has an unknown form")?;
    }
    Ok(total)
}

/// Waits until the processes do nothing but their ticks, as after freeing in the background.
pub fn settle(process_ids: &[u32]) -> Result<()> {
    const WINDOW: Duration = Duration::from_millis(50);
    let sum = || process_ids.iter().map(|id| nanoseconds(*id)).sum::<Result<u64>>();
    for _ in 0..200 {
        let before = sum()?;
        std::thread::sleep(WINDOW);
        if sum()? - before < 3_000_000 {
            break;
        }
    }
    Ok(())
}
