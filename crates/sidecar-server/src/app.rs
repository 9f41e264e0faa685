//! The edge stack: everything between a connection and an answer.

use std::sync::Arc;

use http::{Request, Response};
use hyper::body::Incoming;
use sidecar_core::Sidecar;
use sidecar_core::client::HttpsClient;
use sidecar_core::clock::{Clock, Instant};
use sidecar_core::error::BoxError;
use sidecar_core::ingest::Ingest;
use sidecar_core::pool::Pool;
use tokio::runtime::Handle;
use tower::{Service, ServiceBuilder, service_fn};

use crate::access::{AccessBody, AccessLayer};
use crate::auth::Gate;
use crate::config::KeySource;
use crate::dashboard::Hub;
use crate::guess::Guesses;
use crate::handler;
use crate::in_flight::{InFlight, InFlightLayer};
use crate::respond::EdgeBody;
use crate::session::Sessions;

/// What the handlers of all runtimes share.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) sidecar: Sidecar,
    pub(crate) gate: Gate,
    pub(crate) sessions: Sessions,
    pub(crate) guesses: Guesses,
    pub(crate) key_source: KeySource,
    pub(crate) hub: Hub,
    pub(crate) clock: Clock,
    pub(crate) started: Instant,
}

/// What the handlers of one runtime work with.
#[derive(Debug)]
pub(crate) struct Local {
    pub(crate) app: Arc<App>,
    pub(crate) proxy: Proxy,
    /// For what is not a caller's request. Its connections live on this runtime, as those of
    /// `proxy` do.
    pub(crate) client: HttpsClient,
}

/// The service of proxied requests.
pub(crate) type Proxy = InFlight<Ingest<Pool<HttpsClient>>>;

/// The edge of a server: a service that answers every request, also with an error. There may be
/// one on each of several runtimes; they share everything but their connections to providers.
#[derive(Clone, Debug)]
pub struct Edge {
    app: Arc<App>,
    in_flight: InFlightLayer,
}

impl Edge {
    /// What all its services share. The runtime that this is called on also does what is no
    /// answer to anybody: it looks, once a second, how everything stands while a dashboard is open.
    ///
    /// # Panics
    ///
    /// When called outside a tokio runtime.
    pub fn new(sidecar: Sidecar, gate: Gate, key_source: KeySource) -> Self {
        let clock = sidecar.pools().clock().clone();
        let in_flight = InFlightLayer::new(sidecar.pools().settings().max_in_flight);
        let started = clock.now();
        let hub = Hub::new(&sidecar, started, Handle::current());
        let app = App {
            sidecar,
            gate,
            sessions: Sessions::default(),
            guesses: Guesses::default(),
            key_source,
            hub,
            started,
            clock,
        };
        Self { app: Arc::new(app), in_flight }
    }

    /// The one place where the service is put together. What it sends to providers goes by
    /// `client`, of which every runtime needs one of its own ([`HttpsClient::apart`]).
    pub fn service(
        &self,
        client: HttpsClient,
    ) -> impl Service<
        Request<Incoming>,
        Response = Response<AccessBody<EdgeBody>>,
        Error = BoxError,
        Future: Send,
    > + Clone
    + Send
    + use<> {
        let proxy: Proxy = ServiceBuilder::new()
            // Outermost: what is over the limit costs nothing. Health and admin are never shed.
            .layer(self.in_flight.clone())
            // Reads the request, chooses providers, sends.
            .service(self.app.sidecar.service(client.clone()));
        let local = Arc::new(Local { app: self.app.clone(), proxy, client });
        let router = service_fn(move |request| {
            let local = local.clone();
            async move { Ok::<_, BoxError>(handler::handle(&local, request).await) }
        });
        ServiceBuilder::new()
            // Outermost: every answer has a request id, and every request a line in the log.
            .layer(AccessLayer::new(self.app.clock.clone()))
            // Finds the route, asks for its credential, and calls its handler.
            .service(router)
    }
}

/// The service of an [`Edge`] that is all on one runtime, the one that this is called on.
///
/// # Panics
///
/// When called outside a tokio runtime.
pub fn edge(
    sidecar: Sidecar,
    client: HttpsClient,
    gate: Gate,
    key_source: KeySource,
) -> impl Service<
    Request<Incoming>,
    Response = Response<AccessBody<EdgeBody>>,
    Error = BoxError,
    Future: Send,
> + Clone
+ Send
+ 'static {
    Edge::new(sidecar, gate, key_source).service(client)
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::time::Duration;

    use serde_json::json;
    use sidecar_core::secret::TokenDigest;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::timeout;

    use super::*;
    use crate::listen::{self, Limits, Listener, Workers};

    /// Reached only if something hangs.
    const PATIENCE: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn the_services_of_all_runtimes_share_the_limit_of_requests_in_flight() {
        // A provider that takes requests and does not answer.
        let provider = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}/v1", provider.local_addr().unwrap());
        let builder = Sidecar::builder().pin_setting("max_in_flight", "1").unwrap();
        let sidecar = builder.open().await.unwrap();
        let patch = json!({
            "name": "silent", "api_base_url": url, "api_key": "none", "model_mappings": {"m": {}},
        });
        sidecar.admin().add_provider(serde_json::from_value(patch).unwrap()).await.unwrap();

        let workers = Workers::of(2).unwrap();
        let client = sidecar.https_client().unwrap();
        let gate = Gate::new(TokenDigest::of("an-admin-token"), true);
        let edge = Edge::new(sidecar.clone(), gate, KeySource::none());
        let place = |worker: &Handle| (worker.clone(), edge.service(client.apart()));
        let places: Vec<_> = workers.handles().iter().map(place).collect();
        let listener = Listener::bind(([127, 0, 0, 1], 0).into()).unwrap();
        let address = listener.local_addr().unwrap();
        let serving = listen::serve_on(listener, places, Limits::default(), pending());
        let server = tokio::spawn(serving);

        let body = r#"{"model":"m","messages":[]}"#;
        let request = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut first = TcpStream::connect(address).await.unwrap();
        first.write_all(request.as_bytes()).await.unwrap();
        let _sent = timeout(PATIENCE, provider.accept()).await.unwrap().unwrap();

        // It is served by the other worker, as the first one has a connection.
        let mut second = TcpStream::connect(address).await.unwrap();
        second.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        timeout(PATIENCE, second.read_to_string(&mut answer)).await.unwrap().unwrap();
        assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("overloaded"), "{answer}");
        server.abort();
        workers.stop().await;
        sidecar.close().await.unwrap();
    }
}
