//! A place between two parts of a large value.

/// Where the next part of a value begins. Valid for a value that has not changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PartCursor {
    /// Offset in a string, rank in a list or a sorted set, cursor of the table of a hash or a set.
    pub(super) at: u64,
    /// Elements after that cursor that were in earlier parts already.
    pub(super) skip: u64,
    /// Elements (of a string bytes) in earlier parts.
    pub(super) done: u64,
}
