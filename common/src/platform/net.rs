//! Sockets.

mod listener;
mod stream;

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::ops::RangeInclusive;

use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};

use crate::fault;

pub use listener::Listener;
pub use stream::{ReadHalf, Stream, WriteHalf};

/// Binds a listening socket; must run inside a tokio runtime.
///
/// # Errors
/// When the name does not resolve or the address is taken.
pub fn listen(address: &str, backlog: i32) -> io::Result<Listener> {
    #[cfg(feature = "simulation")]
    if super::simulation::is_active() {
        return Listener::simulated(address);
    }
    let address = resolve(address)?;
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into()).map_err(|error| with_hint(error, address.port()))?;
    socket.listen(backlog)?;
    Listener::from_std(socket.into())
}

/// Says of a port that is taken that it may be so by a connection, where it may.
fn with_hint(error: io::Error, port: u16) -> io::Error {
    match outgoing_hint(port).filter(|_| error.kind() == io::ErrorKind::AddrInUse) {
        Some(hint) => io::Error::new(error.kind(), format!("{error}; {hint}")),
        None => error,
    }
}

/// The ports that the system gives to outgoing connections.
#[must_use]
pub fn outgoing_ports() -> RangeInclusive<u16> {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    outgoing_range(&text).unwrap_or(32768..=60999)
}

/// Two numbers, as Linux tells them.
fn outgoing_range(text: &str) -> Option<RangeInclusive<u16>> {
    let mut ports = text.split_whitespace().map(str::parse);
    match (ports.next(), ports.next()) {
        (Some(Ok(first)), Some(Ok(last))) => Some(first..=last),
        _ => None,
    }
}

/// What is to be said of a port that anybody's outgoing connection may have; nothing of one that none can have.
#[must_use]
pub fn outgoing_hint(port: u16) -> Option<String> {
    let range = outgoing_ports();
    range.contains(&port).then(|| {
        format!(
            "port {port} is one of those that the system gives to outgoing connections ({} to {}), so any program's \
             connection may have it: write another one into the cluster file, as the client's address, `control: PORT` \
             or `admin: PORT`",
            range.start(),
            range.end()
        )
    })
}

/// The first address that `HOST:PORT` resolves to.
///
/// # Errors
/// When the name does not resolve.
pub fn resolve(address: &str) -> io::Result<SocketAddr> {
    address
        .to_socket_addrs()?
        .next()
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("{address} has no address")))
}

/// Connects to `HOST:PORT`.
///
/// # Errors
/// When the name does not resolve or nobody answers.
pub async fn connect(address: &str) -> io::Result<Stream> {
    let detour = fault::detour(address);
    let address = detour.as_deref().unwrap_or(address);
    #[cfg(feature = "simulation")]
    if super::simulation::is_active() {
        return super::simulation::net::Stream::connect(address).await.map(Stream::simulated);
    }
    let stream = tokio::net::TcpStream::connect(address).await.map(Stream::plain)?;
    tune(&stream, None)?;
    Ok(stream)
}

/// Sends small writes at once, and probes a silent peer every `keepalive` seconds if that is given.
///
/// # Errors
/// When the socket is closed already.
pub fn tune(stream: &Stream, keepalive: Option<std::time::Duration>) -> io::Result<()> {
    let Some(stream) = stream.socket() else { return Ok(()) };
    stream.set_nodelay(true)?;
    if let Some(interval) = keepalive {
        let probes = TcpKeepalive::new().with_time(interval).with_interval(interval / 3).with_retries(3);
        socket2::SockRef::from(stream).set_tcp_keepalive(&probes)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_of_outgoing_connections_are_known() {
        assert_eq!(outgoing_range("32768\t60999\n"), Some(32768..=60999));
        assert_eq!(outgoing_range(""), None);
        let range = outgoing_ports();
        assert!(outgoing_hint(*range.start()).unwrap().contains("`admin: PORT`"));
        assert_eq!(outgoing_hint(range.start() - 1), None);
    }
}
