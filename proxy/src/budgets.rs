//! How much memory clients and connections may hold.

/// Bounds in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Budgets {
    /// Replies that a client has not read: beyond this no request of it is read.
    pub client_pause: usize,
    /// Replies and requests held for one client: beyond this it is closed.
    pub client: usize,
    /// Requests on their way over one connection to a shard: beyond this its clients wait.
    pub upstream: usize,
    /// Held for all clients of a worker: beyond this the largest is closed.
    pub worker: usize,
    /// Requests of one client that may be on their way at once.
    pub places: usize,
}

impl Default for Budgets {
    fn default() -> Self {
        Self { client_pause: 256 * 1024, client: 1 << 30, upstream: 32 << 20, worker: 4 << 30, places: 1024 }
    }
}
