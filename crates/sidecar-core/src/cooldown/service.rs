//! [`Cooldown`].

use std::task::{Context, Poll};
use std::time::Duration;

use http::Response;
use tower::Service;

use super::CellSet;
use super::future::{Guard, ResponseFuture};
use crate::clock::Clock;
use crate::error::{BoxError, RejectReason, Rejected};

/// Refuses a call while a cell rests, and charges the outcome to the cells.
///
/// Readiness is the inner service's: a refusal depends on the moment of the call, and waiting is
/// the pool's business.
#[derive(Clone, Debug)]
pub struct Cooldown<S> {
    inner: S,
    cells: CellSet,
    clock: Clock,
    lease: Duration,
}

impl<S> Cooldown<S> {
    /// Wraps `inner`; see [`super::CooldownLayer`].
    pub fn new(inner: S, cells: CellSet, clock: Clock, lease: Duration) -> Self {
        Self { inner, cells, clock, lease }
    }
}

impl<S, Req, B> Service<Req> for Cooldown<S>
where
    S: Service<Req, Response = Response<B>>,
    S::Error: Into<BoxError>,
{
    type Response = Response<B>;
    type Error = BoxError;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        match self.cells.admit(self.clock.now(), self.lease) {
            Ok(pass) => {
                let guard = Guard::new(self.cells.clone(), pass, self.clock.clone());
                ResponseFuture::admitted(self.inner.call(request), guard)
            }
            Err(ready_at) => {
                ResponseFuture::refused(Rejected::new(RejectReason::Cooling, Some(ready_at)))
            }
        }
    }
}
