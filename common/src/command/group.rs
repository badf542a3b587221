//! Command families.

use super::categories::Categories;

/// The family of a command: COMMAND DOCS' group, the label of metrics, and the ACL category that goes with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Group {
    Generic,
    String,
    List,
    Set,
    SortedSet,
    Hash,
    Pubsub,
    Transactions,
    Connection,
    Server,
    Scripting,
    HyperLogLog,
    Cluster,
    Geo,
    Stream,
    Bitmap,
    /// Between Slotway's own processes.
    Internal,
}

impl Group {
    /// Every group, in the order of their numbers (`group as usize` is an index into this).
    pub const ALL: [Self; 17] = [
        Self::Generic,
        Self::String,
        Self::List,
        Self::Set,
        Self::SortedSet,
        Self::Hash,
        Self::Pubsub,
        Self::Transactions,
        Self::Connection,
        Self::Server,
        Self::Scripting,
        Self::HyperLogLog,
        Self::Cluster,
        Self::Geo,
        Self::Stream,
        Self::Bitmap,
        Self::Internal,
    ];

    /// The group's name in COMMAND DOCS and in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Generic => "generic",
            Self::String => "string",
            Self::List => "list",
            Self::Set => "set",
            Self::SortedSet => "sorted-set",
            Self::Hash => "hash",
            Self::Pubsub => "pubsub",
            Self::Transactions => "transactions",
            Self::Connection => "connection",
            Self::Server => "server",
            Self::Scripting => "scripting",
            Self::HyperLogLog => "hyperloglog",
            Self::Cluster => "cluster",
            Self::Geo => "geo",
            Self::Stream => "stream",
            Self::Bitmap => "bitmap",
            Self::Internal => "internal",
        }
    }

    /// The ACL category that a command of this group has unless its row says otherwise.
    pub(super) const fn category(self) -> Categories {
        match self {
            Self::Generic => Categories::KEYSPACE,
            Self::String => Categories::STRING,
            Self::List => Categories::LIST,
            Self::Set => Categories::SET,
            Self::SortedSet => Categories::SORTEDSET,
            Self::Hash => Categories::HASH,
            Self::Pubsub => Categories::PUBSUB,
            Self::Transactions => Categories::TRANSACTION,
            Self::Connection => Categories::CONNECTION,
            Self::Scripting => Categories::SCRIPTING,
            Self::HyperLogLog => Categories::HYPERLOGLOG,
            Self::Geo => Categories::GEO,
            Self::Stream => Categories::STREAM,
            Self::Bitmap => Categories::BITMAP,
            Self::Server | Self::Cluster | Self::Internal => Categories::NONE,
        }
    }
}
