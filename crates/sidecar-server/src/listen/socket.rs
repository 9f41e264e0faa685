//! [`Socket`] and [`SocketIo`].

use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

use super::stall::StallTimer;

/// An accepted socket and what is known of it, for all parts of its connection. They run in one
/// task, so the atomics need no order.
#[derive(Debug)]
pub(super) struct Socket {
    stream: TcpStream,
    received: AtomicU64,
    body_announced: AtomicBool,
}

/// The reader and writer of a [`Socket`]. A write that stalls fails with
/// [`io::ErrorKind::TimedOut`].
#[derive(Debug)]
pub(super) struct SocketIo {
    socket: Arc<Socket>,
    stall: StallTimer,
}

impl Socket {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream, received: AtomicU64::new(0), body_announced: AtomicBool::new(false) }
    }

    /// The socket itself. Only [`SocketIo`] reads or writes it while the connection is served.
    pub(super) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Reads what there is; `None` if there is nothing yet.
    fn read(&self, buf: &mut ReadBuf<'_>) -> io::Result<Option<usize>> {
        let (room, mut drained) = (buf.remaining(), None);
        let result = self.stream.try_io(Interest::READABLE, || {
            let read = self.stream.try_read_buf(buf)?;
            if IS_EDGE_TRIGGERED && 0 < read && read < room {
                // There was no more. To say so here spares the read that would only find that out.
                drained = Some(read);
                return Err(io::ErrorKind::WouldBlock.into());
            }
            Ok(read)
        });
        match result {
            Ok(read) => Ok(Some(read)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(drained),
            Err(error) => Err(error),
        }
    }

    /// How many bytes have been read.
    pub(super) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Counts bytes that have been read.
    pub(super) fn note_received(&self, read: usize) {
        self.received.fetch_add(read as u64, Ordering::Relaxed);
    }

    /// Whether the last request had a body, of which some may be unread.
    pub(super) fn body_announced(&self) -> bool {
        self.body_announced.load(Ordering::Relaxed)
    }

    /// Notes whether the request that begins has a body.
    pub(super) fn announce_body(&self, announced: bool) {
        self.body_announced.store(announced, Ordering::Relaxed);
    }
}

impl SocketIo {
    pub(super) fn new(socket: Arc<Socket>, stall: StallTimer) -> Self {
        Self { socket, stall }
    }

    fn poll_write_with(
        &mut self,
        cx: &mut Context<'_>,
        write: impl Fn(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let stream = &self.socket.stream;
        while stream.poll_write_ready(cx)?.is_ready() {
            match write(stream) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => {
                    self.stall.progressed();
                    return Poll::Ready(result);
                }
            }
        }
        ready!(self.stall.poll_stalled(cx));
        // Without this the kernel would go on trying to deliver what it has buffered.
        let _ = stream.set_zero_linger();
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for SocketIo {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let socket = &self.socket;
        loop {
            ready!(socket.stream.poll_read_ready(cx))?;
            if let Some(read) = socket.read(buf)? {
                socket.note_received(read);
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl AsyncWrite for SocketIo {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_write_with(cx, |stream| stream.try_write(buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_write_with(cx, |stream| stream.try_write_vectored(bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// A socket has no buffer of its own, so there is nothing to wait for.
    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match SockRef::from(&self.socket.stream).shutdown(Shutdown::Write) {
            // The client was faster.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Poll::Ready(Ok(())),
            result => Poll::Ready(result),
        }
    }
}

/// Whether the system tells of every arrival anew, so that none is missed after a short read. It is
/// what epoll does, and what tokio's own reads rely on.
const IS_EDGE_TRIGGERED: bool = cfg!(any(target_os = "linux", target_os = "android"));
