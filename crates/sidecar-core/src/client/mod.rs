//! The default HTTPS client: hyper and h2 over rustls.
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
//! What a provider can send is bounded: by HTTP/1.1 a head of 64 KiB and 100 headers, none of them
//! folded over several lines; by HTTP/2 headers of 64 KiB, for which each one counts 32 bytes more
//! than it has, so that there are less than 2,048. Any number of 1xx answers is passed over without
//! being kept; the wait for the head, which is the caller's, ends that too.

mod body;
mod connector;
mod error;
mod exchange;
mod http1;
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
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use tower::Service;

pub use self::body::ClientBody;
use self::connector::CheckedConnector;
pub use self::error::{BodyError, SendError};
use self::http1::Http1Client;
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
    http1: Http1Client,
    http2: Http2Client,
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
        let mut offering = tls.clone();
        offering.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let connector = |tls| {
            let https = HttpsConnector::from((tcp.clone(), tls));
            PrewarmedConnector::new(WatchedConnector::new(https))
        };
        let clock = Clock::system();
        let http1 = Http1Client::new(connector(tls.clone()), clock.clone());
        let http2 = Http2Client::new(connector(offering), clock);
        let clients = Clients { http1, http2, settings, tls };
        Self { clients: Arc::new(clients) }
    }
}

impl Service<Request<Full<Bytes>>> for HttpsClient {
    type Response = Response<ClientBody>;
    type Error = SendError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<ClientBody>, SendError>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        let clients = self.clients.clone();
        if http2::is_asked_for(&request) {
            return Box::pin(async move { clients.http2.send(request, &clients.http1).await });
        }
        Box::pin(async move { Ok(clients.http1.send(request).await?.map(ClientBody::from)) })
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
