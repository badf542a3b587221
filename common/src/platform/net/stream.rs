//! A connection: one type for every socket of the processes, whatever carries its bytes.
//!
//! What carries them is a variant of a private enum, here and nowhere else; where there is one only, matching it costs nothing.
//! A [`Stream`] is read and written as a whole, or [split](Stream::into_split): then each direction is used by itself, and
//! any number of owners may write.

use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsRawFd, RawFd};
use std::pin::Pin;
use std::task::{Context, Poll};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, tcp};

#[cfg(feature = "simulation")]
use crate::platform::simulation;

/// Both directions of a connection.
pub struct Stream(Whole);

/// The direction that is read.
pub struct ReadHalf(Reading);

/// The direction that is written. What needs no task to wait takes it by reference, so it can be shared.
///
/// Nothing more can be written once it is dropped.
pub struct WriteHalf(Writing);

enum Whole {
    Plain(TcpStream),
    #[cfg(feature = "simulation")]
    Simulated(simulation::net::Stream),
}

enum Reading {
    Plain(tcp::OwnedReadHalf),
    #[cfg(feature = "simulation")]
    Simulated(simulation::net::Half),
}

enum Writing {
    Plain(tcp::OwnedWriteHalf),
    #[cfg(feature = "simulation")]
    Simulated(simulation::net::Half),
}

/// The same for every variant.
macro_rules! each {
    ($kind:ident, $inner:expr, $stream:ident => $result:expr) => {
        match $inner {
            $kind::Plain($stream) => $result,
            #[cfg(feature = "simulation")]
            $kind::Simulated($stream) => $result,
        }
    };
}

impl Stream {
    pub(super) fn plain(stream: TcpStream) -> Self {
        Self(Whole::Plain(stream))
    }

    #[cfg(feature = "simulation")]
    pub(super) fn simulated(stream: simulation::net::Stream) -> Self {
        Self(Whole::Simulated(stream))
    }

    /// Takes over a socket that [`Stream::into_std`] gave, on the thread that is to use it.
    ///
    /// # Errors
    /// When the thread's event loop does not take it.
    pub fn from_std(socket: std::net::TcpStream) -> io::Result<Self> {
        TcpStream::from_std(socket).map(Self::plain)
    }

    /// The bare socket of a connection over which nothing was said yet, for another thread.
    ///
    /// # Errors
    /// When the event loop does not let go of it. Where the network is simulated there is none.
    pub fn into_std(self) -> io::Result<std::net::TcpStream> {
        match self.0 {
            Whole::Plain(stream) => stream.into_std(),
            #[cfg(feature = "simulation")]
            Whole::Simulated(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// The socket, for its options; there is none where the network is simulated.
    pub(super) fn socket(&self) -> Option<&TcpStream> {
        match &self.0 {
            Whole::Plain(stream) => Some(stream),
            #[cfg(feature = "simulation")]
            Whole::Simulated(_) => None,
        }
    }

    /// The address of this end.
    ///
    /// # Errors
    /// When the socket is closed already.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        each!(Whole, &self.0, stream => stream.local_addr())
    }

    /// Writes what can be taken at once; [`io::ErrorKind::WouldBlock`] if that is nothing.
    ///
    /// # Errors
    /// As said, and when the connection has broken.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        each!(Whole, &self.0, stream => stream.try_write(bytes))
    }

    /// Both directions apart.
    #[must_use]
    pub fn into_split(self) -> (ReadHalf, WriteHalf) {
        match self.0 {
            Whole::Plain(stream) => {
                let (reading, writing) = stream.into_split();
                (ReadHalf(Reading::Plain(reading)), WriteHalf(Writing::Plain(writing)))
            }
            #[cfg(feature = "simulation")]
            Whole::Simulated(stream) => {
                let (reading, writing) = stream.into_split();
                (ReadHalf(Reading::Simulated(reading)), WriteHalf(Writing::Simulated(writing)))
            }
        }
    }
}

impl WriteHalf {
    /// As [`Stream::try_write`].
    ///
    /// # Errors
    /// As [`Stream::try_write`].
    #[inline]
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        each!(Writing, &self.0, stream => stream.try_write(bytes))
    }

    /// Waits until [`WriteHalf::try_write`] may take something.
    ///
    /// # Errors
    /// When the process is ending.
    pub async fn writable(&self) -> io::Result<()> {
        each!(Writing, &self.0, stream => stream.writable().await)
    }

    /// Ends both directions: who reads sees the end of the stream.
    pub fn close(&self) {
        match &self.0 {
            // One that is closed already needs nothing.
            Writing::Plain(stream) => {
                drop(SockRef::from(AsRef::<TcpStream>::as_ref(stream)).shutdown(Shutdown::Both))
            }
            #[cfg(feature = "simulation")]
            Writing::Simulated(stream) => stream.close(),
        }
    }
}

/// The number of the socket, -1 where the network is simulated.
impl AsRawFd for Stream {
    fn as_raw_fd(&self) -> RawFd {
        self.socket().map_or(-1, AsRawFd::as_raw_fd)
    }
}

macro_rules! reads {
    ($half:ident, $kind:ident) => {
        impl AsyncRead for $half {
            #[inline]
            fn poll_read(
                mut self: Pin<&mut Self>,
                context: &mut Context<'_>,
                buffer: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                each!($kind, &mut self.0, stream => Pin::new(stream).poll_read(context, buffer))
            }
        }
    };
}

macro_rules! writes {
    ($half:ident, $kind:ident) => {
        impl AsyncWrite for $half {
            #[inline]
            fn poll_write(
                mut self: Pin<&mut Self>,
                context: &mut Context<'_>,
                bytes: &[u8],
            ) -> Poll<io::Result<usize>> {
                each!($kind, &mut self.0, stream => Pin::new(stream).poll_write(context, bytes))
            }

            #[inline]
            fn poll_write_vectored(
                mut self: Pin<&mut Self>,
                context: &mut Context<'_>,
                parts: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                each!($kind, &mut self.0, stream => Pin::new(stream).poll_write_vectored(context, parts))
            }

            fn is_write_vectored(&self) -> bool {
                each!($kind, &self.0, stream => stream.is_write_vectored())
            }

            fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
                each!($kind, &mut self.0, stream => Pin::new(stream).poll_flush(context))
            }

            fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
                each!($kind, &mut self.0, stream => Pin::new(stream).poll_shutdown(context))
            }
        }
    };
}

reads!(Stream, Whole);
reads!(ReadHalf, Reading);
writes!(Stream, Whole);
writes!(WriteHalf, Writing);
