//! Sockets of turmoil's simulated network.
//!
//! A simulated connection can be [broken](break_connections) while both hosts live. Names of hosts are addresses of the
//! simulated network; what a host listens on is every address that it has.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A listening socket.
pub(in crate::platform) struct Listener(turmoil::net::TcpListener);

impl Listener {
    pub(in crate::platform) fn bind(address: &str) -> io::Result<Self> {
        let port = address.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
        let port = port.ok_or(io::ErrorKind::InvalidInput)?;
        let bound = pin!(turmoil::net::TcpListener::bind((IpAddr::from([0, 0, 0, 0]), port)));
        match bound.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(bound) => bound.map(Self),
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    pub(in crate::platform) async fn accept(&self) -> io::Result<(Stream, SocketAddr)> {
        self.0.accept().await.map(|(stream, peer)| (Stream::new(stream), peer))
    }

    pub(in crate::platform) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// A connection.
pub(in crate::platform) struct Stream {
    stream: turmoil::net::TcpStream,
    fate: Arc<Fate>,
}

/// A direction of a connection that is used by itself.
pub(in crate::platform) struct Half(Arc<Mutex<Stream>>);

/// What becomes of a simulated connection.
#[derive(Default)]
struct Fate {
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
    broken.iter().for_each(|fate| fate.break_now());
    broken.len()
}

impl Fate {
    fn break_now(&self) {
        self.broken.store(true, Ordering::Relaxed);
        let wakers = std::mem::take(&mut *self.wakers.lock().unwrap_or_else(PoisonError::into_inner));
        wakers.into_iter().flatten().for_each(Waker::wake);
    }

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

impl Stream {
    fn new(stream: turmoil::net::TcpStream) -> Self {
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
        Self { stream, fate }
    }

    pub(in crate::platform) async fn connect(address: &str) -> io::Result<Self> {
        turmoil::net::TcpStream::connect(address).await.map(Self::new)
    }

    pub(in crate::platform) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.stream.local_addr()
    }

    pub(in crate::platform) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        if self.fate.broken.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.stream.try_write(bytes)
    }

    pub(in crate::platform) fn into_split(self) -> (Half, Half) {
        let shared = Arc::new(Mutex::new(self));
        (Half(Arc::clone(&shared)), Half(shared))
    }
}

impl Half {
    fn with<R>(&self, run: impl FnOnce(&mut Stream) -> R) -> R {
        run(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(in crate::platform) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.with(|stream| stream.try_write(bytes))
    }

    pub(in crate::platform) async fn writable(&self) -> io::Result<()> {
        poll_fn(|context| {
            self.with(|stream| {
                if stream.fate.is_broken(WRITING, context) {
                    return Poll::Ready(Ok(()));
                }
                pin!(stream.stream.writable()).poll(context)
            })
        })
        .await
    }

    pub(in crate::platform) fn close(&self) {
        self.with(|stream| stream.fate.break_now());
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.fate.is_broken(READING, context) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.fate.is_broken(WRITING, context) {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl AsyncRead for Half {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.with(|stream| Pin::new(stream).poll_read(context, buffer))
    }
}

impl AsyncWrite for Half {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.with(|stream| Pin::new(stream).poll_write(context, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|stream| Pin::new(stream).poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|stream| Pin::new(stream).poll_shutdown(context))
    }
}
