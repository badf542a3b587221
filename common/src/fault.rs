//! Places at which tests make a process fail, and bugs that tests plant to see that they are found.
//!
//! Without the feature `faults` both do nothing and cost nothing; only test builds have it.

#[cfg(feature = "faults")]
pub(crate) mod durable;

/// This is a test build: what only larger values or more of something would meet is met sooner in it.
pub const IS_TEST_BUILD: bool = cfg!(feature = "faults");

/// A place at which the process may be made to fail.
///
/// If the environment's `SLOTWAY_FAULTS` names a directory with a file of this name, the file is removed and what it
/// says is done, once: `kill` ends the process as SIGKILL does, `pause <milliseconds>` stops this thread.
#[inline]
pub fn point(name: &'static str) {
    #[cfg(feature = "simulation")]
    crate::platform::simulation::visit(name);
    #[cfg(feature = "faults")]
    armed::point(name);
    let _ = name;
}

/// A place at which the file system may be made to refuse.
///
/// As [`point`], with a file that says `error <number>`: that error of the system comes back, this time and from then on.
///
/// # Errors
/// When a test wants one.
#[inline]
pub fn io(name: &'static str) -> std::io::Result<()> {
    #[cfg(feature = "faults")]
    return armed::io(name);
    #[cfg(not(feature = "faults"))]
    {
        let _ = name;
        Ok(())
    }
}

/// The address to connect to instead of this one: a relay of a test, which can cut the connection.
///
/// The environment's `SLOTWAY_DETOURS` names a file with lines of three words: who connects (a word of its command line,
/// or its program's name), the address, and the relay's.
#[inline]
#[must_use]
pub fn detour(address: &str) -> Option<String> {
    #[cfg(feature = "faults")]
    return armed::detour(address);
    #[cfg(not(feature = "faults"))]
    {
        let _ = address;
        None
    }
}

/// Whether the bug of this name is planted: the environment's `SLOTWAY_PLANTED` names it, separated by commas from others.
#[inline]
#[must_use]
pub fn planted(name: &'static str) -> bool {
    #[cfg(feature = "faults")]
    return armed::planted(name);
    #[cfg(not(feature = "faults"))]
    {
        let _ = name;
        false
    }
}

#[cfg(feature = "faults")]
mod armed {
    use std::path::PathBuf;
    use std::sync::OnceLock;
    use std::time::Duration;

    use rustix::process::{Signal, getpid, kill_process};

    fn directory() -> Option<&'static PathBuf> {
        static DIRECTORY: OnceLock<Option<PathBuf>> = OnceLock::new();
        DIRECTORY.get_or_init(|| std::env::var_os("SLOTWAY_FAULTS").map(PathBuf::from)).as_ref()
    }

    pub(super) fn point(name: &'static str) {
        let Some(path) = directory().map(|directory| directory.join(name)) else { return };
        let Ok(action) = std::fs::read_to_string(&path) else { return };
        // Of several processes that come here at once, one does it.
        if std::fs::remove_file(&path).is_err() {
            return;
        }
        let mut words = action.split_whitespace();
        match (words.next(), words.next().and_then(|number| number.parse().ok())) {
            (Some("kill"), _) => {
                tracing::warn!("killed at {name}");
                let _ = kill_process(getpid(), Signal::Kill);
            }
            (Some("pause"), Some(milliseconds)) => {
                tracing::warn!("paused for {milliseconds} ms at {name}");
                std::thread::sleep(Duration::from_millis(milliseconds));
            }
            _ => tracing::warn!("{}: not a fault: {action}", path.display()),
        }
    }

    pub(super) fn io(name: &'static str) -> std::io::Result<()> {
        let Some(path) = directory().map(|directory| directory.join(name)) else { return Ok(()) };
        let Ok(action) = std::fs::read_to_string(&path) else { return Ok(()) };
        match action.strip_prefix("error ").and_then(|number| number.trim().parse().ok()) {
            Some(number) => Err(std::io::Error::from_raw_os_error(number)),
            None => Ok(()),
        }
    }

    pub(super) fn detour(address: &str) -> Option<String> {
        static TABLE: OnceLock<Option<PathBuf>> = OnceLock::new();
        let path = TABLE.get_or_init(|| std::env::var_os("SLOTWAY_DETOURS").map(PathBuf::from)).as_ref()?;
        let table = std::fs::read_to_string(path).ok()?;
        let own: Vec<String> = std::env::args().collect();
        let program = own.first().and_then(|path| path.rsplit('/').next()).unwrap_or_default();
        table.lines().find_map(|line| {
            let mut words = line.split_whitespace();
            let who = words.next()?;
            let is_own = who == program || own.iter().any(|word| word == who);
            (is_own && words.next() == Some(address)).then(|| words.next().map(str::to_owned))?
        })
    }

    pub(super) fn planted(name: &'static str) -> bool {
        static NAMES: OnceLock<Vec<String>> = OnceLock::new();
        let names = NAMES.get_or_init(|| {
            let text = std::env::var("SLOTWAY_PLANTED").unwrap_or_default();
            text.split(',').map(str::to_owned).collect()
        });
        names.iter().any(|planted| planted == name)
    }
}
