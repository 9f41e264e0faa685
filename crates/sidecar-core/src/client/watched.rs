//! Connections that keep an [`Exchange`].

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::connect::Connection;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::timeout;
use tower::Service;

use super::connector::CheckedConnector;
use super::exchange::Exchange;
use crate::error::BoxError;

/// Connects by TCP or TLS, and gives up after [`PATIENCE`]: a name that is never resolved and a
/// handshake that never ends have no time limit of their own.
///
/// It stands around the TLS, not within, because only clear bytes are an answer: session tickets
/// and the alert at the end of a connection are none.
#[derive(Clone, Debug)]
pub(super) struct WatchedConnector {
    inner: HttpsConnector<CheckedConnector>,
}

/// A stream that tells its [`Exchange`] what passes.
#[derive(Debug)]
pub(super) struct Watched<T> {
    inner: T,
    exchange: Exchange,
}

/// What [`WatchedConnector`] connects.
// The inner adapter is there because hyper's way of reading does not say how much was read.
pub(super) type WatchedStream = Watched<TokioIo<Stream>>;

type Stream = MaybeHttpsStream<<CheckedConnector as Service<Uri>>::Response>;

impl WatchedConnector {
    pub(super) fn new(inner: HttpsConnector<CheckedConnector>) -> Self {
        Self { inner }
    }
}

impl<T> Watched<T> {
    fn new(inner: T) -> Self {
        Self { inner, exchange: Exchange::default() }
    }
}

impl Service<Uri> for WatchedConnector {
    type Response = TokioIo<WatchedStream>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Service::<Uri>::poll_ready(&mut self.inner, cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = timeout(PATIENCE, Service::call(&mut self.inner, uri));
        Box::pin(async move {
            let stream = TokioIo::new(connecting.await??);
            Ok(TokioIo::new(Watched::new(stream)))
        })
    }
}

impl<T> Watched<T> {
    pub(super) fn exchange(&self) -> &Exchange {
        &self.exchange
    }
}

impl<T: Connection> Watched<T> {
    /// Whether HTTP/2 has been agreed on.
    pub(super) fn speaks_http2(&self) -> bool {
        self.inner.connected().is_negotiated_h2()
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let result = Pin::new(&mut self.inner).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.exchange.reads();
        }
        result
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Watched<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        // Before it is known how it goes: a write that fails belongs to the request, too.
        self.exchange.writes();
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.exchange.writes();
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// For name, connection and handshake together.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn an_exchange_follows_what_passes_a_stream() {
        let (ours, mut theirs) = duplex(64);
        let mut ours = Watched::new(ours);
        let exchange = ours.exchange.clone();
        let mut answer = [0; 3];
        ours.write_all(b"request").await.unwrap();
        assert!(!exchange.is_silent_again());
        theirs.write_all(b"yes").await.unwrap();
        ours.read_exact(&mut answer).await.unwrap();
        assert!(!exchange.is_silent_again());
        // The end is nothing that was said.
        drop(theirs);
        assert_eq!(ours.read(&mut answer).await.unwrap(), 0);
        assert!(!exchange.is_silent_again());
        ours.write_all(b"request").await.unwrap_err();
        assert!(exchange.is_silent_again());
    }

    #[tokio::test]
    async fn vectored_writes_count_like_others() {
        let (ours, mut theirs) = duplex(64);
        let mut ours = Watched::new(ours);
        let mut answer = [0; 3];
        assert_eq!(ours.write_vectored(&[IoSlice::new(b"one")]).await.unwrap(), 3);
        theirs.write_all(b"yes").await.unwrap();
        ours.read_exact(&mut answer).await.unwrap();
        assert_eq!(ours.write_vectored(&[IoSlice::new(b"two")]).await.unwrap(), 3);
        assert!(ours.exchange.is_silent_again());
    }
}
