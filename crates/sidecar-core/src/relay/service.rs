//! [`Relay`].

use std::task::{Context, Poll};

use bytes::Bytes;
use http::Response;
use http_body::Body;
use tower::Service;

use super::terms::Terms;
use super::watch::OnCut;
use super::{RelayBody, RelayConfig, ResponseFuture};
use crate::call::Call;
use crate::error::BoxError;

/// Passes answers on, and never lets a cut one look whole.
#[derive(Clone, Debug)]
pub struct Relay<S> {
    inner: S,
    config: RelayConfig,
    on_cut: Option<OnCut>,
}

impl<S> Relay<S> {
    /// Wraps `inner`; see [`super::RelayLayer`].
    pub fn new(inner: S, config: RelayConfig) -> Self {
        Self { inner, config, on_cut: None }
    }

    pub(super) fn hooked(mut self, on_cut: Option<OnCut>) -> Self {
        self.on_cut = on_cut;
        self
    }
}

impl<S, B> Service<Call> for Relay<S>
where
    S: Service<Call, Response = Response<B>>,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Response = Response<RelayBody<B>>;
    type Error = BoxError;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, call: Call) -> Self::Future {
        let terms = Terms::of(call.head(), &self.config, self.on_cut.clone());
        ResponseFuture::new(self.inner.call(call), terms)
    }
}
