//! [`ResponseFuture`].

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::Response;

use super::FirstByteBody;
use crate::error::BoxError;

/// The future of [`super::FirstByte`].
pub struct ResponseFuture<B>(Pin<Box<dyn Future<Output = Held<B>> + Send>>);

type Held<B> = Result<Response<FirstByteBody<B>>, BoxError>;

impl<B> ResponseFuture<B> {
    pub(super) fn new(future: impl Future<Output = Held<B>> + Send + 'static) -> Self {
        Self(Box::pin(future))
    }
}

impl<B> Future for ResponseFuture<B> {
    type Output = Held<B>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl<B> fmt::Debug for ResponseFuture<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
