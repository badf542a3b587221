//! Sockets.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};
#[cfg(not(feature = "simulation"))]
pub use tokio::net::{
    TcpListener, TcpStream,
    tcp::{OwnedReadHalf, OwnedWriteHalf},
};

#[cfg(feature = "simulation")]
pub use super::simulation::net::{OwnedReadHalf, OwnedWriteHalf, TcpListener, TcpStream};

use crate::fault;

/// Binds a listening socket; must run inside a tokio runtime.
///
/// # Errors
/// When the name does not resolve or the address is taken.
pub fn listen(address: &str, backlog: i32) -> io::Result<TcpListener> {
    #[cfg(feature = "simulation")]
    if super::simulation::is_active() {
        return TcpListener::simulated(address);
    }
    let address = resolve(address)?;
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(backlog)?;
    TcpListener::from_std(socket.into())
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
pub async fn connect(address: &str) -> io::Result<TcpStream> {
    let detour = fault::detour(address);
    let stream = TcpStream::connect(detour.as_deref().unwrap_or(address)).await?;
    tune(&stream, None)?;
    Ok(stream)
}

/// Sends small writes at once, and probes a silent peer every `keepalive` seconds if that is given.
///
/// # Errors
/// When the socket is closed already.
pub fn tune(stream: &TcpStream, keepalive: Option<std::time::Duration>) -> io::Result<()> {
    #[cfg(feature = "simulation")]
    let Some(stream) = stream.system() else { return Ok(()) };
    stream.set_nodelay(true)?;
    if let Some(interval) = keepalive {
        let probes = TcpKeepalive::new().with_time(interval).with_interval(interval / 3).with_retries(3);
        socket2::SockRef::from(stream).set_tcp_keepalive(&probes)?;
    }
    Ok(())
}

/// The system's own socket, for what cannot do without: the proxy's event loop.
///
/// # Errors
/// Where the network is simulated, there is none.
pub fn system(stream: TcpStream) -> io::Result<tokio::net::TcpStream> {
    #[cfg(feature = "simulation")]
    return stream.into_system();
    #[cfg(not(feature = "simulation"))]
    Ok(stream)
}
