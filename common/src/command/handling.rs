//! What Slotway's processes have to know of a command besides what COMMAND tells.

use super::bits::bit_set;

bit_set! {
    /// How a command is handled.
    pub struct Handling: u8 {
        /// Runs at once while its client is in a transaction, where others are queued.
        AT_ONCE = "at_once",
        /// Ends a transaction, one way or the other. Runs at once as well.
        ENDS_TRANSACTION = "ends_transaction",
        /// A shard answers it as the proxy would, so that in a transaction it can go to the shard of the commands around it.
        /// What is routed by keys, or blocks, needs no word for that.
        ON_ANY_SHARD = "on_any_shard",
        /// Sends a message to the channel that its first argument names.
        PUBLISHES = "publishes",
        /// Taken also by a proxy that no shard has told the topology and the settings yet. MULTI and what ends it are: what
        /// clients send behind it must not run one by one.
        WITHOUT_SHARDS = "without_shards",
        /// Allowed in RESP2 for a client that has subscriptions.
        WHILE_SUBSCRIBED = "while_subscribed",
    }
}

/// What a command waits for that blocks, as the form of its arguments says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blocks {
    /// The first of its keys that has anything to pop: keys, then the timeout (BLPOP).
    FirstOfKeys,
    /// The same: the timeout, the number of keys, the keys, and options (BLMPOP).
    FirstOfCounted,
    /// An element to move; the timeout is the last argument (BLMOVE).
    Source,
    /// Entries of streams, if it has the option BLOCK with a timeout in milliseconds (XREAD).
    Streams,
    /// Replicas (WAIT).
    Replicas,
}

impl Blocks {
    /// Whether it pops from the first of several keys that has anything.
    #[must_use]
    pub const fn pops_first(self) -> bool {
        matches!(self, Self::FirstOfKeys | Self::FirstOfCounted)
    }
}
