//! The default HTTPS client: hyper-util's pool over rustls.
//!
//! HTTP/1.1, and HTTP/2 for the requests that ask for it ([`crate::dispatch::PreferHttp2`]) where
//! the provider speaks it. TCP_NODELAY, connections kept for 30 s, the machine's root certificates
//! or Mozilla's.
//! Addresses are checked when they are resolved, so that no name can lead to a metadata service.
//!
//! A kept connection that the provider has closed meanwhile is not the caller's problem: a request
//! that meets one is sent once more, on a new connection. So is one that a provider refused by
//! HTTP/2 before it touched it.
//!
//! What a provider can send is bounded: a head of 64 KiB and 100 headers, none of them folded over
//! several lines. Any number of 1xx answers is passed over without being kept; the wait for the
//! head, which is the caller's, ends that too.

mod connector;
mod exchange;
mod http2;
mod prewarm;
mod resolver;
mod watched;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tower::Service;

use self::connector::CheckedConnector;
use self::exchange::is_stale;
use self::http2::Http2Client;
use self::prewarm::PrewarmedConnector;
use self::resolver::CheckedResolver;
use self::watched::WatchedConnector;
use crate::clock::Clock;
use crate::settings::Settings;
use crate::shared::Shared;

/// A pooled HTTPS client. Cheap to clone; clones share the connections.
#[derive(Clone, Debug)]
pub struct HttpsClient {
    clients: Arc<Clients>,
}

#[derive(Debug)]
struct Clients {
    pooled: Client<PrewarmedConnector, Full<Bytes>>,
    /// Makes a new connection for every request.
    unpooled: Client<WatchedConnector, Full<Bytes>>,
    /// That of `pooled`.
    connector: PrewarmedConnector,
    http2: Http2Client,
    clock: Clock,
    settings: Shared<Settings>,
    tls: rustls::ClientConfig,
}

/// The client could not be made: the TLS stack has no usable configuration.
#[derive(Debug, thiserror::Error)]
#[error("the TLS client cannot be set up")]
pub struct ClientError(#[from] rustls::Error);

impl HttpsClient {
    /// A client of its own pool. Private and loopback addresses are allowed.
    pub fn new() -> Result<Self, ClientError> {
        Self::following(Shared::new(Settings::default()))
    }

    /// Follows the setting `upstream_private`.
    pub(crate) fn following(settings: Shared<Settings>) -> Result<Self, ClientError> {
        Self::trusting(roots(), settings)
    }

    fn trusting(
        roots: rustls::RootCertStore,
        settings: Shared<Settings>,
    ) -> Result<Self, ClientError> {
        Ok(Self::over(tls_config(roots)?, settings))
    }

    /// A client of the same kind with connections of its own, for another runtime: a connection
    /// lives on the one that it was made on. Both keep the same TLS sessions.
    #[must_use]
    pub fn apart(&self) -> Self {
        Self::over(self.clients.tls.clone(), self.clients.settings.clone())
    }

    fn over(tls: rustls::ClientConfig, settings: Shared<Settings>) -> Self {
        let mut http = HttpConnector::new_with_resolver(CheckedResolver::new(settings.clone()));
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_connect_timeout(Some(Duration::from_secs(5)));
        http.set_keepalive(Some(Duration::from_secs(30)));
        let tcp = CheckedConnector::new(http, settings.clone());
        let https = || {
            hyper_rustls::HttpsConnectorBuilder::new().with_tls_config(tls.clone()).https_or_http()
        };
        let unwarmed = WatchedConnector::new(https().enable_http1().wrap_connector(tcp.clone()));
        let both = https().enable_http1().enable_http2().wrap_connector(tcp);
        let clock = Clock::system();
        let http2 = Http2Client::new(WatchedConnector::new(both), clock.clone());
        let connector = PrewarmedConnector::new(unwarmed.clone());
        let mut builder = Client::builder(TokioExecutor::new());
        builder
            .pool_idle_timeout(KEPT)
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            // The number of headers is left at hyper's 100: naming one costs an allocation an
            // answer.
            .http1_max_buf_size(MOST_READ);
        let pooled = builder.build(connector.clone());
        let unpooled = builder.pool_max_idle_per_host(0).build(unwarmed);
        let clients = Clients { pooled, unpooled, connector, http2, clock, settings, tls };
        Self { clients: Arc::new(clients) }
    }
}

impl Clients {
    /// Sends once, and once more if the first try met a connection that had been given up. The
    /// second try cannot meet another one.
    ///
    /// Such a connection shows at once. One that is cut later was cut while the provider was at
    /// work, and to ask again would cost twice.
    async fn send(
        self: Arc<Self>,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, Error> {
        // Which connection it will be shows only when it is too late to ask for the request back.
        // The copy is that of the head; the body is shared.
        let (again, started) = (request.clone(), self.clock.now());
        let first = match self.pooled.request(request).await {
            Err(error) if is_stale(&error) && self.clock.now() - started < AT_ONCE => error,
            result => return result,
        };
        tracing::debug!("a kept connection had been closed, the request is sent again");
        // Of two failures the first counts: that the second try reached nobody does not mean that
        // nobody has seen the request.
        self.unpooled.request(again).await.map_err(|second| {
            tracing::debug!(error = %second, "sending again failed, too");
            first
        })
    }
}

impl Service<Request<Full<Bytes>>> for HttpsClient {
    type Response = Response<Incoming>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Incoming>, Error>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        let clients = self.clients.clone();
        if http2::is_asked_for(&request) {
            return Box::pin(async move { clients.http2.send(request).await });
        }
        Box::pin(clients.send(request))
    }
}

fn roots() -> rustls::RootCertStore {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        // A minimal image has no certificates of its own.
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    roots
}

fn tls_config(roots: rustls::RootCertStore) -> Result<rustls::ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

/// How long a connection without requests is kept.
const KEPT: Duration = Duration::from_secs(30);
/// The most that is read of a head, and of a body at a time, in bytes.
const MOST_READ: usize = 64 << 10;
/// How soon a connection that had been given up shows it.
const AT_ONCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tls_server;
