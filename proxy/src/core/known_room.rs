//! What is known of the shards' memory.

/// Whether shards have memory left for what is queued; in doubt they are asked.
#[derive(Debug)]
pub(super) struct Room {
    /// A shard may have none left.
    pub(super) is_doubtful: bool,
    /// How often that was told.
    pub(super) told: u64,
}

impl Default for Room {
    fn default() -> Self {
        Self { is_doubtful: true, told: 0 }
    }
}
