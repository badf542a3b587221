//! The settings that each request may need, in the form that it needs them.

/// Settings of the cluster that the proxy applies itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Whether the settings were read from a shard; before that nobody can be let in.
    pub known: bool,
    /// `requirepass`; none when it is empty.
    pub password: Option<Vec<u8>>,
    /// `databases`.
    pub databases: u32,
    /// `proto-max-bulk-len`, in bytes.
    pub max_bulk: usize,
    /// `maxclients`, for the whole process.
    pub max_clients: usize,
    /// `timeout`: idle clients are closed after so many seconds; 0 never.
    pub idle_seconds: u64,
    /// `enable-debug-command`, as the client's address decides.
    pub debug: DebugAccess,
}

/// Who may use DEBUG.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DebugAccess {
    #[default]
    Nobody,
    Local,
    Everybody,
}
