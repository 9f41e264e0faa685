//! [`InFlight`].

use std::sync::Arc;
use std::task::{Context, Poll};

use http::Response;
use sidecar_core::error::BoxError;
use tokio::sync::Semaphore;
use tower::Service;

use super::{InFlightBody, ResponseFuture};

/// Refuses a call with [`sidecar_core::error::Error::Overloaded`] when too many are in flight.
#[derive(Clone, Debug)]
pub struct InFlight<S> {
    inner: S,
    permits: Arc<Semaphore>,
}

impl<S> InFlight<S> {
    pub(super) fn new(inner: S, permits: Arc<Semaphore>) -> Self {
        Self { inner, permits }
    }
}

impl<S, Req, B> Service<Req> for InFlight<S>
where
    S: Service<Req, Response = Response<B>>,
    S::Error: Into<BoxError>,
{
    type Response = Response<InFlightBody<B>>;
    type Error = BoxError;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        match self.permits.clone().try_acquire_owned() {
            Ok(permit) => ResponseFuture::admitted(self.inner.call(request), permit),
            Err(_) => ResponseFuture::refused(),
        }
    }
}
