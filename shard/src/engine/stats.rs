//! Counters of the engine.

/// What has happened since the start or the last CONFIG RESETSTAT.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stats {
    pub hits: u64,
    pub misses: u64,
    pub expired_keys: u64,
    pub evicted_keys: u64,
    /// Objects that the other thread had freed by then.
    pub lazy_freed_before: u64,
}
