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
    pub(crate) proxy: Proxy,
}

/// The service of proxied requests.
pub(crate) type Proxy = InFlight<Ingest<Pool<HttpsClient>>>;

/// The one place where the edge is put together: a service that answers every request, also with
/// an error.
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
    let clock = sidecar.pools().clock().clone();
    let max_in_flight = sidecar.pools().settings().max_in_flight;
    let proxy = ServiceBuilder::new()
        // Outermost: what is over the limit costs nothing. Health and admin are never shed.
        .layer(InFlightLayer::new(max_in_flight))
        // Reads the request, chooses providers, sends.
        .service(sidecar.service(client.clone()));
    let started = clock.now();
    let hub = Hub::new(&sidecar, started);
    let app = Arc::new(App {
        sidecar,
        client,
        gate,
        sessions: Sessions::default(),
        guesses: Guesses::default(),
        key_source,
        hub,
        started,
        clock: clock.clone(),
        proxy,
    });
    let router = service_fn(move |request| {
        let app = app.clone();
        // In a box, because what is passed on from layer to layer is moved each time.
        Box::pin(async move { Ok::<_, BoxError>(handler::handle(&app, request).await) })
    });
    ServiceBuilder::new()
        // Outermost: every answer has a request id, and every request a line in the log.
        .layer(AccessLayer::new(clock))
        // Finds the route, asks for its credential, and calls its handler.
        .service(router)
}
