//! ACL categories.

use super::bits::bit_set;
use super::flags::Flags;

bit_set! {
    /// The ACL categories that a command is in, named as in ACL CAT (without the `@`).
    pub struct Categories: u32 {
        /// Keys of any type.
        KEYSPACE = "keyspace",
        /// Reads data.
        READ = "read",
        /// Changes data.
        WRITE = "write",
        /// Sets.
        SET = "set",
        /// Sorted sets.
        SORTEDSET = "sortedset",
        /// Lists.
        LIST = "list",
        /// Hashes.
        HASH = "hash",
        /// Strings.
        STRING = "string",
        /// Bitmaps.
        BITMAP = "bitmap",
        /// HyperLogLogs.
        HYPERLOGLOG = "hyperloglog",
        /// Positions on the globe.
        GEO = "geo",
        /// Streams.
        STREAM = "stream",
        /// Channels.
        PUBSUB = "pubsub",
        /// Administration.
        ADMIN = "admin",
        /// Constant or logarithmic time.
        FAST = "fast",
        /// Everything that is not fast.
        SLOW = "slow",
        /// May wait for data.
        BLOCKING = "blocking",
        /// Can harm a running service.
        DANGEROUS = "dangerous",
        /// The connection's own state, or other connections.
        CONNECTION = "connection",
        /// MULTI and its relatives.
        TRANSACTION = "transaction",
        /// Scripts and functions.
        SCRIPTING = "scripting",
    }
}

impl Categories {
    /// The categories of a command, from those its row names and those that follow from its flags.
    pub(super) const fn derive(named: Self, flags: Flags) -> Self {
        let mut all = named;
        if flags.contains(Flags::WRITE) {
            all = all.with(Self::WRITE);
        }
        // Scripts that only read are not reads: what they touch is not known from the command.
        if flags.contains(Flags::READONLY) && !named.contains(Self::SCRIPTING) {
            all = all.with(Self::READ);
        }
        if flags.contains(Flags::ADMIN) {
            all = all.with(Self::ADMIN).with(Self::DANGEROUS);
        }
        if flags.contains(Flags::PUBSUB) {
            all = all.with(Self::PUBSUB);
        }
        if flags.contains(Flags::BLOCKING) {
            all = all.with(Self::BLOCKING);
        }
        all.with(if flags.contains(Flags::FAST) { Self::FAST } else { Self::SLOW })
    }
}
