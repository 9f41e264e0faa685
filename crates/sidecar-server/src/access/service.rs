//! [`Access`].

use std::task::{Context, Poll};

use http::{Request, Response};
use http_body::Body;
use sidecar_core::call::RequestId;
use sidecar_core::clock::Clock;
use tower::Service;

use super::body::Line;
use super::{AccessBody, ResponseFuture};

/// Names every request and writes one line about it.
#[derive(Clone, Debug)]
pub struct Access<S> {
    inner: S,
    clock: Clock,
}

impl<S> Access<S> {
    pub(super) fn new(inner: S, clock: Clock) -> Self {
        Self { inner, clock }
    }
}

impl<S, T, B> Service<Request<T>> for Access<S>
where
    S: Service<Request<T>, Response = Response<B>>,
    B: Body,
{
    type Response = Response<AccessBody<B>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<T>) -> Self::Future {
        let id = RequestId::random();
        let line = Line::start(&request, id.clone(), self.clock.clone());
        request.extensions_mut().insert(id);
        ResponseFuture::new(self.inner.call(request), line)
    }
}
