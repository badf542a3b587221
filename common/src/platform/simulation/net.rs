//! Sockets that are the system's or, within a simulation, turmoil's.
//!
//! A simulated connection can be [broken](break_connections) while both hosts live. Names of hosts are addresses of the
//! simulated network; what a host listens on is every address that it has.

use std::cell::RefCell;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, RawFd};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

pub type OwnedReadHalf = tokio::io::ReadHalf<TcpStream>;
pub type OwnedWriteHalf = tokio::io::WriteHalf<TcpStream>;

/// A listening socket.
pub enum TcpListener {
    System(tokio::net::TcpListener),
    Simulated(turmoil::net::TcpListener),
}

impl TcpListener {
    pub(in crate::platform) fn from_std(listener: std::net::TcpListener) -> io::Result<Self> {
        tokio::net::TcpListener::from_std(listener).map(Self::System)
    }

    pub(in crate::platform) fn simulated(address: &str) -> io::Result<Self> {
        let port = address.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
        let port = port.ok_or(io::ErrorKind::InvalidInput)?;
        let bound = pin!(turmoil::net::TcpListener::bind((IpAddr::from([0, 0, 0, 0]), port)));
        match bound.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(bound) => bound.map(Self::Simulated),
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// As tokio's.
    ///
    /// # Errors
    /// As tokio's.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        match self {
            Self::System(listener) => {
                listener.accept().await.map(|(stream, peer)| (TcpStream::System(stream), peer))
            }
            Self::Simulated(listener) => {
                let (stream, peer) = listener.accept().await?;
                Ok((TcpStream::simulated(stream), peer))
            }
        }
    }

    /// As tokio's.
    ///
    /// # Errors
    /// As tokio's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Self::System(listener) => listener.local_addr(),
            Self::Simulated(listener) => listener.local_addr(),
        }
    }
}

/// A connection.
pub enum TcpStream {
    System(tokio::net::TcpStream),
    Simulated { stream: turmoil::net::TcpStream, fate: Arc<Fate> },
}

/// What becomes of a simulated connection.
#[derive(Default)]
pub struct Fate {
    broken: AtomicBool,
    wakers: Mutex<[Option<Waker>; 2]>,
}

/// The ends of a connection at one host.
struct End {
    local: IpAddr,
    remote: IpAddr,
    fate: Weak<Fate>,
}

thread_local! {
    static ENDS: RefCell<Vec<End>> = const { RefCell::new(Vec::new()) };
}

/// Breaks each connection of which `chosen` says so, given the addresses of an end of it and of the other: whoever uses
/// that end finds it reset. Gives their number.
pub fn break_connections(mut chosen: impl FnMut(IpAddr, IpAddr) -> bool) -> usize {
    let broken: Vec<Arc<Fate>> = ENDS.with_borrow_mut(|ends| {
        ends.retain(|end| end.fate.strong_count() > 0);
        let met = ends.iter().filter(|end| chosen(end.local, end.remote));
        met.filter_map(|end| end.fate.upgrade()).collect()
    });
    for fate in &broken {
        fate.broken.store(true, Ordering::Relaxed);
        let wakers = std::mem::take(&mut *fate.wakers.lock().unwrap_or_else(PoisonError::into_inner));
        wakers.into_iter().flatten().for_each(Waker::wake);
    }
    broken.len()
}

impl Fate {
    /// Whether the connection is broken; wakes who asks when it breaks.
    fn is_broken(&self, direction: usize, context: &Context<'_>) -> bool {
        let mut wakers = self.wakers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(waker) = wakers.get_mut(direction) {
            *waker = Some(context.waker().clone());
        }
        self.broken.load(Ordering::Relaxed)
    }
}

const READING: usize = 0;
const WRITING: usize = 1;

impl TcpStream {
    fn simulated(stream: turmoil::net::TcpStream) -> Self {
        let fate = Arc::<Fate>::default();
        if let (Ok(local), Ok(remote)) = (stream.local_addr(), stream.peer_addr()) {
            let end = End { local: local.ip(), remote: remote.ip(), fate: Arc::downgrade(&fate) };
            ENDS.with_borrow_mut(|ends| {
                if ends.len() > 256 {
                    ends.retain(|end| end.fate.strong_count() > 0);
                }
                ends.push(end);
            });
        }
        Self::Simulated { stream, fate }
    }

    pub(in crate::platform) async fn connect(address: &str) -> io::Result<Self> {
        if !super::is_active() {
            return tokio::net::TcpStream::connect(address).await.map(Self::System);
        }
        turmoil::net::TcpStream::connect(address).await.map(Self::simulated)
    }

    pub(in crate::platform) fn system(&self) -> Option<&tokio::net::TcpStream> {
        match self {
            Self::System(stream) => Some(stream),
            Self::Simulated { .. } => None,
        }
    }

    pub(in crate::platform) fn into_system(self) -> io::Result<tokio::net::TcpStream> {
        match self {
            Self::System(stream) => Ok(stream),
            Self::Simulated { .. } => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// As tokio's.
    ///
    /// # Errors
    /// As tokio's.
    pub fn into_std(self) -> io::Result<std::net::TcpStream> {
        self.into_system()?.into_std()
    }

    /// As tokio's.
    ///
    /// # Errors
    /// As tokio's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Self::System(stream) => stream.local_addr(),
            Self::Simulated { stream, .. } => stream.local_addr(),
        }
    }

    /// As tokio's.
    ///
    /// # Errors
    /// As tokio's.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::System(stream) => stream.try_write(bytes),
            Self::Simulated { stream, .. } => stream.try_write(bytes),
        }
    }

    /// The two directions.
    #[must_use]
    pub fn into_split(self) -> (OwnedReadHalf, OwnedWriteHalf) {
        tokio::io::split(self)
    }
}

impl AsRawFd for TcpStream {
    fn as_raw_fd(&self) -> RawFd {
        self.system().map_or(-1, AsRawFd::as_raw_fd)
    }
}

impl AsyncRead for TcpStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::System(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Simulated { fate, .. } if fate.is_broken(READING, context) => {
                Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
            }
            Self::Simulated { stream, .. } => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for TcpStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::System(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Simulated { fate, .. } if fate.is_broken(WRITING, context) => {
                Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
            }
            Self::Simulated { stream, .. } => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::System(stream) => Pin::new(stream).poll_flush(context),
            Self::Simulated { stream, .. } => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::System(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Simulated { stream, .. } => Pin::new(stream).poll_shutdown(context),
        }
    }
}
