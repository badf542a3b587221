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
    /// Bytes from which on a HyperLogLog is dense.
    pub hll_sparse_max_bytes: usize,
    /// Bytes and entries of a block of a stream; 0: no limit.
    pub stream_node_max_bytes: usize,
    pub stream_node_max_entries: usize,
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
            hll_sparse_max_bytes: 3000,
            stream_node_max_bytes: 4096,
            stream_node_max_entries: 100,
            max_string: 512 * 1024 * 1024,
        }
    }
}
