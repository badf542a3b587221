//! What a command does to the server, as COMMAND INFO tells it.

use super::bits::bit_set;

bit_set! {
    /// A command's flags, under Redis's names.
    pub struct Flags: u32 {
        /// May change data.
        WRITE = "write",
        /// Only reads data.
        READONLY = "readonly",
        /// Refused while memory is over its limit and nothing can be evicted.
        DENYOOM = "denyoom",
        /// Administrative.
        ADMIN = "admin",
        /// About channels.
        PUBSUB = "pubsub",
        /// Not allowed in scripts.
        NOSCRIPT = "noscript",
        /// May wait for data.
        BLOCKING = "blocking",
        /// Allowed while the data set is loading.
        LOADING = "loading",
        /// Allowed on a replica that has lost its primary and may not serve old data.
        STALE = "stale",
        /// Not shown to MONITOR by itself.
        SKIP_MONITOR = "skip_monitor",
        /// Not put into the slow log.
        SKIP_SLOWLOG = "skip_slowlog",
        /// Acts as if ASKING had been sent.
        ASKING = "asking",
        /// Takes constant or logarithmic time.
        FAST = "fast",
        /// Allowed before authentication.
        NO_AUTH = "no_auth",
        /// A call without any key is legal.
        NO_MANDATORY_KEYS = "no_mandatory_keys",
        /// Refused while a replica loads a data set beside the one it serves.
        NO_ASYNC_LOADING = "no_async_loading",
        /// Refused inside MULTI.
        NO_MULTI = "no_multi",
        /// The keys' places depend on the arguments.
        MOVABLEKEYS = "movablekeys",
        /// Allowed while a script runs past its time.
        ALLOW_BUSY = "allow_busy",
    }
}
