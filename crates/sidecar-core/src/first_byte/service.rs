//! [`FirstByte`].

use std::task::{Context, Poll};

use bytes::Bytes;
use http::Response;
use http_body::Body;
use tower::Service;

use super::hold::hold;
use super::{FirstByteBody, Patience, ResponseFuture};
use crate::clock::Clock;
use crate::error::BoxError;
use crate::provider::Api;

/// Holds an answer back until its first meaningful event, and judges it.
#[derive(Clone, Debug)]
pub struct FirstByte<S> {
    inner: S,
    api: Api,
    patience: Patience,
    clock: Clock,
}

impl<S> FirstByte<S> {
    /// Wraps `inner`; see [`super::FirstByteLayer`].
    pub fn new(inner: S, api: Api, patience: Patience, clock: Clock) -> Self {
        Self { inner, api, patience, clock }
    }
}

impl<S, Req, B> Service<Req> for FirstByte<S>
where
    S: Service<Req, Response = Response<B>>,
    S::Error: Into<BoxError> + 'static,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<FirstByteBody<B>>;
    type Error = BoxError;
    type Future = ResponseFuture<B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let future = self.inner.call(request);
        ResponseFuture::new(hold(future, self.api, self.patience, self.clock.clone()))
    }
}
