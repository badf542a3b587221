//! Up to which size collections stay packed.

/// Thresholds of the compact encodings, by their CONFIG names.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub hash_max_listpack_entries: usize,
    pub hash_max_listpack_value: usize,
    /// Positive: elements a node; negative: -1 to -5 stand for 4, 8, 16, 32 and 64 KiB a node.
    pub list_max_listpack_size: i64,
    pub set_max_intset_entries: usize,
    pub zset_max_listpack_entries: usize,
    pub zset_max_listpack_value: usize,
    /// `proto-max-bulk-len`: longest string.
    pub max_string: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            hash_max_listpack_entries: 128,
            hash_max_listpack_value: 64,
            list_max_listpack_size: -2,
            set_max_intset_entries: 512,
            zset_max_listpack_entries: 128,
            zset_max_listpack_value: 64,
            max_string: 512 * 1024 * 1024,
        }
    }
}
