//! Connections that are made before there is a request for them.
//!
//! They wait here, where a request would connect: it gets the one that waits for its origin. Until
//! then nothing is sent but what the TLS takes, so that none of it counts as a request anywhere.
//!
//! One waits for [`MOST_AGE`] at most. Whatever comes meanwhile is read, by which its end is
//! noticed and session tickets are kept for later connections.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use http::Uri;
use http::uri::{Authority, Scheme};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::timeout;
use tower::ServiceExt;

use super::HttpsClient;
use super::exchange::Exchange;
use super::watched::{WatchedConnector, WatchedStream};
use crate::error::BoxError;
use crate::url::BaseUrl;

/// Hands out the connection that waits for an origin, and makes one if none does.
#[derive(Clone, Debug)]
pub(super) struct PrewarmedConnector {
    inner: WatchedConnector,
    waiting: Arc<Waiting<WatchedStream>>,
}

/// A stream, of which the first bytes may have been read already.
#[derive(Debug)]
pub(super) struct Prewarmed<T> {
    early: Bytes,
    inner: T,
}

/// The connections that nobody has asked for yet, one for an origin.
#[derive(Debug)]
struct Waiting<T> {
    slots: Mutex<Vec<Arc<Slot<T>>>>,
}

/// Where a connection waits; empty once it has been taken.
#[derive(Debug)]
struct Slot<T> {
    origin: Origin,
    idle: Mutex<Option<Idle<T>>>,
}

#[derive(Debug)]
struct Idle<T> {
    stream: T,
    /// Whether the other side may speak before it is asked, as it does in HTTP/2.
    speaks_first: bool,
    early: Vec<u8>,
}

type Origin = (Scheme, Authority);

impl HttpsClient {
    /// Connects to the origin of `base_url`, so that the first request finds the name resolved and
    /// the TLS done; `http2` if that request will ask for HTTP/2. Sends no request. What cannot be
    /// connected is left to the first request, and so is everything beyond 64 origins at a time.
    /// A connection that is not used within 20 s is closed.
    ///
    /// Ends when the connection is made or has failed, within 10 s.
    pub async fn prewarm(&self, base_url: &BaseUrl, http2: bool) {
        let Ok(uri) = Uri::try_from(base_url.as_str()) else { return };
        let connector = if http2 && base_url.scheme() == "https" {
            &self.clients.http2.connector
        } else {
            &self.clients.http1.connector
        };
        if let Err(error) = connector.prewarm(uri).await {
            tracing::debug!(origin = %base_url.origin(), %error, "cannot connect ahead");
        }
    }
}

impl PrewarmedConnector {
    pub(super) fn new(inner: WatchedConnector) -> Self {
        Self { inner, waiting: Arc::default() }
    }

    async fn prewarm(&self, uri: Uri) -> Result<(), BoxError> {
        let Some(origin) = origin(&uri) else { return Ok(()) };
        if !self.waiting.wants(&origin) {
            return Ok(());
        }
        let stream = self.inner.clone().oneshot(uri).await?.into_inner();
        let speaks_first = stream.speaks_http2();
        self.waiting.keep(origin, Idle { stream, speaks_first, early: Vec::new() });
        Ok(())
    }
}

impl PrewarmedConnector {
    /// The connection that waits for the origin of `uri`, or a new one.
    pub(super) async fn connect(
        &self,
        uri: Uri,
    ) -> Result<TokioIo<Prewarmed<WatchedStream>>, BoxError> {
        match origin(&uri).and_then(|origin| self.waiting.take(&origin)) {
            Some(stream) => Ok(TokioIo::new(stream)),
            None => self.connect_anew(uri).await,
        }
    }

    /// A new connection.
    pub(super) async fn connect_anew(
        &self,
        uri: Uri,
    ) -> Result<TokioIo<Prewarmed<WatchedStream>>, BoxError> {
        let inner = self.inner.clone().oneshot(uri).await?.into_inner();
        Ok(TokioIo::new(Prewarmed { early: Bytes::new(), inner }))
    }
}

impl Prewarmed<WatchedStream> {
    pub(super) fn exchange(&self) -> &Exchange {
        self.inner.exchange()
    }

    /// Whether HTTP/2 has been agreed on.
    pub(super) fn speaks_http2(&self) -> bool {
        self.inner.speaks_http2()
    }
}

impl<T> Waiting<T> {
    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Slot<T>>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a connection to `origin` would be kept.
    fn wants(&self, origin: &Origin) -> bool {
        has_room(&self.lock(), origin)
    }
}

impl<T: AsyncRead + Unpin> Waiting<T> {
    /// The connection to `origin`, if one waits that is of use.
    fn take(&self, origin: &Origin) -> Option<Prewarmed<T>> {
        let slot = {
            let mut slots = self.lock();
            let at = slots.iter().position(|slot| slot.origin == *origin)?;
            slots.swap_remove(at)
        };
        let mut idle = slot.lock().take()?;
        // It may have ended without its task having been told yet.
        let has_ended = idle.poll_ended(&mut Context::from_waker(Waker::noop())).is_ready();
        (!has_ended).then(|| Prewarmed { early: idle.early.into(), inner: idle.stream })
    }
}

impl<T: AsyncRead + Unpin + Send + 'static> Waiting<T> {
    /// Keeps a connection to `origin` until it is taken, has ended or is old.
    fn keep(self: &Arc<Self>, origin: Origin, idle: Idle<T>) {
        let slot = Arc::new(Slot { origin, idle: Mutex::new(Some(idle)) });
        {
            let mut slots = self.lock();
            // Another one may have come while this one was made.
            if !has_room(&slots, &slot.origin) {
                return;
            }
            slots.push(slot.clone());
        }
        let waiting = self.clone();
        tokio::spawn(async move {
            // Whichever comes first, it is over.
            let _ = timeout(MOST_AGE, poll_fn(|cx| slot.poll_ended(cx))).await;
            waiting.lock().retain(|other| !Arc::ptr_eq(other, &slot));
            slot.lock().take();
        });
    }
}

impl<T> Default for Waiting<T> {
    fn default() -> Self {
        Self { slots: Mutex::default() }
    }
}

impl<T> Slot<T> {
    fn lock(&self) -> MutexGuard<'_, Option<Idle<T>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: AsyncRead + Unpin> Slot<T> {
    fn poll_ended(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.lock().as_mut().map_or(Poll::Ready(()), |idle| idle.poll_ended(cx))
    }
}

impl<T: AsyncRead + Unpin> Idle<T> {
    /// Reads what comes; ready once the connection is of no use any more.
    fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut space = [0; MOST_EARLY];
        loop {
            // Without room for more, nothing is read, which looks like the end and is treated so.
            let mut buf = ReadBuf::new(&mut space[self.early.len()..]);
            let read = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buf));
            if read.is_err() || buf.filled().is_empty() || !self.speaks_first {
                return Poll::Ready(());
            }
            self.early.extend_from_slice(buf.filled());
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Prewarmed<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.early.is_empty() {
            return Pin::new(&mut self.inner).poll_read(cx, buf);
        }
        let length = self.early.len().min(buf.remaining());
        buf.put_slice(&self.early.split_to(length));
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Prewarmed<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
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

fn origin(uri: &Uri) -> Option<Origin> {
    Some((uri.scheme()?.clone(), uri.authority()?.clone()))
}

fn has_room<T>(slots: &[Arc<Slot<T>>], origin: &Origin) -> bool {
    slots.len() < MOST_WAITING && slots.iter().all(|slot| slot.origin != *origin)
}

/// How long a connection waits for its first request. Servers give those that say nothing little
/// time.
const MOST_AGE: Duration = Duration::from_secs(20);
/// How many connections wait at a time.
const MOST_WAITING: usize = 64;
/// The most that is kept of what the other side says before it is asked, in bytes. The settings of
/// HTTP/2 are about a hundred.
const MOST_EARLY: usize = 1_024;

#[cfg(test)]
mod tests;
