//! [`Ingest`].

use std::task::{Context, Poll};

use bytes::Bytes;
use http::Request;
use http_body::Body;
use tower::{Service, ServiceExt};

use super::ResponseFuture;
use super::read::read;
use crate::call::Call;
use crate::clock::Clock;
use crate::error::{BoxError, Error};
use crate::settings::Settings;
use crate::shared::Shared;

/// Turns an HTTP request into a [`Call`].
#[derive(Clone, Debug)]
pub struct Ingest<S> {
    inner: S,
    settings: Shared<Settings>,
    clock: Clock,
}

impl<S> Ingest<S> {
    pub(crate) fn new(inner: S, settings: Shared<Settings>, clock: Clock) -> Self {
        Self { inner, settings, clock }
    }
}

impl<S, B> Service<Request<B>> for Ingest<S>
where
    S: Service<Call, Error = Error> + Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = S::Response;
    type Error = Error;
    type Future = ResponseFuture<S::Response>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The inner service's readiness is not worth keeping through a slow upload: it is asked
        // again when the call is there.
        let inner = self.inner.clone();
        let (settings, clock) = (self.settings.load(), self.clock.clone());
        ResponseFuture::new(async move {
            let call = read(request, &settings, &clock).await?;
            inner.oneshot(call).await
        })
    }
}
