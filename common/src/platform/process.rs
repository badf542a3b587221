//! What the kernel tells of this process and its machine. On systems without Linux's `/proc` everything is zero.

use std::fs;
use std::time::Duration;

use rustix::process::Resource;

/// The kernel counts CPU time for `/proc` in hundredths of a second.
const TICK: Duration = Duration::from_millis(10);

/// CPU time used so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuTimes {
    pub user: Duration,
    pub system: Duration,
}

/// CPU time of all threads of this process, to 10 ms.
#[must_use]
pub fn cpu_times() -> CpuTimes {
    times_in(&fs::read_to_string("/proc/self/stat").unwrap_or_default())
}

/// CPU time of the calling thread, to 10 ms.
#[must_use]
pub fn cpu_times_of_thread() -> CpuTimes {
    times_in(&fs::read_to_string("/proc/thread-self/stat").unwrap_or_default())
}

fn times_in(stat: &str) -> CpuTimes {
    // The second field is the command's name in parentheses and may have blanks in it.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let mut fields = fields.split_whitespace().skip(11).map(|ticks| ticks.parse::<u32>().unwrap_or(0) * TICK);
    CpuTimes { user: fields.next().unwrap_or_default(), system: fields.next().unwrap_or_default() }
}

/// Bytes of physical memory that this process has.
#[must_use]
pub fn resident_bytes() -> u64 {
    kibibytes("/proc/self/status", "VmRSS:")
}

/// Bytes of physical memory that the machine has.
#[must_use]
pub fn total_memory_bytes() -> u64 {
    kibibytes("/proc/meminfo", "MemTotal:")
}

fn kibibytes(path: &str, field: &str) -> u64 {
    let text = fs::read_to_string(path).unwrap_or_default();
    let value = text.lines().find_map(|line| line.strip_prefix(field)).unwrap_or_default();
    value.split_whitespace().next().and_then(|number| number.parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// Lets this process open as many files and sockets as the system allows it at most, and returns how many that are.
pub fn raise_descriptor_limit() -> u64 {
    let mut limit = rustix::process::getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Refused or not, what holds now is what counts.
    let _ = rustix::process::setrlimit(Resource::Nofile, limit);
    rustix::process::getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// The kernel's name and release and the machine's architecture, as `Linux 6.1.0 x86_64`.
#[must_use]
pub fn system() -> String {
    let read = |path| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let (name, release) = (read("/proc/sys/kernel/ostype"), read("/proc/sys/kernel/osrelease"));
    format!("{name} {release} {}", std::env::consts::ARCH)
}

/// The path of this program.
#[must_use]
pub fn executable() -> String {
    std::env::current_exe().map(|path| path.display().to_string()).unwrap_or_default()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_tells_of_this_process() {
        assert!(resident_bytes() > 100_000);
        assert!(total_memory_bytes() > resident_bytes());
        assert!(system().starts_with("Linux "));
        let times = times_in("1 (a ) b) S 1 1 1 0 -1 0 1 2 3 4 250 7 0 0 20");
        assert_eq!(times.user, Duration::from_millis(2500));
        assert_eq!(times.system, Duration::from_millis(70));
    }
}
