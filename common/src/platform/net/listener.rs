//! A listening socket.

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpListener;

use super::Stream;
#[cfg(feature = "simulation")]
use crate::platform::simulation;

/// Where connections come in.
pub struct Listener(Kind);

enum Kind {
    Plain(TcpListener),
    #[cfg(feature = "simulation")]
    Simulated(simulation::net::Listener),
}

impl Listener {
    pub(super) fn from_std(listener: std::net::TcpListener) -> io::Result<Self> {
        TcpListener::from_std(listener).map(|listener| Self(Kind::Plain(listener)))
    }

    #[cfg(feature = "simulation")]
    pub(super) fn simulated(address: &str) -> io::Result<Self> {
        simulation::net::Listener::bind(address).map(|listener| Self(Kind::Simulated(listener)))
    }

    /// The next connection, and the address of its other end.
    ///
    /// # Errors
    /// When the connection has broken already, or the process has no sockets left.
    pub async fn accept(&self) -> io::Result<(Stream, SocketAddr)> {
        match &self.0 {
            Kind::Plain(listener) => {
                listener.accept().await.map(|(stream, peer)| (Stream::plain(stream), peer))
            }
            #[cfg(feature = "simulation")]
            Kind::Simulated(listener) => {
                listener.accept().await.map(|(stream, peer)| (Stream::simulated(stream), peer))
            }
        }
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the socket is closed.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match &self.0 {
            Kind::Plain(listener) => listener.local_addr(),
            #[cfg(feature = "simulation")]
            Kind::Simulated(listener) => listener.local_addr(),
        }
    }
}
