//! Processes by their ids.

use std::process::{Command, Stdio};

/// Sends a signal, for example `INT` or `KILL`. Nothing happens if the process is gone.
pub fn signal(process_id: u32, name: &str) {
    let _ = Command::new("kill")
        .args([format!("-{name}"), process_id.to_string()])
        .stderr(Stdio::null())
        .status();
}

/// Whether it exists and has not ended. A process that ended and that nobody has asked for its status has ended.
pub fn is_running(process_id: u32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{process_id}/stat")) else { return false };
    let state = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    // The first thread can be gone while others still hold the sockets.
    let threads = std::fs::read_dir(format!("/proc/{process_id}/task")).map_or(0, Iterator::count);
    !state.starts_with(['Z', 'X']) || threads > 1
}

/// Memory of a process that is in RAM, in bytes; 0 when it is gone.
pub fn resident_bytes(process_id: u32) -> u64 {
    let Ok(status) = std::fs::read_to_string(format!("/proc/{process_id}/status")) else { return 0 };
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).map_or(0, |kib| kib * 1024)
}
