//! What a connection waits for before its next request runs.

/// What a connection waits for: nothing more of it runs until then.
///
/// There is one at a time, since each keeps the request from running that could begin another. What may come together
/// with any of them is apart:
/// - replies to earlier requests that are held until the log has what they tell of (`server/held.rs`), and output that the
///   socket does not take yet;
/// - waits and slow scripts of a proxy's clients, of which its connection has any number, by their tokens (`blocked.rs`,
///   `script/suspended.rs`), and which keep nothing of the connection from running;
/// - that it writes faster than slots can be moved (`Session::slowed`), which makes its next request wait;
/// - that it is to be closed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Waits {
    #[default]
    Nothing,
    /// For data, or for replicas: a command has asked for it (`blocked.rs`).
    Data,
    /// For the end of its slow script, which has its session meanwhile.
    Script,
    /// For so many bases of the log to have ended.
    Save { bases: u64 },
    /// For the cluster to change its users.
    Users,
    /// For a slot that is held (`locks.rs`). Whatever wakes it, its request looks again.
    Slot,
    /// For the targets of moves to catch up with what is written. Looks again in the same way.
    Targets,
    /// For the end of CLIENT PAUSE. Looks again in the same way.
    Pause,
    /// For its replies to be written: then it is the stream of a move (`Session::import`), and no client's any more.
    Stream,
}

impl Waits {
    /// Nothing keeps its next request from running.
    #[inline]
    #[must_use]
    pub fn is_nothing(self) -> bool {
        matches!(self, Self::Nothing)
    }

    /// What Redis calls blocked: CLIENT LIST shows it, and it is not idle.
    #[must_use]
    pub fn is_blocked(self) -> bool {
        matches!(self, Self::Data | Self::Pause)
    }
}
