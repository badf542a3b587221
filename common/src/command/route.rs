//! How the proxy serves a command, and whether it is served at all.

/// Where the proxy sends a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// To the shard that owns the slot of its keys; keys of different slots are refused with CROSSSLOT. A call in which
    /// no keys can be found ([`super::keys`] fails, or finds none) goes to any shard, which answers with the error.
    Slot,
    /// Split by the owners of its keys: one command a shard, of that shard's items in their order. An item is a key and
    /// the arguments up to the next one (so a key and its value for MSET). The replies merge as [`Merge`] says.
    Split,
    /// To every slot exactly once, over `SLOTWAY ON`. The replies merge as [`Merge`] says.
    FanOut,
    /// Answered by the proxy itself, at once or in a request of another form that it sends to a shard.
    Proxy,
    /// Answered by the proxy itself, which asks shards for that, or other workers: its client waits meanwhile. What is a job in a
    /// transaction only, or for some arguments, is one too.
    Job,
    /// Only between Slotway's processes; to a client it is an unknown command.
    Internal,
    /// Not served yet: the client gets [`super::unsupported`].
    Unsupported,
}

/// How the replies of several shards become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merge {
    /// There is one reply, passed on unchanged.
    Pass,
    /// Arrays with one element for each item sent, put back into the items' order (MGET).
    ByItem,
    /// Integers, added (DEL, EXISTS, DBSIZE).
    Sum,
    /// All answer OK; the first error otherwise (MSET).
    AllOk,
    /// All answer OK or nothing happens: ask every shard first, then tell all (FLUSHALL, FLUSHDB, SWAPDB).
    AllOrNothing,
    /// Arrays, one after the other (KEYS).
    Concat,
    /// One shard drawn with the number of its keys as weight (RANDOMKEY).
    Pick,
    /// One shard after the other, as the cursor says (SCAN).
    Cursor,
}

/// Whether a command is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// It is.
    Full,
    /// Not yet, and why: a phrase that can stand after a colon.
    Later(&'static str),
}
