//! [`Usage`].

use std::task::{Context, Poll};

use http::Response;
use tower::Service;

use super::body::{Booking, UsageBody};
use super::future::ResponseFuture;
use super::{Attribution, Meter};
use crate::clock::Clock;
use crate::error::BoxError;

/// Books every call that the inner service takes.
#[derive(Clone, Debug)]
pub struct Usage<S> {
    inner: S,
    meter: Meter,
    clock: Clock,
}

impl<S> Usage<S> {
    /// Wraps `inner`; see [`super::UsageLayer`].
    pub fn new(inner: S, meter: Meter, clock: Clock) -> Self {
        Self { inner, meter, clock }
    }
}

impl<S, Req, B> Service<Req> for Usage<S>
where
    S: Service<Req, Response = Response<B>>,
    S::Error: Into<BoxError>,
    Req: Attribution,
    B: http_body::Body,
{
    type Response = Response<UsageBody<B>>;
    type Error = BoxError;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let booking = Booking::start(self.meter.clone(), &request, self.clock.clone());
        ResponseFuture::new(self.inner.call(request), booking)
    }
}
