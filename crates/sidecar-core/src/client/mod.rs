//! The default HTTPS client: hyper-util's pool over rustls.
//!
//! HTTP/1.1, TCP_NODELAY, connections kept for 30 s, the machine's root certificates or Mozilla's.
//! Addresses are checked when they are resolved, so that no name can lead to a metadata service.

mod connector;
mod resolver;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tower::Service;

use self::connector::CheckedConnector;
use self::resolver::CheckedResolver;
use crate::settings::Settings;
use crate::shared::Shared;

/// A pooled HTTPS client. Cheap to clone; clones share the connections.
#[derive(Clone, Debug)]
pub struct HttpsClient {
    client: Client<HttpsConnector<CheckedConnector>, Full<Bytes>>,
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
        let mut http = HttpConnector::new_with_resolver(CheckedResolver::new(settings.clone()));
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_connect_timeout(Some(Duration::from_secs(5)));
        http.set_keepalive(Some(Duration::from_secs(30)));
        let https = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config(tls_config()?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(CheckedConnector::new(http, settings));
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(Duration::from_secs(30))
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .build(https);
        Ok(Self { client })
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
        Box::pin(self.client.request(request))
    }
}

fn tls_config() -> Result<rustls::ClientConfig, rustls::Error> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        // A minimal image has no certificates of its own.
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth())
}
