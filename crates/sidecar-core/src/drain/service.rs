//! [`Drain`].

use std::task::{Context, Poll};

use http::Response;
use http_body::Body;
use tower::Service;

use super::heir::Heir;
use super::{DrainBody, ResponseFuture};

/// Reads the inner service's answers on when their callers leave.
#[derive(Clone, Debug)]
pub struct Drain<S> {
    inner: S,
    heir: Option<Heir>,
}

impl<S> Drain<S> {
    pub(super) fn new(inner: S, heir: Option<Heir>) -> Self {
        Self { inner, heir }
    }
}

impl<S, Req, B> Service<Req> for Drain<S>
where
    S: Service<Req, Response = Response<B>>,
    S::Error: 'static,
    S::Future: Send + Unpin + 'static,
    B: Body + Send + Unpin + 'static,
{
    type Response = Response<DrainBody<B>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        ResponseFuture::new(self.inner.call(request), self.heir.clone())
    }
}
