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

/// What the handlers work with.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) sidecar: Sidecar,
    pub(crate) client: HttpsClient,
    pub(crate) gate: Gate,
    pub(crate) sessions: Sessions,
    pub(crate) guesses: Guesses,
    pub(crate) key_source: KeySource,
    pub(crate) hub: Hub,
    pub(crate) clock: Clock,
    pub(crate) started: Instant,
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
    /// What all its services share. Test calls of providers go by `client`.
    pub fn new(sidecar: Sidecar, client: HttpsClient, gate: Gate, key_source: KeySource) -> Self {
        let clock = sidecar.pools().clock().clone();
        let in_flight = InFlightLayer::new(sidecar.pools().settings().max_in_flight);
        let started = clock.now();
        let hub = Hub::new(&sidecar, started);
        let app = App {
            sidecar,
            client,
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

    /// The one place where the service is put together. What it passes on goes by `client`.
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
            .service(self.app.sidecar.service(client));
        let shared = Arc::new((self.app.clone(), proxy));
        let router = service_fn(move |request| {
            let shared = shared.clone();
            // In a box, because what is passed on from layer to layer is moved each time.
            Box::pin(async move {
                let (app, proxy) = &*shared;
                Ok::<_, BoxError>(handler::handle(app, proxy, request).await)
            })
        });
        ServiceBuilder::new()
            // Outermost: every answer has a request id, and every request a line in the log.
            .layer(AccessLayer::new(self.app.clock.clone()))
            // Finds the route, asks for its credential, and calls its handler.
            .service(router)
    }
}

/// The service of an [`Edge`] that is all on one runtime.
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
    Edge::new(sidecar, client.clone(), gate, key_source).service(client)
}
