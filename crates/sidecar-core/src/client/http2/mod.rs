//! HTTP/2 for the requests that ask for it.
//!
//! It is offered when the TLS connection is made. A provider that does not take it is served by
//! HTTP/1.1 all the same, and so is every plain `http` one. The requests of a client to an origin
//! share one connection; where each worker thread has a client of its own
//! ([`super::HttpsClient::apart`]), there is one for each. What it has no place for at the moment
//! goes by HTTP/1.1: what is beyond the streams that the provider allows at a time or beyond 64,
//! and what comes while the connection is made. So a provider has to speak HTTP/1.1 as well.

mod body;
mod driver;
mod link;
mod origins;
mod upload;

use bytes::Bytes;
use http::header::HOST;
use http::uri::Scheme;
use http::{Request, Response};
use http_body_util::Full;

pub(super) use self::body::Http2Body;
use self::link::Link;
use self::origins::{Origins, Way};
use super::ClientBody;
use super::error::SendError;
use super::http1::Http1Client;
use super::prewarm::PrewarmedConnector;
use crate::clock::Clock;
use crate::dispatch::{PreferHttp2, was_refused};

/// Sends by HTTP/2 where there is a place for it.
#[derive(Debug)]
pub(super) struct Http2Client {
    origins: Origins,
    pub(super) connector: PrewarmedConnector,
    clock: Clock,
}

/// Whether `request` is to be sent by HTTP/2. There is no way to agree on it without TLS.
pub(super) fn is_asked_for<B>(request: &Request<B>) -> bool {
    request.uri().scheme() == Some(&Scheme::HTTPS)
        && request.extensions().get::<PreferHttp2>().is_some()
}

impl Http2Client {
    /// The TLS of `connector` has to offer both versions.
    pub(super) fn new(connector: PrewarmedConnector, clock: Clock) -> Self {
        Self { origins: Origins::new(clock.clone()), connector, clock }
    }

    /// Sends once, and once more if the provider said that it had not touched the request; by
    /// `http1` what does not go by HTTP/2.
    pub(super) async fn send(
        &self,
        mut request: Request<Full<Bytes>>,
        http1: &Http1Client,
    ) -> Result<Response<ClientBody>, SendError> {
        // HTTP/2 has the host in the URL; for HTTP/1.1 the header is made from that.
        request.headers_mut().remove(HOST);
        // The copy is that of the head; the body is shared.
        let again = request.clone();
        match self.send_once(request, http1).await {
            Err(error) if was_refused(&error) => {
                tracing::debug!(%error, "a stream was refused, the request is sent again");
                // Nobody has worked for the first try, so that only the second one counts.
                self.send_once(again, http1).await
            }
            answer => answer,
        }
    }

    async fn send_once(
        &self,
        request: Request<Full<Bytes>>,
        http1: &Http1Client,
    ) -> Result<Response<ClientBody>, SendError> {
        let authority = request.uri().authority().ok_or(SendError::NoHost)?.as_str();
        let place = match self.origins.way(authority) {
            Way::Http2(place) => place,
            Way::Http1 => return Ok(http1.send(request).await?.map(ClientBody::from)),
            Way::Dial(dialling) => {
                let uri = request.uri().clone();
                let stream = self.connector.connect(uri).await.map_err(SendError::Connect)?;
                if !stream.inner().speaks_http2() {
                    dialling.finds_http1();
                    return Ok(http1.send_over(stream, request).await?.map(ClientBody::from));
                }
                let place = Link::over(stream.into_inner(), self.clock.clone()).await?;
                dialling.finds_http2(place.link().clone());
                place
            }
        };
        Ok(place.ask(request).await?.map(ClientBody::from))
    }
}

#[cfg(test)]
mod tests;
