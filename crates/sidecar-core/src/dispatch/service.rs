//! [`Dispatch`].

use std::task::{Context, Poll};

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use tower::Service;

use super::{ResponseFuture, Target};
use crate::call::Call;
use crate::error::BoxError;

/// Turns a [`Call`] into the provider's HTTP request.
#[derive(Clone, Debug)]
pub struct Dispatch<C> {
    client: C,
    target: Target,
}

impl<C> Dispatch<C> {
    /// Wraps `client`; see [`super::DispatchLayer`].
    pub fn new(client: C, target: Target) -> Self {
        Self { client, target }
    }
}

impl<C> Service<Call> for Dispatch<C>
where
    C: Service<Request<Full<Bytes>>>,
    C::Error: Into<BoxError>,
{
    type Response = C::Response;
    type Error = BoxError;
    type Future = ResponseFuture<C::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.client.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, call: Call) -> Self::Future {
        match self.target.request(&call) {
            Ok(request) => ResponseFuture::sent(self.client.call(request)),
            Err(error) => ResponseFuture::unsendable(error),
        }
    }
}
