//! How much a library makes of what it is given.

/// Longest text that a library makes: as `proto-max-bulk-len`.
pub(super) const LONGEST: usize = 512 * 1024 * 1024;
