//! Free ports for processes that are told theirs.

use std::net::{Ipv4Addr, TcpListener};

use rand::Rng;

/// Below the range from which the system takes the local ports of outgoing connections, which would otherwise be taken
/// between here and the process's start.
const RANGE: std::ops::Range<u16> = 10_000..32_000;

/// `count` different ports that nobody listens at now. Another process can still take one first; who uses them must
/// be ready to try others.
pub fn free_ports(count: usize) -> Vec<u16> {
    let mut held = Vec::new();
    while held.len() < count {
        let port = rand::rng().random_range(RANGE);
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            held.push((port, listener));
        }
    }
    held.into_iter().map(|(port, _)| port).collect()
}
