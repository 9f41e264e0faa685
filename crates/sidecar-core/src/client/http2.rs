//! HTTP/2 for the requests that ask for it.
//!
//! It is offered when the TLS connection is made. A provider that does not take it is served by
//! HTTP/1.1 all the same, and so is every plain `http` one. All requests to an origin share one
//! connection; those beyond the streams that it allows at a time wait for one that ends.

use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::uri::Scheme;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::exchange::is_stale;
use super::prewarm::PrewarmedConnector;
use super::watched::WatchedConnector;
use super::{AT_ONCE, KEPT, MOST_READ};
use crate::clock::Clock;
use crate::dispatch::{PreferHttp2, was_refused};

/// Sends by HTTP/2 to those who speak it, and by HTTP/1.1 to others.
#[derive(Debug)]
pub(super) struct Http2Client {
    pooled: Client<PrewarmedConnector, Full<Bytes>>,
    /// Makes a new connection for every request.
    unpooled: Client<WatchedConnector, Full<Bytes>>,
    pub(super) connector: PrewarmedConnector,
    clock: Clock,
}

/// Whether `request` is to be sent by HTTP/2. There is no way to agree on it without TLS.
pub(super) fn is_asked_for<B>(request: &Request<B>) -> bool {
    request.uri().scheme() == Some(&Scheme::HTTPS)
        && request.extensions().get::<PreferHttp2>().is_some()
}

impl Http2Client {
    /// A client of its own pool. The TLS of `connector` has to offer both versions.
    pub(super) fn new(connector: WatchedConnector, clock: Clock) -> Self {
        let prewarmed = PrewarmedConnector::new(connector.clone());
        let mut builder = Client::builder(TokioExecutor::new());
        builder
            .pool_idle_timeout(KEPT)
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .http1_max_buf_size(MOST_READ)
            .http2_max_header_list_size(MOST_HEADERS)
            .http2_adaptive_window(true)
            // Until the provider has said how many it takes: more are refused, not queued.
            .http2_initial_max_send_streams(1)
            // A connection that is cut without a word would hold all its requests up.
            .http2_keep_alive_interval(PING_AFTER)
            .http2_keep_alive_timeout(PING_PATIENCE)
            .http2_keep_alive_while_idle(false);
        let pooled = builder.build(prewarmed.clone());
        let unpooled = builder.pool_max_idle_per_host(0).build(connector);
        Self { pooled, unpooled, connector: prewarmed, clock }
    }

    /// Sends once, and once more if the provider said that it had not touched the request, or if
    /// it was HTTP/1.1 on a kept connection that had been given up.
    pub(super) async fn send(
        &self,
        mut request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, Error> {
        // HTTP/2 has the host in the URL; for HTTP/1.1 the header is made from that.
        request.headers_mut().remove(HOST);
        // The copy is that of the head; the body is shared.
        let (again, started) = (request.clone(), self.clock.now());
        let first = match self.pooled.request(request).await {
            Ok(response) => return Ok(response),
            Err(error) => error,
        };
        if was_refused(&first) {
            tracing::debug!(error = %first, "a stream was refused, the request is sent again");
            // Nobody has worked for the first try, so that only the second one counts.
            return self.pooled.request(again).await;
        }
        if is_stale(&first) && self.clock.now() - started < AT_ONCE {
            tracing::debug!("a kept connection had been closed, the request is sent again");
            // As with HTTP/1.1: the first try may have been seen, whatever became of the second.
            return self.unpooled.request(again).await.map_err(|second| {
                tracing::debug!(error = %second, "sending again failed, too");
                first
            });
        }
        Err(first)
    }
}

/// The most that the headers of an answer may have, in bytes as HTTP/2 counts them.
const MOST_HEADERS: u32 = 64 << 10;
/// How long a connection with requests may be silent before it is asked for a sign of life.
const PING_AFTER: Duration = Duration::from_secs(15);
/// How long the sign of life may take.
const PING_PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
