//! [`RateLimit`].

use std::task::{Context, Poll};

use tower::Service;

use super::Limiter;
use super::future::ResponseFuture;
use crate::clock::Clock;
use crate::error::{BoxError, RejectReason, Rejected};

/// Refuses a call when the limit is used up.
///
/// Readiness is the inner service's: a slot is taken by the call, never by waiting for it.
#[derive(Clone, Debug)]
pub struct RateLimit<S> {
    inner: S,
    limiter: Limiter,
    clock: Clock,
}

impl<S> RateLimit<S> {
    /// Wraps `inner`; see [`super::RateLimitLayer`].
    pub fn new(inner: S, limiter: Limiter, clock: Clock) -> Self {
        Self { inner, limiter, clock }
    }
}

impl<S, Req> Service<Req> for RateLimit<S>
where
    S: Service<Req>,
    S::Error: Into<BoxError>,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        match self.limiter.admit(self.clock.now()) {
            Ok(slot) => {
                let future = self.inner.call(request);
                ResponseFuture::admitted(future, self.limiter.clone(), slot)
            }
            Err(ready_at) => {
                ResponseFuture::refused(Rejected::new(RejectReason::RateLimited, Some(ready_at)))
            }
        }
    }
}
